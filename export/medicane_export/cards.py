"""The page that goes with exported files."""

import json
from pathlib import Path
from typing import Any

from medicane_export.folder import PARITY_FILE
from medicane_export.to_onnx import Source
from medicane_models.cards import model_card

__all__ = ["onnx_card", "transformers_card"]

_USE = """## ONNX files

Each file carries its preprocessing, labels, threshold and geometry in `metadata_props`, keys
`medicane.*`, JSON where they have structure. onnxruntime and numpy are enough:

```python
import json, onnxruntime

session = onnxruntime.InferenceSession("{file}")
about = session.get_modelmeta().custom_metadata_map
for tensor in json.loads(about["medicane.inputs"]) + json.loads(about["medicane.outputs"]):
    print(tensor["name"], tensor["shape"], tensor["units"], tensor["description"])
```

`parity.json` holds every comparison with PyTorch in full."""


def onnx_card(source: Source, out: Path) -> str:
    """The model's card with a table of the variants in a folder."""
    variants = json.loads((out / PARITY_FILE).read_text("utf-8"))["variants"]
    head = "| file | MB | largest difference | other decisions | centre, km (p90) |\n"
    rows = [_row(file, found) for file, found in variants.items() if found["accepted"]]
    first = next((file for file, found in variants.items() if found["accepted"]), "model.onnx")
    table = head + "|---|---|---|---|---|\n" + "\n".join(rows)
    card = model_card(source.model.config, name=source.name)
    return "\n\n".join((card.rstrip(), _USE.format(file=first), table))


def transformers_card(source: Source, name: str) -> str:
    """A card for users of transformers, who do not have this package."""
    config = source.model.config
    frames, channels, height, width = config.clip_shape
    auto = f"AutoModelFor{_AUTO[config.task]}"
    trained = config.trained_on or "nothing: the weights are random and the outputs mean nothing"
    return _TRANSFORMERS.format(
        name=name,
        auto=auto,
        shape=f"(batch, {frames}, {channels}, {height}, {width})",
        trained=trained,
        source=source.name,
        bands=_bands(source),
        threshold=f"{config.threshold:g}",
        temperature=f"{config.temperature:g}",
    )


_AUTO = {"classification": "VideoClassification", "pretraining": "PreTraining"}
_TRANSFORMERS = """---
license: apache-2.0
library_name: transformers
tags:
- medicane
- cyclone
- satellite
- video
---

# {name}

`{source}` of medicane-models as a VideoMAE. Trained on {trained}.

```python
from transformers import {auto}

model = {auto}.from_pretrained("{name}")
```

`pixel_values` are {shape}, oldest frame first{bands}. A classifier's probabilities are
softmax(logits / {temperature}); a tile counts as a detection from {threshold} on. `parity.json`
compares it with the original. Not for warnings or decisions on safety."""


def _bands(source: Source) -> str:
    """How kelvin become pictures, which transformers' processor does not know."""
    if source.processor is None:
        return ""
    bands = [
        f"{band.channel}{' − ' + band.minus if band.minus else ''} from {band.low:g} K (0) to "
        f"{band.high:g} K (1)"
        for band in source.processor.bands
    ]
    return f": {'; '.join(bands)}; then normalised as `preprocessor_config.json` says"


def _row(file: str, found: dict[str, Any]) -> str:
    sets = found["sets"].values()
    difference = max(
        (values["scaled"] for one in sets for values in one["outputs"].values()), default=0.0
    )
    clips = sum(one["clips"] for one in sets)
    decisions = [one["different_decisions"] for one in sets if "different_decisions" in one]
    centres = [one["centre_km"]["p90"] for one in sets if "centre_km" in one]
    cells = (
        f"`{file}`",
        f"{found['bytes'] / 1e6:.1f}",
        f"{difference:.1e}",
        f"{sum(decisions)} of {clips}" if decisions else "–",
        f"{max(centres):.2g}" if centres else "–",
    )
    return f"| {' | '.join(cells)} |"
