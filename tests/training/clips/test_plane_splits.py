"""Splits of local planes: whole storms, apart in time or on Earth."""

import numpy as np
import pandas as pd
import pytest

from medicane_models.domain import great_circle_km
from medicane_models.errors import ConfigurationError
from medicane_training.clips.nearness import near
from medicane_training.clips.plane_splits import plane_folds, split_planes
from medicane_training.clips.split_settings import split_by_settings
from medicane_training.clips.splits import PARTS, UNUSED, check_leaks
from medicane_training.recipes.data_sections import SplitSettings

BASINS = {"west": (140.0, 15.0), "east": (-110.0, 12.0), "south": (80.0, -15.0)}


def season(seed: int, storms: int = 30) -> pd.DataFrame:
    """Half a year of storms of a week, many at once, seen by two sensors, and calm weather."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2020-06-01")
    rows = []
    for number in range(storms):
        lon, lat = BASINS[rng.choice(list(BASINS))] + rng.normal(0, 8, 2)
        first = start + pd.Timedelta(hours=int(rng.integers(24 * 180)))
        for hour in range(0, 24 * 7, 12):
            place = {"plane_lon": lon + hour / 20, "plane_lat": lat}
            end = first + pd.Timedelta(hours=hour)
            rows += [{"end": end, "storm": f"s{number}", "dataset": d, **place} for d in "ab"]
    for _ in range(800):
        end = start + pd.Timedelta(hours=int(rng.integers(24 * 187)))
        place = {"plane_lon": rng.uniform(-180, 180), "plane_lat": rng.uniform(-40, 40)}
        rows.append({"end": end, "storm": "", "dataset": "a", **place})
    table = pd.DataFrame(rows).assign(label=lambda t: (t["storm"] != "").astype(int))
    odd = [{"end": pd.NaT, "storm": "s1", "dataset": "p"}, {"end": start, "storm": "?7"}]
    return pd.concat([table, pd.DataFrame(odd)], ignore_index=True).fillna({"label": 1})


def apart(clips: pd.DataFrame, split: pd.Series, hours: float, km: float) -> bool:
    """By comparing all with all, on the great circle."""
    used = ((split != UNUSED) & clips["end"].notna()).to_numpy()
    rows, part = clips[used], split[used].to_numpy()
    end = rows["end"].to_numpy("datetime64[ns]").astype(np.int64) / 3.6e12
    lon, lat = (rows[name].to_numpy(float) for name in ("plane_lon", "plane_lat"))
    distance = np.nan_to_num(great_circle_km(lon[:, None], lat[:, None], lon, lat), nan=0.0)
    close = (abs(end[:, None] - end) < hours) & (distance < km)
    return not (close & (part[:, None] != part)).any()


@pytest.mark.parametrize("seed", range(4))
def test_parts_are_apart_storms_whole_and_what_is_unknown_trains(seed):
    clips = season(seed)
    split = split_planes(clips, seed=seed)
    assert apart(clips, split, 24, 2000)
    check_leaks(clips, split)
    stormy = clips.assign(part=split)[(clips["storm"] != "") & (split != UNUSED)]
    assert stormy.groupby("storm")["part"].nunique().max() == 1
    assert split.iloc[-2:].isin(["train", UNUSED]).all()
    share = (split[clips["storm"] != ""] == UNUSED).mean()
    assert share < 0.5
    assert set(split) == {*PARTS, UNUSED}


def test_storms_of_far_oceans_share_their_hours():
    clips = season(0)
    split = split_planes(clips, seed=0)
    hours = clips.groupby(split)["end"].agg(lambda ends: set(ends.dt.floor("D")))
    assert hours["train"] & hours["test"]


@pytest.mark.parametrize("seed", range(3))
def test_every_storm_is_tested_once(seed):
    clips = season(seed)
    folds = plane_folds(clips, 5, seed)
    tested = [set(clips.loc[fold == "test", "storm"]) - {""} for fold in folds]
    assert sorted(name for names in tested for name in names) == sorted(
        set(clips["storm"]) - {"", "?7"}
    )
    assert all(apart(clips, fold, 24, 2000) for fold in folds)


def test_what_is_held_out_is_never_trained_on_or_chosen_with():
    clips = season(1)
    named = clips["storm"].isin(["s3", "s4"]) | (clips["dataset"] == "b")
    for seed in range(4):
        split = split_planes(clips, seed=seed, held_out=("s3", "s4", "b"), fractions=(0.8, 0.2, 0))
        assert (split[named] == "test").all()
        assert apart(clips, split, 24, 2000)
        (fold, *_) = plane_folds(clips, 4, seed, held_out=("s3", "s4"))
        assert (fold[clips["storm"].isin(["s3", "s4"])] == UNUSED).all()


def test_nearness_is_that_of_time_and_great_circle():
    rng = np.random.default_rng(0)
    tables = [
        pd.DataFrame(
            {
                "end": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.uniform(0, 400, 300), "h"),
                "plane_lon": rng.uniform(-180, 180, 300),
                "plane_lat": rng.uniform(-80, 80, 300),
            }
        )
        for _ in range(2)
    ]
    one, other = tables
    km = great_circle_km(
        *one[["plane_lon", "plane_lat"]].to_numpy().T[..., None],
        *other[["plane_lon", "plane_lat"]].to_numpy().T,
    )
    hours = abs(one["end"].to_numpy()[:, None] - other["end"].to_numpy()) / np.timedelta64(1, "h")
    truly = ((hours < 24) & (km < 2000)).any(axis=1)
    at_most = ((hours < 24) & (km < 2000 * 2)).any(axis=1)
    found = near(one, other, hours=24, km=2000)
    assert found[truly].all()
    assert not found[~at_most].any()
    assert truly.any()


def test_a_clip_anywhere_is_near_all_of_its_time():
    start = pd.Timestamp("2020-01-01")
    nowhere = pd.DataFrame({"end": [start], "plane_lon": [np.nan], "plane_lat": [np.nan]})
    there = pd.DataFrame({"end": [start], "plane_lon": [9.0], "plane_lat": [50.0]})
    later = there.assign(end=start + pd.Timedelta(days=2))
    assert near(nowhere, there, hours=24, km=2000).tolist() == [True]
    assert near(there, nowhere, hours=24, km=2000).tolist() == [True]
    assert near(nowhere, later, hours=24, km=2000).tolist() == [False]


def test_leaks_on_earth_are_named():
    start = pd.Timestamp("2020-01-01")
    clips = pd.DataFrame({"end": [start, start], "plane_lon": [0.0, 10.0], "plane_lat": 0.0})
    split = pd.Series(["train", "test"])
    with pytest.raises(ConfigurationError, match=r"1 clips of train have some of test within 24 h"):
        check_leaks(clips, split)
    check_leaks(clips.assign(plane_lon=[0.0, 30.0]), split)
    timeless = clips.assign(end=[start, pd.NaT])
    check_leaks(timeless, split)
    with pytest.raises(ConfigurationError, match="have no time and some of them choose"):
        check_leaks(timeless, split.replace("test", "validation"))


def test_storms_to_test_may_stand_in_a_file(tmp_path, caplog):
    (tmp_path / "held.txt").write_text("s3\ns99\n")
    caplog.set_level("INFO")
    clips = season(2)
    settings = SplitSettings(test_storms=str(tmp_path / "held.txt"), seed=5)
    split = split_by_settings(clips, settings)
    assert (split[clips["storm"] == "s3"] == "test").all()
    assert "1 of 2 data.split.test_storms are not in the store, such as s99" in caplog.text
    pd.testing.assert_series_equal(
        split, split_by_settings(clips, SplitSettings(test_storms=("s3",), seed=5))
    )


@pytest.mark.parametrize(
    "by",
    [{"by": "season"}, {"by": "dates", "validation_from": "2020-08-01", "test_from": "2020-10-01"}],
)
def test_clips_without_a_time_train_however_time_is_cut(by):
    clips = season(3)
    assert split_by_settings(clips, SplitSettings(**by))[clips["end"].isna()].eq("train").all()


def test_too_few_storms_are_refused():
    clips = season(0, storms=2)
    with pytest.raises(ConfigurationError, match=r"2 storms cannot fill 3 parts"):
        split_planes(clips, seed=0)
