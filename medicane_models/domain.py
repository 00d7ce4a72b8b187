"""Where a pixel is on Earth: grids in map projections, tiles, distances.

One pixel convention everywhere: a pixel is ``(x, y)`` = (column, row), both floats, whole numbers
at pixel centres, ``(0, 0)`` the north-western pixel; a grid spans ``-0.5 … width - 0.5``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import pyproj
from numpy.typing import ArrayLike, NDArray
from pyproj.enums import TransformDirection

from medicane_models.errors import ConfigurationError, SceneError

__all__ = [
    "EARTH_RADIUS_KM",
    "MEDITERRANEAN",
    "Grid",
    "Tile",
    "geodesic_km",
    "geostationary_crs",
    "great_circle_km",
    "legacy_pixel",
    "parse_box",
    "parse_degrees",
    "same_crs",
]

EARTH_RADIUS_KM = 6371.0088  # mean radius of the WGS84 ellipsoid
SEVIRI_STEP_M = 3000.403165817  # distance of SEVIRI infrared samples at the sub-satellite point
SEVIRI_FULL_DISK_PIXELS = 3712
OUTLINE_SAMPLES = 65

Array = NDArray[np.floating] | np.floating  # arrays without dimensions become scalars


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
    width: int
    height: int
    x_origin: float
    y_origin: float
    x_step: float
    y_step: float

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ConfigurationError(
                f"a grid of {self.width} × {self.height} pixels is empty; give at least 1 × 1"
            )
        if self.x_step == 0 or self.y_step == 0:
            raise ConfigurationError("the step of a grid is 0; give the distance between pixels")

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
        (x0, x1), (y0, y1) = _transformer(crs).transform([west, east], [south, north])
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
        """Make the grid whose pixel centres have these evenly spaced projection coordinates."""
        x_origin, x_step, width = _even_spacing("x", x)
        y_origin, y_step, height = _even_spacing("y", y)
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
        """Make a regular longitude/latitude grid; the box is spanned by pixel centres."""
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
        expected = {field.name for field in fields(cls)}
        if set(values) != expected:
            raise ConfigurationError(
                f"a grid has the keys {sorted(expected)}, but {sorted(values)} were given"
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All attributes, ready for JSON."""
        return asdict(self)

    @cached_property
    def projection(self) -> pyproj.CRS:
        """The projection as pyproj knows it."""
        return pyproj.CRS.from_user_input(self.crs)

    @property
    def sub_satellite_longitude(self) -> float | None:
        """Longitude the satellite stands over, in degrees; None outside geostationary grids."""
        operation = self.projection.to_cf()
        if operation.get("grid_mapping_name") != "geostationary":
            return None
        return float(operation["longitude_of_projection_origin"])

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
        lon = np.asarray(lon, dtype=float)
        if self.projection.is_geographic:
            centre = self.x_origin + self.x_step * (self.width - 1) / 2
            lon = centre + (lon - centre + 180) % 360 - 180
            x, y = lon, np.asarray(lat, dtype=float)
        else:
            x, y = _finite(_transformer(self.crs).transform(lon, lat))
        return (x - self.x_origin) / self.x_step, (y - self.y_origin) / self.y_step

    def pixel_to_lonlat(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Longitude (-180 … 180) and latitude in degrees of pixels; NaN off the disk."""
        easting = self.x_origin + self.x_step * np.asarray(x, dtype=float)
        northing = self.y_origin + self.y_step * np.asarray(y, dtype=float)
        if self.projection.is_geographic:
            return (easting + 180) % 360 - 180, northing
        return _finite(
            _transformer(self.crs).transform(
                easting, northing, direction=TransformDirection.INVERSE
            )
        )

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
            degrees_east = ((lon1 - lon0 + 180) % 360 - 180) * np.cos(np.radians(latitude))
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
        if same_crs(self.crs, other.crs):
            easting, northing = other.outline()
            easting = other.x_origin + other.x_step * easting
            northing = other.y_origin + other.y_step * northing
            x = (easting - self.x_origin) / self.x_step
            y = (northing - self.y_origin) / self.y_step
        else:
            x, y = self.lonlat_to_pixel(*other.pixel_to_lonlat(*other.outline()))
        if not np.isfinite(x).any():
            raise SceneError(f"no point of the domain ({other}) is visible in {self.crs}")
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
        x = (self.x_origin - other.x_origin) / other.x_step
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
        west, south, east, north = self.extent
        return (
            f"{self.width} × {self.height} px, "
            f"{west:.1f}…{east:.1f}°E {south:.1f}…{north:.1f}°N, {self.crs}"
        )

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, south, east and north of all that the grid shows, in degrees."""
        lon, lat = self.pixel_to_lonlat(*self.outline())
        if not np.isfinite(lon).any():
            return (np.nan, np.nan, np.nan, np.nan)
        return (
            float(np.nanmin(lon)),
            float(np.nanmin(lat)),
            float(np.nanmax(lon)),
            float(np.nanmax(lat)),
        )


def geostationary_crs(longitude: float) -> str:
    """PROJ string of the Meteosat projection over a sub-satellite longitude in degrees."""
    return f"+proj=geos +h=35785831 +lon_0={longitude:g} +a=6378137 +b=6356752.3142 +sweep=y"


def great_circle_km(lon0: ArrayLike, lat0: ArrayLike, lon1: ArrayLike, lat1: ArrayLike) -> Array:
    """Distance on the sphere of radius EARTH_RADIUS_KM between points in degrees (haversine)."""
    lon0, lat0, lon1, lat1 = (np.radians(np.asarray(v)) for v in (lon0, lat0, lon1, lat1))
    half_chord = (
        np.sin((lat1 - lat0) / 2) ** 2
        + np.cos(lat0) * np.cos(lat1) * np.sin((lon1 - lon0) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half_chord, 1.0)))


def geodesic_km(lon0: ArrayLike, lat0: ArrayLike, lon1: ArrayLike, lat1: ArrayLike) -> Array:
    """Distance on the WGS84 ellipsoid between points in degrees."""
    west, south, east, north = np.broadcast_arrays(
        *(np.asarray(v, dtype=float) for v in (lon0, lat0, lon1, lat1))
    )
    return np.asarray(pyproj.Geod(ellps="WGS84").inv(west, south, east, north)[2]) / 1000


def legacy_pixel(
    lon: ArrayLike, lat: ArrayLike, grid: Grid | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole pixels as the research code wrote them into its track files.

    It took the grid point nearest in degrees and counted the row from one too many, so that its
    rows lie one pixel (4.4 km) south of :meth:`Grid.lonlat_to_pixel`. Only for reading its files.
    """
    grid = MEDITERRANEAN if grid is None else grid
    points = np.stack(np.broadcast_arrays(lon, lat), axis=-1)
    _, nearest = _degree_tree(grid).query(points)
    row, column = np.divmod(nearest, grid.width)
    return column, row + 1


def parse_box(text: str, grid: Grid) -> Grid:
    """The window of a grid's lattice that holds "WEST,SOUTH,EAST,NORTH" in degrees.

    Raises:
        ConfigurationError: if the text is no such box.
    """
    west, south, east, north = parse_degrees(text)
    box = Grid.lonlat(west=west, south=south, east=east, north=north, step_degrees=0.25)
    return grid.covering(box)


def parse_degrees(text: str) -> tuple[float, float, float, float]:
    """West, south, east and north of "WEST,SOUTH,EAST,NORTH" in degrees.

    Raises:
        ConfigurationError: if the text is no such box.
    """
    try:
        west, south, east, north = (float(value) for value in text.split(","))
    except ValueError:
        west = south = east = north = 0.0
    if not (-180 <= west < east <= 360 and -90 <= south < north <= 90):
        raise ConfigurationError(
            f"domain {text!r} is neither model, nor native, nor WEST,SOUTH,EAST,NORTH in degrees"
        )
    return west, south, east, north


def same_crs(one: str, other: str) -> bool:
    """Whether two projections are the same, however they are written."""
    return one == other or _parameters(one) == _parameters(other)


@cache
def _parameters(crs: str) -> tuple[Any, ...]:
    """What makes a projection: its CF parameters without names, rounded to what files keep."""
    names = {"crs_wkt", "reference_ellipsoid_name", "prime_meridian_name", "inverse_flattening"}
    parameters = pyproj.CRS.from_user_input(crs).to_cf()
    return tuple(
        (key, round(value, 3) if isinstance(value, float) else value)
        for key, value in sorted(parameters.items())
        if key not in names and not key.endswith(("crs_name", "datum_name"))
    )


@cache
def _transformer(crs: str) -> pyproj.Transformer:
    """From longitude/latitude on the projection's own ellipsoid to projection coordinates."""
    projection = pyproj.CRS.from_user_input(crs)
    return pyproj.Transformer.from_crs(projection.geodetic_crs, projection, always_xy=True)


@cache
def _degree_tree(grid: Grid) -> Any:
    from scipy.spatial import KDTree

    columns, rows = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    lon, lat = grid.pixel_to_lonlat(columns.ravel(), rows.ravel())
    return KDTree(np.stack([lon, lat], axis=-1))


def _finite(points: tuple[ArrayLike, ArrayLike]) -> tuple[Array, Array]:
    """Replace PROJ's infinities, for points it cannot project, with NaN."""
    x, y = (np.asarray(v, dtype=float) for v in points)
    seen = np.isfinite(x) & np.isfinite(y)
    return np.where(seen, x, np.nan), np.where(seen, y, np.nan)


def _offsets(length: int, size: int) -> range:
    tiles = -(-(length - size) // size) + 1
    step = (length - size) // max(tiles - 1, 1)
    return range(0, step * (tiles - 1) + 1, max(step, 1))


def _even_spacing(name: str, coordinates: ArrayLike) -> tuple[float, float, int]:
    """First value, step and count of coordinates; refuses an uneven axis."""
    values = np.asarray(coordinates, dtype=float)
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all():
        raise SceneError(f"coordinate {name} needs at least two finite values along one axis")
    step = (values[-1] - values[0]) / (values.size - 1)
    off = abs(values - (values[0] + step * np.arange(values.size))).max()
    if step == 0 or off > 0.05 * abs(step):
        raise SceneError(
            f"coordinate {name} is not evenly spaced (off by up to {off:g}); "
            "resample the file onto a regular grid first"
        )
    return float(values[0]), float(step), int(values.size)


MEDITERRANEAN = Grid.from_corners(
    geostationary_crs(9.5),
    lower_left=(-7.0, 30.0),
    upper_right=(46.0, 48.0),
    width=1290,
    height=420,
)
"""The grid of the research system: SEVIRI over 9.5°E, 1290 × 420 pixels of about 3 × 4.4 km."""
