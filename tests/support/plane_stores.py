"""A small store of local planes: two imagers, both hemispheres, and the 180th meridian."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scene_files import cf_dataset

from medicane_models.domain import Grid
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.plane_build import build_plane_store
from medicane_training.store.plane_index import PlaneSettings

KM = 40.0
PROCESSOR = MedicaneProcessor.planes(size=16, km=KM, plane_overlap=0.0)
SETTINGS = PlaneSettings(negatives_per_frame=3, displacement_km=100.0, border_margin_px=2.0)
PACIFIC = Grid.lonlat(west=150.0, south=-35.0, east=210.0, north=35.0, step_degrees=0.5)
ATLANTIC = Grid.lonlat(west=-80.0, south=0.0, east=-30.0, north=35.0, step_degrees=0.5)
TIMES = pd.date_range("2020-01-01", periods=7, freq="h", unit="ns")


def weather(lon: np.ndarray, lat: np.ndarray, time: pd.Timestamp) -> np.ndarray:
    """Kelvin of every place on Earth, smooth, and another from hour to hour."""
    east, north = np.radians(lon), np.radians(lat)
    return 250 + 25 * np.sin(3 * north + 0.2) + 15 * np.cos(4 * east + north) + time.hour


def scene(grid: Grid, times: pd.DatetimeIndex, sensor: str, platform: str) -> xr.Dataset:
    lon, lat = grid.pixel_to_lonlat(*np.meshgrid(np.arange(grid.width), np.arange(grid.height)))
    values = np.stack([weather(lon, lat, time) for time in times]).astype(np.float32)
    dataset = cf_dataset(values, times, grid=grid, names=["IR_108"])
    for axis, unit in (("x", "degrees_east"), ("y", "degrees_north")):
        dataset[axis].attrs = {"units": unit}
    told = {"platform": platform, "sensor": sensor, "time_convention": "start_of_scan"}
    return dataset.assign_attrs(told)


def track(name: str, start: tuple[float, float], end: tuple[float, float]) -> pd.DataFrame:
    """Two rows six hours apart, of 60 and 80 kt."""
    (west, south), (east, north) = start, end
    return pd.DataFrame(
        {
            "track_id": name,
            "time": TIMES[[0, 6]],
            "lon": [west, east],
            "lat": [south, north],
            "wind_kt": [60.0, 80.0],
            "pressure_hpa": [980.0, 960.0],
        }
    )


TRACKS = pd.concat(
    [
        track("across", (179.0, 15.0), (-179.5, 16.0)),
        track("south", (170.0, -20.0), (171.0, -21.0)),
        track("atlantic", (-60.0, 15.0), (-61.0, 16.0)),
        track("beside", (-57.0, 17.0), (-58.0, 18.0)),
        track("elsewhere", (60.0, 15.0), (61.0, 15.0)),
    ],
    ignore_index=True,
)
PACIFIC_TIMES = TIMES[[0, 1, 3, 4, 5, 6]]  # two o'clock is missing


def scenes() -> list[xr.Dataset]:
    return [
        scene(PACIFIC, PACIFIC_TIMES, "ahi", "Himawari-8"),
        scene(ATLANTIC, TIMES[:2], "abi", "GOES-16"),
    ]


def plane_store(path: Path, given: list[xr.Dataset] | None = None, **options) -> ClipStore:
    options = {"processor": PROCESSOR, "tracks": TRACKS, "settings": SETTINGS, **options}
    return build_plane_store(scenes() if given is None else given, path, **options)
