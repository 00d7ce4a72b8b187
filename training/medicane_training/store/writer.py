"""Making a clip store and appending frames to it.

Letters: T frames, C bands, H rows, W columns.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from filelock import FileLock, Timeout
from jaxtyping import Shaped, UInt8

from medicane_models.domain import Grid
from medicane_models.errors import ConfigurationError
from medicane_models.files import to_plain
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.clip_store import LEVELS, ClipStore, save_table
from medicane_training.store.shards import CHUNK_FRAMES, MISSING, create_frames

__all__ = ["FrameWriter", "alone", "create_store"]

FORMAT = "medicane_clip_store"
VERSION = 1
FrameTimes = Sequence[np.datetime64] | Shaped[np.ndarray, " T"]


def create_store(path: str | Path, processor: MedicaneProcessor) -> ClipStore:
    """Make an empty store, or open the one that is there if it has the same processor.

    Raises:
        ConfigurationError: if something else is there.
    """
    path = Path(path)
    if (path / "frames.parquet").exists():
        return _same_processor(ClipStore(path), processor)
    _require_free(path)
    _create_zarr(path, processor)
    processor.save_pretrained(path)
    save_table(_frame_table((), ()), path / "frames.parquet")
    return ClipStore(path)


def _same_processor(store: ClipStore, processor: MedicaneProcessor) -> ClipStore:
    if store.processor != processor:
        raise ConfigurationError(
            f"{store.path} was built with another processor; see its preprocessor_config.json, "
            "or choose another folder"
        )
    return store


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes from changing the store; the lock of a killed process is gone with it.

    Raises:
        ConfigurationError: if another process is changing it.
    """
    try:
        with FileLock(path / "build.lock", timeout=0):
            yield
    except Timeout:
        raise ConfigurationError(
            f"{path} is being built by another process; wait for it, or choose another folder"
        ) from None


class FrameWriter:
    """Appends frames to a store; a frame is there once ``frames.parquet`` lists it."""

    def __init__(self, store: ClipStore) -> None:
        self.store = store

    @property
    def room(self) -> int:
        """Frames until the shard that is being filled is full."""
        return CHUNK_FRAMES - len(self.store.frames) % CHUNK_FRAMES

    def append(
        self, codes: UInt8[np.ndarray, "T C H W"], times: FrameTimes, sources: Sequence[str]
    ) -> None:
        """Add at most ``room`` frames; a killed process leaves the store as it was."""
        if len(codes) > self.room:
            raise ValueError(f"{len(codes)} frames do not fit into the {self.room} left")
        path = self.store.path
        known = self.store.frames
        table = pd.concat([known, _frame_table(times, sources)], ignore_index=True)
        frames = zarr.open_array(path / "frames", mode="r+")
        frames.resize((len(table), *frames.shape[1:]))
        frames[len(known) :] = codes
        time = zarr.open_array(path / "time", mode="r+")
        time.resize((len(table),))
        time[len(known) :] = table["time"].iloc[len(known) :].to_numpy().astype(np.int64)
        _consolidate(path)
        save_table(table, path / "frames.parquet")
        self.store.refresh()


def _frame_table(times: FrameTimes, sources: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "time": pd.DatetimeIndex(np.asarray(times, "datetime64[ns]")),
            "source": pd.Series(list(sources), dtype="str"),
        }
    )


def _require_free(path: Path) -> None:
    """Refuse a folder with anything but a store whose creation was interrupted."""
    if not path.exists() or not any(path.iterdir()):
        return
    try:
        known = FORMAT in json.loads((path / "zarr.json").read_text())["attributes"]
    except (OSError, ValueError, KeyError):
        known = False
    if not known:
        raise ConfigurationError(f"{path} is no clip store but not empty; choose another folder")


def _create_zarr(path: Path, processor: MedicaneProcessor) -> None:
    bands = [band.name for band in processor.bands]
    attributes = {"Conventions": "CF-1.11", FORMAT: VERSION, "bands": bands}
    group = zarr.create_group(path, overwrite=True, attributes=attributes)
    grid = processor.grid
    create_frames(group, len(bands), grid.height, grid.width, _frame_attributes())
    _create_coordinates(group, grid)
    _consolidate(path)


def _frame_attributes() -> dict[str, Any]:
    """CF packing, so that xarray shows 0 … 1 and NaN."""
    return {
        "long_name": "stretched brightness temperatures",
        "units": "1",
        "scale_factor": 1 / LEVELS,
        "_FillValue": MISSING,
        "grid_mapping": "crs",
    }


def _create_coordinates(group: zarr.Group, grid: Grid) -> None:
    group.create_array(
        "time",
        shape=(0,),
        chunks=(65536,),
        dtype="int64",
        dimension_names=("time",),
        attributes={"standard_name": "time", "units": "nanoseconds since 1970-01-01"},
    )
    units = "degrees" if grid.projection.is_geographic else "m"
    for axis in ("y", "x"):
        values = np.asarray(getattr(grid, axis), np.float64)
        array = group.create_array(
            axis,
            shape=values.shape,
            dtype="float64",
            dimension_names=(axis,),
            attributes={"standard_name": f"projection_{axis}_coordinate", "units": units},
        )
        array[:] = values
    attributes = to_plain(grid.cf_attributes())
    group.create_array("crs", shape=(), dtype="int32", dimension_names=(), attributes=attributes)


def _consolidate(path: Path) -> None:
    """Keep all metadata in one file, so that readers need not list the folder and its tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tables, and that version 3 does not specify this
        zarr.consolidate_metadata(path)
