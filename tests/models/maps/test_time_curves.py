import numpy as np
import pandas as pd
import pytest

from medicane_models.maps.elements import markup
from medicane_models.maps.time_curves import Curve, TimeAxis, time_figure

START = pd.Timestamp("2020-09-17 22:00")


def axis(hours: float) -> TimeAxis:
    return TimeAxis.of([START, START + pd.Timedelta(hours=hours)])


@pytest.mark.parametrize(
    ("hours", "names"),
    [
        (3, ["22:00", "23:00", "18 Sep", "01:00"]),
        (12, ["22:00", "18 Sep", "02:00", "04:00", "06:00", "08:00", "10:00"]),
        (120, ["18 Sep", "19 Sep", "20 Sep", "21 Sep", "22 Sep"]),
        (24 * 365, ["16 Dec 2020", "16 Mar 2021", "14 Jun 2021", "12 Sep 2021"]),
    ],
)
def test_ticks_are_round_times(hours, names):
    assert [name for name, _ in axis(hours).ticks()] == names


@pytest.mark.parametrize("hours", [0, 1, 30, 24 * 40, 24 * 365, 24 * 3650])
def test_an_axis_of_any_length_has_few_ticks_inside(hours):
    ticks = axis(hours).ticks()
    assert len(ticks) <= 12
    assert all(50 <= x <= 560 for _, x in ticks)


@pytest.mark.parametrize(
    ("greatest", "top"), [(0.9, "1.2"), (104, "120"), (16, "16"), (389, "400")]
)
def test_the_axis_ends_at_a_round_value_above_all(greatest, top):
    curve = Curve(name="a", kind="b", values=np.array([1.0, greatest]))
    drawn = markup(time_figure([START, START + pd.Timedelta(hours=1)], [curve], axis(1), title="c"))
    assert f">{top}</text>" in drawn


def test_a_curve_breaks_where_a_value_is_unknown_and_goes_if_all_are():
    times = [START + pd.Timedelta(hours=h) for h in range(5)]
    broken = Curve(name="a", kind="broken", values=np.array([1, 2, np.nan, 4, 5]))
    unknown = Curve(name="b", kind="unknown", values=np.full(5, np.nan))
    drawn = time_figure(times, [broken, unknown], axis(4), title="c")
    (path,) = (
        e for e in drawn.iter("path") if e.get("class") == "curve broken" and "5H" not in e.get("d")
    )
    assert path.get("d").count("M") == 2
    assert "unknown" not in markup(drawn)


@pytest.mark.parametrize(
    ("values", "dots"), [([1, np.nan, 3, 4], 1), ([np.nan, 2, np.nan, 4], 2), ([1, 2, 3, 4], 0)]
)
def test_a_value_that_no_line_leads_to_has_a_dot(values, dots):
    times = [START + pd.Timedelta(hours=h) for h in range(4)]
    curve = Curve(name="a", kind="b", values=np.array(values, float))
    drawn = time_figure(times, [curve], axis(3), title="c")
    assert (
        sum(e.get("d").count("M") for e in drawn.iter("path") if e.get("class") == "dots b") == dots
    )
