"""Scenes with one cold spot, and a predictor for which that is a cyclone."""

import numpy as np
import pandas as pd
import torch
import xarray as xr

from medicane_models import MedicaneConfig, MedicanePredictor, MedicaneProcessor
from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.prediction.models import ModelDescription
from medicane_models.runtimes.interface import Centres

GRID = MEDITERRANEAN.window(600, 190, 80, 48)
SPOT = (14.16, 37.18)  # longitude and latitude of the coldest pixel in the scenes below


class ColdestPixel:
    """In place of two models: a cyclone is where the last frame is coldest, if it is cold."""

    device = torch.device("cpu")
    threads = 1

    def probabilities(self, clips, *, rough_below=0.0):
        return np.array([float(clip[-1, 0].max()) for clip in clips])

    def centres(self, clips):
        rows, columns = zip(
            *(np.unravel_index(clip[-1, 0].argmax(), clip.shape[-2:]) for clip in clips),
            strict=True,
        )
        covariance = np.tile(np.eye(2) * 4.0, (len(rows), 1, 1))
        return Centres(np.stack([columns, rows], axis=1).astype(float), covariance)


def infrared(**overrides) -> MedicaneProcessor:
    settings = {"tile_size": 32, "num_frames": 4, "mean": (0.0,), "std": (1.0,), "grid": GRID}
    return MedicaneProcessor.infrared(low=300, high=200, **(settings | overrides))


def oracle(task: str, **overrides) -> ModelDescription:
    config = MedicaneConfig(
        task=task,
        image_size=32,
        num_frames=4,
        in_channels=1,
        trained_on="a closed form",
        data_kind="real",
    )
    return ModelDescription(
        name="oracle", revision="abc", config=config, processor=infrared(**overrides)
    )


def predictor(threshold: float = 0.5, **overrides) -> MedicanePredictor:
    return MedicanePredictor(
        ColdestPixel(),
        detector=oracle("classification", **overrides),
        tracker=oracle("tracking", **overrides),
        threshold=threshold,
    )


def scene(grid: Grid = GRID, frames: int = 14, **attributes) -> xr.Dataset:
    """Warm everywhere but for a block of 3 × 3 pixels, coldest at the one nearest to SPOT."""
    kelvin = np.random.default_rng(0).uniform(290, 299, (frames, grid.height, grid.width))
    x, y = (int(v.round()) for v in grid.lonlat_to_pixel(*SPOT))
    kelvin[:, y - 1 : y + 2, x - 1 : x + 2] = 215
    kelvin[:, y, x] = 210
    units = {"units": "m"}
    attributes_of_kelvin = {"units": "K", "grid_mapping": "crs"}
    return xr.Dataset(
        {"IR_108": (("time", "y", "x"), kelvin.astype("f4"), attributes_of_kelvin)},
        coords={
            "time": pd.date_range("2020-09-17", periods=frames, freq="5min"),
            "y": ("y", grid.y, units),
            "x": ("x", grid.x, units),
            "crs": ((), 0, grid.cf_attributes()),
        },
        attrs={
            "platform": "Meteosat-11",
            "sensor": "seviri",
            "time_convention": "end_of_scan",
            "sub_satellite_longitude": 9.5,
            **attributes,
        },
    )  # fmt: skip
