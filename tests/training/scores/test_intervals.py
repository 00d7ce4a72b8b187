import numpy as np
from clip_stores import small_store

from medicane_models.verification.matching import Blocks
from medicane_training.scores.intervals import printable, weather_blocks, with_intervals

VALUES = np.arange(12.0)


def mean(rows: np.ndarray) -> dict[str, float]:
    return {"mean": float(VALUES[rows].mean())}


def blocks(*labels: str) -> Blocks:
    label = np.array(labels, dtype=object)
    return Blocks(label, ~np.char.startswith(label.astype(str), "week"))


def test_clips_at_the_time_of_a_storm_belong_to_it_wherever_they_are(tmp_path):
    store = small_store(tmp_path / "s.zarr")
    clips = store.clips
    label = weather_blocks(store, clips).label
    during = clips["end"].between("2020-09-17 12:00", "2020-09-17 17:00").to_numpy()
    named = (clips["storm"] == "second").to_numpy()
    assert set(label[during]) == {"second"}
    assert 0 < named.sum() < during.sum()
    assert set(label[~during & (label != "first")]) == {"2020-09-17"}


def test_intervals_hold_the_value():
    found = with_intervals(mean, blocks(*np.repeat(["a", "b", "week 1", "week 2"], 3)))["mean"]
    assert found["low"] < found["value"] == 5.5 < found["high"]


def test_a_single_storm_has_no_interval_however_many_weeks_there_are():
    found = with_intervals(mean, blocks(*np.repeat(["a", "week 1", "week 2", "week 3"], 3)))["mean"]
    assert found["value"] == 5.5
    assert np.isnan([found["low"], found["high"]]).all()


def test_rows_show_what_each_forecast_has():
    score = {"value": 0.5, "low": 0.25, "high": 0.75}
    unknown = {"value": np.nan, "low": np.nan, "high": np.nan}
    rows = printable({"model": {"csi": score, "far": unknown}, "never": {"far": unknown}})
    assert rows == [
        {"score": "csi", "model": "0.5 (0.25 … 0.75)", "never": ""},
        {"score": "far", "model": "–", "never": "–"},
    ]


def test_rows_keep_the_order_asked_for():
    score = {"value": 1.0, "low": np.nan, "high": np.nan}
    rows = printable({"model": {"a": score, "b": score}}, only=("b", "a"))
    assert [(row["score"], row["model"]) for row in rows] == [("b", "1"), ("a", "1")]
