import numpy as np
import pytest

from medicane_models.domain import Grid, local_plane
from medicane_models.maps.sheets import Sheet, path_data

AEGEAN = local_plane(25.0, 37.5, size=320, km=3)


@pytest.fixture
def sheet() -> Sheet:
    return Sheet(grid=AEGEAN, width=640)


def numbers(path: str) -> np.ndarray:
    return np.array(path.replace("M", " ").replace("l", " ").split(), float)


def test_a_place_is_where_its_pixel_is(sheet):
    np.testing.assert_allclose(sheet.points([25.0], [37.5]), [[320, 320]], atol=1e-6)


def test_a_circle_is_as_wide_as_its_radius(sheet):
    path = sheet.circle(25.0, 37.5, 240.0).get("d")
    start = numbers(path)[:2]
    assert np.hypot(*(start - 320)) == pytest.approx(240 / 3 * 2, abs=0.2)


def test_no_circle_has_an_unknown_radius(sheet):
    assert sheet.circle(25.0, 37.5, float("nan")).get("d") == ""


def test_a_scale_bar_is_as_long_as_it_says(sheet):
    bar, text = sheet.scale_bar()
    start, rest = bar.get("d").removeprefix("M").split(" ", 1)
    end = rest.partition("H")[2].partition("v")[0]
    assert text.text == "200 km"
    assert float(end) - float(start) == pytest.approx(200 / 3 * 2, abs=0.2)


def test_no_meridian_is_named_under_the_scale_bar(sheet):
    lines, across, down = sheet.degrees()
    (start, _), (end, _) = sheet.bar()[1]
    assert [name for name, _ in across] == ["22°E", "24°E", "26°E"]  # 28°E is under it
    assert start < sheet.points([28.0], [33.6])[0, 0] < end
    assert {name for name, _ in down} == {"34°N", "36°N", "38°N", "40°N"}
    assert np.isfinite(np.concatenate(lines)).all()


def test_coasts_are_coarser_where_there_are_too_many(sheet):
    fine = sheet.coasts().get("d")
    coarse = Sheet(grid=AEGEAN, width=640, most_points=500).coasts().get("d")
    assert fine.count("l") > 2000
    assert 100 < coarse.count("l") <= 500


def test_a_line_is_written_in_tenths_and_broken_where_it_is_unknown():
    line = np.array([[0, 0], [1.04, 0], [1.0, 0], [np.nan, 0], [5, 5], [4, 7.5]])
    assert path_data([line]) == "M0 0l1 0M5 5l-1 2.5"


def test_a_track_over_the_date_line_does_not_cross_the_map():
    world = Grid.lonlat(west=-180, south=-90, east=180, north=90, step_degrees=1)
    path = Sheet(grid=world, width=360).track(np.array([179.0, -179.0]), np.array([0.0, 0.0]))
    assert path.get("d").count("M") == 2
