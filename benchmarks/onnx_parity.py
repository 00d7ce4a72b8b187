"""What each ONNX variant of the embedded models loses beside PyTorch, in decisions and km.

    python benchmarks/onnx_parity.py --clips SCENE_OR_STORE --count 100

Every precision and both inputs; int8 with ranges that are measured clip by clip, and with ranges
fixed on other simulated clips. Refused variants show their numbers, too. Each model's are kept as
soon as they are there; what was kept of other models stays.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from measuring import RESULTS, report

from medicane_export.comparing.parity import machine
from medicane_export.exporting import OnnxRequest, Variant, export_onnx
from medicane_export.loaded_model import LoadedModel
from medicane_models.hub import (
    AIRMASS_DETECTOR,
    AIRMASS_TRACKER,
    DETECTOR,
    TILE_DETECTOR,
    TILE_TRACKER,
    TRACKER,
)
from medicane_models.runtimes.onnx_metadata import InputForm, Precision

EMBEDDED = (
    DETECTOR,
    TRACKER,
    AIRMASS_DETECTOR,
    AIRMASS_TRACKER,
    TILE_DETECTOR,
    TILE_TRACKER,
)
RESULT = RESULTS / "onnx_parity.json"
HEAD = ("file", "int8 ranges", "MB", "clips", "difference", "decisions", "km p90", "km max", "")


def variants_of(model: str, options: argparse.Namespace) -> Iterator[tuple[str, Variant]]:
    """Every variant of a model, with what fixed its ranges."""
    source = LoadedModel.load(model)
    forms = get_args(InputForm)
    clips = {"clips": tuple(options.clips), "count": options.count}
    requests = {
        "": OnnxRequest(precisions=get_args(Precision), input_forms=forms, **clips),
        "fixed": OnnxRequest(
            precisions=("int8",), input_forms=forms, calibrate="simulated", **clips
        ),
    }
    for ranges, request in requests.items():
        with tempfile.TemporaryDirectory() as folder:
            for variant in export_onnx(source, Path(folder) / "export", request, print):
                measured = "measured" if variant.details["precision"] == "int8" else ""
                yield ranges or measured, variant


def entry(ranges: str, variant: Variant) -> dict[str, Any]:
    """What is kept of a variant; sets of clips go by their last name."""
    sets, faults = variant.details["sets"], list(variant.faults)
    for name in sets:
        faults = [fault.replace(name, Path(name).name) for fault in faults]
    return {
        **variant.details,
        "file": Path(variant.file).name,
        "ranges": ranges,
        "faults": faults,
        "sets": {Path(name).name: found for name, found in sets.items()},
    }


def rows_of(result: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """The printed table, a row a variant and set of clips."""
    yield HEAD
    for model, found in result["models"].items():
        for variant in found["variants"]:
            for name, found in variant["sets"].items():
                centre = found.get("centre_km", {})
                yield (
                    f"{model} {variant['file']}",
                    variant["ranges"],
                    f"{variant['bytes'] / 1e6:.1f}",
                    f"{found['clips']} {name}",
                    f"{max(one['scaled'] for one in found['outputs'].values()):.1e}",
                    str(found.get("different_decisions", "")),
                    *(f"{centre[key]:.3f}" if centre else "" for key in ("p90", "max")),
                    "refused" if variant["faults"] else "accepted",
                )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=EMBEDDED, metavar="MODEL")
    parser.add_argument("--clips", nargs="*", default=[], help="Scenes or clip stores.")
    parser.add_argument("--count", type=int, default=100, help="Clips of each set.")
    return parser.parse_args()


def main() -> None:
    """Export, compare, print and keep."""
    options = arguments()
    kept = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {"models": {}}
    for model in options.models:
        variants = [entry(ranges, variant) for ranges, variant in variants_of(model, options)]
        kept["models"][model] = {"machine": machine(), "variants": variants}
        report(RESULT.stem, kept, list(rows_of(kept)))


if __name__ == "__main__":
    main()
