"""Scenes anywhere on Earth with one cold cloud, and a predictor for which that is a cyclone."""

import numpy as np
import pandas as pd
import xarray as xr
from cold_spots import ColdestPixel

from medicane_models import MedicaneConfig, MedicanePredictor, MedicaneProcessor
from medicane_models.domain import Grid, great_circle_km
from medicane_models.prediction.models import ModelDescription
from medicane_models.scenes import tiles
from medicane_models.scenes.plane_sampling import PlaneSampler

PROCESSOR = MedicaneProcessor.planes(
    size=32, km=20.0, low=300.0, high=200.0, mean=(0.0,), std=(1.0,)
)


def grid_around(lon: float, lat: float) -> Grid:
    return Grid.lonlat(west=lon - 8, south=lat - 6, east=lon + 8, north=lat + 6, step_degrees=0.1)


def scene(spot: tuple[float, float], grid: Grid, minutes: int = 60, frames: int = 3) -> xr.Dataset:
    """Warm, with a cold disk of 50 km at a place in degrees."""
    lon, lat = grid.pixel_to_lonlat(*np.meshgrid(range(grid.width), range(grid.height)))
    away = great_circle_km(lon, lat, *spot)
    kelvin = np.stack([295 - 85 * np.exp(-((away / 50) ** 2))] * frames).astype("f4")
    degrees = {"x": {"units": "degrees_east"}, "y": {"units": "degrees_north"}}
    axes = {axis: (axis, getattr(grid, axis), degrees[axis]) for axis in "yx"}
    times = pd.date_range("2021-01-01", periods=frames, freq=f"{minutes}min")
    attributes = {
        "platform": "somewhere",
        "sensor": "unknown",
        "time_convention": "start_of_scan",
        "sub_satellite_longitude": np.nan,
    }
    mapping = {"units": "K", "grid_mapping": "crs"}
    return xr.Dataset(
        {"IR_108": (("time", "y", "x"), kelvin, mapping)},
        {"time": times, "crs": ((), 0, grid.cf_attributes()), **axes},
        attributes,
    )


def predictor(processor=PROCESSOR, runtime=None, **settings) -> MedicanePredictor:
    """Oracles of local planes, or of what another processor makes of scenes."""
    detector, tracker = (
        ModelDescription(
            name="oracle",
            revision=None,
            config=MedicaneConfig(
                task=task,
                image_size=32,
                num_frames=4,
                in_channels=processor.clip_shape[1],
                trained_on="a closed form",
                data_kind="real",
            ),
            processor=processor,
        )
        for task in ("classification", "tracking")
    )
    pair = {"detector": detector, "tracker": tracker}
    return MedicanePredictor(runtime or ColdestPixel(), **pair, **settings)


def threads_asked_for(monkeypatch) -> list[int]:
    """Gets how many threads planes are sampled on, whenever some are placed in a scene."""
    asked = []

    def sampler(*args, threads, **options):
        asked.append(threads)
        return PlaneSampler(*args, threads=threads, **options)

    monkeypatch.setattr(tiles, "PlaneSampler", sampler)
    return asked
