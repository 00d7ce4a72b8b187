import numpy as np
import pandas as pd
import pytest

from medicane_models.domain import MEDITERRANEAN, Grid, local_plane
from medicane_models.prediction.tile_geometry import TileGeometry

WORLD = Grid.lonlat(west=-180, south=-60, east=179, north=60, step_degrees=1)
PLANES = TileGeometry(grid=WORLD, size=112, plane_km=10.0)


def rows(**columns) -> pd.DataFrame:
    empty = dict.fromkeys(("tile_x", "tile_y", "tile_lon", "tile_lat"), np.nan)
    return pd.DataFrame({**empty, **columns}, index=[0])


@pytest.mark.parametrize(("lon", "lat"), [(10.0, 40.0), (-30.5, -20.0), (179.9, 55.0)])
def test_a_plane_holds_what_its_grid_contains(lon, lat):
    plane = local_plane(lon, lat, size=112, km=10.0)
    x, y = np.meshgrid(np.linspace(-3, 114, 40), np.linspace(-3, 114, 40))
    there = np.stack(plane.pixel_to_lonlat(x.ravel(), y.ravel()), axis=-1)
    many = pd.DataFrame(there, columns=["lon", "lat"]).assign(tile_lon=lon, tile_lat=lat)
    assert np.array_equal(PLANES.hold(many), plane.contains(x.ravel(), y.ravel()))


def test_the_middle_of_a_plane_is_its_centre_and_of_a_fixed_tile_on_the_grid():
    assert PLANES.centres(rows(tile_lon=5.0, tile_lat=-3.0)).tolist() == [[5.0, -3.0]]
    fixed = TileGeometry(grid=MEDITERRANEAN, size=224)
    middle = fixed.centres(rows(tile_x=100, tile_y=50))[0]
    assert middle == pytest.approx(np.stack(MEDITERRANEAN.pixel_to_lonlat(211.5, 161.5)))


def test_fixed_tiles_side_by_side_share_no_point():
    fixed = TileGeometry(grid=MEDITERRANEAN, size=224)
    lon, lat = MEDITERRANEAN.pixel_to_lonlat(223.5, 100)
    left, right = (fixed.hold(rows(tile_x=x, tile_y=0, lon=lon, lat=lat))[0] for x in (0, 224))
    assert [left, right] == [False, True]
