"""A small clip store: a hundred pixels, a day of frames every quarter of an hour, two storms."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scene_files import cf_dataset

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.build import BuildSettings, build_store
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.labels import LabelRule

GRID = MEDITERRANEAN.window(600, 200, 100, 70)
PROCESSOR = MedicaneProcessor.infrared(
    low=300.0,
    high=200.0,
    mean=(0.5,),
    std=(0.25,),
    num_frames=4,
    tile_size=32,
    cadence_minutes=15.0,
    max_missing=1,
    grid=GRID,
)
SETTINGS = BuildSettings(rule=LabelRule(border_margin_px=2.0))


def frame_times(count: int = 96, first: str = "2020-09-17") -> pd.DatetimeIndex:
    return pd.date_range(first, periods=count, freq="15min", unit="ns")


def kelvin(times: pd.DatetimeIndex, grid: Grid = GRID) -> np.ndarray:
    """Brightness temperatures 200 … 300 K (time, y, x), drawn anew for each time."""
    size = (grid.height, grid.width)
    seeds = times.asi8 // 10**9
    frames = [200 + 100 * np.random.default_rng(int(s)).random(size) for s in seeds]
    return np.stack(frames).astype(np.float32)


def scene(
    times: pd.DatetimeIndex, values: np.ndarray | None = None, grid: Grid = GRID
) -> xr.Dataset:
    values = kelvin(times, grid) if values is None else values
    dataset = cf_dataset(values, times, grid=grid, names=["IR_108"])
    told = {"platform": "Meteosat-11", "sensor": "seviri", "time_convention": "end_of_scan"}
    return dataset.assign_attrs(told)


def codes(values: np.ndarray) -> np.ndarray:
    """What the store should hold of temperatures, by the definition: 254 steps, cold is high."""
    return np.rint(np.float64(254) * (300 - values.astype(np.float64)) / 100)


def track(name: str, x: float, y: float, first: str, hours: int) -> pd.DataFrame:
    """A storm that stays at a pixel."""
    lon, lat = GRID.pixel_to_lonlat(x, y)
    times = pd.date_range(first, periods=hours + 1, freq="h", unit="ns")
    return pd.DataFrame({"track_id": name, "time": times, "lon": float(lon), "lat": float(lat)})


TRACKS = pd.concat(
    [
        track("first", 20.25, 12.5, "2020-09-17 02:00", 3),
        track("second", 80.0, 50.0, "2020-09-17 12:00", 5),
    ],
    ignore_index=True,
)


def small_store(path: Path) -> ClipStore:
    """24 clip ends but the first, 12 tiles each."""
    return build_store(
        [scene(frame_times())], path, processor=PROCESSOR, tracks=TRACKS, settings=SETTINGS
    )
