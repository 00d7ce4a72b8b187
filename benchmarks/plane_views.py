"""Clips per second of one core from a store of local planes, and where the time goes.

Builds a store of simulated samples, then reads, draws and maps views as the infrared recipes do,
and trains the infrared tracker on them::

    python -m benchmarks plane_views [--batch 32] [--repetitions 5] [--device cpu]
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from measuring import interleave, keep, print_table, spread

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.clips.batches import ClipBatch
from medicane_training.clips.dataset import ClipDataset
from medicane_training.clips.sampling import ClipKey
from medicane_training.recipes.named import INFRARED_VIEWS
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.plane_index import PlaneSettings, build_plane_index
from medicane_training.store.plane_samples import PlaneSample, PlaneSampleWriter, Spot
from medicane_training.store.writer import create_store

SAMPLES = 64
ALL = "all of a training's step"


def build(path: Path, num_frames: int, samples: int = SAMPLES) -> ClipStore:
    """Samples of noise with a storm each."""
    store = create_store(path, MedicaneProcessor.planes(num_frames=num_frames))
    size, rng = store.grid.width, np.random.default_rng(0)
    middle = (size - 1) / 2
    with PlaneSampleWriter(store) as writer:
        for number in range(samples):
            pixels = rng.random((num_frames, 1, size, size), dtype=np.float32)
            writer.add(
                PlaneSample(
                    name=str(number),
                    stretched=pixels,
                    end=pd.Timestamp(2020, 1, 1) + pd.Timedelta(days=number),
                    lon=0.0,
                    lat=20.0,
                    sensor="any",
                    dataset="noise",
                    source="noise: made up",
                    storm=str(number),
                    centre=Spot(middle, middle),
                )
            )
    build_plane_index(store, PlaneSettings(tiles=1))
    return store


def steps_of(store: ClipStore, batch: int, device: str) -> dict[str, Callable[[], object]]:
    """Reading alone, views without and with their map, and training on them."""
    processor = store.processor
    plain, drawn = ClipDataset(store), ClipDataset(store, augmentation=INFRARED_VIEWS)
    keys = [ClipKey(n % len(store.clips), 0, n) for n in range(batch)]
    read: ClipBatch = drawn.__getitems__(keys).to(device)
    config = MedicaneConfig.preset(
        "infrared",
        task="tracking",
        num_frames=processor.num_frames,
        tubelet_size=processor.num_frames,
    )
    model = MedicaneForTracking(config).train().to(device)

    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def train(pixels: torch.Tensor, centers: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss = model(pixels, centers, label_sigma=torch.full_like(centers[:, 0], 2.0)).loss
        assert loss is not None
        loss.backward()
        optimizer.step()

    def locate() -> None:
        with torch.inference_mode():
            model.eval()(pixels)
        model.train()

    def everything() -> None:
        train(*drawn.__getitems__(keys).to(device).pixel_values(processor))

    pixels, centers = read.pixel_values(processor)
    frames = f"{processor.num_frames} frames"
    return {
        f"{frames}: tiles read": lambda: plain.__getitems__(keys),
        f"{frames}: samples read and views drawn": lambda: drawn.__getitems__(keys),
        f"{frames}: views mapped": lambda: read.pixel_values(processor),
        f"{frames}: tracker asked": locate,
        f"{frames}: tracker trained": lambda: train(pixels, centers),
        f"{frames}: {ALL}": everything,
    }


def main() -> None:
    """Time all steps in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = [build(Path(folder) / f"{frames}.zarr", frames) for frames in (1, 4)]
        steps = {
            name: step
            for store in stores
            for name, step in steps_of(store, options.batch, options.device).items()
        }
        clock = "cpu" if options.device == "cpu" else "wall"
        seconds = interleave(steps, options.repetitions, clock=clock)
    speeds = {name: [options.batch / one for one in values] for name, values in seconds.items()}
    medians = {name: spread(values)["value"] for name, values in speeds.items()}
    print_table([("step", "clips/s"), *((name, f"{one:.0f}") for name, one in medians.items())])
    gpu = "gpu " * (options.device == "cuda")
    rows = {f"{gpu}tracker training": spread(speeds[f"4 frames: {ALL}"])}
    if not gpu:
        rows["tracking"] = spread(speeds["4 frames: tracker asked"])
    details = {"batch": options.batch, "clock": clock, "clips_per_second": medians}
    keep("plane_views", rows, details, options.device)


if __name__ == "__main__":
    main()
