import numpy as np
import pandas as pd
import pytest

from medicane_models.errors import ConfigurationError
from medicane_training.clips.split_settings import split_by_dates, split_by_settings, split_by_table
from medicane_training.clips.splits import k_folds, split_by_season, split_by_storm
from medicane_training.recipes.data_sections import SplitSettings


@pytest.fixture(scope="module")
def year():
    """A clip every six hours for two years, a storm of two days every month."""
    ends = pd.date_range("2020-01-01", periods=4 * 730, freq="6h", unit="ns")
    day = (ends - ends[0]).days
    storm = np.where(day % 30 < 2, "s" + (day // 30).astype(str), "")
    return pd.DataFrame({"end": ends, "tile_x": 0, "tile_y": 196, "storm": storm, "label": 0})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (SplitSettings(), lambda clips: split_by_storm(clips, seed=0)),
        (
            SplitSettings(fractions=(0.5, 0.25, 0.25), seed=3, guard_hours=6.0),
            lambda clips: split_by_storm(
                clips, fractions=(0.5, 0.25, 0.25), seed=3, guard_hours=6.0
            ),
        ),
        (SplitSettings(by="season", seed=1), lambda clips: split_by_season(clips, seed=1)),
        (
            SplitSettings(by="folds", folds=4, fold=2, seed=5),
            lambda clips: k_folds(clips, 4, 5)[2],
        ),
    ],
)
def test_settings_reach_the_split_they_name(year, settings, expected):
    pd.testing.assert_series_equal(split_by_settings(year, settings), expected(year))


def test_dates_cut_time_in_three_and_leave_out_half_the_guard_on_either_side(year):
    settings = SplitSettings(
        by="dates", validation_from="2021-01-01", test_from="2021-07-01", guard_hours=24.0
    )
    part = split_by_settings(year, settings)
    last = year.groupby(part.to_numpy())["end"].agg(["min", "max"])
    assert last.loc["train", "max"] == pd.Timestamp("2020-12-31 12:00")
    assert last.loc["validation"].tolist() == [
        pd.Timestamp("2021-01-01 12:00"),
        pd.Timestamp("2021-06-30 12:00"),
    ]
    assert last.loc["test", "min"] == pd.Timestamp("2021-07-01 12:00")
    assert (part == "unused").sum() == 2 * 3


def test_dates_in_the_wrong_order_are_refused(year):
    with pytest.raises(ConfigurationError, match="the later date to test_from"):
        split_by_dates(year, validation_from="2021-07-01", test_from="2021-01-01")


@pytest.mark.parametrize(
    "settings", [SplitSettings(), SplitSettings(by="folds", folds=3, fold=0)], ids=["storm", "fold"]
)
def test_clips_without_storms_are_not_split_by_storm(year, settings):
    with pytest.raises(ConfigurationError, match=r"no clip of the store has a storm; .* by season"):
        split_by_settings(year.assign(storm=""), settings)


@pytest.fixture
def table(year):
    """The parts of the first ten clips, in another order and with a zone."""
    parts = ["train"] * 6 + ["unused"] + ["test"] * 3
    rows = year.iloc[:10].assign(part=parts, end=year["end"].iloc[:10].dt.tz_localize("UTC"))
    return rows[["tile_y", "part", "end", "tile_x"]].iloc[::-1]


def test_a_table_gives_parts_by_time_and_tile(year, table):
    clips = year.iloc[2:9].set_index(np.arange(50, 57))
    part = split_by_table(clips, table, source="t")
    assert part.loc[50:53].eq("train").all()
    assert part.loc[54:].tolist() == ["unused", "test", "test"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[1:], "t gives 1 clips no part, first 2020-01-03 06:00 at 0, 196"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "lists a clip twice, first 2020-01-03 06:00"),
        (lambda t: t.assign(part="dev"), "has the parts dev; write train"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(year, table, change, message):
    with pytest.raises(ConfigurationError, match=message):
        split_by_table(year.iloc[:10], change(table), source="t")


def test_a_file_that_is_absent_is_named(year, tmp_path):
    path = tmp_path / "split.csv"
    with pytest.raises(ConfigurationError, match=r"data.split.file .*split.csv cannot be read"):
        split_by_settings(year, SplitSettings(by="file", file=str(path)))
