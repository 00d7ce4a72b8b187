import numpy as np
import pandas as pd
import pytest

from medicane_models.domain.distances import SPHERE
from medicane_models.errors import SceneError
from medicane_models.prediction.extrapolation import FORECAST_COLUMNS, extrapolated, standing
from medicane_models.prediction.motion import MotionModel
from medicane_models.prediction.tracks import as_tracks
from tests.support.dense_motion import dense_estimate, van_loan

START = pd.Timestamp("2020-09-17")
END = START + pd.Timedelta(hours=23)


def track(start, towards, *, km_per_hour=30.0, track_id=1, hours=24, radius_95_km=30.0):
    places = [SPHERE.fwd(*start, towards, 1000 * h * km_per_hour)[:2] for h in range(hours)]
    table = pd.DataFrame(places, columns=["lon", "lat"])
    time = START + pd.to_timedelta(np.arange(hours), "h")
    return table.assign(track_id=track_id, time=time, radius_95_km=radius_95_km)


def forecasts(*tracks, **settings):
    return extrapolated(as_tracks(pd.concat(tracks)), **settings)


def of_last_fix(*tracks, **settings):
    return standing(forecasts(*tracks, **settings), now=END, max_gap_hours=6.0)


@pytest.mark.parametrize(
    ("start", "towards"), [((15, 38), 70), ((178, -15), 95), ((0, 88), 10)], ids=str
)
def test_steady_cyclones_go_on(start, towards):
    found = of_last_fix(track(start, towards))
    for row in found.to_dict("records"):
        ahead = 1000 * 30.0 * (23 + row["lead_hours"])
        expected = SPHERE.fwd(*start, towards, ahead)[:2]
        off = SPHERE.inv(row["lon"], row["lat"], *expected)[2] / 1000
        assert off < 0.02 * 30 * row["lead_hours"]


def test_forecasts_say_when_they_start_and_what_they_are_for():
    found = of_last_fix(track((15, 38), 70), lead_hours=(6, 12))
    assert tuple(found.columns) == FORECAST_COLUMNS
    assert found["track_id"].tolist() == [1, 1]
    assert (found["issued"] == END).all()
    assert found["valid_time"].tolist() == [END + pd.Timedelta(hours=h) for h in (6, 12)]


def test_circles_are_those_of_all_fixes_and_the_motion_ahead():
    model = MotionModel()
    found = forecasts(track((15, 38), 70, hours=10), lead_hours=(6.0,)).tail(1)
    deviation = np.full(10, 30.0 / np.sqrt(2 * np.log(20)))
    _, covariance = dense_estimate(np.arange(10.0), np.zeros(10), deviation, model)
    step, noise = van_loan(6.0, model)
    ahead = step @ covariance[-3:, -3:] @ step.T + noise
    expected = np.sqrt(ahead[0, 0] * 2 * np.log([2, 20]))
    assert found[["radius_50_km", "radius_95_km"]].to_numpy()[0] == pytest.approx(expected)


def test_circles_grow():
    radii = of_last_fix(track((15, 38), 70), lead_hours=(0, 3, 6, 12))["radius_95_km"]
    assert (np.diff(radii) > 0).all()
    assert radii[0] < 30


def test_each_fix_but_the_first_has_forecasts_by_what_was_known_then():
    whole, part = (track((15, 38), 70, hours=hours) for hours in (24, 10))
    part["lon"] += np.sin(np.arange(10)) / 10
    whole.loc[:9, "lon"] = part["lon"]
    found, earlier = forecasts(whole), forecasts(part)
    assert len(found) == 2 * 23
    pd.testing.assert_frame_equal(found.iloc[: 2 * 9], earlier)


def test_forecasts_of_tracks_that_are_followed_and_move_stand():
    ended = track((5, 38), 70, hours=17, track_id=2)  # last seen 7 h ago
    waiting = track((25, 34), 70, hours=18, track_id=3)
    new = track((30, 34), 70, track_id=4).tail(1)
    vague = track((0, 45), 70, track_id=5, radius_95_km=np.nan)
    found = of_last_fix(track((15, 38), 70), ended, waiting, new, vague)
    assert found["track_id"].tolist() == [1, 1, 3, 3]


def test_nothing_takes_forecasts_for_tracks():
    with pytest.raises(SceneError, match="no column time"):
        as_tracks(forecasts(track((15, 38), 70)))


def test_without_tracks_there_is_no_forecast():
    none = forecasts(track((15, 38), 70).iloc[:0])
    assert none.empty
    assert tuple(none.columns) == FORECAST_COLUMNS
