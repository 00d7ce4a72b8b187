"""Clips per second and core: the clip store against PNG folders, plain zarr and a memory copy.

Builds a store of more than 10 000 clips from a simulated day, writes some of them as PNG folders,
and reads the same clips in random order in every way, in turns, on one core, from the page cache.
Time is the processor's, so that other work on the machine does not count::

    python benchmarks/clip_throughput.py --out results.json
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pandas as pd
import torch
import zarr
from PIL import Image

from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.simulation import simulate_scene
from medicane_training.clips.dataset import ClipDataset
from medicane_training.clips.sampling import ClipKey
from medicane_training.recipes.data_sections import Augmentation
from medicane_training.store.build import BuildSettings, build_store
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.research_import import export_research

SETTINGS = BuildSettings(every_minutes=15, tile_stride=48)
MIB = 2**20


def build(folder: Path, frames: int) -> dict[str, float]:
    """Build the store; seconds, and the peak of memory that is no mapped file, in MiB."""
    torch.set_num_threads(1)
    scene, tracks = simulate_scene(hours=(frames - 1) / 12)
    processor = MedicaneProcessor.airmass()
    before, began = anonymous_mib(), time.perf_counter()
    with sampled(anonymous_mib) as samples:
        store = build_store([scene], folder, processor=processor, tracks=tracks, settings=SETTINGS)
    return {
        "clips": len(store.clips),
        "frames": len(store.frames),
        "seconds": time.perf_counter() - began,
        "anonymous_mib_before": before,
        "anonymous_mib_peak": max(samples),
        "mib_on_disk": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / MIB,
    }


def anonymous_mib() -> float:
    """Resident memory without the pages of mapped files, which the kernel drops at need."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


@contextmanager
def sampled(measure: Callable[[], float]) -> Iterator[list[float]]:
    """Measure twenty times a second, meanwhile."""
    samples, done = [measure()], Event()

    def sample() -> None:
        while not done.wait(0.05):
            samples.append(measure())

    thread = Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def readers(store: ClipStore, folders: list[Path]) -> dict[str, Callable[[int, int], object]]:
    """Ways to read clip ``n`` of the index, the ``i``-th of the chosen ones."""
    plain = zarr.open_array(store.path / "frames", mode="r")
    size = store.processor.tile_size
    copies = [store.read(n) for n in range(64)]  # 150 MB, more than the caches hold
    out = np.empty_like(copies[0])
    plainly, augmented = ClipDataset(store), ClipDataset(store, augmentation=Augmentation())

    def from_png(n: int, i: int) -> object:
        return np.stack([np.asarray(Image.open(path)) for path in sorted(folders[i].iterdir())])

    def from_zarr(n: int, i: int) -> object:
        rows, tile = store.rows[n], store.tile(n)
        window = (slice(tile.y, tile.y + size), slice(tile.x, tile.x + size))
        return plain[(slice(rows[0], rows[-1] + 1), slice(None), *window)]

    return {
        "memory copy": lambda n, i: np.copyto(out, copies[i % len(copies)]),
        "store": lambda n, i: store.read(n, out=out),
        "store, dataset": lambda n, i: plainly[n],
        "store, dataset with augmentation draws": lambda n, i: augmented[ClipKey(n, 0, i)],
        "store through zarr-python": from_zarr,
        "PNG folders": from_png,
    }


def measure(
    store: ClipStore, clips: list[int], folders: list[Path], turns: int
) -> dict[str, float]:
    """Median clips per second of each way, over turns in which all read the same clips."""
    ways = readers(store, folders)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, read in ways.items():
            began = time.process_time()
            for i, n in enumerate(clips):
                read(n, i)
            if turn:  # the first fills the page cache
                rates[name].append(len(clips) / (time.process_time() - began))
    return {name: statistics.median(values) for name, values in rates.items()}


def run(frames: int, count: int, turns: int) -> dict[str, object]:
    """Everything that is reported."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            built = pool.submit(build, folder / "store.zarr", frames).result()
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
        store = ClipStore(folder / "store.zarr")
        clips = np.random.default_rng(0).choice(len(store.clips), count, replace=False).tolist()
        table = export_research(store, folder / "png", task="unlabelled", clips=clips)
        folders = [Path(path) for path in pd.read_csv(table)["path"]]
        rates = measure(store, clips, folders, turns)
        png_bytes = sum(f.stat().st_size for f in (folder / "png").rglob("*.png")) / count
        shards = sum(f.stat().st_size for f in (store.path / "frames" / "c").rglob("0"))
        return {
            "clips_per_second": rates,
            "times_png": {name: rate / rates["PNG folders"] for name, rate in rates.items()},
            "clips_measured": count,
            "turns": turns,
            "bytes_per_clip": {
                "read": int(np.prod(store.tile_shape)),
                "store": shards / len(store.clips),
                "store, hourly clips of 12 tiles": shards / len(store.frames),
                "PNG folders": png_bytes,
            },
            "build": built,
            "cpu_count": os.cpu_count(),
            "zarr": zarr.__version__,
        }


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=288)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results/clip_throughput.json"
    )
    arguments = parser.parse_args()
    result = run(arguments.frames, arguments.clips, arguments.turns)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
