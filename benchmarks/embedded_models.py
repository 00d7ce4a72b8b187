"""How the pair of fixed tiles was made: four simulated seasons, seen every 8 hours, three flows.

    python benchmarks/embedded_models.py work/ --processes 2

A storm looks much the same an hour later, so only the 75 minutes before every eighth hour are
kept. Stretches of five days are simulated side by side into ``work/scenes``, then built into the
store ``work/seasons.zarr``; then a backbone, a detector, a tracker and a second detector are
trained, each from the one before, and the last two exported to ``work/export``. What is there
already is kept. The training took 80 minutes of two cores; the clips take 60 GB and, by the rate of
the simulation, some three hours.
"""

import argparse
import logging
import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd

from medicane_models.commands import with_progress
from medicane_models.domain import MEDITERRANEAN
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.simulation import StormRates, draw_storms, simulate_scene
from medicane_models.verification.best_tracks import read_tracks
from medicane_training.store.build import build_store
from medicane_training.store.selection import BuildSettings

EVERY_MINUTES = 480
CLIP_MINUTES = 75
STRETCH_DAYS = 5
SPLIT = (
    "data.split.by=dates",
    "data.split.validation_from=2003-06-01",
    "data.split.test_from=2004-06-01",
    "data.evaluation_batch=16",
)
LICENSE = "model.license=apache-2.0"
DECODER = {"embed_dim": 192, "depth": 2, "num_heads": 3, "mlp_hidden_dim": 768}
CLASSIFY = ("classify", "data.samples=3072", "engine.precision=bf16")
RUNS = {
    "backbone": (
        "specialize",
        "model.changes.tubelet_size=8",
        *(f"model.changes.decoder_{name}={value}" for name, value in DECODER.items()),
        "data.samples=1024",
        "training.epochs=4",
        "training.evaluate_every=4",
    ),
    "first-detector": (
        *CLASSIFY,
        "training.epochs=4",
        "training.ema_decay=0.995",
        "classification.deployment_rate=0.002",
    ),
    "medicane-tiny-tracker": (
        "track",
        "data.samples=1024",
        "training.epochs=7",
        "training.ema_decay=0.99",
        "engine.precision=bf16",
        "model.changes.head=heatmap",
    ),
    "second-detector": (
        *CLASSIFY,
        "training.epochs=2",
        "training.ema_decay=0.99",
        "optimizer.warmup_epochs=0.25",
        "classification.deployment_rate=0.002",
    ),
    "medicane-tiny-detector": (
        "classify",
        "data.samples=512",
        "training.epochs=1",
        "training.ema_decay=null",
        "optimizer.warmup_epochs=0.25",
        "optimizer.lr=1e-5",
        "engine.precision=bf16",
        "classification.train=head",
    ),
}
"""By name its flow and what differs from the laptop recipe; each starts from the one before.

The first detector was no better after another half of its epochs: a label a clip teaches little.
Where the centre is teaches much more, so the second one starts from the tracker. At the rate of
medicanes in real weather its threshold let few simulated ones through; the last run hardly changes
its weights and fits temperature and threshold to the rate of the simulated seasons.
"""
EMBEDDED = ("medicane-tiny-detector", "medicane-tiny-tracker")
PACKING = {"dtype": "int16", "scale_factor": 0.1, "add_offset": 273.15, "_FillValue": -32768}


@dataclass(frozen=True, kw_only=True)
class Season:
    """Simulated weather; seeds differ, so no storm and no cloud is in two seasons."""

    start: str
    days: int
    medicanes: float  # born in 30 days
    lookalikes: float  # factor on the usual rates
    seed: int

    def stretches(self) -> Iterator[tuple["Season", pd.Timestamp]]:
        """Beginnings of its parts."""
        for start in pd.date_range(self.start, periods=self.days // STRETCH_DAYS, freq="5D"):
            yield self, start


SEASONS = (
    Season(start="2003-09-01", days=45, medicanes=10.0, lookalikes=2.0, seed=3),  # validation
    Season(start="2004-09-01", days=45, medicanes=10.0, lookalikes=2.0, seed=4),  # test
    Season(start="2001-09-01", days=120, medicanes=20.0, lookalikes=2.0, seed=1),  # training
    Season(start="2002-09-01", days=120, medicanes=20.0, lookalikes=2.0, seed=2),  # training
)


def simulate(season: Season, start: pd.Timestamp, folder: Path) -> Path:
    """Write the frames of a stretch that clips need, and its true tracks."""
    path = folder / f"{start:%Y%m%d}.zarr"
    if path.exists():
        return path
    storms = draw_storms(
        StormRates.scaled(medicane=season.medicanes, lookalikes=season.lookalikes),
        grid=MEDITERRANEAN,
        start=season.start,
        end=pd.Timestamp(season.start) + timedelta(days=season.days),
        seed=season.seed,
    )
    hours = 24 * STRETCH_DAYS - 5 / 60
    scene, tracks = simulate_scene(start=start, hours=hours, storms=storms, seed=season.seed)
    minutes = scene["time"].dt.hour * 60 + scene["time"].dt.minute
    needed = -minutes % EVERY_MINUTES <= CLIP_MINUTES
    tracks.to_csv(path.with_suffix(".csv"), index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    part = path.with_suffix(".part")
    encoding = dict.fromkeys(scene.data_vars, PACKING)
    scene.isel(time=needed.to_numpy()).to_zarr(part, mode="w", encoding=encoding, zarr_format=2)
    part.rename(path)
    return path


def build(folder: Path, processes: int) -> None:
    """Simulate, then build the store; what a killed build has done is kept."""
    scenes = folder / "scenes"
    scenes.mkdir(parents=True, exist_ok=True)
    stretches = [stretch for season in SEASONS for stretch in season.stretches()]
    with ProcessPoolExecutor(processes) as pool:
        jobs = [pool.submit(simulate, *stretch, scenes) for stretch in stretches]
        paths = [job.result() for job in with_progress(jobs, len(jobs), "stretches of 5 days")]
    tracks = [read_tracks(path.with_suffix(".csv")) for path in paths]
    build_store(
        paths,
        folder / "seasons.zarr",
        processor=MedicaneProcessor.airmass(),
        tracks=pd.concat(tracks, ignore_index=True),
        settings=BuildSettings(every_minutes=EVERY_MINUTES),
    )


def train(folder: Path) -> None:
    """The three flows; a killed one goes on where it stopped."""
    store, former = str(folder / "seasons.zarr"), None
    for name, (flow, *changes) in RUNS.items():
        settings = [*SPLIT, LICENSE, *changes]
        out = str(folder / name)
        command = ["medicane-train", flow, "--data", store, "--out", out]
        if name in EMBEDDED:
            command.append("--final-test")
        if former is not None:
            command += ["--init", former]
            settings.append("model.preset=null")
        command += [word for setting in settings for word in ("--set", setting)]
        subprocess.run(command, check=True)
        former = out


def export(folder: Path) -> None:
    """What is committed: half the bytes, and the card."""
    for name in EMBEDDED:
        out = str(folder / "export" / name)
        command = ["medicane-export", "safetensors", str(folder / name), "--out", out]
        subprocess.run([*command, "--dtype", "bf16"], check=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where everything goes")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    build(arguments.folder, arguments.processes)
    train(arguments.folder)
    export(arguments.folder)
