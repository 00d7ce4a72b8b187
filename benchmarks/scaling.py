"""What time and memory grow with: frames, size, batch, tiles, samples of a store, its readers.

    python -m benchmarks scaling [--only frames tiles …] [--picture FILE]

One curve each, medians of a few turns on a quiet machine; ``archives`` has that over the length of
an archive. Kept are the numbers and, by doubling, the power that a curve grows with: 1 is
proportional, 0 flat. ``--picture`` draws them.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, machine, report
from plane_views import build
from torch.utils.data import DataLoader

from medicane_models.domain import Grid
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.simulation import simulate_infrared
from medicane_training.clips.dataset import ClipDataset
from medicane_training.clips.sampling import ClipKey
from medicane_training.recipes.named import INFRARED_VIEWS
from medicane_training.store.clip_store import ClipStore

TURNS = 3
RESULT = RESULTS / "scaling.json"


def seconds(step: Callable[[], object], turns: int = TURNS) -> float:
    """The median of a few turns, after one that does not count."""
    step()
    taken = []
    for _ in range(turns):
        begin = time.perf_counter()
        step()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def passing(config: MedicaneConfig, batch: int = 1) -> float:
    """Seconds of a forward pass of a new classification model."""
    model = MedicaneForVideoClassification(config).eval()
    pixels = torch.randn(batch, *config.clip_shape)
    with torch.inference_mode():
        return seconds(lambda: model(pixels))


def over_frames() -> dict[int, float]:
    """Seconds a clip of tiny."""
    return {t: passing(MedicaneConfig.preset("tiny", num_frames=t)) for t in (4, 8, 16, 32)}


def over_size() -> dict[int, float]:
    """Seconds a clip, by millions of parameters."""
    found = {}
    for name in ("tiny", "small", "base", "large"):
        config = MedicaneConfig.preset(name)
        with torch.device("meta"):
            model = MedicaneForVideoClassification(config)
        found[round(sum(p.numel() for p in model.parameters()) / 1e6)] = passing(config)
    return found


def over_batch() -> dict[int, float]:
    """Seconds a batch of the infrared tracker."""
    model = MedicaneForTracking(MedicaneConfig.preset("infrared", task="tracking")).eval()
    found = {}
    for batch in (1, 2, 4, 8, 16, 32, 64):
        pixels = torch.randn(batch, *model.config.clip_shape)
        with torch.inference_mode():
            found[batch] = seconds(lambda pixels=pixels: model(pixels))
    return found


def over_tiles() -> dict[int, float]:
    """Seconds an hour of the default pair, by planes of the scene."""
    predictor, found = MedicanePredictor.from_pretrained(), {}
    for degrees in (15, 30, 60, 100):
        grid = Grid.lonlat(
            west=100, south=-degrees / 2, east=100 + degrees, north=degrees / 2, step_degrees=0.1
        )
        scene, _ = simulate_infrared(start="2021-08-01", hours=3, grid=grid)
        scene = scene.compute()
        judged = predictor.run(scene, start=str(scene["time"].to_numpy()[-1]))
        (clip,) = list(judged.judge(judged.plans))
        found[len(clip.table)] = seconds(lambda run=judged: list(run.judge(run.plans)), 2)
    return found


def over_samples() -> dict[int, float]:
    """Seconds to open a store and read 64 views, by its samples."""
    found = {}
    for samples in (64, 256, 1024):
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder) / "s.zarr", 4, samples=samples)
            found[samples] = seconds(lambda at=Path(folder) / "s.zarr": read(at))
    return found


def read(path: Path) -> None:
    """A batch of views from all over a store."""
    store = ClipStore(path)
    rows = np.linspace(0, len(store.clips) - 1, 64).astype(int).tolist()
    keys = [ClipKey(row, 0, number) for number, row in enumerate(rows)]
    ClipDataset(store, augmentation=INFRARED_VIEWS).__getitems__(keys)


def over_workers() -> dict[int, float]:
    """Seconds of 1024 views from a loader, by its processes."""
    with tempfile.TemporaryDirectory() as folder:
        store = build(Path(folder) / "s.zarr", 4)
        keys = [ClipKey(n % len(store.clips), 0, n) for n in range(1024)]
        batches = [keys[first : first + 32] for first in range(0, len(keys), 32)]
        return {
            workers: seconds(lambda w=workers: load(store, batches, w)) for workers in (0, 1, 2)
        }


def load(store: ClipStore, batches: list[list[ClipKey]], workers: int) -> None:
    """All batches, mapped to views in this process."""
    dataset = ClipDataset(store, augmentation=INFRARED_VIEWS)
    loader: Any = DataLoader(
        dataset, batch_sampler=batches, num_workers=workers, collate_fn=lambda batch: batch
    )
    for _ in loader:
        pass


CURVES: Mapping[str, tuple[str, str, Callable[[], dict[int, float]]]] = {
    "frames": ("frames of a clip", "s a clip of tiny", over_frames),
    "size": ("million parameters", "s a clip", over_size),
    "batch": ("clips at once", "s a batch of the infrared tracker", over_batch),
    "tiles": ("planes of a scene", "s an hour of the default pair", over_tiles),
    "samples": ("samples of a store", "s to open it and read 64 views", over_samples),
    "workers": ("processes of a loader", "s for 1024 views", over_workers),
}
"""What is varied, what is measured, and how."""


def power(curve: Mapping[int, float]) -> float | None:
    """The exponent between the last two points; None where one is 0."""
    (x0, y0), (x1, y1) = [(int(x), y) for x, y in curve.items()][-2:]
    return round(math.log(y1 / y0) / math.log(x1 / x0), 2) if x0 else None


def table(curves: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """A row a point."""
    yield ("over", "at", "seconds", "each", "power")
    for name, told in curves.items():
        for x, y in told["seconds"].items():
            each = f"{y / int(x):.4f}" if int(x) else ""
            yield (name, str(x), f"{y:.3f}", each, str(told["power"] or ""))


def draw(curves: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """All curves, on logarithmic axes beside what is proportional."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained")
    for axis, told in zip(axes.flat, curves.values(), strict=False):
        x, y = np.array([int(x) for x in told["seconds"]]), np.array([*told["seconds"].values()])
        axis.plot(x, y, "o-", color="#0072b2")
        axis.set(xlabel=told["over"], ylabel=told["what"])
        if x[0]:
            axis.plot(x, y[-1] * x / x[-1], ":", color="grey", label="proportional")
            axis.set(xscale="log", yscale="log")
            axis.minorticks_off()
            axis.legend(frameon=False)
        else:
            axis.set_ylim(bottom=0)
        axis.set_xticks(x, [str(one) for one in x])
    figure.savefig(path, dpi=90)


def main() -> None:
    """Measure, print and keep; what was kept of other curves stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    kept = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {"curves": {}}
    for name in options.only:
        over, what, measure = CURVES[name]
        curve = measure()
        kept["curves"][name] = {"over": over, "what": what, "seconds": curve, "power": power(curve)}
        report(RESULT.stem, kept | machine("cpu"), list(table(kept["curves"])))
    if options.picture:
        draw(kept["curves"], options.picture)


if __name__ == "__main__":
    main()
