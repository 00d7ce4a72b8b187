"""A simulated scene on disk: a CF Zarr store that open_scene reads, and tables of its storms."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numcodecs import Blosc

from medicane_models.checks import check_free, check_store_name
from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.files import locked, making, replacing
from medicane_models.simulation.instrument import Instrument
from medicane_models.simulation.radiances import CHANNELS
from medicane_models.simulation.scene import (
    Frames,
    medicanes,
    scene_coordinates,
    times_at_cadence,
)
from medicane_models.simulation.storms import StormRates, draw_storms, storm_table
from medicane_models.times import Instant

__all__ = ["Written", "write_simulation"]

PACKING = {"scale_factor": 0.1, "add_offset": 273.15, "_FillValue": -32768}  # kelvin in int16
COMPRESSION = Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE)

Progress = Callable[[pd.DatetimeIndex], Iterable[pd.Timestamp]]


class Written(NamedTuple):
    """What was written."""

    scene: Path
    tracks: Path
    lookalikes: Path
    frames: int
    medicanes: int


def write_simulation(
    path: str | Path,
    *,
    start: Instant,
    hours: float,
    rates: StormRates | None = None,
    instrument: Instrument | None = None,
    grid: Grid = MEDITERRANEAN,
    cadence_minutes: float = 5.0,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = iter,
) -> Written:
    """Write a scene frame by frame, holding one in memory; the store appears when it is complete.

    Beside ``NAME.zarr`` come ``NAME.tracks.csv``, the true tracks of the medicanes, and
    ``NAME.lookalikes.csv``, where storms were that are none.

    Args:
        path: of the store, ending in .zarr.
        start: time of the first frame, UTC.
        hours: from the first frame to the last.
        rates: how many storms of each kind; None takes the default ones.
        instrument: noise and gaps; None takes the default ones.
        grid: pixels to simulate.
        cadence_minutes: from a frame to the next.
        seed: the same seed gives the same scene.
        overwrite: replace an earlier store, once the new one is complete.
        progress: wraps the iteration over frames, to show how it goes.

    Raises:
        ConfigurationError: if the store is not called .zarr, exists and is not to be replaced, or
            is being written by another process.
        OutputError: if it cannot be written.
    """
    path = Path(path)
    check_store_name(path)
    times = times_at_cadence(start, hours, cadence_minutes)
    storms = draw_storms(rates or StormRates(), grid=grid, start=times[0], end=times[-1], seed=seed)
    frames = Frames(grid, storms, instrument or Instrument(), seed=seed)
    tracks, lookalikes = (path.with_suffix(f".{name}.csv") for name in ("tracks", "lookalikes"))
    with _alone(path), replacing(path) as temporary:
        check_free(path, overwrite=overwrite)
        arrays = _prepare(temporary, times, grid, seed)
        for index, time in enumerate(progress(times)):
            for array, kelvin in zip(arrays, frames.at(time), strict=True):
                array[index] = _packed(kelvin)
        zarr.consolidate_metadata(str(temporary))
        true = medicanes(storms)
        _write_table(storm_table(true, times), tracks)
        _write_table(storm_table([s for s in storms if s not in true], times), lookalikes)
    return Written(path, tracks, lookalikes, len(times), len(true))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from writing the same store."""
    busy = f"another process writes {path}; wait for it, or choose another --out"
    with making(path.parent), locked(path.with_name(f".{path.name}.lock"), busy):
        yield


def _prepare(path: Path, times: pd.DatetimeIndex, grid: Grid, seed: int) -> list[zarr.Array]:
    """A store with coordinates and empty channels, one chunk a frame."""
    coordinates, attributes = scene_coordinates(times, grid, seed)
    scene = xr.Dataset(coords=coordinates, attrs=_without_none(attributes))
    scene.to_zarr(path, zarr_format=2, consolidated=False)
    group = zarr.open_group(path, mode="a")
    return [
        group.create_array(
            name,
            shape=(len(times), grid.height, grid.width),
            chunks=(1, grid.height, grid.width),
            dtype="int16",
            fill_value=PACKING["_FillValue"],
            compressors=COMPRESSION,
            attributes={
                "_ARRAY_DIMENSIONS": ["time", "y", "x"],
                "units": "K",
                "grid_mapping": "crs",
                **PACKING,
            },
        )
        for name in CHANNELS
    ]


def _without_none(attributes: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in attributes.items() if value is not None}


def _packed(kelvin: np.ndarray) -> np.ndarray:
    counts = np.rint((kelvin - PACKING["add_offset"]) / PACKING["scale_factor"])
    return np.where(np.isnan(counts), PACKING["_FillValue"], counts).astype(np.int16)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, date_format="%Y-%m-%dT%H:%M:%SZ", float_format="%.5g")
