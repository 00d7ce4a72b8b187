"""Coastlines, graticule and land mask of any grid, without a download.

``coastlines.npz`` is Natural Earth 4.1 land at 1:10 000 000 (public domain) as packed by
world-atlas 2.0.2 (see ``coastlines.LICENSE``). It was decoded from TopoJSON, made valid, joined
where it was cut at the antimeridian, simplified with Douglas-Peucker to 0.006° of latitude
(0.7 km), rid of islands under 0.5 km² and rounded to 0.001° (0.1 km). Lakes count as land, the
Caspian Sea does not.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyproj
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from medicane_models.domain import EARTH_RADIUS_KM, Grid

__all__ = [
    "DegreeLine",
    "circle_lines",
    "coast_lines",
    "cut_line",
    "graticule",
    "land_mask",
    "land_rings",
    "visible_lines",
]

SOUTH_POLE_LATITUDE = -89.9  # the ring of Antarctica is closed through the pole, which is no coast
CUT_DEGREES, CUT_M = 90.0, 5e6  # longer steps jump across the map where a projection is cut
BLOCK_ROWS = 256
SAMPLES_PER_PIXEL = 3
M_PER_DEGREE = 111_195
GRATICULE_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)  # degrees
FEWEST_LINES, MOST_LINES = 4.5, 8  # along the shorter and the longer side of a map
LINE_SAMPLES = 1441  # every 0.25° along a parallel
CIRCLE_SAMPLES = 181
SPHERE = pyproj.Geod(a=EARTH_RADIUS_KM * 1000, f=0)


class DegreeLine(NamedTuple):
    """A meridian or parallel on a map: its name, pixel polylines and where they cross a border."""

    label: str
    lines: list[np.ndarray]
    ticks: list[float]


@cache
def land_rings() -> tuple[Float[np.ndarray, "_ 2"], ...]:
    """Rings (longitude, latitude) in degrees around all land, the largest area first.

    The last point of a ring joins its first. Land is on the left: rings run counter-clockwise
    around land and clockwise around inland seas. Longitudes are continuous along a ring and
    therefore exceed 180 east of the antimeridian.
    """
    with np.load(Path(__file__).with_suffix(".npz")) as file:
        points = np.cumsum(file["steps"], axis=1).T / int(file["per_degree"])
        return tuple(np.split(points, np.cumsum(file["sizes"].astype(int))[:-1]))


def coast_lines(grid: Grid) -> list[Float[np.ndarray, "_ 2"]]:
    """Polylines of pixels (x, y) along all coasts that the grid shows.

    They end where the coast leaves the disk, or one step (typically 2 km) outside the grid.
    """
    return visible_lines(grid, *_coast_points())


def visible_lines(
    grid: Grid,
    lon: Float[np.ndarray, " n"],
    lat: Float[np.ndarray, " n"],
    joined: Bool[np.ndarray, " n-1"] | None = None,
) -> list[Float[np.ndarray, "_ 2"]]:
    """Cut a line in degrees into the polylines of pixels (x, y) that a grid shows.

    Args:
        grid: the map.
        lon: longitudes of the points, in degrees.
        lat: latitudes of the points.
        joined: whether the line leads from each point to the next; everywhere if None.
    """
    points = np.stack(grid.lonlat_to_pixel(lon, lat), axis=-1)
    shown = _reaches(points, (grid.width, grid.height)) & ~_cut(grid, points)
    shown = shown if joined is None else shown & joined
    edges = np.flatnonzero(np.diff(shown, prepend=False, append=False))
    return [points[first : last + 1] for first, last in edges.reshape(-1, 2)]


def cut_line(
    grid: Grid, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "2 m"]:
    """Pixels of a line with NaN where it leaves one border of a world map for the other."""
    points = np.stack([x, y], axis=-1)
    return np.insert(points, np.flatnonzero(_cut(grid, points)) + 1, np.nan, axis=0).T


def circle_lines(
    grid: Grid, lon: float, lat: float, radius_km: float
) -> list[Float[np.ndarray, "_ 2"]]:
    """Polylines of pixels (x, y) along a circle on the sphere around a point in degrees."""
    around = np.linspace(0, 360, CIRCLE_SAMPLES)
    lons, lats, radius_m = (np.full_like(around, v) for v in (lon, lat, radius_km * 1000))
    around_lon, around_lat, _ = SPHERE.fwd(lons, lats, around, radius_m)
    return visible_lines(grid, np.asarray(around_lon), np.asarray(around_lat))


def graticule(grid: Grid) -> tuple[list[DegreeLine], list[DegreeLine]]:
    """Meridians, with the x of their ticks at the lower border, and parallels, with y at the left.

    They stand at round degrees, few enough to be labelled.
    """
    most = MOST_LINES / max(grid.width, grid.height)
    across, down = (max(FEWEST_LINES, most * size) for size in (grid.width, grid.height))
    lon, lat = np.stack(grid.pixel_to_lonlat(*grid.outline()))
    if not np.isfinite(lon).any():
        return [], []
    middle = np.nanmedian(lon)
    along = np.linspace(-90, 90, LINE_SAMPLES)
    meridians = []
    for degrees in _round_degrees((lon - middle + 180) % 360 - 180 + middle, across):
        lines = visible_lines(grid, np.full_like(along, degrees), along)
        ticks = _crossings(lines, 0, grid.height - 0.5)
        meridians.append(DegreeLine(_degree_label(degrees, "WE"), lines, ticks))
    parallels = []
    for degrees in _round_degrees(lat, down):
        lines = visible_lines(grid, middle + 2 * along, np.full_like(along, degrees))
        ticks = _crossings(lines, 1, -0.5)
        parallels.append(DegreeLine(_degree_label(degrees, "SN"), lines, ticks))
    return meridians, parallels


def land_mask(grid: Grid) -> Bool[np.ndarray, "height width"]:
    """Whether the centre of each pixel is on land, to about a sixth of a pixel.

    Pixels off the disk are not.
    """
    tops = range(0, grid.height, BLOCK_ROWS)
    blocks = [grid.window(0, y, grid.width, min(BLOCK_ROWS, grid.height - y)) for y in tops]
    return np.concatenate([_block_mask(block) for block in blocks])


@cache
def _coast_points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Longitude and latitude of all points, rings closed, and whether a coast leads to the next."""
    rings = land_rings()
    points = np.concatenate([ring[np.r_[: len(ring), 0]] for ring in rings])
    joined = np.ones(len(points) - 1, dtype=bool)
    joined[np.cumsum([len(ring) + 1 for ring in rings])[:-1] - 1] = False
    polar = points[:, 1] < SOUTH_POLE_LATITUDE
    return points[:, 0], points[:, 1], joined & ~polar[:-1] & ~polar[1:]


def _round_degrees(values: np.ndarray, most: float) -> np.ndarray:
    """Round numbers within the range of values, at most one more than ``most``."""
    low, high = np.nanmin(values), np.nanmax(values)
    fitting = [step for step in GRATICULE_STEPS if (high - low) / step <= most]
    step = min(fitting, default=GRATICULE_STEPS[-1])
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def _degree_label(degrees: float, hemispheres: str) -> str:
    degrees = round((degrees + 180) % 360 - 180, 3)
    return f"{abs(degrees):g}°{hemispheres[int(degrees > 0)] if degrees else ''}"


def _crossings(lines: list[np.ndarray], axis: int, border: float) -> list[float]:
    """Coordinates on an axis (0 for x) at which polylines pass a border of the other axis."""
    found = []
    for line in lines:
        position, height = line[:, axis], line[:, 1 - axis]
        (at,) = np.nonzero(np.diff(height > border))
        share = (border - height[at]) / (height[at + 1] - height[at])
        found += (position[at] + share * (position[at + 1] - position[at])).tolist()
    return found


def _reaches(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Whether each step to the next point comes upon a map of this size; False beside NaN."""
    start, end = points[:-1], points[1:]
    inside = (np.maximum(start, end) >= -0.5) & (np.minimum(start, end) <= np.array(size) - 0.5)
    return inside[:, 0] & inside[:, 1]


def _cut(grid: Grid, points: np.ndarray) -> np.ndarray:
    """Whether each step jumps from one border of the world map to another."""
    longest = CUT_DEGREES if grid.is_geographic else CUT_M
    steps = np.diff(points, axis=0) * (grid.x_step, grid.y_step)
    return np.hypot(steps[:, 0], steps[:, 1]) > longest


def _block_mask(grid: Grid) -> np.ndarray:
    """The land mask of a few rows, looked up in a finer raster of longitude and latitude.

    Polygons drawn in longitude and latitude need no clipping at the limb of the disk.
    """
    pixels = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    lon, lat = np.stack(grid.pixel_to_lonlat(*pixels))
    mask = np.isfinite(lon)
    if mask.any():
        mask[mask] = _on_land(lon[mask], lat[mask], _degrees_per_pixel(grid) / SAMPLES_PER_PIXEL)
    return mask


def _degrees_per_pixel(grid: Grid) -> float:
    step = min(abs(grid.x_step), abs(grid.y_step))
    return step if grid.is_geographic else step / M_PER_DEGREE


def _on_land(lon: np.ndarray, lat: np.ndarray, step: float) -> np.ndarray:
    """Whether points in degrees, shape (n,), are on land, at a resolution of ``step`` degrees."""
    middle = np.angle(np.exp(1j * np.radians(lon)).mean(), deg=True)
    lon = middle + (lon - middle + 180) % 360 - 180
    corner = np.array([lon.min(), lat.max()])
    column, row = np.rint((np.stack([lon, lat], axis=-1) - corner) / (step, -step)).astype(int).T
    return _raster(corner, step, width=int(column.max()) + 1, height=int(row.max()) + 1)[
        row, column
    ]


def _raster(corner: np.ndarray, step: float, *, width: int, height: int) -> np.ndarray:
    """Land on a regular longitude/latitude raster south-east of a corner, (height, width)."""
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    south_east = corner + np.array([width, -height]) * step
    for ring, (west, south), (east, north), is_land in _polygons():
        for turn in (-360, 0, 360):
            across = west + turn <= south_east[0] and east + turn >= corner[0]
            if across and south <= corner[1] and north >= south_east[1]:
                pixels = (ring - corner + np.array([turn, 0])) / np.array([step, -step])
                draw.polygon(pixels.ravel().tolist(), fill=int(is_land))
    return np.asarray(image, dtype=bool)


@cache
def _polygons() -> list[tuple[np.ndarray, np.ndarray, np.ndarray, bool]]:
    """Every ring, its bounds and whether it holds land; seas come after the land around them."""
    return [
        (ring, ring.min(axis=0), ring.max(axis=0), _signed_area(*ring.T) > 0)
        for ring in land_rings()
    ]


def _signed_area(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)
