"""Where a pixel is on Earth: grids in map projections, tiles, distances.

One pixel convention everywhere: a pixel is ``(x, y)`` = (column, row), both floats, whole numbers
at pixel centres, ``(0, 0)`` the north-western pixel; a grid spans ``-0.5 … width - 0.5``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyproj
from numpy.typing import ArrayLike, NDArray

from medicane_models.domain.boxes import degrees_of_box
from medicane_models.domain.distances import EARTH_RADIUS_KM, Array
from medicane_models.domain.projections import (
    check_projection,
    crs_text,
    from_lonlat,
    geostationary_crs,
    is_geographic,
    nearest_turn,
    projection_of,
    same_crs,
    sub_satellite_longitude,
    to_lonlat,
)
from medicane_models.domain.spacing import even_spacing, unwrapped
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.fields import Count, Range, check_fields, from_mapping

__all__ = ["MEDITERRANEAN", "GivenDomain", "Grid", "Tile", "box_grid", "named_domain", "parse_box"]

SEVIRI_STEP_M = 3000.403165817  # distance of SEVIRI infrared samples at the sub-satellite point
SEVIRI_FULL_DISK_PIXELS = 3712
OUTLINE_SAMPLES = 65
MOST_PIXELS = 1 << 30  # twice a full disk of AHI at 500 m

Coordinate = Annotated[float, Range(least=-1e9, most=1e9)]  # metres or degrees


class Tile(NamedTuple):
    """Column and row of a tile's north-western pixel in its grid."""

    x: int
    y: int


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A regular raster of pixels in a map projection.

    Attributes:
        crs: the projection, as a PROJ string or WKT.
        width: columns.
        height: rows.
        x_origin: projection coordinate of the centre of column 0, in metres (degrees for lon/lat).
        y_origin: projection coordinate of the centre of row 0.
        x_step: distance from a column to the next.
        y_step: distance from a row to the next; negative where row 0 is the northernmost.
    """

    crs: str
    width: Count
    height: Count
    x_origin: Coordinate
    y_origin: Coordinate
    x_step: Coordinate
    y_step: Coordinate

    def __post_init__(self) -> None:
        check_fields(self)
        check_projection(self.crs)
        if self.x_step == 0 or self.y_step == 0:
            raise ConfigurationError("the step of a grid is 0; give the distance between pixels")
        if self.width * self.height > MOST_PIXELS:
            raise ConfigurationError(
                f"a grid of {self.width:,} × {self.height:,} pixels is larger than any image; "
                "give a smaller extent or larger pixels"
            )

    @classmethod
    def from_corners(
        cls,
        crs: str,
        *,
        lower_left: tuple[float, float],
        upper_right: tuple[float, float],
        width: int,
        height: int,
    ) -> "Grid":
        """Spread pixels evenly between two corners given as (longitude, latitude) in degrees.

        The corners are the centres of the south-western and the north-eastern pixel.
        """
        (west, south), (east, north) = lower_left, upper_right
        if min(width, height) < 2:
            raise ConfigurationError(
                f"{width} × {height} pixels have no two corners; give at least 2 × 2"
            )
        (x0, x1), (y0, y1) = np.asarray(from_lonlat(crs, [west, east], [south, north]))
        return cls(
            crs=crs,
            width=width,
            height=height,
            x_origin=x0,
            y_origin=y1,
            x_step=(x1 - x0) / (width - 1),
            y_step=(y0 - y1) / (height - 1),
        )

    @classmethod
    def from_coordinates(cls, crs: str, x: ArrayLike, y: ArrayLike) -> "Grid":
        """Make the grid whose pixel centres have these evenly spaced projection coordinates.

        Longitudes may wrap, as in 350 … 359.5, 0 … 9.5.

        Raises:
            SceneError: if an axis has fewer than two values, or uneven ones.
        """
        if is_geographic(crs):
            x = unwrapped(x)
        x_origin, x_step, width = even_spacing("x", x)
        y_origin, y_step, height = even_spacing("y", y)
        return cls(
            crs=crs,
            width=width,
            height=height,
            x_origin=x_origin,
            y_origin=y_origin,
            x_step=x_step,
            y_step=y_step,
        )

    @classmethod
    def full_disk(cls, longitude: float) -> "Grid":
        """Every infrared pixel of SEVIRI over the given sub-satellite longitude in degrees."""
        half = SEVIRI_FULL_DISK_PIXELS // 2 - 1
        return cls(
            crs=geostationary_crs(longitude),
            width=SEVIRI_FULL_DISK_PIXELS,
            height=SEVIRI_FULL_DISK_PIXELS,
            x_origin=-half * SEVIRI_STEP_M,
            y_origin=half * SEVIRI_STEP_M,
            x_step=SEVIRI_STEP_M,
            y_step=-SEVIRI_STEP_M,
        )

    @classmethod
    def lonlat(
        cls, *, west: float, south: float, east: float, north: float, step_degrees: float
    ) -> "Grid":
        """Make a regular longitude/latitude grid; the box is spanned by pixel centres.

        A box across the 180th meridian has an east above 180, or a west below -180.
        """
        if not (step_degrees > 0 and west <= east <= west + 360 and -90 <= south <= north <= 90):
            raise ConfigurationError(
                f"no grid reaches from {west}, {south} to {east}, {north} degrees in steps of "
                f"{step_degrees}; give west below east, south below north and a positive step"
            )
        return cls(
            crs="+proj=longlat +datum=WGS84",
            width=round((east - west) / step_degrees) + 1,
            height=round((north - south) / step_degrees) + 1,
            x_origin=west,
            y_origin=north,
            x_step=step_degrees,
            y_step=-step_degrees,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Grid":
        """Restore what :meth:`to_dict` returned."""
        return from_mapping(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """All attributes, ready for JSON."""
        return asdict(self)

    @cached_property
    def projection(self) -> pyproj.CRS:
        """The projection as pyproj knows it."""
        return projection_of(self.crs)

    @property
    def is_geographic(self) -> bool:
        """Whether coordinates are longitudes and latitudes in degrees."""
        return is_geographic(self.crs)

    @property
    def goes_round(self) -> bool:
        """Whether its columns are longitudes all the way around the Earth."""
        return self.is_geographic and (self.width + 1) * abs(self.x_step) > 360

    @property
    def sub_satellite_longitude(self) -> float | None:
        """Longitude the satellite stands over, -180 … 180; None outside geostationary grids."""
        return sub_satellite_longitude(self.crs)

    @property
    def x(self) -> NDArray[np.floating]:
        """Projection coordinates of the columns, shape (width,)."""
        return self.x_origin + self.x_step * np.arange(self.width)

    @property
    def y(self) -> NDArray[np.floating]:
        """Projection coordinates of the rows, shape (height,)."""
        return self.y_origin + self.y_step * np.arange(self.height)

    def lonlat_to_pixel(self, lon: ArrayLike, lat: ArrayLike) -> tuple[Array, Array]:
        """Pixel (x, y) of points in degrees; NaN where the projection does not show them."""
        lon, lat = np.asarray(lon, dtype=float), np.asarray(lat, dtype=float)
        if self.is_geographic:
            x, y = nearest_turn(lon, self._middle), lat
        else:
            x, y = from_lonlat(self.crs, lon, lat)
        return (x - self.x_origin) / self.x_step, (y - self.y_origin) / self.y_step

    def pixel_to_lonlat(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Longitude (-180 … 180) and latitude in degrees of pixels; NaN off the disk."""
        easting, northing = self._coordinates(x, y)
        if self.is_geographic:
            return nearest_turn(easting), np.where(abs(northing) <= 90, northing, np.nan)
        return to_lonlat(self.crs, easting, northing)

    def contains(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Whether pixels lie on the grid, half a pixel around the outer centres included."""
        x, y = np.asarray(x), np.asarray(y)
        return (abs(x - (self.width - 1) / 2) <= self.width / 2) & (
            abs(y - (self.height - 1) / 2) <= self.height / 2
        )

    def jacobian_km(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Kilometres east and north that one pixel to the right and one down lead.

        Returns:
            (..., 2, 2): rows (east, north), columns (per x, per y), by central differences.
        """
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        _, latitude = self.pixel_to_lonlat(x, y)
        columns = []
        for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
            lon0, lat0 = self.pixel_to_lonlat(x - dx, y - dy)
            lon1, lat1 = self.pixel_to_lonlat(x + dx, y + dy)
            degrees_east = nearest_turn(lon1 - lon0) * np.cos(np.radians(latitude))
            columns.append(np.stack([degrees_east, lat1 - lat0], axis=-1))
        return np.radians(np.stack(columns, axis=-1)) * EARTH_RADIUS_KM

    def pixel_size_km(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Ground distance that one column and one row span at pixels, in km."""
        size = np.linalg.norm(self.jacobian_km(x, y), axis=-2)
        return size[..., 0], size[..., 1]

    def window(self, x: int, y: int, width: int, height: int) -> "Grid":
        """The grid of ``width`` × ``height`` pixels whose first is pixel (x, y) of this one."""
        return Grid(
            crs=self.crs,
            width=width,
            height=height,
            x_origin=self.x_origin + x * self.x_step,
            y_origin=self.y_origin + y * self.y_step,
            x_step=self.x_step,
            y_step=self.y_step,
        )

    def outline(self) -> tuple[Array, Array]:
        """Pixels (x, y) of points along the border and a coarse mesh inside, at most 4225."""
        x = np.linspace(-0.5, self.width - 0.5, min(OUTLINE_SAMPLES, self.width + 1))
        y = np.linspace(-0.5, self.height - 0.5, min(OUTLINE_SAMPLES, self.height + 1))
        mesh_x, mesh_y = np.meshgrid(x, y)
        return mesh_x.ravel(), mesh_y.ravel()

    def covering(self, other: "Grid", *, margin: int = 0) -> "Grid":
        """The window on this grid's lattice that holds all of ``other`` that it can show.

        It may reach beyond this grid's own extent; ``margin`` pixels are added on each side.

        Raises:
            SceneError: if nothing of ``other`` is visible in this projection.
        """
        if self.is_geographic:
            lon, lat = other._shown()
            lon = lon + _turns(np.nanmean(lon), self._middle)
            x, y = (lon - self.x_origin) / self.x_step, (lat - self.y_origin) / self.y_step
        elif same_crs(self.crs, other.crs):
            easting, northing = other._coordinates(*other.outline())
            x = (easting - self.x_origin) / self.x_step
            y = (northing - self.y_origin) / self.y_step
        else:
            x, y = self.lonlat_to_pixel(*other.pixel_to_lonlat(*other.outline()))
        if not np.isfinite(x).any():
            raise SceneError(f"no point of the domain ({other}) is visible in {crs_text(self.crs)}")
        tolerance = 1e-3  # of a pixel, so that aligned grids do not grow by one
        left, top = (int(np.floor(np.nanmin(v) + 0.5 + tolerance)) - margin for v in (x, y))
        right, bottom = (int(np.ceil(np.nanmax(v) - 0.5 - tolerance)) + margin for v in (x, y))
        return self.window(left, top, max(right - left + 1, 1), max(bottom - top + 1, 1))

    def offset_in(self, other: "Grid") -> tuple[int, int] | None:
        """Column and row of this grid's first pixel in ``other``; None where pixels do not match.

        Pixels match when projection and steps agree and the centres lie on one lattice to 0.01 px.
        """
        if not same_crs(self.crs, other.crs):
            return None
        apart = _turns(self._middle, other._middle) if self.is_geographic else 0.0
        x = (self.x_origin + apart - other.x_origin) / other.x_step
        y = (self.y_origin - other.y_origin) / other.y_step
        drift_x = (self.x_step / other.x_step - 1) * self.width
        drift_y = (self.y_step / other.y_step - 1) * self.height
        if max(abs(x - round(x)), abs(y - round(y)), abs(drift_x), abs(drift_y)) > 0.01:
            return None
        return round(x), round(y)

    def tiles(self, size: int) -> tuple[Tile, ...]:
        """Offsets of the fewest square tiles that cover the grid, west to east, then southwards.

        Along an axis of L pixels, n = ⌈(L - size) / size⌉ + 1 tiles stand ⌊(L - size) / (n - 1)⌋
        pixels apart, so that up to n - 2 pixels at the far border stay outside: on MEDITERRANEAN
        the 12 tiles of the research system, which leave out the easternmost column.

        Raises:
            SceneError: if the grid is smaller than one tile.
        """
        if min(self.width, self.height) < size:
            raise SceneError(
                f"the domain has {self.width} × {self.height} pixels, "
                f"fewer than one tile of {size} × {size}; choose a larger domain"
            )
        rows, columns = _offsets(self.height, size), _offsets(self.width, size)
        return tuple(Tile(x, y) for y in rows for x in columns)

    def cf_attributes(self) -> dict[str, Any]:
        """Attributes of the CF grid-mapping variable."""
        return {k: v for k, v in self.projection.to_cf().items() if v is not None}

    def __str__(self) -> str:
        west, south, east, north = self.borders
        return (
            f"{self.width} × {self.height} px, "
            f"{west:.1f}…{east:.1f}°E {south:.1f}…{north:.1f}°N, {crs_text(self.crs)}"
        )

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, south, east and north of all that the grid shows, in degrees; NaN if nothing.

        West is -180 … 180, and east beyond it: a grid across the 180th meridian has an east above
        180.
        """
        lon, lat = self._shown()
        if not (np.isfinite(lon) & np.isfinite(lat)).any():
            return (np.nan, np.nan, np.nan, np.nan)
        west, east = float(np.nanmin(lon)), float(np.nanmax(lon))
        apart = float(_turns(west, 0.0))
        return west + apart, float(np.nanmin(lat)), east + apart, float(np.nanmax(lat))

    @property
    def borders(self) -> tuple[float, float, float, float]:
        """The extent as people are told it: both longitudes -180 … 180.

        A west above the east is across the 180th meridian; all around is from -180 to 180.
        """
        west, south, east, north = self.extent
        if self.goes_round:
            return -180.0, south, 180.0, north
        return west, south, east - 360 if east > 180 else east, north

    @property
    def _middle(self) -> float:
        """Projection coordinate of the middle column."""
        return self.x_origin + self.x_step * (self.width - 1) / 2

    def _coordinates(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Projection coordinates of pixels."""
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        return self.x_origin + self.x_step * x, self.y_origin + self.y_step * y

    def _shown(self) -> tuple[Array, Array]:
        """Longitudes, which run on across the 180th meridian, and latitudes of the outline."""
        lon, lat = self.pixel_to_lonlat(*self.outline())
        if self.is_geographic:
            return self._coordinates(*self.outline())[0], lat
        mean = np.angle(np.nansum(np.exp(1j * np.radians(lon))), deg=True)
        return nearest_turn(lon, mean), lat


GivenDomain = Grid | str | Sequence[float] | NDArray[np.number]
"""A grid, a word such as "model", or a box in degrees: "WEST,SOUTH,EAST,NORTH" or four numbers."""


def named_domain(domain: Any) -> Grid | str:
    """A grid or a text as it is, and of four numbers their text.

    Raises:
        ConfigurationError: if it is none of these.
    """
    if isinstance(domain, Grid | str):
        return domain
    west, south, east, north = degrees_of_box(domain)
    return ",".join(map(str, (west, south, east if east <= 360 else east - 360, north)))


def box_grid(text: str, what: str = "domain") -> Grid:
    """A grid over "WEST,SOUTH,EAST,NORTH" in degrees, which ``what`` is in messages.

    Raises:
        ConfigurationError: if the text is no such box.
    """
    west, south, east, north = degrees_of_box(text, what)
    return Grid.lonlat(west=west, south=south, east=east, north=north, step_degrees=0.25)


def parse_box(text: str, grid: Grid) -> Grid:
    """The window of a grid's lattice that holds "WEST,SOUTH,EAST,NORTH" in degrees.

    A west above the east crosses the 180th meridian or, from 180 … 360, Greenwich.

    Raises:
        ConfigurationError: if the text is no such box.
    """
    return grid.covering(box_grid(text))


def _offsets(length: int, size: int) -> range:
    tiles = -(-(length - size) // size) + 1
    step = (length - size) // max(tiles - 1, 1)
    return range(0, step * (tiles - 1) + 1, max(step, 1))


def _turns(longitude: Any, centre: float) -> Any:
    """The whole turns that bring a longitude nearest to ``centre``, in degrees."""
    return nearest_turn(longitude, centre) - longitude


MEDITERRANEAN = Grid.from_corners(
    geostationary_crs(9.5),
    lower_left=(-7.0, 30.0),
    upper_right=(46.0, 48.0),
    width=1290,
    height=420,
)
"""The grid of the research system: SEVIRI over 9.5°E, 1290 × 420 pixels of about 3 × 4.4 km."""
