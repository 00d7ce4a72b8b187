from datetime import datetime

import numpy as np
import pytest

from medicane_models.domain import satellite_zenith


def test_zenith_angles_agree_with_pyorbital():
    orbital = pytest.importorskip("pyorbital.orbital")
    lon, lat = np.meshgrid(np.linspace(-130, -20, 23), np.linspace(-60, 60, 13))
    when = datetime(2020, 1, 1)  # of no influence
    look = orbital.get_observer_look(-75.0, 0.0, 42164 - 6378.137, when, lon, lat, 0)
    assert np.allclose(satellite_zenith(lon, lat, -75), 90 - look[1], atol=1e-3)


def test_on_the_equator_the_zenith_angle_is_that_of_a_plane_triangle():
    turn = np.radians(50)
    expected = np.degrees(np.arctan2(np.sin(turn), np.cos(turn) - 6378.137 / 42164))
    assert satellite_zenith(-160, 0, 150) == pytest.approx(expected)


def test_the_satellite_stands_above_the_sub_satellite_point_and_below_its_antipode():
    assert np.allclose(satellite_zenith([140.7, -39.3], [0, 0], 140.7), [0, 180])
