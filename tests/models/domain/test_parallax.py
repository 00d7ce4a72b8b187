import numpy as np
import pyproj
import pytest

from medicane_models.domain import (
    cloud_top_height_km,
    geodesic_km,
    great_circle_km,
    true_position,
)

TROPICAL_KELVIN = {2: 287.7, 5: 270.3, 9: 243.6, 12: 223.6, 15: 203.7}  # AFGL-TR-86-0110
STANDARD_KELVIN = {0: 288.15, 2: 275.15, 5: 255.65, 9: 229.65, 11: 216.65}  # ISO 2533


@pytest.fixture
def points():
    return np.meshgrid(np.linspace(-52, 52, 14), np.linspace(-52, 52, 14))


def apparent(lon, lat, height_km, sub_satellite_longitude):
    """Where the line from the satellite through a top meets the ellipsoid, by PROJ's geocentre."""
    geocentric = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    top = np.stack(geocentric.transform(lon, lat, height_km * 1000 * np.ones_like(lon)), axis=-1)
    turn = np.radians(sub_satellite_longitude)
    eye = 42164e3 * np.array([np.cos(turn), np.sin(turn), 0])
    axes = np.array([6378137, 6378137, 6356752.314245])
    start, way = eye / axes, (top - eye) / axes
    a, b, c = (way**2).sum(-1), (start * way).sum(-1), start @ start - 1
    share = (-b - np.sqrt(b**2 - a * c)) / a
    foot = eye + share[..., None] * (top - eye)
    return geocentric.transform(*np.moveaxis(foot, -1, 0), direction="INVERSE")[:2]


@pytest.mark.parametrize("height_km", [0.0, 5.0, 16.0])
def test_the_true_position_undoes_what_the_line_of_sight_does(points, height_km):
    seen = apparent(*points, height_km, 0.0)
    assert geodesic_km(*true_position(*seen, height_km, 0.0), *points).max() < 0.001


def test_true_positions_agree_with_satpy(points):
    parallax = pytest.importorskip("satpy.modifiers.parallax")
    height = np.full(points[0].shape, 12e3)
    expected = parallax.get_parallax_corrected_lonlats(0.0, 0.0, 35786e3, *points, height)
    found = true_position(*points, 12.0, 0.0)
    shift = great_circle_km(*points, *expected)
    assert (great_circle_km(*found, *expected) <= 0.06 * shift).all()  # satpy: flat layers


def test_below_the_satellite_nothing_is_displaced():
    assert np.allclose(true_position(-75, 0, 15, -75), (-75, 0))


def test_tops_move_towards_the_satellite_across_the_180th_meridian():
    lon, lat = true_position([-179.99, 179.99], [30, -30], 15, 140.7)
    assert (lon > 179).all()
    assert (abs(lat) < 30).all()


def test_behind_the_horizon_is_nothing():
    assert np.isnan(true_position(100, 0, 10, -75)).all()


@pytest.mark.parametrize("lat", [10, -20])
def test_heights_are_those_of_the_tropical_atmosphere(lat):
    heights = cloud_top_height_km(list(TROPICAL_KELVIN.values()), lat)
    assert np.allclose(heights, list(TROPICAL_KELVIN), atol=0.6)


@pytest.mark.parametrize("lat", [45, -60])
def test_heights_are_those_of_the_standard_atmosphere(lat):
    heights = cloud_top_height_km(list(STANDARD_KELVIN.values()), lat)
    assert np.allclose(heights, list(STANDARD_KELVIN))


def test_heights_end_at_the_surface_and_at_the_tropopause():
    assert np.allclose(cloud_top_height_km([310, 180, np.nan], 0), [0, 17, np.nan], equal_nan=True)
    assert cloud_top_height_km(180, 50) == 11
