import numpy as np
import pandas as pd
import pytest

from medicane_models.maps.wording import motion_text, period_text, place_text


@pytest.mark.parametrize(
    ("lat", "lon", "text"),
    [(-17.05, 124.49, "17.05°S 124.49°E"), (38, -7.5, "38.00°N 7.50°W"), (0, 0, "0.00°N 0.00°E")],
)
def test_places_have_hemispheres(lat, lon, text):
    assert place_text(lat, lon) == text


@pytest.mark.parametrize(
    ("speed", "heading", "said"),
    [
        (9.6, 350.0, "moving N at 10 kt"),
        (0.3, 10.0, "stationary"),
        (np.nan, np.nan, None),
        (None, None, None),
    ],
)
def test_motion_is_what_the_columns_say(speed, heading, said):
    assert motion_text({"speed_kt": speed, "heading": heading}) == said


def test_a_period_is_as_short_as_it_can_be():
    first, later, next_day = map(pd.Timestamp, ("2020-09-17 01", "2020-09-17 05", "2020-09-18"))
    assert period_text([first]) == "2020-09-17 01:00 UTC"
    assert period_text([later, first]) == "2020-09-17 01:00–05:00 UTC"
    assert period_text([first, next_day]) == "2020-09-17 01:00 – 2020-09-18 00:00 UTC"
