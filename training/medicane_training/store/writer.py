"""Making a clip store and appending frames to it.

Letters: T frames, C bands, H rows, W columns.
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from jaxtyping import Shaped, UInt8

from medicane_models.domain import Grid, local_plane
from medicane_models.errors import ConfigurationError
from medicane_models.files import alone_in, output_errors, remove, to_plain
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.clip_store import LEVELS, SAMPLE_COLUMNS, ClipStore, save_table
from medicane_training.store.shards import CHUNK_FRAMES, MISSING, create_frames

__all__ = ["FrameWriter", "create_store", "default_sample_size", "no_samples"]

FORMAT = "medicane_clip_store"
VERSION = 1
SAMPLE_SHARE = 2.9  # of a tile's side: a tile 1000 km off the middle of 10 km pixels still fits
SAMPLE_TEXTS = ("sample", "dataset", "source", "sensor", "hemisphere", "storm")
PLANE_FRAME_COLUMNS = {"plane_lon": "float64", "plane_lat": "float64", "sensor": "str"}
FrameTimes = Sequence[np.datetime64] | Shaped[np.ndarray, " T"]


def create_store(
    path: str | Path, processor: MedicaneProcessor, *, sample_size: int | None = None
) -> ClipStore:
    """Make an empty store, or open the one that is there if it has the same processor.

    Args:
        path: its folder.
        processor: of the clips.
        sample_size: pixels along a side of what is kept around a place, where tiles are local
            planes; default is :func:`default_sample_size`.

    Raises:
        ConfigurationError: if something else is there, another process builds it, or samples are
            smaller than a tile.
    """
    path = Path(path)
    grid = _stored_grid(processor, sample_size)
    if not (path / "frames.parquet").exists():
        with alone_in(path), output_errors(path):
            _create(path, processor, grid)
    return _same(ClipStore(path), processor, grid)


def _create(path: Path, processor: MedicaneProcessor, grid: Grid) -> None:
    """Unless another process has made it meanwhile."""
    if (path / "frames.parquet").exists():
        return
    _require_free(path)
    _clear(path)
    _create_zarr(path, processor, grid)
    processor.save_pretrained(path)
    if processor.uses_planes:
        save_table(no_samples(), path / "samples.parquet")
    save_table(_frame_table((), (), processor), path / "frames.parquet")


def default_sample_size(processor: MedicaneProcessor) -> int:
    """An even number of pixels, within which tiles may lie 1000 km off the middle: 324 for 112."""
    return 2 * round(SAMPLE_SHARE * processor.tile_size / 2)


def no_samples() -> pd.DataFrame:
    """A table of samples without a row."""
    numbers = dict.fromkeys(SAMPLE_COLUMNS, pd.Series(dtype=np.float64))
    texts = dict.fromkeys(SAMPLE_TEXTS, pd.Series(dtype="str"))
    others = {"end": pd.Series(dtype="datetime64[ns]"), "rows": pd.Series(dtype=object)}
    return pd.DataFrame(numbers | texts | others)


def _stored_grid(processor: MedicaneProcessor, sample_size: int | None) -> Grid:
    """Where the pixels of a stored frame lie."""
    if not processor.uses_planes:
        if sample_size is not None:
            raise ConfigurationError(
                f"sample_size is {sample_size}, and tiles at fixed offsets have no samples; leave "
                "it out, or take the processor planes"
            )
        return processor.grid
    size = default_sample_size(processor) if sample_size is None else sample_size
    if size < processor.tile_size:
        raise ConfigurationError(
            f"sample_size is {size}; give at least the {processor.tile_size} px of a tile"
        )
    return local_plane(0.0, 0.0, size=size, km=processor.grid.x_step / 1000)


def _same(store: ClipStore, processor: MedicaneProcessor, grid: Grid) -> ClipStore:
    if store.processor != processor:
        raise ConfigurationError(
            f"{store.path} was built with another processor; see its preprocessor_config.json, "
            "or choose another folder"
        )
    if store.grid != grid:
        raise ConfigurationError(
            f"{store.path} has samples of {store.grid.width} px, not {grid.width}; give that "
            "sample_size, or choose another folder"
        )
    return store


class FrameWriter:
    """Appends frames to a store; a frame is there once ``frames.parquet`` lists it."""

    def __init__(self, store: ClipStore) -> None:
        self.store = store

    @property
    def room(self) -> int:
        """Frames until the shard that is being filled is full."""
        return CHUNK_FRAMES - len(self.store.frames) % CHUNK_FRAMES

    def append(
        self,
        codes: UInt8[np.ndarray, "T C H W"],
        times: FrameTimes,
        sources: Sequence[str],
        **columns: Sequence[float] | Sequence[str],
    ) -> None:
        """Add at most ``room`` frames; a killed process leaves the store as it was.

        Args:
            codes: of the frames.
            times: UTC.
            sources: where each comes from.
            **columns: PLANE_FRAME_COLUMNS, where frames are local planes.

        Raises:
            OutputError: if they cannot be written.
        """
        if len(codes) > self.room:
            raise ValueError(f"{len(codes)} frames do not fit into the {self.room} left")
        path = self.store.path
        known = self.store.frames
        added = _frame_table(times, sources, self.store.processor, **columns)
        table = pd.concat([known, added], ignore_index=True)
        with output_errors(path):
            frames = zarr.open_array(path / "frames", mode="r+")
            frames.resize((len(table), *frames.shape[1:]))
            frames[len(known) :] = codes
            time = zarr.open_array(path / "time", mode="r+")
            time.resize((len(table),))
            time[len(known) :] = table["time"].iloc[len(known) :].to_numpy().astype(np.int64)
            _consolidate(path)
            save_table(table, path / "frames.parquet")
        self.store.refresh()


def _frame_table(
    times: FrameTimes,
    sources: Sequence[str],
    processor: MedicaneProcessor,
    **columns: Sequence[float] | Sequence[str],
) -> pd.DataFrame:
    kinds = PLANE_FRAME_COLUMNS if processor.uses_planes else {}
    if columns and set(columns) != set(kinds):
        raise ValueError(f"frames have {', '.join(kinds) or 'no columns of planes'}")
    table = {
        "time": pd.DatetimeIndex(np.asarray(times, "datetime64[ns]")),
        "source": pd.Series(list(sources), dtype="str"),
    }
    more = {name: pd.Series(columns.get(name, ()), dtype=kind) for name, kind in kinds.items()}
    return pd.DataFrame(table | more)


def _require_free(path: Path) -> None:
    """Refuse a folder with anything but a store whose creation was interrupted."""
    if not any(path.glob("[!.]*")):
        return
    try:
        known = FORMAT in json.loads((path / "zarr.json").read_text())["attributes"]
    except (OSError, ValueError, KeyError):
        known = False
    if not known:
        raise ConfigurationError(f"{path} is no clip store but not empty; choose another folder")


def _clear(path: Path) -> None:
    """Remove what an interrupted creation has left, but not the lock, as zarr would."""
    for entry in path.glob("[!.]*"):
        remove(entry)


def _create_zarr(path: Path, processor: MedicaneProcessor, grid: Grid) -> None:
    bands = [band.name for band in processor.bands]
    attributes = {"Conventions": "CF-1.11", FORMAT: VERSION, "bands": bands}
    group = zarr.create_group(path, attributes=attributes)
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
