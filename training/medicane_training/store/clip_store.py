"""The clip store: stretched frames as one Zarr v3 store, with an index of clips beside them.

A store is a folder::

    STORE.zarr/
        zarr.json, frames/, time/, y/, x/, crs/    what xarray.open_zarr opens; CF, 0 … 1 decoded
        frames.parquet                             a row a frame: time, source; what is committed
        clips.parquet                              a row a clip and tile, see CLIP_COLUMNS
        tracks.parquet                             the storms the clips were labelled with, if any
        preprocessor_config.json                   stretch, grid, cadence, time convention
        build.json, rates.json                     how clips were chosen; how often they truly occur

Frames are kept in the order in which they came; their times say which belong together, never their
rows. Where the tiles are local planes a frame is part of a *sample*, a place and time whose square
is larger than a tile; `samples.parquet` has a row of each. Letters: T frames, C bands, H rows, W
columns.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Int32, UInt8

from medicane_models.domain import Grid, Tile, local_plane
from medicane_models.errors import MissingInputError, SceneError, require
from medicane_models.fields import json_object
from medicane_models.files import replacing, require_regular, write_json
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.readers.recording import UNREADABLE
from medicane_training.store.labels import LABEL_COLUMNS
from medicane_training.store.shards import MISSING, ShardReader

__all__ = [
    "CLIP_COLUMNS",
    "CLIP_KEY",
    "LEVELS",
    "PLANE_COLUMNS",
    "SAMPLE_COLUMNS",
    "ClipStore",
    "clip_name",
    "decode",
    "encode",
    "save_table",
    "stored_table",
]

LEVELS = 254
"""The code of the stretched value 1: steps of 0.1 K in red, 0.18 K in green and 0.14 K in blue of
the Airmass RGB. On 12 real frames the rms error is 0.0011, where the bands deviate by .16 … .18;
int16 would cut it to 0.00001, for twice the bytes of every clip (``benchmarks/clip_codecs.py``)."""

CLIP_KEY = ["end", "tile_x", "tile_y"]
"""What a clip is known by outside its store."""

CLIP_COLUMNS = (
    *CLIP_KEY, *LABEL_COLUMNS, "stratum", "weight", "cloud_index", "missing", "source", "checksum",
    "rows",
)  # fmt: skip
"""``end``: time of the last frame, UTC. ``tile_x, tile_y``: offset in the grid. ``label …
storm_distance_km``: as :func:`store.labels.label_clips` returns them. ``stratum``: of
all weather, see :mod:`store.strata`. ``weight``: clips of all weather that this one
stands for. ``cloud_index``: share of cloudy pixels. ``missing``: frames that are copies of the
nearest, or are ABSENT. ``source``: of the newest frame. ``checksum``: CRC-32 of the clip's codes.
``rows``: the frames' rows, oldest first."""

SAMPLE_COLUMNS = (
    "sample", "end", "dataset", "source", "sensor", "plane_lon", "plane_lat", "hemisphere", "storm",
    "centre_x", "centre_y", "other_x", "other_y", "storm_distance_km", "wind_kt", "pressure_hpa",
    "gap_hours", "weight", "rows",
)  # fmt: skip
"""``sample``: its name, which no other has. ``end``: UTC, NaT if unknown. ``dataset, source``:
where it comes from. ``plane_lon, plane_lat``: of its centre in degrees, NaN if unknown.
``hemisphere``: "north", or "south", where rows run northwards, or "unknown". ``storm``: "" without
one. ``centre_x, centre_y``: where in the sample that is, in pixels, NaN if not known. ``other_x,
other_y``: of the nearest other storm, NaN if it is not in the sample. ``storm_distance_km``: from
the sample's centre to the nearest storm, NaN if none is known at that time. ``wind_kt,
pressure_hpa``: of the best track, NaN if unknown; ``gap_hours`` from its nearest row. ``weight``:
samples of all weather that this one stands for. ``rows``: of its frames, oldest first, or
ABSENT."""

PLANE_COLUMNS = (
    "sample", "dataset", "sensor", "plane_lon", "plane_lat", "hemisphere", "wind_kt",
    "pressure_hpa", "gap_hours", "coldness", "spirality",
)  # fmt: skip
"""What the index says of clips on local planes beside CLIP_COLUMNS: their sample's columns, and of
the newest frame the coldest mean over 60 km (kelvin) and the best spiral score."""


CHANGING = ("frames", "samples", "clips", "rows", "tracks", "_index", "_tiles", "_reader")


def clip_name(end: pd.Timestamp, x: int | np.integer, y: int | np.integer) -> str:
    """What a clip is called in messages: its last frame in UTC, and its tile."""
    return f"{end:%Y-%m-%d %H:%M} at {x}, {y}"


def encode(stretched: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n"]:
    """Codes 0 … LEVELS of stretched values 0 … 1, MISSING for NaN."""
    codes = np.nan_to_num(stretched, nan=MISSING / LEVELS) * LEVELS
    return np.rint(codes).astype(np.uint8)


def decode(codes: UInt8[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Stretched values of codes; NaN for missing pixels."""
    return _VALUES[codes]


_VALUES = np.append(np.arange(LEVELS + 1) / LEVELS, np.nan).astype(np.float32)


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a Parquet file as a whole, with checksums."""
    require("pyarrow", "train")
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False, write_page_checksum=True)


def stored_table(path: Path, columns: Collection[str]) -> pd.DataFrame:
    """A Parquet file of a store.

    Raises:
        SceneError: if it cannot be read, differs from its checksums, or lacks a column.
    """
    try:
        require_regular(path)
        table = pd.read_parquet(path, page_checksum_verification=True)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise SceneError(f"{path} cannot be read ({reason}); build the store again") from error
    if absent := [name for name in columns if name not in table.columns]:
        raise SceneError(f"{path} has no column {', '.join(absent)}; build the store again")
    return table


class ClipStore:
    """Random access to the clips of a store; opens its files when they are first needed.

    A copy in another process starts closed, so that data loaders may fork or spawn.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "frames.parquet").exists():
            raise MissingInputError(
                f"{self.path} is no clip store; make one with: medicane-train data build"
            )
        require("pyarrow", "train")

    def __reduce__(self) -> tuple[type["ClipStore"], tuple[Path]]:
        return ClipStore, (self.path,)

    @cached_property
    def processor(self) -> MedicaneProcessor:
        """What the frames were stretched with, and the geometry of the clips."""
        return MedicaneProcessor.from_pretrained(self.path)

    @cached_property
    def grid(self) -> Grid:
        """Where the pixels of a stored frame lie; of local planes the one around 0°E 0°N."""
        grid = self.processor.grid
        if not self.processor.uses_planes:
            return grid
        return local_plane(0.0, 0.0, size=self._reader.frame_shape[-1], km=grid.x_step / 1000)

    @property
    def key(self) -> list[str]:
        """The columns that a clip of this store is known by."""
        return [*CLIP_KEY, "sample"] if self.processor.uses_planes else CLIP_KEY

    @cached_property
    def frames(self) -> pd.DataFrame:
        """``time, source``, a row a frame in the order of the Zarr array.

        Of local planes also ``plane_lon, plane_lat, sensor``; ``time`` is then that of the slot.
        """
        return stored_table(self.path / "frames.parquet", ("time", "source"))

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The index of clips, see CLIP_COLUMNS, without ``rows``."""
        return self._index.drop(columns="rows")

    @cached_property
    def rows(self) -> Int32[np.ndarray, "clips T"]:
        """The rows of each clip's frames, oldest first."""
        shape = len(self._index), self.processor.num_frames
        try:
            return np.array(self._index["rows"].to_list(), np.int32).reshape(shape)
        except (TypeError, ValueError, OverflowError) as error:
            raise SceneError(
                f"{self.path} names other than {shape[1]} rows a clip ({error}); build it again"
            ) from error

    @cached_property
    def tracks(self) -> pd.DataFrame | None:
        """The storms that the clips were labelled with."""
        path = self.path / "tracks.parquet"
        return stored_table(path, ("track_id", "time", "lon", "lat")) if path.exists() else None

    @cached_property
    def samples(self) -> pd.DataFrame:
        """The samples of a store of local planes, see SAMPLE_COLUMNS."""
        return stored_table(self.path / "samples.parquet", SAMPLE_COLUMNS)

    @property
    def tile_shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W) of a clip's codes, in which no channel marks what is missing."""
        num_frames, _, height, width = self.processor.clip_shape
        return num_frames, len(self.processor.bands), height, width

    def document(self, name: str) -> dict[str, Any]:
        """A JSON file of the store."""
        return json_object(self.path / name)

    def save_document(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a JSON file of the store."""
        write_json(self.path / name, values)

    def refresh(self) -> None:
        """Forget what was read, after the store has been written to."""
        for name in CHANGING:
            self.__dict__.pop(name, None)

    def tile(self, clip: int) -> Tile:
        """The offset of a clip."""
        return Tile(*(int(value) for value in self._tiles[clip]))

    def names(self, clips: Int[np.ndarray, " n"]) -> list[str]:
        """See `clip_name`; of local planes the sample in place of the time, often unknown."""
        if self.processor.uses_planes:
            listed = self.clips.iloc[clips][["sample", "tile_x", "tile_y"]]
            return [f"{name} at {x}, {y}" for name, x, y in listed.to_numpy()]
        return [clip_name(*key) for key in self.clips.iloc[clips][CLIP_KEY].to_numpy()]

    def read(
        self,
        clip: int,
        *,
        tile: Tile | None = None,
        frames: Sequence[int] | None = None,
        out: UInt8[np.ndarray, "T C H W"] | None = None,
    ) -> UInt8[np.ndarray, "T C H W"]:
        """Codes of a clip of the index, at another offset or of other frames of it if given.

        Raises:
            SceneError: naming the clip, if it cannot be read or leaves the grid.
        """
        tile = self.tile(clip) if tile is None else tile
        try:
            rows = self.rows[clip] if frames is None else self.rows[clip][frames]
            return self.read_frames(rows, tile, out=out)
        except SceneError as error:
            end = self._index["end"].iloc[clip]
            raise SceneError(
                f"clip {clip} ({end:%Y-%m-%d %H:%M} UTC, tile {tile.x}, {tile.y}): {error}"
            ) from error

    def read_frames(
        self,
        rows: Sequence[int] | Int[np.ndarray, " T"],
        tile: Tile,
        *,
        out: UInt8[np.ndarray, "T C H W"] | None = None,
    ) -> UInt8[np.ndarray, "T C H W"]:
        """Codes of one tile in the given rows, in their order; ABSENT ones are all MISSING."""
        if out is None:
            out = np.empty((len(rows), *self.tile_shape[1:]), np.uint8)
        return self._reader.read([int(row) for row in rows], tile, out)

    @cached_property
    def _index(self) -> pd.DataFrame:
        path = self.path / "clips.parquet"
        if not path.exists():
            raise SceneError(f"{self.path} has no index of clips yet; finish its build")
        return stored_table(path, (*CLIP_KEY, "rows"))

    @cached_property
    def _tiles(self) -> Int32[np.ndarray, "clips 2"]:
        return self._index[["tile_x", "tile_y"]].to_numpy(np.int32)

    @cached_property
    def _reader(self) -> ShardReader:
        return ShardReader(self.path)
