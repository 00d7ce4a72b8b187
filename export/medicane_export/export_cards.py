"""The page that goes with exported files."""

import json
import math
from pathlib import Path
from typing import Any

from medicane_export.destination import PARITY_FILE
from medicane_export.loaded_model import LoadedModel
from medicane_export.sample_clips import RANDOM
from medicane_models.network.cards import data_caution, license_of, license_parts, model_card

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


def onnx_card(source: LoadedModel, out: Path) -> str:
    """The model's card with a table of the variants in a folder."""
    variants = json.loads((out / PARITY_FILE).read_text("utf-8"))["variants"]
    head = "| file | MB | largest difference | other decisions | centre, km (p90, largest) |\n"
    rows = [_row(file, found) for file, found in variants.items() if found["accepted"]]
    first = next((file for file, found in variants.items() if found["accepted"]), "model.onnx")
    table = head + "|---|---|---|---|---|\n" + "\n".join(rows)
    license_id = license_of(source.name, revision=source.revision)
    card = model_card(
        source.model.config, name=source.name, processor=source.processor, license_id=license_id
    )
    return "\n\n".join((card.rstrip(), _USE.format(file=first), table))


def transformers_card(source: LoadedModel, name: str) -> str:
    """A card for users of transformers, who do not have this package."""
    from huggingface_hub import ModelCardData

    config = source.model.config
    frames, channels, height, width = config.clip_shape
    auto = f"AutoModelFor{_AUTO[config.task]}"
    trained = config.trained_on or "nothing; the weights are random and the outputs mean nothing."
    known, own_name, link = license_parts(license_of(source.name, revision=source.revision))
    told = ModelCardData(
        license=known,
        license_name=own_name,
        license_link=link,
        library_name="transformers",
        pipeline_tag=_PIPELINE.get(config.task),
        tags=["video", "videomae"],
    )
    return _TRANSFORMERS.format(
        told=told.to_yaml(),
        name=name,
        auto=auto,
        shape=f"(batch, {frames}, {channels}, {height}, {width})",
        trained=f"{trained}\n\n{data_caution(config, {})}".rstrip(),
        source=source.name,
        bands=_band_text(source),
        threshold=f"{config.threshold:g}",
        temperature=f"{config.temperature:g}",
    )


_AUTO = {"classification": "VideoClassification", "pretraining": "PreTraining"}
_PIPELINE = {"classification": "video-classification"}
_TRANSFORMERS = """---
{told}
---

# {name}

`{source}` of medicane-models as a VideoMAE.

Trained on: {trained}

```python
from transformers import {auto}

model = {auto}.from_pretrained("{name}")
```

`pixel_values` are {shape}, oldest frame first{bands}. A classifier's probabilities are
softmax(logits / {temperature}); a tile counts as a detection from {threshold} on. `parity.json`
compares it with the original. Not for warnings or decisions on safety."""


def _band_text(source: LoadedModel) -> str:
    """How kelvin become pictures, which transformers' processor does not know."""
    if source.processor is None:
        return ""
    bands = "; ".join(map(str, source.processor.bands))
    return f": {bands}; then normalised as `preprocessor_config.json` says"


def _row(file: str, found: dict[str, Any]) -> str:
    sets = found["sets"]
    differences = [values["scaled"] for one in sets.values() for values in one["outputs"].values()]
    # what is decided on noise means nothing
    judged = [one for name, one in sets.items() if name != RANDOM]
    decided = [one for one in judged if "different_decisions" in one]
    centres = [one["centre_km"] for one in judged if "centre_km" in one]
    shifts = [f"{max(_restored(one[key]) for one in centres):.2g}" for key in _SHIFTS if centres]
    different, clips = (
        sum(one[key] for one in decided) for key in ("different_decisions", "clips")
    )
    cells = (
        f"`{file}`",
        f"{found['bytes'] / 1e6:.1f}",
        f"{max(map(_restored, differences), default=0.0):.1e}",
        f"{different} of {clips}" if decided else "–",
        ", ".join(shifts) or "–",
    )
    return f"| {' | '.join(cells)} |"


_SHIFTS = ("p90", "max")


def _restored(stored: float | None) -> float:
    """As it was before JSON, which has no infinity."""
    return math.inf if stored is None else stored
