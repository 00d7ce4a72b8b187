"""Pixels at longitudes and latitudes of their own: laid onto an equidistant plane around them."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial import KDTree

from medicane_models.domain import Grid, lonlat_of, unit_vectors
from medicane_models.domain.distances import EARTH_RADIUS_KM
from medicane_models.domain.projections import from_lonlat
from medicane_models.errors import MedicaneError, SceneError
from medicane_models.scenes.readers.mapping import LONLAT
from medicane_models.scenes.readers.recording import Axes, Cut, Layout
from medicane_models.scenes.resampling import bilinear_weights

__all__ = ["Swath", "layout_of_places"]

WIDEST_KM = 11_000.0  # from the middle; an equidistant plane of more shows the far side
FAR_PIXELS = 1.0  # a point farther than this from every pixel is not seen

Places = Float[np.ndarray, "row column"]


def layout_of_places(lon: Places, lat: Places, name: str) -> Layout:
    """Axes if the pixels lie on a regular longitude/latitude grid after all, else a swath.

    Args:
        lon: longitude of each pixel in degrees, NaN or out of range off the Earth.
        lat: latitude of each pixel.
        name: of the file, for messages.

    Raises:
        SceneError: if they make no grid, or reach around the Earth.
    """
    is_seen = (np.abs(lon) <= 360) & (np.abs(lat) <= 90)
    lon, lat = np.where(is_seen, lon, np.nan), np.where(is_seen, lat, np.nan)
    try:
        if (lon == lon[:1]).all() and (lat == lat[:, :1]).all():
            return Axes.from_coordinates(LONLAT, lon[0], lat[:, 0])
        return _swath(_Pair(lon, lat))
    except MedicaneError as error:
        raise SceneError(f"{name}: {error}") from error


class _Pair:
    """Longitudes and latitudes that compare by their content: files of a fixed view share them."""

    def __init__(self, lon: Places, lat: Places) -> None:
        self.lon, self.lat = lon, lat
        digests = (blake2b(values.tobytes()).digest() for values in (lon, lat))
        self._key = (lon.shape, *digests)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Pair) and self._key == other._key


@lru_cache(maxsize=2)
def _swath(pair: _Pair) -> "Swath":
    return Swath.from_lonlat(pair.lon, pair.lat)


@dataclass(frozen=True, eq=False)
class Swath:
    """Pixels in rows and columns whose places on a plane are known.

    Attributes:
        grid: square pixels of the swath's own median size on the plane.
        x: metres eastwards of the swath's middle, a pixel; NaN off the Earth.
        y: metres northwards.
    """

    grid: Grid
    x: Float32[np.ndarray, "row column"]
    y: Float32[np.ndarray, "row column"]

    @classmethod
    def from_lonlat(cls, lon: Places, lat: Places) -> "Swath":
        """Choose a plane around the pixels, and the size of its own pixels.

        Raises:
            SceneError: if fewer than 2 × 2 pixels are seen, or they reach around the Earth.
        """
        crs = _plane_around(lon, lat)
        x, y = np.asarray(from_lonlat(crs, lon, lat))
        if not np.nanmax(np.hypot(x, y), initial=0) <= WIDEST_KM * 1000:
            raise SceneError(
                f"pixels reach more than {WIDEST_KM:g} km around their middle; cut a part out"
            )
        return cls(_covering(crs, x, y), x.astype(np.float32), y.astype(np.float32))

    def laid(self, window: Grid, read: Cut) -> Float32[np.ndarray, "layer y x"]:
        """Bilinear between the four pixels around each point; NaN where one is missing."""
        rows, columns, weights = _weights(self, window)
        layers = read(rows, columns)
        flat = layers.reshape(len(layers), -1)
        placed = np.stack([weights @ layer for layer in flat])
        placed[:, np.diff(weights.indptr) == 0] = np.nan
        return placed.reshape(len(layers), window.height, window.width).astype(np.float32)

    def positions(self, window: Grid) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Column and row of the swath at each pixel of a window, NaN where nothing was seen.

        From the nearest pixel on by the inverse of the local Jacobian (metres a column and a row).
        """
        x, y = self.x.astype(np.float64), self.y.astype(np.float64)
        points = np.stack(np.meshgrid(window.x, window.y), axis=-1).reshape(-1, 2)
        seen = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        _, nearest = KDTree(np.stack([x.ravel(), y.ravel()], axis=-1)[seen]).query(points)
        row, column = np.divmod(seen[nearest], x.shape[1])
        apart = points - np.stack([x[row, column], y[row, column]], axis=-1)
        steps = np.einsum("nij,nj->ni", _per_metre(x, y)[row, column], apart)
        column, row = column + steps[:, 0], row + steps[:, 1]
        height, width = x.shape
        is_seen = (np.abs(steps) <= FAR_PIXELS).all(axis=1)
        is_seen &= (np.abs(column - (width - 1) / 2) <= width / 2) & (
            np.abs(row - (height - 1) / 2) <= height / 2
        )
        column, row = column.round(6).clip(0, width - 1), row.round(6).clip(0, height - 1)
        return np.where(is_seen, column, np.nan), np.where(is_seen, row, np.nan)


class Sampling(NamedTuple):
    """Rows and columns to read, and the share of each of their pixels in those of a window."""

    rows: slice
    columns: slice
    weights: Any


@lru_cache(maxsize=2)  # of the last files only: each of a moving view has its own
def _weights(swath: Swath, window: Grid) -> Sampling:
    column, row = swath.positions(window)
    rows, columns = _bounds(row), _bounds(column)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return Sampling(
        rows, columns, bilinear_weights(column - columns.start, row - rows.start, width, height)
    )


def _per_metre(x: Places, y: Places) -> Float[np.ndarray, "row column 2 2"]:
    """Columns and rows that a metre eastwards and northwards leads; NaN where folded."""
    jacobian = _jacobian(x, y)
    is_folded = ~(_areas(jacobian) > 0)
    jacobian[is_folded] = np.eye(2)
    inverse = np.linalg.inv(jacobian)
    inverse[is_folded] = np.nan
    return inverse


def _plane_around(lon: Places, lat: Places) -> str:
    """The azimuthal equidistant projection around the mean place."""
    vectors = unit_vectors(*(values[np.isfinite(lon)] for values in (lon, lat)))
    mean = vectors.mean(axis=0) if len(vectors) else np.full(3, np.nan)
    if not np.linalg.norm(mean) > 0.1:
        raise SceneError("pixels reach around the Earth, or none lies on it; cut a part out")
    lon_0, lat_0 = lonlat_of(mean)
    return f"+proj=aeqd +lat_0={lat_0:.4f} +lon_0={lon_0:.4f} +R={EARTH_RADIUS_KM * 1000} +units=m"


def _covering(crs: str, x: Places, y: Places) -> Grid:
    """Square pixels as large as the median one, north up, over all places."""
    if min(x.shape) < 2:
        raise SceneError(f"{x.shape[0]} × {x.shape[1]} pixels are no picture; give at least 2 × 2")
    areas = _areas(_jacobian(x, y))
    areas = areas[areas > 0]
    if not areas.size:
        raise SceneError("the longitudes and latitudes of pixels span no area; correct them")
    step = float(f"{np.sqrt(np.median(areas)):.4g}")
    west, north = np.nanmin(x), np.nanmax(y)
    return Grid(
        crs=crs,
        width=int(np.ceil((np.nanmax(x) - west) / step)) + 1,
        height=int(np.ceil((north - np.nanmin(y)) / step)) + 1,
        x_origin=float(west),
        y_origin=float(north),
        x_step=step,
        y_step=-step,
    )


def _jacobian(x: Places, y: Places) -> Float[np.ndarray, "row column 2 2"]:
    """Metres east and north (rows) that a column and a row (columns) lead."""
    (x_row, x_column), (y_row, y_column) = np.gradient(x), np.gradient(y)
    return np.stack([x_column, x_row, y_column, y_row], axis=-1).reshape(*x.shape, 2, 2)


def _areas(jacobian: Float[np.ndarray, "row column 2 2"]) -> Places:
    """Square metres of the pixels; NaN off the Earth."""
    (east_x, east_y), (north_x, north_y) = np.moveaxis(jacobian, (-2, -1), (0, 1))
    return np.abs(east_x * north_y - east_y * north_x)


def _bounds(positions: Float[np.ndarray, " n"]) -> slice:
    """The whole pixels around positions; the first one if there are none."""
    if not np.isfinite(positions).any():
        return slice(0, 1)
    return slice(int(np.nanmin(positions)), int(np.ceil(np.nanmax(positions))) + 1)
