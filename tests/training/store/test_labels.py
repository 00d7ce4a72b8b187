import numpy as np
import pandas as pd
import pyproj
import pytest

from medicane_models.domain import MEDITERRANEAN
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.verification.best_tracks import read_tracks
from medicane_training.store.labels import LabelRule, label_clips

HOUR = pd.Timestamp("2020-09-17T12:00")
TILES = pd.DataFrame(MEDITERRANEAN.tiles(224), columns=["tile_x", "tile_y"])
RESEARCH = LabelRule(kind="research")


def storm_at(pixels, track_id="a", start=HOUR, **columns):
    """A storm that is in these pixels (x, y) of the Mediterranean grid, hour after hour."""
    lon, lat = MEDITERRANEAN.pixel_to_lonlat(*np.array(pixels, dtype=float).T)
    times = pd.date_range(start, periods=len(pixels), freq="h")
    table = {"track_id": track_id, "time": times, "lon": lon, "lat": lat}
    return pd.DataFrame(table | columns)


def clip_at(x, y, end=HOUR):
    return pd.DataFrame({"end": [end], "tile_x": [x], "tile_y": [y]})


def every_tile(ends):
    return pd.DataFrame({"end": ends}).merge(TILES, how="cross")


def labelled(clips, tracks, **options):
    return label_clips(clips, tracks, grid=MEDITERRANEAN, **options)


@pytest.mark.parametrize(
    ("x", "label"),
    [(-5.51, 0), (-5.4, -1), (-0.6, -1), (4.4, -1), (4.6, 1), (112, 1), (218.4, 1), (218.6, -1)],
)
def test_the_default_rule_ignores_what_is_near_the_border(x, label):
    row = labelled(clip_at(213, 100), storm_at([(213 + x, 200)])).iloc[0]
    assert row["label"] == label
    assert (row["storm"] == "a") == (label != 0)
    inside = -0.5 <= x < 223.5
    assert row["target_x"] == (
        pytest.approx(x, abs=1e-6) if inside else pytest.approx(np.nan, nan_ok=True)
    )


def test_targets_are_sub_pixel_and_distances_great_circles():
    tracks = storm_at([(300.25, 250.75), (304.25, 252.75)])
    rows = labelled(clip_at(213, 196, HOUR + pd.Timedelta(minutes=30)), tracks)
    lon, lat = MEDITERRANEAN.pixel_to_lonlat(213 + 111.5, 196 + 111.5)
    there = MEDITERRANEAN.pixel_to_lonlat(302.25, 251.75)
    away = pyproj.Geod(a=6371008.8, f=0).inv(lon, lat, *there)[2] / 1000
    assert rows["target_x"].item() == pytest.approx(302.25 - 213, abs=0.01)
    assert rows["target_y"].item() == pytest.approx(251.75 - 196, abs=0.01)
    assert rows["storm_distance_km"].item() == pytest.approx(away, abs=0.05)


def test_every_centre_on_the_domain_is_well_inside_some_tile():
    x, y = np.meshgrid(np.arange(6, 1282, 3.0), np.arange(6, 414, 3.0))
    tracks = storm_at(np.stack([x.ravel(), y.ravel()], axis=1), start=pd.Timestamp("2001-01-01"))
    rows = every_tile(tracks["time"])
    best = labelled(rows, tracks)["label"].groupby(rows["end"]).max()
    assert (best == 1).all()


def test_of_several_storms_the_one_nearest_to_the_centre_counts():
    tracks = pd.concat([storm_at([(150, 100)], "far"), storm_at([(100, 100)], "near")])
    row = labelled(clip_at(0, 0), tracks).iloc[0]
    assert (row["storm"], round(row["target_x"], 6)) == ("near", 100)
    beside = pd.concat([storm_at([(2, 112)], "ignored"), storm_at([(200, 200)], "sure")])
    assert labelled(clip_at(0, 0), beside)["storm"].tolist() == ["sure"]


def test_many_clips_are_labelled_as_one_by_one():
    rng = np.random.default_rng(0)
    starts = HOUR - pd.to_timedelta(rng.integers(0, 30, 9), unit="h")
    paths = [rng.uniform(0, 300, 2) + rng.normal(0, 9, (30, 2)).cumsum(0) for _ in starts]
    storms = [storm_at(*both) for both in zip(paths, "abcdefghi", starts, strict=True)]
    clips = pd.concat([clip_at(*offset) for offset in rng.integers(0, 190, (200, 2))])
    rows = labelled(clips, pd.concat(storms))
    here = [p[(HOUR - s) // pd.Timedelta("1h")] for p, s in zip(paths, starts, strict=True)]
    for offset, row in zip(clips[["tile_x", "tile_y"]].to_numpy(), rows.itertuples(), strict=True):
        depth = [112 - abs(xy - offset - 111.5).max() for xy in here]
        assert row.label == (1 if max(depth) >= 5 else -1 if max(depth) > -5 else 0)
        if row.label == 1:
            assert depth["abcdefghi".index(row.storm)] >= 5


def test_a_calm_time_has_no_distance_and_the_index_is_kept():
    clips = pd.concat([clip_at(0, 0), clip_at(0, 0, HOUR + pd.Timedelta(days=9))])
    rows = labelled(clips.set_index(pd.Index([7, 7])), storm_at([(600, 100)]))
    assert rows.index.tolist() == [7, 7]
    assert rows["label"].tolist() == [0, 0]
    assert rows["storm"].tolist() == ["", ""]
    assert np.isnan(rows["storm_distance_km"]).tolist() == [False, True]


def test_hours_outside_the_window_are_ignored_or_with_the_old_rule_calm():
    window = {"window_start": HOUR + pd.Timedelta("1h"), "window_end": HOUR + pd.Timedelta("2h")}
    tracks = storm_at([(100, 100)] * 4, **window)
    ends = pd.date_range(HOUR, periods=4, freq="h")
    clips = pd.concat([clip_at(0, 0, end) for end in ends])
    assert labelled(clips, tracks)["label"].tolist() == [-1, 1, 1, -1]
    # of the clip that ends at 15:00 nine frames round to 14:00, the last hour of the window
    assert labelled(clips, tracks, rule=RESEARCH)["label"].tolist() == [0, 1, 1, 1]
    unknown = tracks.assign(window_start=pd.NaT, window_end=pd.NaT)
    assert labelled(clips, unknown)["label"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("minutes_after", "frames"),  # by hand: frames of 5 min that round to 12:00, half to even
    [(-30, 1), (-5, 6), (0, 7), (25, 12), (30, 13), (35, 13), (105, 1), (110, 0)],
)
def test_research_counts_frames_by_their_rounded_hour(minutes_after, frames):
    clip = clip_at(0, 0, HOUR + pd.Timedelta(minutes=minutes_after))
    tracks = storm_at([(100, 100)])
    for asked in (max(frames, 1), frames + 1):
        rule = LabelRule(kind="research", min_frames=asked)
        assert labelled(clip, tracks, rule=rule)["label"].item() == int(frames >= asked)


def test_research_labels_are_those_of_the_stored_pixels(shared_data):
    path = shared_data / "tracks" / "medicanes_new_windows.csv"
    stored = pd.read_csv(path, parse_dates=["time"])
    ends = pd.DatetimeIndex(stored["time"].unique())
    clips = every_tile(ends.union(ends + pd.Timedelta("1h")))
    expected = np.zeros(len(clips), dtype=bool)
    # a clip on the hour has six or seven frames at its last hour and nine or ten at the one before
    for back in (0, 1):
        hours = stored.assign(end=stored["time"] + pd.Timedelta(hours=back))
        both = clips.reset_index().merge(hours, on="end")
        inside = (both["x_pix"] - both["tile_x"]).between(0, 223)
        inside &= (both["y_pix"] - both["tile_y"]).between(0, 223)
        expected[both.loc[inside, "index"]] = True
    rows = labelled(clips, read_tracks(path), rule=RESEARCH)
    assert (rows["label"].to_numpy() == expected).all()


def test_neighbours_are_the_eight_tiles_around_and_keep_their_storm():
    rows = labelled(every_tile([HOUR]), storm_at([(750, 100)]), rule=LabelRule(neighbours=True))
    grid = rows["label"].to_numpy().reshape(2, 6)
    assert grid.tolist() == [[0, 0, 2, 1, 2, 0], [0, 0, 2, 2, 2, 0]]
    assert (rows["storm"] == "a").tolist() == (rows["label"] != 0).tolist()
    alone = labelled(clip_at(500, 0), storm_at([(750, 100)]), rule=LabelRule(neighbours=True))
    assert alone["label"].item() == 2  # its neighbour need not be in the table


def test_a_year_of_clips_takes_seconds(shared_data):
    tracks = read_tracks(shared_data / "tracks" / "medicanes_new_windows.csv")
    hours = pd.date_range("2023-01-01", "2024-01-01", freq="h", inclusive="left")
    clips = every_tile(hours)
    research = labelled(clips, tracks, rule=RESEARCH)["label"].value_counts()
    assert research.to_dict() == {0: 104929, 1: 191}  # the 191 of the research system
    ours = labelled(clips, tracks)["label"].value_counts()
    assert ours.to_dict() == {-1: 7, 0: 104927, 1: 186}


def test_six_hourly_tracks_need_a_wider_gap():
    tracks = storm_at([(100, 100)] * 7).iloc[[0, 6]]
    clip = clip_at(0, 0, HOUR + pd.Timedelta("3h"))
    assert labelled(clip, tracks)["label"].item() == 0
    assert labelled(clip, tracks, max_gap_hours=6.0)["label"].item() == 1


def test_impossible_rules_and_tables_are_refused():
    with pytest.raises(ConfigurationError, match="called legacy; choose last_frame or research"):
        LabelRule(kind="legacy")
    with pytest.raises(ConfigurationError, match="border_margin_px is -1"):
        LabelRule(border_margin_px=-1)
    with pytest.raises(SceneError, match="no column tile_x"):
        labelled(clip_at(0, 0).drop(columns="tile_x"), storm_at([(1, 1)]))
