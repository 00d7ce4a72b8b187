import numpy as np
import pandas as pd
import pyproj
import pytest

from medicane_models.domain import EARTH_RADIUS_KM, MEDITERRANEAN
from medicane_models.prediction.lifetimes import renamed, usual_step_hours, with_lifetimes
from medicane_models.prediction.linking import LinkSettings, link_detections

START = pd.Timestamp("2020-09-17")
GEOD = pyproj.Geod(a=EARTH_RADIUS_KM * 1000, f=0)


def cyclone(start, towards, *, hours, km_per_hour=20.0, probability=0.9):
    """Detections along a great circle; ``start`` is where it is in its first hour."""
    hours = list(hours)
    away = [1000 * km_per_hour * (hour - hours[0]) for hour in hours]
    places = [GEOD.fwd(*start, towards, metres)[:2] for metres in away]
    table = pd.DataFrame(places, columns=["lon", "lat"])
    return table.assign(
        time=START + pd.to_timedelta(hours, "h"),
        probability=probability,
        radius_50_km=15.0,
        radius_95_km=31.2,
    )


def link(*tables, **settings):
    table = pd.concat(tables)
    return link_detections(table, grid=MEDITERRANEAN, settings=LinkSettings(**settings))


def told(tracks, *columns):
    return tracks.groupby("track_id")[list(columns)].first().to_numpy().tolist()


def test_onset_and_decay_are_the_ends_of_what_is_likely_enough():
    probability = [0.35, 0.4, 0.6, 0.45, 0.7, 0.4]
    tracks = link(cyclone((15, 38), 90, hours=range(6), probability=probability))
    assert (tracks["onset"] == START + pd.Timedelta(hours=2)).all()
    assert (tracks["decay"] == START + pd.Timedelta(hours=4)).all()


def test_a_track_that_is_never_likely_enough_has_no_onset():
    tracks = link(cyclone((15, 38), 90, hours=range(3)))
    found = with_lifetimes(tracks, step_hours=1.5, start_probability=0.95)
    assert found[["onset", "decay"]].isna().all(axis=None)


@pytest.mark.parametrize("minutes", [15, 60, 180])
def test_the_fix_after_a_gap_is_flagged(minutes):
    hours = np.array([0, 1, 2, 5, 6]) * minutes / 60
    elsewhere = cyclone((0, 42), 90, hours=np.arange(8) * minutes / 60, km_per_hour=0.0)
    tracks = link(elsewhere, cyclone((20, 35), 90, hours=hours), max_gap_hours=12)
    assert tracks["after_gap"].tolist() == [False] * 8 + [False, False, False, True, False]


def test_steps_are_those_between_the_times_that_were_looked_at():
    times = pd.Series(START + pd.to_timedelta([0, 0, 1, 2, 2, 6, 7], "h"))
    assert usual_step_hours(times) == 1.5
    assert usual_step_hours(times[:2]) == 0


def test_missing_frames_are_the_most_of_the_tiles_of_a_fix():
    one = cyclone((15, 38), 90, hours=range(3)).assign(missing_frames=[0, 2, 1])
    two = one.assign(missing_frames=[0, 0, 3], probability=0.6)
    assert link(one, two)["missing_frames"].tolist() == [0, 2, 3]
    assert link(one.drop(columns="missing_frames"))["missing_frames"].isna().all()


def test_a_track_that_meets_another_has_merged_into_it():
    staying = cyclone((15, 38), 90, hours=range(24), km_per_hour=0.0, probability=0.95)
    coming = cyclone((20, 38), 270, hours=range(7))  # 437 km away, 317 at the end, then too near
    tracks = link(staying, coming)
    assert told(tracks, "split_from", "merged_into") == [["", ""], ["", "1"]]


def test_a_track_that_leaves_another_has_split_from_it():
    staying = cyclone((15, 38), 90, hours=range(24), km_per_hour=0.0, probability=0.95)
    leaving = cyclone((18.5, 38), 90, hours=range(8, 20))  # 306 km away, 286 an hour before
    tracks = link(staying, leaving)
    assert told(tracks, "split_from", "merged_into") == [["", ""], ["1", ""]]


def test_cyclones_that_cross_within_sight_merge_and_split():
    west, east = GEOD.fwd(15, 38, 270, 500_000)[:2], GEOD.fwd(15, 38, 90, 500_000)[:2]
    one = cyclone(west, 90, hours=range(40), km_per_hour=25.0, probability=0.95)
    other = cyclone(east, 270, hours=range(40), km_per_hour=25.0)
    tracks = link(one, other)
    assert told(tracks, "split_from", "merged_into") == [["", ""], ["", "1"], ["1", ""]]


def test_what_begins_or_ends_far_from_all_is_no_relative():
    one = cyclone((5, 40), 90, hours=range(10), km_per_hour=0.0)
    far = cyclone((12, 40), 90, hours=range(3, 7), km_per_hour=0.0)
    assert told(link(one, far), "split_from", "merged_into") == [["", ""], ["", ""]]


def test_a_track_is_no_relative_of_one_that_was_not_there_beside_it():
    gone = cyclone((10, 38), 90, hours=range(5), km_per_hour=0.0)
    later = cyclone((12.6, 38), 90, hours=range(5, 10), km_per_hour=0.0)
    tracks = link(gone, later, merge_km=200.0)
    assert told(tracks, "split_from", "merged_into") == [["", ""], ["", ""]]


def test_names_change_wherever_a_track_is_named():
    staying = cyclone((15, 38), 90, hours=range(24), km_per_hour=0.0, probability=0.95)
    leaving = cyclone((18.5, 38), 90, hours=range(8, 20))
    tracks = renamed(link(staying, leaving), "new-{}")
    assert tracks["track_id"].unique().tolist() == ["new-1", "new-2"]
    assert told(tracks, "split_from", "merged_into") == [["", ""], ["new-1", ""]]


def test_without_tracks_there_is_nothing_to_tell():
    none = link(cyclone((15, 38), 90, hours=range(3), probability=0.1))
    assert none.empty
    assert {"onset", "decay", "after_gap", "split_from", "merged_into"} <= set(none.columns)
