"""Tiny satellite files in the real formats, for the tests of scenes."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from PIL import Image

from medicane_models.domain import Grid, geostationary_crs

CHANNELS = ["WV_062", "WV_073", "IR_097", "IR_108"]
STEP_M = 3000.403165817
GRID = Grid(
    crs=geostationary_crs(9.5),
    width=8,
    height=6,
    x_origin=24003.2,
    y_origin=4404591.8,
    x_step=STEP_M,
    y_step=-STEP_M,
)
AREA = """msg_seviri_rss_3km:
  description: MSG SEVIRI Rapid Scanning Service area definition with 3 km resolution
  projection:
    proj: geos
    lon_0: {longitude}
    h: 35785831
    a: 6378137
    b: 6356752.3142
    no_defs: null
    type: crs
  shape:
    height: 6
    width: 8
"""
HOSTILE = (
    "!!python/object/apply:pathlib.Path.touch\n- !!python/object/apply:pathlib.Path [{path}]\n"
)


def times(first: str, count: int, minutes: int = 5) -> pd.DatetimeIndex:
    return pd.date_range(first, periods=count, freq=f"{minutes}min", unit="ns")


def shares(count: int, layers: int = 4, grid: Grid = GRID, seed: int = 0) -> np.ndarray:
    """Random values 0.8 … 0.9 (time, y, x, channel), plausible in every channel."""
    random = np.random.default_rng(seed)
    return 0.8 + 0.1 * random.random((count, grid.height, grid.width, layers))


def kelvin(count: int, grid: Grid = GRID, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (200 + 100 * random.random((count, grid.height, grid.width))).astype(np.float32)


def archive_dataset(
    stored: np.ndarray,
    index: pd.DatetimeIndex,
    *,
    grid: Grid = GRID,
    names: list[str] | None = None,
    **attributes: object,
) -> xr.Dataset:
    """As Satip lays it out: x decreases, y increases; ``stored`` runs east- and southwards."""
    names = CHANNELS if names is None else names
    told = {"area": AREA.format(longitude=9.5), "platform_name": "Meteosat-11", "sensor": "seviri"}
    dimensions = ("time", "y_geostationary", "x_geostationary", "variable")
    return xr.Dataset(
        {"data": (dimensions, stored[:, ::-1, ::-1], told | attributes)},
        {
            "time": index,
            "y_geostationary": grid.y[::-1],
            "x_geostationary": grid.x[::-1],
            "variable": names,
        },
    )


def write_archive(
    path: Path,
    dataset: xr.Dataset,
    *,
    zarr_format: int = 2,
    chunk_frames: int = 1,
    **encoding: object,
) -> Path:
    """A folder, or a zip file if the name ends so."""
    sizes = dict(dataset.sizes)
    chunks = (chunk_frames, sizes["y_geostationary"], sizes["x_geostationary"], 1)
    store = zarr.storage.ZipStore(path, mode="w") if path.suffix == ".zip" else path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # v3 text, and metadata written twice into a zip
        dataset.to_zarr(
            store,
            zarr_format=zarr_format,
            consolidated=zarr_format == 2,
            encoding={"data": {"chunks": chunks} | encoding},
        )
        if path.suffix == ".zip":
            store.close()
    return path


def slot_zip(folder: Path, time: str, seed: int = 0) -> Path:
    """A single-slot store like the real ones, named by its time."""
    index = times(time, 1)
    stored = (1023 * shares(1, seed=seed)).astype(np.int16)
    return write_archive(folder / f"{index[0]:%Y%m%d%H%M}.zarr.zip", archive_dataset(stored, index))


def cf_dataset(
    values: np.ndarray,
    index: pd.DatetimeIndex,
    *,
    grid: Grid = GRID,
    names: list[str] | None = None,
    units: str = "K",
) -> xr.Dataset:
    """CF with a grid mapping; the same values in every channel, shifted by whole kelvins."""
    names = CHANNELS if names is None else names
    attributes = {"units": units, "grid_mapping": "projection"}
    return xr.Dataset(
        {
            name: (("time", "y", "x"), values + np.float32(shift), attributes)
            for shift, name in enumerate(names)
        }
        | {"projection": ((), np.int32(0), grid.cf_attributes())},
        {
            "time": index,
            "y": ("y", grid.y, {"standard_name": "projection_y_coordinate", "units": "m"}),
            "x": ("x", grid.x, {"standard_name": "projection_x_coordinate", "units": "m"}),
        },
    )


def write_png(folder: Path, time: str, pixels: np.ndarray) -> Path:
    path = folder / f"airmass_rgb_{pd.Timestamp(time):%Y%m%d_%H%M}.png"
    Image.fromarray(pixels).save(path)
    return path


def letterbox(seed: int = 0) -> np.ndarray:
    pixels = np.zeros((384, 384, 3), np.uint8)
    pixels[129:254] = np.random.default_rng(seed).integers(0, 256, (125, 384, 3))
    return pixels
