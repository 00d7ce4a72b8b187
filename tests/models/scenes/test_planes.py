import numpy as np
import pytest

from medicane_models.domain import (
    MEDITERRANEAN,
    Grid,
    great_circle_km,
    satellite_zenith,
)
from medicane_models.scenes.planes import planes_covering

ARCTIC = Grid(
    crs="+proj=stere +lat_0=90 +lon_0=0 +ellps=WGS84",
    width=400,
    height=400,
    x_origin=-4e6,
    y_origin=4e6,
    x_step=2e4,
    y_step=-2e4,
)
GRIDS = {
    "Mediterranean": MEDITERRANEAN,
    "full disk": Grid.full_disk(140.7),
    "sector at the limb": Grid.full_disk(0).window(300, 500, 900, 600),
    "across the 180th meridian": Grid.lonlat(
        west=170, south=-20, east=195, north=15, step_degrees=0.1
    ),
    "0 … 360": Grid.lonlat(west=0, south=-70, east=359.5, north=70, step_degrees=0.5),
    "the globe": Grid.lonlat(west=-180, south=-90, east=179.5, north=90, step_degrees=0.5),
    "a pole": ARCTIC,
    "far north": Grid.lonlat(west=-40, south=60, east=60, north=88, step_degrees=0.25),
}


def extent_points(grid):
    """Points of the extent, and those of its border, in degrees."""
    x, y = np.meshgrid(
        np.linspace(-0.5, grid.width - 0.5, 161), np.linspace(-0.5, grid.height - 0.5, 161)
    )
    lon, lat = grid.pixel_to_lonlat(x, y)
    seen = np.isfinite(lon)
    if grid.sub_satellite_longitude is not None:
        seen &= satellite_zenith(lon, lat, grid.sub_satellite_longitude) <= 75
    inside = np.zeros_like(seen)
    inside[1:-1, 1:-1] = (
        seen[1:-1, 1:-1] & seen[:-2, 1:-1] & seen[2:, 1:-1] & seen[1:-1, :-2] & seen[1:-1, 2:]
    )
    if lon.size and grid.is_geographic and grid.width * grid.x_step >= 359:  # no border there
        inside[1:-1, [0, -1]] = True
    border = seen & ~inside
    return lon[seen], lat[seen], lon[border], lat[border]


def is_in_an_inner_part(lon, lat, planes, reach_px):
    """Whether points lie within ``reach_px`` of the middle row and column of some plane."""
    inside = np.zeros(lon.shape, dtype=bool)
    for plane in planes:
        x, y = plane.lonlat_to_pixel(lon, lat)
        middle = (plane.width - 1) / 2
        inside |= (abs(x - middle) <= reach_px) & (abs(y - middle) <= reach_px)
    return inside


@pytest.mark.parametrize("overlap", [0.25, 0.5])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_all_but_a_rim_of_the_extent_lies_in_inner_parts(grid, overlap):
    size, km = 64, 20
    planes = planes_covering(grid, size=size, km=km, overlap=overlap)
    lon, lat, *border = extent_points(grid)
    rim_km = overlap / 2 * size * km
    far = np.ones(lon.shape, dtype=bool)
    for border_lon, border_lat in zip(*border, strict=True):
        far &= great_circle_km(lon, lat, border_lon, border_lat) >= rim_km
    far |= abs(lat) > 90 if grid is not GRIDS["the globe"] else abs(lat) > 85
    assert far.any()
    reach_px = (1 - overlap) / 2 * size + 0.01
    assert is_in_an_inner_part(lon[far], lat[far], planes, reach_px).all()
