import numpy as np
import pandas as pd
import pyproj
import pytest

from medicane_models.verification.along_across import along_across_km, headings

HOURS = pd.date_range("2020-09-17", periods=3, freq="h")


def storm(lon, lat, times=HOURS, name="a"):
    return pd.DataFrame({"storm": name, "time": times[: len(lon)], "lon": lon, "lat": lat})


@pytest.mark.parametrize(
    ("lon", "lat", "heading"),
    [
        ([0, 1, 2], [0, 0, 0], 90),
        ([2, 1, 0], [0, 0, 0], -90),
        ([5, 5, 5], [-1, 0, 1], 0),
        ([179.5, -179.9, -179.3], [0, 0, 0], 90),
    ],
)
def test_a_heading_is_from_the_place_before_to_the_one_after(lon, lat, heading):
    assert headings(storm(lon, lat)) == pytest.approx([heading] * 3)


def test_a_bend_is_taken_in_its_middle():
    assert headings(storm([0, 1, 1], [0, 0, 1]))[1] == pytest.approx(45, abs=0.01)


@pytest.mark.parametrize(
    "table",
    [
        storm([1.0], [2.0]),
        storm([1.0, 1.0], [2.0, 2.0]),
        storm([1.0, 2.0], [2.0, 2.0], HOURS[:1].append(HOURS[:1] + pd.Timedelta(hours=7))),
        pd.concat([storm([1.0], [2.0]), storm([2.0], [2.0], HOURS[1:], "b")]),
    ],
)
def test_what_stands_still_or_has_no_neighbour_goes_nowhere(table):
    assert np.isnan(headings(table)).all()


@pytest.mark.parametrize(
    ("found", "along", "across"),
    [((1, 0), 1, 0), ((-1, 0), -1, 0), ((0, -1), 0, 1), ((0, 1), 0, -1)],
)
def test_ahead_and_right_of_a_storm_that_goes_east_are_positive(found, along, across):
    degree = np.pi / 180 * 6371.0088
    parts = along_across_km(np.zeros((1, 2)), np.array([90.0]), np.array([found], dtype=float))
    assert np.concatenate(parts) == pytest.approx([along * degree, across * degree], abs=1e-6)


def test_parts_are_those_of_an_azimuthal_map_around_the_truth():
    lon, lat, heading = 18.0, 37.0, 30.0
    to_plane = pyproj.Proj(proj="aeqd", lon_0=lon, lat_0=lat, R=6371008.8)
    east, north = np.array(to_plane(19.0, 36.5)) / 1000
    angle = np.radians(heading)
    parts = along_across_km(np.array([[lon, lat]]), np.array([heading]), np.array([[19.0, 36.5]]))
    along = east * np.sin(angle) + north * np.cos(angle)
    across = east * np.cos(angle) - north * np.sin(angle)
    assert np.concatenate(parts) == pytest.approx([along, across])


def test_what_is_unknown_is_nan():
    parts = along_across_km(
        np.array([[0.0, 0.0]] * 2), np.array([np.nan, 0]), np.array([[1.0, 0], [np.nan, np.nan]])
    )
    assert np.isnan(parts).all()
