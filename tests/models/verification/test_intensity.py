import numpy as np
import pandas as pd
import pytest

from medicane_models.verification.intensity import row_classes


@pytest.mark.parametrize(
    ("wind_kt", "name"),
    [
        (34.9, "0 … 35 kt"),
        (35.0, "35 … 64 kt"),
        (63.9, "35 … 64 kt"),
        (64.0, "64 … 83 kt"),
        (83.0, "83 kt and more"),
    ],
)
def test_winds_part_depressions_storms_and_hurricanes(wind_kt, name):
    assert row_classes(pd.DataFrame({"wind_kt": [wind_kt]})).tolist() == [name]


def test_the_pressure_counts_where_no_wind_is_told():
    table = pd.DataFrame(
        {"pressure_hpa": [990.0, 990.0, np.nan], "wind_kt": [70.0, np.nan, np.nan]}
    )
    assert row_classes(table).tolist() == ["64 … 83 kt", "985 … 1000 hPa", ""]


def test_a_track_that_tells_no_intensity_has_no_class():
    assert row_classes(pd.DataFrame({"lon": [1.0]})).tolist() == [""]
