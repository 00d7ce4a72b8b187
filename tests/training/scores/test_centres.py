"""Errors by class of wind, and how many of them lie inside the radii."""

import numpy as np
import pandas as pd
import pytest
from sample_stores import calm_samples, sample, sample_store

from medicane_models.verification.matching import Blocks
from medicane_training.scores.baselines import baseline_centres
from medicane_training.scores.centres import JudgedCentres, classes_of_clips, coverage_by_group
from medicane_training.scores.intervals import weather_blocks
from medicane_training.store.clip_store import save_table
from medicane_training.store.plane_samples import Spot

NAN = float("nan")


@pytest.mark.parametrize(
    ("wind", "pressure", "expected"),
    [
        (34.9, NAN, "0 … 35 kt"),
        (35, 900, "35 … 64 kt"),
        (64, NAN, "64 … 83 kt"),
        (83, NAN, "83 kt and more"),
        (NAN, 990, "985 … 1000 hPa"),
        (NAN, NAN, ""),
    ],
)
def test_classes_are_those_of_wind_and_only_without_it_of_pressure(wind, pressure, expected):
    clips = pd.DataFrame({"wind_kt": [float(wind)], "pressure_hpa": [float(pressure)]})
    assert classes_of_clips(clips).tolist() == [expected]


def test_coverage_is_counted_in_each_group_with_intervals_over_storms():
    error = np.array([1.0, 3.0, 5.0, 7.0, 9.0, 11.0])
    judged = JudgedCentres(
        found=np.zeros((6, 2)),
        truth=np.zeros((6, 2)),
        covariance=np.tile(np.eye(2), (6, 1, 1)),
        error_km=error,
        radii_km=np.tile([4.0, 10.0], (6, 1)),
        loss=np.zeros(6),
    )
    storms = np.array(["a", "a", "b", "b", "c", "c"])
    groups = np.array(["weak", "weak", "weak", "", "strong", "strong"])
    blocks = Blocks(storms, np.full(6, fill_value=True))
    strong, weak = coverage_by_group(judged, groups, blocks, "class")
    assert (weak["clips"], weak["coverage_50"]["value"]) == (3, pytest.approx(2 / 3))
    assert (weak["coverage_50"]["low"], weak["coverage_50"]["high"]) == (0.0, 1.0)
    assert (strong["coverage_50"]["value"], strong["coverage_95"]["value"]) == (0.0, 0.5)
    assert np.isnan(strong["coverage_50"]["low"])  # one storm alone


def test_storms_at_the_same_time_in_two_oceans_are_two_blocks(tmp_path):
    both = [sample(name, 1, storm=name, centre=Spot(46, 46)) for name in ("east", "west")]
    store = sample_store(tmp_path / "s.zarr", [*both, *calm_samples(1)])
    blocks = weather_blocks(store, store.clips)
    assert set(blocks.label[blocks.stormy]) == {"east", "west"}
    assert (~blocks.stormy).sum() == 2  # a calm week's two tiles


@pytest.mark.parametrize("lat", [15.0, -15.0])
def test_baselines_find_a_cold_disc_in_either_hemisphere_alike(lat, tmp_path):
    one = sample("x", 1, storm="x", centre=Spot(46, 46), lat=lat)
    store = sample_store(tmp_path / "s.zarr", [one])
    found = baseline_centres(store, [0])
    truth = store.clips[["target_x", "target_y"]].to_numpy()[:1]
    assert np.hypot(*(found["cold-cloud centroid"] - truth).T) < 3
    north = sample_store(
        tmp_path / "n.zarr", [sample("x", 1, storm="x", centre=Spot(46, 46), lat=15.0)]
    )
    np.testing.assert_array_equal(
        found["spiral gradient"], baseline_centres(north, [0])["spiral gradient"]
    )


def test_an_hour_ago_says_nothing_of_a_storm_whose_place_nobody_knows(tmp_path):
    """A store with tracks, in which one storm has its time and place and one has neither."""
    told = sample("x", 1, storm="x", centre=Spot(46, 46), end=pd.Timestamp("2020-08-01 06:00"))
    nowhere = {"lon": NAN, "lat": NAN, "end": pd.NaT, "hemisphere": "unknown"}
    other = sample("y", 2, storm="?y", centre=Spot(46, 46), **nowhere)
    store = sample_store(tmp_path / "s.zarr", [told, other])
    times = pd.date_range("2020-08-01", periods=3, freq="6h", unit="ns")
    track = {"track_id": "x", "time": times, "lon": 140.0, "lat": 15.0}
    save_table(pd.DataFrame(track), store.path / "tracks.parquet")
    store.save_document("build.json", {"max_gap_hours": 6.0})
    ago = baseline_centres(store, range(len(store.clips)))["centre 1 h ago"]
    is_told = (store.clips["storm"] == "x").to_numpy()
    assert np.isfinite(ago[is_told]).all()
    assert np.isnan(ago[~is_told]).all()
