"""How the Airmass pair is made: simulated seasons, seen twice a day, and two flows.

    python benchmarks/airmass_pair.py work/ [--real DATA] --processes 2

A storm looks much the same some hours later, so only the hours before noon and midnight are
simulated. Weather of five days each is made side by side, and sampled onto local planes of
``work/seasons.zarr``; real weather without a cyclone of DATA is added. Then a tracker and a
detector that starts from it are trained, tested once, and exported to ``work/export``, and judged
by real scenes without a medicane. Stretches and trainings that are there already are kept.
"""

import argparse
import json
import logging
import os
import subprocess
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import xarray as xr

from medicane_models.commands import with_progress
from medicane_models.domain import Grid
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.scenes.opening import open_scene
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.simulation import Storm, StormRates, draw_storms, simulate_scene, storm_table
from medicane_models.simulation.scene import medicanes
from medicane_models.times import TIME_FORMAT
from medicane_models.verification.best_tracks import read_tracks
from medicane_training.store.clip_store import ClipStore, save_table
from medicane_training.store.plane_build import add_scene
from medicane_training.store.plane_index import PlaneSettings, build_plane_index
from medicane_training.store.writer import create_store

STRETCH_DAYS = 5
PROCESSOR = MedicaneProcessor.airmass_planes()
SETTINGS = PlaneSettings(every_minutes=720, max_gap_hours=2.0)
GRID = Grid.lonlat(west=-12.0, south=29.5, east=46.0, north=48.0, step_degrees=0.09)
"""The Mediterranean in pixels that are finer than those of the planes."""


@dataclass(frozen=True, kw_only=True)
class Season:
    """Simulated weather; seeds differ, so no storm and no cloud is in two seasons.

    Attributes:
        start: its first day.
        days: how many.
        seed: of its weather.
        medicanes: born in 30 days.
        lookalikes: factor on the usual rates.
        calm: samples of a time without a medicane.
    """

    start: str
    days: int
    seed: int
    medicanes: float
    lookalikes: float
    calm: int

    @classmethod
    def stormy(cls, start: str, days: int, seed: int) -> "Season":
        """Some 250 times the medicanes of nature."""
        return cls(start=start, days=days, seed=seed, medicanes=25.0, lookalikes=2.5, calm=2)

    @classmethod
    def without(cls, start: str, days: int, seed: int) -> "Season":
        """None, so that weather without one is not always far from the middle of the domain."""
        return cls(start=start, days=days, seed=seed, medicanes=0.0, lookalikes=5.0, calm=6)

    @property
    def storms(self) -> tuple[Storm, ...]:
        """Of all kinds."""
        end = pd.Timestamp(self.start) + timedelta(days=self.days)
        rates = StormRates.scaled(medicane=self.medicanes, lookalikes=self.lookalikes)
        return draw_storms(rates, grid=GRID, start=self.start, end=end, seed=self.seed)

    @property
    def tracks(self) -> pd.DataFrame:
        """Where its medicanes truly are, every half-hour."""
        times = pd.date_range(self.start, periods=48 * self.days + 1, freq="30min")
        return storm_table(medicanes(self.storms), times)

    def stretches(self) -> Iterator[tuple["Season", pd.Timestamp]]:
        """Beginnings of its parts."""
        for start in pd.date_range(self.start, periods=self.days // STRETCH_DAYS, freq="5D"):
            yield self, start


SPLIT = (
    "data.split.by=dates",
    "data.split.validation_from=2021-01-01",
    "data.split.test_from=2030-01-01",
)
SEASONS = (
    *(
        Season.stormy(f"{2000 + year}-{month:02}-01", 60, year)
        for year, month in enumerate((9, 11, 1, 10), start=1)
    ),
    Season.without("2011-10-01", 60, 11),
    Season.stormy("2021-10-01", 40, 21),
    Season.without("2022-10-01", 20, 22),
    Season.stormy("2031-09-15", 60, 31),
    Season.without("2032-11-01", 20, 32),
    Season.stormy("2033-09-01", 20, 33),
)
"""For training, validation and test."""
REAL = {"airmass_png_20111102": "2011-11-02T08:30"}
"""What real weather without a cyclone may train, and until when."""
JUDGED = {
    "airmass_png_20111102": "2011-11-02T08:35",
    "seviri_rss_20231220": None,
    "seviri_hrit_20200906": None,
}
"""What real weather without a medicane is judged, and from when."""
TOLD = """\
## Real scenes

Tiles of real scenes without a medicane, every 5 minutes, at the shipped threshold:

{table}

The pictures of 2011-11-02 until 08:30 trained the detector, and each clip that is judged of that
morning has some of them among its earlier frames; the other two scenes it has never seen. Tiles
that overlap, five minutes apart, are no independent trials: these are three scenes.

## Rate

Temperature, threshold and the `deployed_` scores are for the rate of the simulated seasons, which
have some 250 times the medicanes of nature. At nature's rate a far larger share of alarms is false.

"""
LIMITS = "## Limits\n"
COMMON = ("model.license=apache-2.0", "engine.precision=bf16", "training.epochs=20")
EXACT = ("tracking.select_by=loss", "tracking.label_km=[10.0, 10.0]")
RUNS = {
    "medicane-airmass-tracker": ("track", "infrared-tracker", *EXACT),
    "medicane-airmass-detector": ("classify", "infrared-detector", "training.epochs=8"),
}
"""By name its flow, its recipe and what differs from it; the second starts from the first."""


def simulated(season: Season, start: pd.Timestamp) -> xr.Dataset:
    """The frames of a stretch that clips need, in memory."""
    scene, _ = simulate_scene(
        start=start,
        hours=24 * STRETCH_DAYS,
        storms=season.storms,
        grid=GRID,
        cadence_minutes=60,
        seed=season.seed,
    )
    hours, long = scene["time"].dt.hour.to_numpy(), PROCESSOR.num_frames
    needed = -hours % (SETTINGS.every_minutes // 60) < long
    scene = scene.isel(time=np.flatnonzero(needed)[1:])  # the first hour ends a clip of its own
    return scene.compute(scheduler="synchronous").assign_attrs(source=f"{start:%Y-%m-%d}")


def build(folder: Path, processes: int) -> None:
    """Simulate, and sample into the store; what a killed build has done is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = folder / "truth.csv"
    tracks = pd.concat([season.tracks for season in SEASONS])
    tracks.to_csv(truth, index=False, date_format=TIME_FORMAT)
    store = create_store(folder / "seasons.zarr", PROCESSOR)
    save_table(read_tracks(truth), store.path / "tracks.parquet")
    store.refresh()
    wanted = [stretch for season in SEASONS for stretch in season.stretches()]
    done = set(store.samples["source"])
    left = [(season, at) for season, at in wanted if f"simulated: {at:%Y-%m-%d}" not in done]
    with ProcessPoolExecutor(processes) as pool:
        scenes = ahead((pool.submit(simulated, *stretch) for stretch in left), 2 * processes)
        stretches = with_progress(left, len(left), "stretches of 5 days")
        for (season, _), scene in zip(stretches, scenes, strict=True):
            add_scene(store, scene, replace(SETTINGS, negatives_per_frame=season.calm))


def add_real(folder: Path, data: Path) -> None:
    """Weather in which nobody saw a cyclone."""
    store = ClipStore(folder / "seasons.zarr")
    for dataset, last in REAL.items():
        scene = open_scene(data / dataset, end=last)
        every = replace(SETTINGS, every_minutes=15)
        add_scene(store, scene, every, dataset=dataset)


def train(folder: Path) -> None:
    """The tracker, and a detector that starts from it; a killed run goes on where it stopped."""
    store, former = folder / "seasons.zarr", None
    datasets = set(ClipStore(store).clips["dataset"])
    shares = {name: 0.8 if name == "simulated" else 0.1 for name in sorted(datasets)}
    for name, (flow, recipe, *changes) in RUNS.items():
        settings = [*SPLIT, *COMMON, f"data.datasets={json.dumps(shares)}", *changes]
        command = ["medicane-train", flow, "--recipe", recipe, "--data", store, "--final-test"]
        command += ["--out", folder / name, *([] if former is None else ["--init", former])]
        command += [word for setting in settings for word in ("--set", setting)]
        subprocess.run(command, check=True)
        former = folder / name


def export(folder: Path) -> None:
    """What is committed: half the bytes, and the card."""
    for name in RUNS:
        command = ["medicane-export", "safetensors", folder / name, "--dtype", "bf16"]
        subprocess.run([*command, "--out", folder / "export" / name, "--overwrite"], check=True)


def judge_real(folder: Path, data: Path) -> None:
    """Write into the detector's card how many alarms it raises where there is no medicane."""
    tracker, detector = (folder / "export" / name for name in RUNS)
    predictor = MedicanePredictor.from_pretrained(detector, tracker)
    rows = [("scene", "times", "tiles", "alarms", "highest probability"), ("---",) * 5]
    for name, start in JUDGED.items():
        scene = sorted((data / name).glob("*.zip")) or data / name
        table = predictor.predict(scene, start=start, every_minutes=5).table
        counts = table["time"].nunique(), len(table), table["detected"].sum()
        rows.append((name, *map(str, counts), f"{table['probability'].max():.2f}"))
    told = TOLD.format(table="\n".join(f"| {' | '.join(row)} |" for row in rows))
    card = detector / "README.md"
    card.write_text(card.read_text("utf-8").replace(LIMITS, told + LIMITS), "utf-8")


def ahead(jobs: Iterator["Future[xr.Dataset]"], count: int) -> Iterator[xr.Dataset]:
    """Results in order, of which no more than so many are in memory."""
    running = deque(islice(jobs, count))
    while running:
        yield running.popleft().result()
        running.extend(islice(jobs, 1))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where everything goes")
    parser.add_argument("--real", type=Path, help="folder of the real data")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    build(arguments.folder, arguments.processes)
    if arguments.real is not None:
        add_real(arguments.folder, arguments.real)
    build_plane_index(ClipStore(arguments.folder / "seasons.zarr"), SETTINGS)
    train(arguments.folder)
    export(arguments.folder)
    if arguments.real is not None:
        judge_real(arguments.folder, arguments.real)
