"""Alarms of whole scenes against the storms that are there."""

import numpy as np
import pandas as pd
import pytest

from medicane_training.scores.scene_detection import (
    SceneRules,
    judge_scene,
    mirrored_apart_km,
    scene_scores,
)

RULES = SceneRules()
TIME = pd.Timestamp("2020-05-18 06:00")


def storms(*rows: tuple[str, float, float, float, bool]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["track_id", "lon", "lat", "wind_kt", "seen"])


def planes(*rows: tuple[float, float, float, float, float], time=TIME) -> pd.DataFrame:
    """Middle of the plane, probability, fix; detected from .5 on."""
    names = ["tile_lon", "tile_lat", "probability", "lon", "lat"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(time=time, detected=table["probability"] >= 0.5)


def judged(table, there, away_km=None):
    away = np.full(len(table), 0.0) if away_km is None else np.array(away_km)
    return judge_scene(table, there, away, RULES)


STRONG = ("strong", 80.0, 15.0, 100.0, True)


def test_a_storm_is_found_once_by_planes_that_overlap():
    table = planes((80, 15, 0.9, 80.1, 15.1), (84, 15, 0.8, 79.8, 15.0), (80, 19, 0.7, 80.0, 15.4))
    one = judged(table, storms(STRONG))
    assert one.alarms["kind"].tolist() == ["hit"]
    assert one.alarms["probability"].tolist() == [0.9]  # the surest
    assert one.storms["hit"].tolist() == [True]
    assert one.planes["truth"].tolist() == [True, True, True]


def test_an_alarm_far_from_every_storm_is_false():
    one = judged(planes((80, 15, 0.9, 83.0, 15.0)), storms(STRONG))  # 322 km
    assert one.alarms["kind"].tolist() == ["false"]
    assert one.storms["hit"].tolist() == [False]


@pytest.mark.parametrize(
    "other",
    [("weak", 60.0, 10.0, 20.0, True), ("?", 60.0, 10.0, np.nan, True), ("x", 60.0, 10, 90, False)],
)
def test_a_storm_that_does_not_count_is_neither_hit_nor_miss(other):
    table = planes((60, 10, 0.9, 60.0, 10.0), (80, 15, 0.2, np.nan, np.nan))
    one = judged(table, storms(STRONG, other))
    assert one.storms["track_id"].tolist() == ["strong"]
    assert one.alarms["kind"].tolist() == ["other"]
    assert one.planes["counts"].tolist() == [False, True]


def test_a_storm_in_no_judged_plane_is_no_miss():
    elsewhere = ("beyond", 120.0, 15.0, 100.0, True)
    one = judged(planes((80, 15, 0.2, np.nan, np.nan)), storms(STRONG, elsewhere))
    assert one.storms["track_id"].tolist() == ["strong"]


def test_scores_are_of_all_scenes_with_intervals_over_weeks():
    scenes = [
        judged(
            planes((80, 15, 0.9, 80.0, 15.0), (30, 15, 0.6, 30.0, 15.0), time=time),
            storms(STRONG),
            [0.0, 4000.0],
        )
        for time in pd.date_range(TIME, periods=3, freq="14D")
    ]
    found = scene_scores([*scenes, judged(planes((80, 15, 0.4, np.nan, np.nan)), storms(STRONG))])
    counts = found["counts"]
    assert (counts["storm moments"], counts["hits"], counts["false alarms"]) == (4, 3, 3)
    assert (counts["far planes"], counts["alarms in far planes"]) == (3, 3)
    assert found["scores"]["pod"]["value"] == 0.75
    assert found["scores"]["far"]["value"] == 0.5
    assert found["scores"]["pod"]["low"] < 0.75 < found["scores"]["pod"]["high"]


def test_a_scene_without_storms_and_alarms_has_none_of_either():
    one = judged(planes((80, 15, 0.1, np.nan, np.nan)), storms(), [5000.0])
    found = scene_scores([one])
    assert (found["counts"]["storm moments"], found["counts"]["false alarms"]) == (0, 0)
    assert found["scores"]["far_alarm_share"]["value"] == 0
    assert np.isnan(found["scores"]["pod"]["value"])


def test_fixes_of_mirrored_planes_are_compared_and_missing_ones_are_infinitely_far():
    north = planes((80, 15, 0.9, 80.0, 15.0), (60, -5, 0.1, np.nan, np.nan))
    south = planes((60, 5, 0.1, np.nan, np.nan), (80, -15, 0.9, 80.0, -15.009))
    np.testing.assert_allclose(mirrored_apart_km(north, south), [1.0], atol=0.01)
    assert np.isinf(mirrored_apart_km(north, north)).all()
