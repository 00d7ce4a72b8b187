import time

import numpy as np
import pyproj
import pytest

from medicane_models.domain import EARTH_RADIUS_KM, Grid, great_circle_km, local_plane
from medicane_models.domain.projections import projection_of
from medicane_models.errors import ConfigurationError

CENTRES = [
    (0.0, 0.0),
    (17.25, 38.5),
    (-179.95, -16.0),
    (179.999999, 0.000001),
    (30.0, 90.0),
    (-120.0, -89.9),
    (-75.123456, -0.5),
]


def pixels_of(plane):
    return np.meshgrid(
        np.linspace(-0.5, plane.width - 0.5, 41), np.linspace(-0.5, plane.height - 0.5, 41)
    )


def apart_km(one, other):
    return great_circle_km(*one, *other).max()


@pytest.mark.parametrize("centre", CENTRES)
def test_pixels_agree_with_pyproj(centre):
    plane = local_plane(*centre, size=112, km=10)
    x, y = pixels_of(plane)
    easting, northing = plane.x_origin + x * plane.x_step, plane.y_origin + y * plane.y_step
    expected = pyproj.Proj(plane.crs)(easting, northing, inverse=True)
    lon, lat = plane.pixel_to_lonlat(x, y)
    assert apart_km((lon, lat), expected) < 1e-6 * 111
    assert abs(lat - expected[1]).max() < 1e-6
    assert (abs(lon) <= 180).all()


@pytest.mark.parametrize("centre", CENTRES)
def test_points_agree_with_pyproj(centre):
    plane = local_plane(*centre, size=112, km=10)
    lon, lat = np.meshgrid(np.linspace(-180, 180, 37), np.linspace(-90, 90, 19))
    easting, northing = pyproj.Proj(plane.crs)(lon, lat)
    near = great_circle_km(lon, lat, *centre) < 19_000  # PROJ has no one answer at the antipode
    x, y = plane.lonlat_to_pixel(lon, lat)
    assert np.allclose(x[near], ((easting - plane.x_origin) / plane.x_step)[near], atol=1e-5)
    assert np.allclose(y[near], ((northing - plane.y_origin) / plane.y_step)[near], atol=1e-5)


@pytest.mark.parametrize("size", [1, 64, 65])
@pytest.mark.parametrize("centre", CENTRES)
def test_the_centre_is_the_middle_pixel(centre, size):
    plane = local_plane(*centre, size=size, km=4)
    middle = (size - 1) / 2
    assert apart_km(plane.pixel_to_lonlat(middle, middle), centre) < 1e-6 * 111
    assert np.allclose(plane.lonlat_to_pixel(*centre), middle, atol=1e-6)


def test_distances_from_the_centre_are_true():
    plane = local_plane(20, 35, size=101, km=10)
    x, y = pixels_of(plane)
    distance = great_circle_km(*plane.pixel_to_lonlat(x, y), 20, 35)
    assert np.allclose(distance, 10 * np.hypot(x - 50, y - 50), atol=1e-6)


def test_a_plane_in_the_south_is_the_mirror_of_one_in_the_north():
    north, south = (local_plane(20, lat, size=64, km=10) for lat in (35, -35))
    x, y = pixels_of(north)
    (lon_north, lat_north), (lon_south, lat_south) = (
        plane.pixel_to_lonlat(x, y) for plane in (north, south)
    )
    assert np.allclose(lon_north, lon_south)
    assert np.allclose(lat_north, -lat_south)
    assert north.y_step < 0 < south.y_step


def test_pixels_have_their_size_and_turn_with_the_mirror():
    plane = local_plane(20, -35, size=64, km=10)
    jacobian = plane.jacobian_km(31.5, 31.5)
    assert np.allclose(jacobian, [[10, 0], [0, 10]], atol=0.01)


def test_pixels_beyond_the_antipode_are_nowhere():
    plane = local_plane(0, 0, size=3, km=EARTH_RADIUS_KM * 3.5)
    assert np.isnan(plane.pixel_to_lonlat(0, 1)).all()


def test_hundreds_of_planes_take_no_time_and_no_memory():
    kept = projection_of.cache_info().currsize
    begin = time.process_time()
    planes = [local_plane(lon, 20, size=112, km=10) for lon in np.linspace(-180, 180, 500)]
    pixels = np.meshgrid(np.arange(112), np.arange(112))
    for plane in planes:
        plane.pixel_to_lonlat(*pixels)
    assert time.process_time() - begin < 3  # some 0.5 s
    assert projection_of.cache_info().currsize == kept


def test_a_plane_is_restored_from_json():
    plane = local_plane(-120.5, -33.25, size=112, km=10)
    assert Grid.from_dict(plane.to_dict()) == plane


@pytest.mark.parametrize(
    ("lon", "lat", "km", "says"),
    [(0, 91, 10, "point on Earth"), (np.nan, 0, 10, "point on Earth"), (0, 0, 0, "positive size")],
)
def test_impossible_planes_are_refused(lon, lat, km, says):
    with pytest.raises(ConfigurationError, match=says):
        local_plane(lon, lat, size=64, km=km)
