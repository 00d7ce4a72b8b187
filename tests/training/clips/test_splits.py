import numpy as np
import pandas as pd
import pytest

from medicane_models.domain import MEDITERRANEAN
from medicane_models.errors import ConfigurationError
from medicane_models.verification.best_tracks import read_tracks
from medicane_training.clips.splits import (
    PARTS,
    UNUSED,
    check_leaks,
    k_folds,
    split_by_season,
    split_by_storm,
)
from medicane_training.store.labels import label_clips

DAY = pd.Timedelta(days=1)


def calendar(storms, *, start="2020-01-01", days=730, every="6h"):
    """A clip every few hours; storms are given as name: (first day, days)."""
    ends = pd.date_range(start, periods=days * 24, freq="h")[:: int(every[:-1])]
    clips = pd.DataFrame({"end": ends, "storm": "", "label": 0})
    for name, (first, length) in storms.items():
        here = clips["end"].between(ends[0] + first * DAY, ends[0] + (first + length) * DAY)
        clips.loc[here, ["storm", "label"]] = name, 1
    return clips


@pytest.fixture(scope="module")
def year():
    """Two years with a storm of two days every month."""
    return calendar({f"s{month:02}": (30 * month + 10, 2) for month in range(24)})


def least_gap_hours(clips, split):
    """Of clips of different parts, by comparing all with all."""
    used = (split != UNUSED).to_numpy()
    end, part = clips["end"].to_numpy()[used], split.to_numpy()[used]
    apart = abs(end[:, None] - end[None]) / np.timedelta64(1, "h")
    return apart[part[:, None] != part[None]].min()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("guard_hours", [0.0, 24.0, 60.0])
def test_parts_are_apart_and_no_storm_is_lost_or_torn(year, seed, guard_hours):
    split = split_by_storm(year, seed=seed, guard_hours=guard_hours)
    storms = year["storm"] != ""
    assert least_gap_hours(year, split) >= max(guard_hours, 6)
    assert (split[storms] != UNUSED).all()
    assert len(set(zip(split[storms], year["storm"][storms], strict=True))) == 24
    assert (split == UNUSED).mean() <= 0.005 * guard_hours


def test_storms_and_weeks_are_dealt_by_the_fractions_and_over_the_seasons(year):
    split = split_by_storm(year, seed=3, fractions=(0.5, 0.25, 0.25))
    storms = year.assign(split=split)[year["storm"] != ""].drop_duplicates("storm")
    assert storms["split"].value_counts().to_dict() == {"train": 12, "validation": 6, "test": 6}
    season = storms["end"].dt.month % 12 // 3
    assert pd.crosstab(season, storms["split"]).to_numpy().min() >= 1
    calm = split[(year["storm"] == "") & (split != UNUSED)]
    share = calm.value_counts(normalize=True)
    assert share.loc[list(PARTS)].tolist() == pytest.approx([0.5, 0.25, 0.25], abs=0.06)


def test_hours_of_a_storm_follow_it_even_without_a_cyclone_in_the_tile(year):
    beside = year.assign(storm="", label=0)
    clips = pd.concat([year, beside], ignore_index=True)
    split = split_by_storm(clips, seed=0)
    seen, unseen = split[: len(year)], split[len(year) :].set_axis(year.index)
    assert (seen == unseen)[year["storm"] != ""].all()


def test_the_seed_alone_decides(year):
    split = split_by_storm(year, seed=1)
    shuffled = year.sample(frac=1, random_state=0)
    assert split_by_storm(year, seed=1).equals(split)
    assert split_by_storm(shuffled, seed=1).sort_index().equals(split)
    assert not split_by_storm(year, seed=2).equals(split)


def test_storms_within_the_guard_stay_together():
    clips = calendar({"a": (10, 2), "b": (12.75, 2), "c": (100, 2), "d": (200, 2)}, days=300)
    for seed in range(8):
        split = split_by_storm(clips, seed=seed)
        part = split.groupby(clips["storm"]).first()
        assert part["a"] == part["b"]
        assert {part["a"], part["c"], part["d"]} == set(PARTS)


def test_three_storms_without_calm_weather_make_three_folds():
    clips = calendar({"a": (0, 5), "b": (7, 5), "c": (4000, 6)}, days=4100)
    clips = clips[clips["storm"] != ""].reset_index(drop=True)
    folds = k_folds(clips, 3, 0, validation=False)
    held_out = [clips.loc[fold == "test", "storm"].unique().tolist() for fold in folds]
    assert sorted(held_out) == [["a"], ["b"], ["c"]]
    assert all(set(fold) == {"train", "test"} for fold in folds)


def test_every_storm_is_tested_once_and_chosen_with_once(year):
    folds = k_folds(year, 5, 7)
    storms = year["storm"] != ""
    for part in ("test", "validation"):
        assert sum((fold == part)[storms].astype(int) for fold in folds).eq(1).all()
    assert all(least_gap_hours(year, fold) >= 24 for fold in folds)


def test_unlabelled_clips_are_split_by_whole_seasons():
    clips = calendar({}, start="2016-03-01", days=4 * 365, every="12h").drop(
        columns=["storm", "label"]
    )
    split = split_by_season(clips, seed=0, fractions=(0.5, 0.25, 0.25))
    used = split[split != UNUSED]
    season = clips["end"].dt.to_period("Q-FEB")[used.index]
    assert len(set(zip(used, season, strict=True))) == 16
    parts = pd.crosstab(season.dt.quarter, used) > 0
    assert parts.to_numpy().all()  # each part has every season
    assert least_gap_hours(clips, split) >= 24


def test_a_clean_split_is_reported(year):
    split = split_by_storm(year, seed=0)
    report = check_leaks(year, split)
    assert report.index.tolist() == list(PARTS)
    assert report["clips"].sum() == (split != UNUSED).sum()
    assert report["cyclones"].sum() == (year["label"] == 1).sum()
    assert report["storms"].sum() == 24
    assert report["hours_to_other_parts"].min() == least_gap_hours(year, split)


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        ([0, 1.25], r"1 times of test and train share frames \(first: 2020-01-01 01:15 and 2020"),
        ([0, 1.5], r"1 times of test and train lie within 24 h"),
        ([0, 23.9], r"lie within 24 h \(first: 2020-01-01 23:54 and 2020-01-01 00:00\)"),
        ([0, 24], None),
    ],
)
def test_clips_of_two_parts_that_are_too_near_stop_the_run(hours, message):
    ends = pd.Timestamp("2020-01-01") + pd.to_timedelta(hours, unit="h")
    clips, split = pd.DataFrame({"end": ends}), pd.Series(["train", "test"])
    if message is None:
        assert check_leaks(clips, split)["hours_to_other_parts"].tolist() == [24, 24]
    else:
        with pytest.raises(ConfigurationError, match=message):
            check_leaks(clips, split)


def test_a_torn_storm_stops_the_run():
    ends = pd.to_datetime(["2020-01-01", "2020-01-09", "2020-02-09"])
    clips = pd.DataFrame({"end": ends, "storm": ["ianos", "ianos", ""]})
    with pytest.raises(ConfigurationError, match=r"1 storms are torn \(ianos in test and train\)"):
        check_leaks(clips, pd.Series(["train", "test", "test"]))
    check_leaks(clips, pd.Series(["train", "unused", "test"]))


def test_the_real_storms_are_split_without_leaks(shared_data):
    tracks = read_tracks(shared_data / "tracks" / "medicanes_new_windows.csv")
    hours = pd.DataFrame({"end": pd.date_range("2019-06-01", "2021-12-31", freq="h")})
    tiles = pd.DataFrame(MEDITERRANEAN.tiles(224), columns=["tile_x", "tile_y"])
    clips = hours.merge(tiles, how="cross")
    clips = clips.join(label_clips(clips, tracks, grid=MEDITERRANEAN))
    for fold in k_folds(clips, 3, 0):
        report = check_leaks(clips, fold)
        assert (report["storms"] == 2).all()  # six storms in these months
        assert report["cyclones"].sum() == (clips["label"] == 1).sum()


def test_impossible_requests_are_refused(year):
    with pytest.raises(ConfigurationError, match=r"1 storms, weeks or seasons .* fill 3 parts"):
        split_by_storm(calendar({"a": (5, 2)}, days=60), seed=0)
    with pytest.raises(ConfigurationError, match="add up to 1"):
        split_by_storm(year, seed=0, fractions=(0.5, 0.2, 0.2))
    with pytest.raises(ConfigurationError, match="2 folds are too few; give at least 3"):
        k_folds(year, 2, 0)
    with pytest.raises(ConfigurationError, match="no clip"):
        split_by_season(year.iloc[:0], seed=0)
    with pytest.raises(ConfigurationError, match=r"'eval'"):
        check_leaks(year, pd.Series("eval", index=year.index))
