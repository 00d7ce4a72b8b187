import numpy as np
import pandas as pd
import pytest
from sample_tracks import path_of, two_tracks

from medicane_models.errors import SceneError
from medicane_models.prediction.tracks import as_tracks


def test_times_with_a_zone_become_utc():
    tracks = two_tracks()
    tracks["time"] = tracks["time"].dt.tz_localize("UTC").dt.tz_convert("Europe/Athens")
    assert as_tracks(tracks)["time"].iloc[0] == pd.Timestamp("2020-09-16T22:00")


def test_longitudes_are_brought_to_180_degrees():
    assert as_tracks(path_of(1, [190.0, 359.0], [0.0, 0.0]))["lon"].tolist() == [-170, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lat": 91.0}, "no valid position"),
        ({"lon": 361.0}, "no valid position"),
        ({"track_id": np.nan}, "2 rows have no track_id"),
        ({"track_id": ""}, "2 rows have no track_id"),
        ({"lon": np.nan}, "no valid position"),
        ({"time": pd.NaT}, "no time"),
        ({"time": "yesterday"}, "ISO 8601"),
        ({"time": pd.Timestamp("2020-09-17")}, "two positions"),
    ],
)
def test_impossible_tables_are_refused(change, message):
    with pytest.raises(SceneError, match=message):
        as_tracks(path_of(1, [5.0, 6.0], [40.0, 41.0]).assign(**change))


def test_what_is_missing_is_named():
    with pytest.raises(SceneError, match="has no column lat"):
        as_tracks(two_tracks().drop(columns="lat"))
