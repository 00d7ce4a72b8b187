import numpy as np
import pandas as pd
import pytest
from northward_tracks import DAY, HOURS, track, write

from medicane_models.domain import MEDITERRANEAN
from medicane_models.verification.evaluation import EvaluationSettings, evaluate


def judged(tmp_path, truth, *tracks, settings=DAY):
    found = write(pd.concat(tracks), tmp_path / "tracks.csv")
    return evaluate(found, write(truth, tmp_path / "truth.csv"), settings=settings)


def score(report, name, section="storms and tracks"):
    return report["sections"][section]["scores"][name]["value"]


def test_a_storm_is_told_with_its_hours_and_how_late_its_track_is(tmp_path):
    report = judged(tmp_path, track("ianos", 18, range(4, 16)), track(1, 18, range(6, 15)))
    (event,) = report["by_storm"]
    assert event["found"] == "--+++++++++-"
    assert (event["onset_error_h"], event["decay_error_h"]) == (2, -1)
    assert (event["first"], event["tracks"]) == ("2020-09-17T04:00:00Z", "1")


@pytest.mark.parametrize(
    ("hours", "onset", "decay"),
    [(range(12), np.nan, 0), (range(4, 24), 0, np.nan), (range(24), np.nan, np.nan)],
)
def test_what_began_before_the_period_or_ends_after_it_is_not_late(hours, onset, decay, tmp_path):
    storm = track("ianos", 18, hours)
    (event,) = judged(tmp_path, storm, storm)["by_storm"]
    found = [event["onset_error_h"], event["decay_error_h"]]
    np.testing.assert_equal(found, [onset, decay])


def test_a_storm_that_enters_the_domain_later_has_no_onset_there(tmp_path):
    storm = track("ianos", np.linspace(-20, 20, 12), range(4, 16))
    settings = EvaluationSettings(start=HOURS[0], end=HOURS[-1], domain=MEDITERRANEAN, samples=20)
    (event,) = judged(tmp_path, storm, storm, settings=settings)["by_storm"]
    np.testing.assert_equal([event["onset_error_h"], event["decay_error_h"]], [np.nan, 0])


def test_a_track_tells_its_onset_itself(tmp_path):
    found = track(1, 18, range(4, 16)).assign(onset=HOURS[7], decay=HOURS[12])
    (event,) = judged(tmp_path, track("ianos", 18, range(4, 16)), found)["by_storm"]
    assert (event["onset_error_h"], event["decay_error_h"]) == (3, -3)


def test_false_tracks_are_told_one_by_one_and_for_100_hours(tmp_path):
    stray = track(7, 30, range(2, 5)).assign(probability=[0.5, 0.8, 0.6])
    report = judged(tmp_path, track("ianos", 18, range(4, 16)), track(1, 18, range(4, 16)), stray)
    (false,) = report["false_tracks"]
    assert false == {
        "track_id": "7",
        "first": "2020-09-17T02:00:00Z",
        "last": "2020-09-17T04:00:00Z",
        "n": 3,
        "lon": 30.0,
        "lat": 37.2,
        "probability": 0.8,
    }
    assert score(report, "false_tracks_per_100_h") == pytest.approx(100 / 24)
    assert score(report, "storm_pod") == 1


def test_storms_without_a_track_lower_the_hit_rate(tmp_path):
    storms = pd.concat([track("a", 18, range(4, 9)), track("b", 5, range(4, 9))])
    report = judged(tmp_path, storms, track(1, 5, [6]))
    assert score(report, "storm_pod") == 0.5
    assert [event["pod"] for event in report["by_storm"]] == [0, 0.2]
