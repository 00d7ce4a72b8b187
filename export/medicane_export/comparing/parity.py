"""PyTorch against ONNX: in numbers, in decisions and in kilometres.

Letters: n clips.
"""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from medicane_export.comparing.reference import Arrays, example_masks, on_the_ground
from medicane_export.graphs.tracing import PACKAGES
from medicane_export.loaded_model import LoadedModel
from medicane_export.sample_clips import ClipSet
from medicane_models.domain import MEDITERRANEAN, great_circle_km
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.runtimes.interface import CYCLONE
from medicane_models.runtimes.onnx_metadata import OnnxMetadata
from medicane_models.runtimes.onnx_session import open_session
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.versions import software_versions

__all__ = ["BATCH_SIZES", "compare", "machine", "onnx_outputs"]

BATCH_SIZES = (1, 3, 8)
LARGEST = np.finfo(np.float64).max  # between infinite ones nothing can be interpolated
PERCENTILE = 90
"""Of the centre's shift and of what its radii differ by, which are judged: on a clip without a
cyclone two places may be equally likely; any rounding moves the centre from one to the other."""


def compare(
    path: Path,
    metadata: OnnxMetadata,
    source: LoadedModel,
    sets: Sequence[tuple[ClipSet, Arrays]],
) -> dict[str, Any]:
    """Run a file on sets of clips and compare it with what PyTorch gave for them.

    Args:
        path: the file.
        metadata: what it says about itself.
        source: the model.
        sets: clips and PyTorch's outputs; the first are run in all BATCH_SIZES.

    Returns:
        By the name of each set: differences of the outputs, decisions and centres.
    """
    session, _ = open_session(path, "cpu")  # where every variant can be compared
    measured: dict[str, Any] = {}
    for clips, expected in sets:
        if metadata.input_form == "kelvin" and clips.kelvin is None:
            continue
        sizes = BATCH_SIZES[-1:] if measured else BATCH_SIZES
        runs = {
            str(size): _differences(
                onnx_outputs(session, metadata, source, clips, size), expected, source, clips
            )
            for size in sizes
        }
        by_size = {size: _largest(run) for size, run in runs.items()}
        worst = runs[max(by_size, key=lambda size: by_size[size])]
        measured[clips.name] = {"clips": len(clips), "largest_by_batch_size": by_size, **worst}
    return measured


def onnx_outputs(
    session: Any, metadata: OnnxMetadata, source: LoadedModel, clips: ClipSet, batch_size: int
) -> Arrays:
    """Arrays of a session for all clips, in batches of at most ``batch_size``."""
    feeds = clips.feeds
    if metadata.contents == "reconstruction":
        feeds["mask"] = example_masks(source, len(clips))
    wanted = {info.name: feeds[info.name] for info in metadata.inputs}
    names = [info.name for info in metadata.outputs]
    parts = []
    for start in range(0, len(clips), batch_size):
        part = {k: v[start : start + batch_size] for k, v in wanted.items() if v is not None}
        parts.append(session.run(names, part))
    return {name: np.concatenate(values) for name, *values in zip(names, *parts, strict=True)}


def machine(*more: str) -> dict[str, str]:
    """Where the comparison ran, with versions of ``more`` packages than the exporter's."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    return {
        "processor": name or platform.processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "provider": "CPUExecutionProvider",
        **software_versions((*PACKAGES, *more)),
    }


def _differences(
    given: Arrays, expected: Arrays, source: LoadedModel, clips: ClipSet
) -> dict[str, Any]:
    """Of each output, of what the predictor makes of it, and of what is decided on it."""
    if "lonlat" in expected and "lonlat" not in given:
        given = given | on_the_ground(given, clips, source)
    result: dict[str, Any] = {
        "outputs": {
            name: _difference(given[name], expected[name]) for name in expected if name in given
        }
    }
    if "probabilities" in expected:
        pair = (outputs["probabilities"] for outputs in (given, expected))
        ours, theirs = (_decisions(values, source.model.config) for values in pair)
        result["different_decisions"] = int((ours != theirs).sum())
    if "center" in expected:
        shift = _shift_km(given, expected, clips, source.processor)
        result["centre_km"] = {
            "mean": float(shift.mean()),
            f"p{PERCENTILE}": float(np.percentile(shift, PERCENTILE)),
            "max": float(shift.max()),
        }
    return result


def _difference(
    given: Shaped[np.ndarray, "*n"], expected: Shaped[np.ndarray, "*n"]
) -> dict[str, float]:
    """Absolute, of values whose root mean square exceeds 1 against it, and relative to each."""
    known = np.isfinite(expected)
    if not known.any():
        return dict.fromkeys(("max", "mean", "scaled", "relative", f"relative_p{PERCENTILE}"), 0.0)
    value = expected[known].astype(np.float64)
    # a value that is missing on one side only is no small difference
    apart = np.abs(np.where(np.isfinite(given), given, np.inf)[known] - value)
    relative = apart / np.maximum(np.abs(value), 1e-9)
    return {
        "max": float(apart.max()),
        "mean": float(apart.mean()),
        "scaled": float(apart.max() / max(np.sqrt(np.square(value).mean()), 1.0)),
        "relative": float(relative.max()),
        f"relative_p{PERCENTILE}": float(np.percentile(relative.clip(max=LARGEST), PERCENTILE)),
    }


def _decisions(
    probabilities: Float[np.ndarray, "n classes"], config: MedicaneConfig
) -> Shaped[np.ndarray, " n"]:
    """Whether each clip counts as a cyclone; its class where none is called so."""
    index = config.label2id.get(CYCLONE)
    if index is None:
        return probabilities.argmax(1)
    return probabilities[:, index] >= config.threshold


def _shift_km(
    given: Arrays, expected: Arrays, clips: ClipSet, processor: MedicaneProcessor | None
) -> Float[np.ndarray, " n"]:
    """Distances of centres on the ground; off the grid those of as many pixels."""
    moved = _pixels_km(given["center"] - expected["center"], clips, processor)
    if "lonlat" not in expected:
        return moved
    apart = great_circle_km(*given["lonlat"].T, *expected["lonlat"].T)
    placed = np.isfinite(expected["lonlat"]).all(1)
    return np.where(placed, apart, moved)


def _pixels_km(
    moved: Float[np.ndarray, "n 2"], clips: ClipSet, processor: MedicaneProcessor | None
) -> Float[np.ndarray, " n"]:
    """Lengths of so many pixels in the middle of tiles, mid-Mediterranean ones without a place."""
    grids = [MEDITERRANEAN] * len(moved) if processor is None else clips.grids(processor)
    to_km = [grid.jacobian_km((grid.width - 1) / 2, (grid.height - 1) / 2) for grid in grids]
    return np.linalg.norm(np.einsum("nij,nj->ni", np.stack(to_km), moved), axis=1)


def _largest(run: Mapping[str, Any]) -> float:
    return max((value["max"] for value in run["outputs"].values()), default=0.0)
