from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.times import interval, utc, utc_times

NOON = datetime(2011, 11, 2, 12)

SPOKEN = [
    "2nov",
    "02/11/2011",
    "2011/11/02",
    "2011.11.02",
    "11-11-02",
    "2011-11-2",
    "2011Q4",
    "2 November 2011",
    "now",
    "today",
    "12:00",
    "2011-13-01",
    "2011-02-30",
    "2011-11-02T25",
    "0001-11-02",
    "nan",
    "",
]


@pytest.mark.parametrize("text", SPOKEN)
def test_a_time_in_another_form_than_iso_8601_is_refused(text):
    with pytest.raises(ConfigurationError, match="is no time"):
        utc(text)


@pytest.mark.parametrize("text", SPOKEN)
def test_so_it_is_in_a_column(text):
    with pytest.raises(SceneError, match=r"ISO 8601|have no time"):
        utc_times(["2011-11-02", text], source="t")


@pytest.mark.parametrize(
    "text",
    [
        "2011-11-02T12:00",
        "2011-11-02 12:00:00",
        "2011-11-02T12Z",
        "20111102T1200",
        "20111102T120000.000Z",
        "2011-11-02T14:00+02:00",
        "2011-11-02T07:30-0430",
        " 2011-11-02T12:00 ",
    ],
)
def test_every_form_of_iso_8601_is_the_same_moment(text):
    assert utc(text).to_pydatetime() == NOON
    assert utc_times([text], source="t").tolist() == [pd.Timestamp(NOON)]


@pytest.mark.parametrize("text", ["2011", "2011-11", "2011-11-02", "20111102"])
def test_what_is_left_out_is_the_first(text):
    expected = datetime(2011, 11 if len(text) > 4 else 1, 2 if len(text) > 7 else 1)
    assert utc(text) == utc_times([text], source="t")[0] == expected


def test_objects_of_time_are_taken_as_they_are():
    moments = [NOON, NOON.replace(tzinfo=UTC), np.datetime64(NOON), pd.Timestamp(NOON)]
    assert {utc(moment) for moment in moments} == {pd.Timestamp(NOON)}


def test_numbers_are_no_times_but_dates_without_dashes_are():
    assert utc_times(pd.Series([20111102]), source="t").tolist() == [pd.Timestamp("2011-11-02")]
    with pytest.raises(SceneError, match="2011110212"):
        utc_times(pd.Series([2011110212]), source="t")


def test_an_interval_may_be_open_or_a_moment():
    assert interval(None, None) == (None, None)
    assert interval("2011-11-02", None) == (pd.Timestamp("2011-11-02"), None)
    assert interval("2011-11-02", "2011-11-02T00:00Z")[0] == pd.Timestamp("2011-11-02")


def test_an_empty_interval_is_named_from_its_start_to_its_end():
    with pytest.raises(ConfigurationError, match=r"start 2011-11-03.* end 2011-11-02"):
        interval("2011-11-03", "2011-11-02")
