"""Local planes that cover what a scene shows.

A plane's inner part is what lies further than half the overlap from its border. Inner parts cover
the extent, but for a rim of half the overlap; what lies in one lies well inside that plane.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medicane_models.domain import EARTH_RADIUS_KM, Grid, local_plane
from medicane_models.domain.azimuthal import from_azimuthal, to_azimuthal
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.plane_sampling import is_within_limb

__all__ = ["planes_covering", "unjudged_share"]

MESH = 513  # points along a side at which the extent is looked at
ASKED_MESH = 65  # points along a side at which what is asked for is
PLANE_MESH = 15  # points along a side at which a plane is
MESH_SHARE = 0.9  # of a share that so few points may miss
MORE_ROWS = 3  # numbers of rows that are tried: lower rows may hold fewer planes in all
BAND_MESH = 9
HALVINGS = 30
NARROWEST = 1e-3  # degrees of longitude that a plane is worth having for


def unjudged_share(
    asked: Grid,
    grid: Grid,
    *,
    sub_satellite_longitude: float | None = None,
    latitude_limit: float | None = None,
) -> float:
    """Share of the ground that a grid asks for and another's planes do not cover, 0 … 1.

    Args:
        asked: in any projection.
        grid: of a scene, as are the limits of :func:`planes_covering`.
        sub_satellite_longitude: degrees; default is that of the grid if it is geostationary.
        latitude_limit: degrees from the equator.
    """
    sides = (np.linspace(0, size - 1, ASKED_MESH) for size in (asked.width, asked.height))
    x, y = np.meshgrid(*sides)
    lon, lat = asked.pixel_to_lonlat(x, y)
    judged = grid.contains(*grid.lonlat_to_pixel(lon, lat))
    judged &= is_within_limb(grid, lon, lat, sub_satellite_longitude)
    if latitude_limit is not None:
        judged &= abs(lat) <= latitude_limit
    ground = np.prod(asked.pixel_size_km(x, y), axis=0)
    whole = np.nansum(ground)  # 0 of a box that shrinks to a point, as at a pole
    return float(np.nansum(ground[~judged]) / whole) if whole else float(not judged.all())


def planes_covering(
    grid: Grid,
    *,
    size: int,
    km: float,
    overlap: float = 0.5,
    sub_satellite_longitude: float | None = None,
    latitude_limit: float | None = None,
) -> tuple[Grid, ...]:
    """Spread the fewest planes of ``size``² pixels of ``km`` over what a grid shows.

    They stand in rows from south to north, evenly in latitude, and in a row from west to east,
    evenly in longitude. An extent smaller than a plane gets one in its middle. Where a satellite
    stands, what it sees beyond LIMB_ZENITH is no part of the extent, and a plane of which too
    little is seen is left out.

    Args:
        grid: of a scene, in any projection.
        size: rows and columns of a plane.
        km: its pixels.
        overlap: of neighbouring planes at least, as a share of a side; below 1.
        sub_satellite_longitude: degrees; default is that of the grid if it is geostationary.
        latitude_limit: degrees from the equator, beyond which nothing is to be covered.

    Raises:
        ConfigurationError: if overlap is not 0 … 1, or there are no such planes.
        SceneError: if nothing of the grid is seen, or nothing within the limit.
    """
    if not 0 <= overlap < 1:
        raise ConfigurationError(f"planes overlap by {overlap}; give a share from 0, below 1")
    lon, lat = _shown(grid, sub_satellite_longitude)
    if lon.size == 0:
        raise SceneError(f"nothing of the scene ({grid}) is seen from its satellite")
    if latitude_limit is not None:
        within = abs(lat) <= latitude_limit
        if not within.any():
            raise SceneError(
                f"nothing of the scene ({grid}) lies within {latitude_limit:g}° of the equator, "
                "where the model looks for cyclones; raise latitude_limit in its "
                "preprocessor_config.json"
            )
        lon, lat = lon[within], lat[within]
    half_side = np.degrees(size * km / 2 / EARTH_RADIUS_KM)
    extent = PlaneExtent(lon=lon, lat=lat, reach=(1 - overlap) * half_side, rim=overlap * half_side)
    planes = [local_plane(*centre, size=size, km=km) for centre in extent.centres()]
    share = _seen_shares(grid, planes, sub_satellite_longitude)
    # Around a point outside the rim a disk is seen, this large a share of the plane it lies in.
    enough = MESH_SHARE * np.pi / 4 * overlap**2 * share.max()
    return tuple(plane for plane, seen in zip(planes, share, strict=True) if seen >= enough)


class Row(NamedTuple):
    """Planes of one latitude, each responsible for as many degrees of longitude.

    Attributes:
        lat: of their centres.
        west: where the first is responsible from.
        spacing: from each to the next.
        planes: how many they are.
    """

    lat: float
    west: float
    spacing: float
    planes: int

    def centres(self) -> Iterator[tuple[float, float]]:
        """Longitudes and latitudes of the centres."""
        for index in range(self.planes):
            yield self.west + (index + 0.5) * self.spacing, self.lat


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaneExtent:
    """What planes are to cover.

    Attributes:
        lon: of a mesh of points, in degrees.
        lat: likewise.
        reach: from a plane's centre to the border of its inner part, in degrees of a great circle.
        rim: from there to the plane's border.
    """

    lon: NDArray[np.floating]
    lat: NDArray[np.floating]
    reach: float
    rim: float

    def centres(self) -> list[tuple[float, float]]:
        """Longitudes and latitudes of the planes' centres."""
        if (middle := self._middle_of_one()) is not None:
            return [middle]
        south, north = self._between_rims()
        fewest = max(math.ceil((north - south) / (2 * self.reach) - 1e-9), 1)
        layouts = (
            [self._row(*band) for band in pairwise(np.linspace(south, north, count + 1))]
            for count in range(fewest, fewest + MORE_ROWS)
        )
        rows = min(layouts, key=lambda rows: sum(row.planes for row in rows))
        return [centre for row in rows for centre in row.centres()]

    def _middle_of_one(self) -> tuple[float, float] | None:
        """The middle of an extent that a single plane holds."""
        anywhere = self.lon[self.lon.size // 2], self.lat[self.lat.size // 2]
        x, y = to_azimuthal(anywhere, self.lon, self.lat)
        middle = from_azimuthal(anywhere, (x.min() + x.max()) / 2, (y.min() + y.max()) / 2)
        lon, lat = (float(v) for v in middle)
        inside = _is_within(self.reach + self.rim, (lon, lat), self.lon, self.lat)
        return (lon, lat) if inside else None

    def _between_rims(self) -> tuple[float, float]:
        """Southernmost and northernmost latitude that inner parts must reach."""
        south, north = self.lat.min(), self.lat.max()
        first = -90.0 if south - self.rim <= -90 else south + self.rim
        last = 90.0 if north + self.rim >= 90 else north - self.rim
        return (first, last) if first < last else ((south + north) / 2,) * 2

    def _row(self, south: float, north: float) -> Row:
        """The fewest planes for a band, in its middle or further poleward, where it is narrower."""
        west, width = self._longitudes(south, north)
        middle = poleward = (south + north) / 2
        if south >= 0:
            poleward = min(south + self.reach, 90.0)
        elif north <= 0:
            poleward = max(north - self.reach, -90.0)
        rows = []
        for lat in (middle, poleward):
            span = _span(lat, south, north, self.reach)
            count = max(math.ceil(width / max(span, NARROWEST) - 1e-9), 1) if width >= 0 else 0
            rows.append(Row(lat, west, width / max(count, 1), count))
        return min(rows, key=lambda row: row.planes)

    def _longitudes(self, south: float, north: float) -> tuple[float, float]:
        """West and width of what inner parts must reach in a band; a width below 0 is nothing."""
        within = (self.lat >= south) & (self.lat <= north) if south < north else slice(None)
        lon = np.unique(self.lon[within])
        if lon.size == 0:
            return 0.0, -1.0
        gaps = np.diff(lon, append=lon[0] + 360)
        widest = int(gaps.argmax())
        west, width = float(lon[(widest + 1) % lon.size]), 360 - float(gaps[widest])
        narrowing = np.cos(np.radians(0 if south < 0 < north else min(abs(south), abs(north))))
        if gaps[widest] * narrowing <= self.reach:
            return west, 360.0
        rim = self.rim / narrowing
        return (west + rim, width - 2 * rim) if width > 2 * rim else (west + width / 2, 0.0)


def _span(lat: float, south: float, north: float, reach: float) -> float:
    """Degrees of longitude, of a band, within the inner part of a plane at a latitude."""
    band = np.linspace(south, north, BAND_MESH)
    inside, outside = 0.0, 180.0
    if _is_within(reach, (0, lat), outside, band):
        return 360.0
    if not _is_within(reach, (0, lat), inside, band):
        return 0.0
    for _ in range(HALVINGS):
        between = (inside + outside) / 2
        if _is_within(reach, (0, lat), between, band):
            inside = between
        else:
            outside = between
    return 2 * inside


def _is_within(reach: float, centre: tuple[float, float], lon: ArrayLike, lat: ArrayLike) -> bool:
    """Whether all points lie in a square around a centre, half of whose side is ``reach``."""
    limit = np.radians(reach) * EARTH_RADIUS_KM * 1000 * (1 + 1e-9)
    return all((abs(distance) <= limit).all() for distance in to_azimuthal(centre, lon, lat))


def _shown(
    grid: Grid, sub_satellite_longitude: float | None
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Longitudes and latitudes of a mesh over all that a grid shows and its satellite sees."""
    x = np.linspace(-0.5, grid.width - 0.5, min(MESH, grid.width + 1))
    y = np.linspace(-0.5, grid.height - 0.5, min(MESH, grid.height + 1))
    lon, lat = (np.ravel(v) for v in grid.pixel_to_lonlat(*np.meshgrid(x, y)))
    seen = np.isfinite(lon) & np.isfinite(lat)
    seen &= is_within_limb(grid, lon, lat, sub_satellite_longitude)
    return lon[seen], lat[seen]


def _seen_shares(
    grid: Grid, planes: Sequence[Grid], sub_satellite_longitude: float | None
) -> NDArray[np.floating]:
    """Share of each plane that is seen, by a mesh over it."""
    pixels = np.linspace(0, planes[0].width - 1, PLANE_MESH)
    meshes = [plane.pixel_to_lonlat(*np.meshgrid(pixels, pixels)) for plane in planes]
    lon, lat = np.stack(meshes, axis=1)
    shown = grid.contains(*grid.lonlat_to_pixel(lon, lat))
    seen = shown & is_within_limb(grid, lon, lat, sub_satellite_longitude)
    return seen.mean(axis=(1, 2))
