"""What every reader returns: frames and where they lie, read when they are needed."""

import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float32, Shaped
from numpy.typing import ArrayLike

from medicane_models.domain import Grid
from medicane_models.errors import MedicaneError, SceneError, SceneWarning

__all__ = [
    "RGB",
    "SCAN_TIMES",
    "UNREADABLE",
    "Axes",
    "CalibrationKind",
    "Cut",
    "Frame",
    "Layout",
    "Pixels",
    "Recording",
    "ScanTimes",
    "TimeConvention",
    "longitude_under",
    "merged",
    "refusing_unreadable",
    "time_in_name",
    "union_grid",
    "union_of",
    "warn_unreadable",
]

RGB = ("R", "G", "B")
SCAN_TIMES = ("scan_time_north", "scan_time_south")
"""Coordinates of a scene along time: when its outer rows were seen."""

MOST_UNION_PIXELS = 1 << 26  # a quarter of a GiB a channel
FINEST_KM, COARSEST_KM = 0.05, 1000.0
METRES_PER_DEGREE = 111_195.0
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,  # of sizes that a damaged file makes up
    OSError,
    RuntimeError,
    struct.error,
    SystemError,  # of text that numpy takes from the disk as it is
    SyntaxError,  # what Pillow raises for a broken PNG chunk
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the file libraries raise for truncated and corrupt files, and for wrong attributes."""

TimeConvention = Literal["start_of_scan", "end_of_scan"]
CalibrationKind = Literal["kelvin", "grey"]
Pixels = Float32[np.ndarray, "layer y x"]


Cut = Callable[[slice, slice], Pixels]
"""Reads rows and columns of a file, in the order of the file."""


@runtime_checkable
class Layout(Protocol):
    """Where the pixels of a file lie: on axes of their own or anywhere."""

    @property
    def grid(self) -> Grid:
        """Columns run eastwards, rows southwards."""
        ...

    def laid(self, window: Grid, read: Cut) -> Pixels:
        """Pixels of a window of the grid; NaN where there are none."""
        ...


class ScanTimes(NamedTuple):
    """When the northernmost and the southernmost row of a grid were seen, UTC; linear between."""

    north: pd.Timestamp
    south: pd.Timestamp

    def of_rows(self, first: int, last: int, height: int) -> "ScanTimes":
        """When two rows of ``height`` were seen, 0 being the northernmost."""
        lasted = self.south - self.north
        return ScanTimes(
            *(self.north + lasted * (row / max(height - 1, 1)) for row in (first, last))
        )


class Frame(NamedTuple):
    """One image of a recording.

    Attributes:
        time: UTC, without a time zone.
        name: the file it comes from, for messages.
        read: pixels of a window of the frame's grid, northernmost row first; kelvin, or 0 … 1 for
            RGB; NaN where missing.
        grid: where the pixels lie, in sectors that move; None for the recording's grid.
        scan: when the outer rows of the recording's grid were seen; None where that is not known.
    """

    time: pd.Timestamp
    name: str
    read: Callable[[Grid], Pixels]
    grid: Grid | None = None
    scan: ScanTimes | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.time:%Y-%m-%d %H:%M} UTC)"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Frames of one instrument on one grid, or each on its own.

    Attributes:
        grid: of the frames that have none of their own; columns run eastwards, rows southwards.
        layers: canonical channel names in the order of the pixels, or R, G, B.
        frames: in the order of the files.
        platform: satellite, or several joined by commas; "unknown" where the files do not say.
        sensor: "seviri", "fci", "abi", "ahi", as the files call another, or "unknown".
        sub_satellite_longitude: in degrees; NaN where the files do not say.
        time_convention: what the frame times mark.
        calibration: "kelvin" if the pixels are what the imager measured; "grey" if they follow
            from the greys of pictures, where two points and a straight line are a guess.
    """

    grid: Grid
    layers: tuple[str, ...]
    frames: tuple[Frame, ...]
    platform: str
    sensor: str
    sub_satellite_longitude: float
    time_convention: TimeConvention
    calibration: CalibrationKind = "kelvin"

    @property
    def is_rgb(self) -> bool:
        """Whether the layers are the Airmass colours and not brightness temperatures."""
        return self.layers == RGB


@dataclass(frozen=True)
class Axes:
    """How the rows and columns of a file lie on a grid that runs eastwards and southwards."""

    grid: Grid
    flip_x: bool
    flip_y: bool

    @classmethod
    def from_coordinates(cls, crs: str, x: ArrayLike, y: ArrayLike) -> Self:
        """Lay out coordinates of a file, each in either direction.

        Raises:
            SceneError: if they are uneven or off the Earth.
        """
        stored = Grid.from_coordinates(crs, x, y)
        if np.isnan(stored.extent).any():
            raise SceneError(f"no pixel lies on Earth (x from {np.min(x):g}, y from {np.min(y):g})")
        _refuse_impossible_steps(stored)
        flip_x, flip_y = stored.x_step < 0, stored.y_step > 0
        grid = replace(
            stored,
            x_origin=stored.x.item(-1 if flip_x else 0),
            y_origin=stored.y.item(-1 if flip_y else 0),
            x_step=abs(stored.x_step),
            y_step=-abs(stored.y_step),
        )
        return cls(grid, flip_x, flip_y)

    def slices(self, window: Grid) -> tuple[slice, slice]:
        """Rows and columns of the file that hold ``window``, in the order of the file.

        Raises:
            SceneError: if the window is not part of the file's lattice and extent.
        """
        offset = window.offset_in(self.grid)
        if offset is None or not _holds(self.grid, window, offset):
            raise SceneError(
                f"a file lies on another grid ({self.grid}) than the rest of the scene ({window}); "
                "open the files of each satellite and region separately"
            )
        rows = _slice(offset[1], window.height, self.grid.height, flip=self.flip_y)
        return rows, _slice(offset[0], window.width, self.grid.width, flip=self.flip_x)

    def laid(self, window: Grid, read: Cut) -> Pixels:
        """Pixels of a window of the grid."""
        return self.orient(read(*self.slices(window)))

    def orient(
        self, pixels: Shaped[np.ndarray, "*leading y x"]
    ) -> Shaped[np.ndarray, "*leading y x"]:
        """Turn pixels of the file so that they run eastwards and southwards."""
        return pixels[..., :: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


def merged(recordings: Sequence[Recording]) -> Recording:
    """Join recordings of one instrument, such as the files of several years.

    Frames of those that lie elsewhere than the first, as sectors that follow a storm, keep their
    own grids.

    Raises:
        SceneError: if their sensors, channels or projections differ.
    """
    recordings = [recording for recording in recordings if recording.frames] or recordings[:1]
    first = recordings[0]
    for other in recordings[1:]:
        _require_alike(first, other)
    platforms = sorted({recording.platform for recording in recordings})
    moves = any(not _on_same_pixels(other.grid, first.grid) for other in recordings)
    frames = chain.from_iterable(_placed(other) if moves else other.frames for other in recordings)
    return replace(first, platform=", ".join(platforms), frames=tuple(frames))


def union_grid(recording: Recording, frames: Sequence[Frame]) -> Grid:
    """The grid on the lattice of the first of these frames that holds them all.

    Raises:
        SceneError: if it would be larger than a frame in memory should be.
    """
    lattice = frames[0].grid or recording.grid
    grids = {frame.grid or recording.grid for frame in frames}
    if grids == {lattice}:
        return lattice
    union = union_of(lattice, grids)
    if union.width * union.height > MOST_UNION_PIXELS:
        raise SceneError(
            f"frames from {frames[0]} to {frames[-1]} move over {union.width:,} × "
            f"{union.height:,} pixels, more than fit into memory; give a part of it by "
            "--domain WEST,SOUTH,EAST,NORTH"
        )
    return union


def union_of(lattice: Grid, grids: Iterable[Grid]) -> Grid:
    """The grid on a lattice that holds other grids."""
    windows = [lattice.covering(grid) for grid in grids]
    corners = [(_offset(window, lattice), (window.width, window.height)) for window in windows]
    left, top = (min(offset[axis] for offset, _ in corners) for axis in (0, 1))
    right, bottom = (max(offset[axis] + size[axis] for offset, size in corners) for axis in (0, 1))
    return lattice.window(left, top, right - left, bottom - top)


def _offset(window: Grid, lattice: Grid) -> tuple[int, int]:
    """Column and row of a window that was cut out of a lattice."""
    x = (window.x_origin - lattice.x_origin) / lattice.x_step
    return round(x), round((window.y_origin - lattice.y_origin) / lattice.y_step)


def _placed(recording: Recording) -> Iterator[Frame]:
    return (frame._replace(grid=frame.grid or recording.grid) for frame in recording.frames)


def longitude_under(grid: Grid) -> float:
    """Where the satellite of a grid stands, in degrees; NaN if the grid does not tell."""
    longitude = grid.sub_satellite_longitude
    return float("nan") if longitude is None else longitude


def time_in_name(name: str) -> pd.Timestamp | None:
    """The YYYYMMDDHHMM that a file name holds, also with _ or - between date and time."""
    match = re.search(r"(?<!\d)(\d{8})[_-]?(\d{4})", name)
    if match is None:
        return None
    time = pd.to_datetime("".join(match.groups()), format="%Y%m%d%H%M", errors="coerce")
    return None if pd.isna(time) else time


@contextmanager
def refusing_unreadable(name: str) -> Iterator[None]:
    """Let what the file libraries raise about a file be one sentence.

    Raises:
        SceneError: naming the file.
    """
    try:
        yield
    except MedicaneError:
        raise
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SceneError(
            f"{name} cannot be read ({reason}); copy it again, or leave it out"
        ) from error


def warn_unreadable(name: str, error: BaseException) -> None:
    """Say that a file is left out, with its time where its name tells it."""
    time = time_in_name(name)
    slot = f" ({time:%Y-%m-%d %H:%M} UTC)" if time is not None else ""
    reason = str(error) or type(error).__name__
    warnings.warn(
        f"{name}{slot} cannot be read and its frame is missing: {reason}",
        SceneWarning,
        stacklevel=3,
    )


def _refuse_impossible_steps(grid: Grid) -> None:
    """Coordinates in other units than they are marked with make pixels of metres or continents."""
    metres = METRES_PER_DEGREE if grid.is_geographic else 1.0
    for axis, step in (("x", grid.x_step), ("y", grid.y_step)):
        size_km = abs(step) * metres / 1000
        if not FINEST_KM <= size_km <= COARSEST_KM:
            raise SceneError(
                f"coordinate {axis} has steps of {size_km:.3g} km, which no imager has "
                f"({FINEST_KM:g} … {COARSEST_KM:g} km); correct its units"
            )


def _holds(grid: Grid, window: Grid, offset: tuple[int, int]) -> bool:
    x, y = offset
    return min(x, y) >= 0 and x + window.width <= grid.width and y + window.height <= grid.height


def _slice(start: int, length: int, size: int, *, flip: bool) -> slice:
    return slice(size - start - length, size - start) if flip else slice(start, start + length)


def _require_alike(first: Recording, other: Recording) -> None:
    facts: list[tuple[str, Any, Any]] = [
        ("sensors", first.sensor, other.sensor),
        ("channels", first.layers, other.layers),
        ("calibrations", first.calibration, other.calibration),
        ("time conventions", first.time_convention, other.time_convention),
        (
            "sub-satellite longitudes",
            f"{first.sub_satellite_longitude:g}",
            f"{other.sub_satellite_longitude:g}",
        ),
    ]
    for what, one, two in facts:
        if one != two:
            raise SceneError(
                f"{first.frames[0].name} and {other.frames[0].name} have different {what} "
                f"({one} and {two}); open the files of each satellite and region separately"
            )


def _on_same_pixels(grid: Grid, other: Grid) -> bool:
    is_same_size = (grid.width, grid.height) == (other.width, other.height)
    return is_same_size and grid.offset_in(other) == (0, 0)
