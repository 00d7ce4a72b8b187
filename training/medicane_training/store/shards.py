"""Pixels of the clip store: a plain Zarr v3 array whose chunks are read through memory maps.

The array ``frames`` (time, band, y, x) holds uncompressed uint8 in shards of :data:`CHUNK_FRAMES`
whole frames, cut into chunks of about :data:`CHUNK_PIXELS`² pixels, each followed by its CRC-32C.
Any Zarr v3 reader opens it. A clip touches about 30 chunks; copying their parts out of the map
takes half a millisecond where zarr's codec pipeline takes nine (``benchmarks/clip_throughput.py``).
Stretched SEVIRI frames compress by 1.0 (LZ4) to 1.3 (zstd with bit shuffle, 0.5 GB/s), too little
to decode the 4 … 8 MB around a clip of 2.4 MB (``benchmarks/clip_codecs.py``, 12 real frames).

Letters: T frames, C bands, H rows, W columns.
"""

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import UInt8, UInt64
from zarr.codecs import Crc32cCodec

from medicane_models.domain import Tile
from medicane_models.errors import SceneError
from medicane_models.fields import json_object
from medicane_models.files import require_regular

__all__ = ["ABSENT", "MISSING", "ShardReader", "create_frames", "shard_path"]

MISSING = 255
"""The code of a missing pixel in every band."""

ABSENT = -1
"""The row of a frame that is not there, which reads as all missing."""

CHUNK_FRAMES = 32
CHUNK_PIXELS = 64
OPEN_SHARDS = 256
CRC_BYTES = 4
NO_CHUNK = np.uint64(2**64 - 1)  # what the index of a shard says of a chunk that is all missing


def create_frames(
    group: zarr.Group, bands: int, height: int, width: int, attributes: dict[str, Any]
) -> zarr.Array:
    """Make the empty array ``frames`` (time, band, y, x) in a group."""
    chunk = (CHUNK_FRAMES, bands, _even_chunk(height), _even_chunk(width))
    whole = [-(-height // chunk[2]) * chunk[2], -(-width // chunk[3]) * chunk[3]]
    return group.create_array(
        "frames",
        shape=(0, bands, height, width),
        dtype="uint8",
        chunks=chunk,
        shards=(CHUNK_FRAMES, bands, *whole),
        compressors=[Crc32cCodec()],
        fill_value=MISSING,
        dimension_names=("time", "band", "y", "x"),
        attributes=attributes,
    )


def shard_path(store: Path, number: int) -> Path:
    """The file of a shard, which holds the rows from ``number * CHUNK_FRAMES`` on."""
    return store / "frames" / "c" / str(number) / "0" / "0" / "0"


def _even_chunk(length: int) -> int:
    """About CHUNK_PIXELS, so that whole chunks fit the length with little left over."""
    return -(-length // max(round(length / CHUNK_PIXELS), 1))


@dataclass(frozen=True)
class _Layout:
    """Shape of a frame (C, H, W) and of a chunk (T, C, H, W); chunks of a shard along (y, x)."""

    frame: tuple[int, int, int]
    chunk: tuple[int, int, int, int]
    grid: tuple[int, int]

    @classmethod
    def of(cls, store: Path) -> "_Layout":
        """Read it from the array's metadata.

        Raises:
            SceneError: if another program wrote the array in another layout.
        """
        path = store / "frames" / "zarr.json"
        try:
            metadata = json_object(path)
            (sharding,) = metadata["codecs"]
            options = sharding["configuration"]
            chunk = _sizes(options["chunk_shape"])
            shard = _sizes(metadata["chunk_grid"]["configuration"]["chunk_shape"])
            frame = _sizes([1, *metadata["shape"][1:]])[1:]
            inner = [codec["name"] for codec in options["codecs"]]
            ours = (metadata["data_type"], inner, options.get("index_location", "end"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SceneError(f"{path} does not describe the frames of a clip store") from error
        grid = (shard[2] // chunk[2], shard[3] // chunk[3])
        if ours != ("uint8", ["bytes", "crc32c"], "end") or shard[:2] != chunk[:2]:
            raise SceneError(f"{path} has been rewritten in another layout; build the store again")
        return cls(frame, chunk, grid)

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunk)

    @property
    def index_bytes(self) -> int:
        return math.prod(self.grid) * 16


class _Shard:
    """One mapped shard file; its index of offsets and lengths stands at its end."""

    def __init__(self, path: Path, layout: _Layout) -> None:
        self.layout = layout
        require_regular(path)
        self.bytes = np.asarray(np.memmap(path, np.uint8, mode="r"))
        index = self.bytes[-layout.index_bytes - CRC_BYTES : -CRC_BYTES]
        self.index: UInt64[np.ndarray, "rows columns 2"] = np.frombuffer(
            index.tobytes(), "<u8"
        ).reshape(*layout.grid, 2)

    def chunk(self, row: int, column: int) -> UInt8[np.ndarray, "T C H W"] | None:
        """A view of one chunk, None where all of it is missing."""
        offset, length = self.index[row, column]
        if offset == NO_CHUNK:
            return None
        if length != self.layout.chunk_bytes + CRC_BYTES:
            raise ValueError(f"chunk ({row}, {column}) has {length} bytes")
        start = int(offset)
        return self.bytes[start : start + self.layout.chunk_bytes].reshape(self.layout.chunk)


class ShardReader:
    """Copies windows of frames out of the mapped shards of a store."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.layout = _Layout.of(store)
        self._shard = lru_cache(OPEN_SHARDS)(self._open)

    def read(
        self, rows: Sequence[int], tile: Tile, out: UInt8[np.ndarray, "T C H W"]
    ) -> UInt8[np.ndarray, "T C H W"]:
        """Fill ``out`` with the pixels right and below of ``tile`` in the given rows or ABSENT.

        Raises:
            SceneError: if the window leaves the frames or a shard cannot be read.
        """
        _, height, width = self.layout.frame
        bottom, right = tile.y + out.shape[2], tile.x + out.shape[3]
        if min(tile) < 0 or bottom > height or right > width:
            raise SceneError(
                f"a window of {out.shape[3]} × {out.shape[2]} px at {tuple(tile)} leaves the "
                f"{width} × {height} px of {self.store}"
            )
        for slot, row, count in _runs(rows, self.layout.chunk[0]):
            if row == ABSENT:
                out[slot : slot + count] = MISSING
            else:
                self._copy(row, tile, out[slot : slot + count])
        return out

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a stored frame."""
        return self.layout.frame

    def _copy(self, row: int, tile: Tile, out: UInt8[np.ndarray, "T C H W"]) -> None:
        number, first = divmod(row, self.layout.chunk[0])
        frames = slice(first, first + len(out))
        try:
            shard = self._shard(number)
            for (j, y, to_y), (i, x, to_x) in self._parts(tile, out.shape[2], out.shape[3]):
                chunk = shard.chunk(j, i)
                out[:, :, to_y, to_x] = MISSING if chunk is None else chunk[frames, :, y, x]
        except (OSError, ValueError, IndexError, OverflowError) as error:
            path = shard_path(self.store, number)
            raise SceneError(
                f"{path} cannot be read ({error}); run: medicane-train data check {self.store}"
            ) from error

    def _parts(self, tile: Tile, height: int, width: int) -> Iterator[tuple["_Part", "_Part"]]:
        _, _, chunk_height, chunk_width = self.layout.chunk
        rows = _split(tile.y, height, chunk_height)
        return product(rows, _split(tile.x, width, chunk_width))

    def _open(self, number: int) -> _Shard:
        return _Shard(shard_path(self.store, number), self.layout)


def _sizes(values: Any) -> tuple[int, int, int, int]:
    """Of (T, C, H, W)."""
    time, band, height, width = (operator.index(value) for value in values)
    if min(time, band, height, width) < 1:
        raise ValueError(f"sizes are {values}")
    return time, band, height, width


_Part = tuple[int, slice, slice]
"""Number of a chunk along an axis, what is read of it, and where that goes."""


def _split(start: int, length: int, chunk: int) -> list[_Part]:
    parts = []
    for number in range(start // chunk, (start + length - 1) // chunk + 1):
        first, last = max(start, number * chunk), min(start + length, (number + 1) * chunk)
        inside = slice(first - number * chunk, last - number * chunk)
        parts.append((number, inside, slice(first - start, last - start)))
    return parts


def _runs(rows: Sequence[int], chunk: int) -> list[tuple[int, int, int]]:
    """Slot, row and count of consecutive rows of one shard."""
    runs: list[tuple[int, int, int]] = []
    for slot, row in enumerate(rows):
        if runs and row == runs[-1][1] + runs[-1][2] and row % chunk:
            first, begin, count = runs[-1]
            runs[-1] = (first, begin, count + 1)
        else:
            runs.append((slot, int(row), 1))
    return runs
