import pandas as pd
import pytest

from medicane_models.maps.wording import motion_text, period_text, place_text


def fixes(*places: tuple[float, float, float]) -> list[dict]:
    """Hours since midnight, longitude, latitude."""
    start = pd.Timestamp("2020-09-17")
    return [{"time": start + pd.Timedelta(hours=h), "lon": x, "lat": y} for h, x, y in places]


@pytest.mark.parametrize(
    ("lat", "lon", "text"),
    [(-17.05, 124.49, "17.05°S 124.49°E"), (38, -7.5, "38.00°N 7.50°W"), (0, 0, "0.00°N 0.00°E")],
)
def test_places_have_hemispheres(lat, lon, text):
    assert place_text(lat, lon) == text


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ([(0, 0, 0), (6, 0, -1)], "moving S at 19 km/h over the last 6 h"),
        ([(0, 9, 9), (2, 0, 0), (8, 1, 1)], "moving NE at 26 km/h over the last 6 h"),
        ([(0, 179.5, 0), (4, -179.5, 0)], "moving E at 28 km/h over the last 4 h"),
        ([(0, 5, 5), (3, 5, 5)], "stationary over the last 3 h"),
        ([(0, 0, 0), (2, 1, 1)], None),
    ],
)
def test_motion_is_that_of_the_last_hours(places, text):
    assert motion_text(fixes(*places)) == text


def test_a_period_is_as_short_as_it_can_be():
    first, later, next_day = map(pd.Timestamp, ("2020-09-17 01", "2020-09-17 05", "2020-09-18"))
    assert period_text([first]) == "2020-09-17 01:00 UTC"
    assert period_text([later, first]) == "2020-09-17 01:00–05:00 UTC"
    assert period_text([first, next_day]) == "2020-09-17 01:00 – 2020-09-18 00:00 UTC"
