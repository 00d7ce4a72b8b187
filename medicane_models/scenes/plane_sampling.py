"""From the frames of a scene to local planes: averaged where they are finer, else bilinear.

The value of a plane's pixel is the mean over a box in the source, at least one source pixel wide
and high: the mean over a box of just that size is bilinear interpolation, that over a larger one
the average of the area. Summed-area tables (Crow 1984) give means over boxes of any size alike.

Letters: C channels, P planes, S rows and columns of a plane, N = S² pixels of it.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from jaxtyping import Bool, Complex128, Float, Float16, Float32, Int
from numpy.typing import ArrayLike, NDArray

from medicane_models.domain import Grid, nearest_turn, satellite_zenith
from medicane_models.errors import ConfigurationError, SceneError

__all__ = ["LIMB_ZENITH", "PlaneSampler", "is_within_limb"]

LIMB_ZENITH = 75.0  # degrees from the vertical, beyond which a satellite sees too slantwise
SEEN = 0.5  # share of a pixel's area from which on it is not missing
SHEAR = 0.25  # correlation of x and y in a slanting footprint that a box may ignore
NOWHERE = -np.inf  # where the boxes of pixels lie that the source does not show


def is_within_limb(
    grid: Grid, lon: ArrayLike, lat: ArrayLike, sub_satellite_longitude: float | None = None
) -> NDArray[np.bool_]:
    """Whether a grid's satellite sees points in degrees no more slantwise than LIMB_ZENITH.

    True anywhere if neither the grid nor the argument tells where the satellite stands.
    """
    longitude = grid.sub_satellite_longitude
    if sub_satellite_longitude is not None:
        longitude = sub_satellite_longitude
    if longitude is None:
        return np.ones(np.shape(lon), dtype=bool)
    return np.asarray(satellite_zenith(lon, lat, longitude) <= LIMB_ZENITH)


@dataclass(frozen=True, kw_only=True, eq=False)
class Footprints:
    """Where the pixels of one plane lie in the source.

    Attributes:
        rows: of the source, all that the plane needs.
        columns: likewise; one that the source lacks, as across a gap of longitudes, is -1.
        centre: x and y from the outer corner of that window, in source pixels.
        steps: how far (x, y) one column and one row of the plane lead.
        parts: into how many boxes a side of a pixel is cut, so that they follow a slant.
    """

    rows: slice
    columns: Int[np.ndarray, " columns"]
    centre: Float32[np.ndarray, "2 N"]
    steps: Float16[np.ndarray, "2 2 N"]
    parts: int


class PlaneSampler:
    """Samples frames of one grid onto planes.

    Setting up takes some milliseconds a plane; memory is 16 bytes a pixel of the planes, and does
    not grow with frames.
    """

    def __init__(
        self,
        source: Grid,
        planes: Sequence[Grid],
        *,
        sub_satellite_longitude: float | None = None,
        threads: int = 1,
    ) -> None:
        """Find where the planes lie in the source.

        Args:
            source: the grid of the frames.
            planes: grids of one size, as of :func:`planes_covering` or :func:`local_plane`.
            sub_satellite_longitude: degrees; default is that of the source if it is geostationary.
                Pixels beyond LIMB_ZENITH are missing.
            threads: planes that are sampled at once.

        Raises:
            ConfigurationError: if the planes are none or of several sizes.
        """
        if len({(plane.width, plane.height) for plane in planes}) != 1:
            raise ConfigurationError("planes to sample are none or of several sizes; give one size")
        self.source = source
        self.planes = tuple(planes)
        self.threads = threads
        with ThreadPoolExecutor(threads) as pool:
            found = pool.map(lambda p: _footprints(source, p, sub_satellite_longitude), planes)
            self._footprints = tuple(found)

    def __call__(
        self, frame: Sequence[Float[np.ndarray, "y x"]] | Float[np.ndarray, "C y x"]
    ) -> Float32[np.ndarray, "P C S S"]:
        """Sample the channels of one frame; NaN where less than half of a pixel's area was seen.

        Raises:
            SceneError: if the frame is not of the source's shape.
        """
        for layer in frame:
            if layer.shape != (self.source.height, self.source.width):
                raise SceneError(
                    f"a frame of {layer.shape} pixels is not of the grid {self.source}; sample "
                    "frames of the scene whose grid the planes were placed in"
                )
        plane = self.planes[0]
        sampled = np.empty(
            (len(self.planes), len(frame), plane.height, plane.width), dtype=np.float32
        )

        def sample(index: int) -> None:
            for layer, target in zip(frame, sampled[index], strict=True):
                target[:] = _sampled(layer, self._footprints[index]).reshape(target.shape)

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(sample, range(len(self.planes))))
        return sampled


def _footprints(source: Grid, plane: Grid, sub_satellite_longitude: float | None) -> Footprints:
    pixels = np.meshgrid(np.arange(plane.width), np.arange(plane.height))
    lon, lat = (np.ravel(v) for v in plane.pixel_to_lonlat(*pixels))
    centre, steps = _placed(source, plane)
    seen = np.isfinite(steps).all(axis=(0, 1))
    seen &= is_within_limb(source, lon, lat, sub_satellite_longitude)
    centre, steps = np.where(seen, centre, NOWHERE), np.where(seen, steps, 0)
    rows, columns = _window(source, centre[:, seen], _box(steps[..., seen]))
    corner = np.array([[columns.start], [rows.start]])
    return Footprints(
        rows=rows,
        columns=_columns(source, columns),
        centre=(centre - corner).astype(np.float32),
        steps=steps.astype(np.float16),
        parts=_parts(steps),
    )


def _placed(
    source: Grid, plane: Grid
) -> tuple[Float[np.ndarray, "2 N"], Float[np.ndarray, "2 2 N"]]:
    """Where the pixels of a plane lie, from the outer corner of the source, and their steps.

    By the pixels' corners, whose differences are as long as the pixels are.
    """
    x, y = np.meshgrid(np.arange(plane.width + 1) - 0.5, np.arange(plane.height + 1) - 0.5)
    corners = np.stack(source.lonlat_to_pixel(*plane.pixel_to_lonlat(x, y)))  # 2 S+1 S+1
    right = _unwrapped(source, np.diff(corners, axis=2))
    down = _unwrapped(source, np.diff(corners, axis=1))
    steps = np.stack([right[:, :-1] + right[:, 1:], down[..., :-1] + down[..., 1:]], axis=1) / 2
    centre = corners[:, :-1, :-1] + right[:, :-1] / 2 + steps[:, 1] / 2  # 2 S S
    return _side_by_side(source, centre.reshape(2, -1)) + 0.5, steps.reshape(2, 2, -1)


def _unwrapped(source: Grid, distance: np.ndarray) -> np.ndarray:
    """Distances in pixels, x first, of which those in longitude go the short way round."""
    if not source.is_geographic:
        return distance
    x = nearest_turn(distance[0] * source.x_step) / source.x_step
    return np.stack([x, distance[1]])


def _side_by_side(source: Grid, centre: Float[np.ndarray, "2 N"]) -> Float[np.ndarray, "2 N"]:
    """Places that run on beyond the last column, as if a turn were a whole number of columns."""
    if not source.is_geographic:
        return centre
    middle = centre[:, centre.shape[1] // 2, None]
    x, y = middle + _unwrapped(source, centre - middle)
    turn = 360 / abs(source.x_step)
    return np.stack([x + np.floor((x + 0.5) / turn) * (round(turn) - turn), y])


def _window(
    source: Grid, centre: Float[np.ndarray, "2 seen"], box: Float[np.ndarray, "2 seen"]
) -> tuple[slice, slice]:
    """Rows and columns that boxes touch, at least one; columns may run on beyond a turn."""
    if centre.size == 0:
        return slice(0, 1), slice(0, 1)
    left, top = (float(v) for v in np.floor((centre - box / 2).min(axis=1)))
    right, bottom = (float(v) for v in np.ceil((centre + box / 2).max(axis=1)))
    rows = _part(top, bottom, source.height)
    if source.is_geographic:
        return rows, slice(int(left), int(right))
    return rows, _part(left, right, source.width)


def _part(first: float, last: float, length: int) -> slice:
    """What of an axis lies between two places; at least one pixel."""
    start = int(np.clip(first, 0, length - 1))
    return slice(start, int(np.clip(last, start + 1, length)))


def _columns(source: Grid, columns: slice) -> Int[np.ndarray, " columns"]:
    """Columns of the source, -1 where it has none."""
    indices = np.arange(columns.start, columns.stop)
    if source.is_geographic:
        indices %= round(360 / abs(source.x_step))
    return np.where(indices < source.width, indices, -1)


def _parts(steps: Float[np.ndarray, "2 2 N"]) -> int:
    """Into how many boxes a side is cut: each as large as the slant of its footprint allows."""
    shear = abs((steps[0] * steps[1]).sum(axis=0)) / _box(steps).prod(axis=0)
    return max(math.ceil(np.sqrt(shear.max() / SHEAR)), 1)


def _box(steps: Float[np.ndarray, "2 2 n"], parts: int = 1) -> Float[np.ndarray, "2 n"]:
    """Width and height of boxes that spread as far along x and y as pixels, or as their parts."""
    return np.maximum(np.sqrt((steps**2).sum(axis=1)) / parts, 1)


def _sampled(layer: Float[np.ndarray, "y x"], places: Footprints) -> Float[np.ndarray, " N"]:
    table = _summed(layer[places.rows].take(places.columns, axis=1), places.columns >= 0)
    steps = places.steps.astype(np.float32)
    box = _box(steps, places.parts)
    middles = (np.arange(places.parts) + 0.5) / places.parts - 0.5
    total = sum(
        _integral(table, places.centre + steps[:, 0] * right + steps[:, 1] * down, box)
        for right, down in product(middles, middles)
    )
    values, seen = np.real(total), np.imag(total)
    enough = seen >= SEEN * places.parts**2 * box.prod(axis=0)
    return np.divide(values, seen, out=np.full(enough.shape, np.nan), where=enough)


def _summed(
    window: Float[np.ndarray, "y x"], shown: Bool[np.ndarray, " x"]
) -> Complex128[np.ndarray, "y+1 x+1"]:
    """Sums of all above and to the left: of values, and as imaginary part of how many are seen."""
    seen = np.isfinite(window) & shown
    table = np.zeros((window.shape[0] + 1, window.shape[1] + 1), dtype=complex)
    table[1:, 1:] = np.where(seen, window, 0) + 1j * seen
    np.cumsum(table, axis=1, out=table)
    for above, row in pairwise(table):
        row += above
    return table


def _integral(
    table: Complex128[np.ndarray, "y x"],
    centre: Float[np.ndarray, "2 N"],
    box: Float[np.ndarray, "2 N"],
) -> Complex128[np.ndarray, " N"]:
    """Sums over boxes, of which pixels at the edges count by the share that is inside."""
    last = np.array(table.shape[::-1])[:, None] - 1
    left, top = np.clip(centre - box / 2, 0, last)
    right, bottom = np.clip(centre + box / 2, 0, last)
    return (
        _interpolated(table, right, bottom)
        - _interpolated(table, left, bottom)
        - _interpolated(table, right, top)
        + _interpolated(table, left, top)
    )


def _interpolated(
    table: Complex128[np.ndarray, "y x"],
    x: Float[np.ndarray, " N"],
    y: Float[np.ndarray, " N"],
) -> Complex128[np.ndarray, " N"]:
    rows, columns = table.shape
    column = np.minimum(x.astype(np.intp), columns - 2)
    row = np.minimum(y.astype(np.intp), rows - 2)
    flat, first = table.ravel(), row * columns + column
    across, down = x - column, y - row
    upper, lower = (
        (1 - across) * flat.take(start) + across * flat.take(start + 1)
        for start in (first, first + columns)
    )
    return (1 - down) * upper + down * lower
