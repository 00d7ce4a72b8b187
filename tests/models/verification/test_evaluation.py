import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medicane_models.domain import MEDITERRANEAN, geodesic_km
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.verification.evaluation import EvaluationSettings, evaluate
from medicane_models.verification.matching import (
    independent_blocks,
    match_tracks,
    read_truth,
    storms_at,
)
from medicane_models.verification.report import format_report

HOURS = pd.date_range("2020-09-17", periods=6, freq="h")
KM = 1 / 111.195
QUICK = EvaluationSettings(grid=MEDITERRANEAN, samples=20)


def storm(name, lon, lat, times=HOURS, step_km=20.0):
    """A storm that moves northwards."""
    lats = lat + step_km * KM * np.arange(len(times))
    return pd.DataFrame({"storm": name, "time": times, "lat": lats, "lon": lon})


@pytest.fixture
def truth(tmp_path):
    """Two storms inside the domain, one outside it, one a month later."""
    later = storm("apollo", 12.0, 35.0, HOURS + pd.Timedelta(days=30))
    storms = [
        storm("ianos", 18.0, 37.0),
        storm("rolf", 5.0, 40.0),
        storm("far", -60.0, 30.0),
        later,
    ]
    pd.concat(storms).to_csv(tmp_path / "truth.csv", index=False)
    return tmp_path / "truth.csv"


def write(table, tmp_path, name="predictions.csv"):
    table.to_csv(tmp_path / name, index=False)
    return tmp_path / name


def perfect_detections(truth):
    """Every tile and hour; the tiles that show a storm know it, and miss its centre by 30 km."""
    tiles = [(t, x, y) for t in HOURS for x, y in MEDITERRANEAN.tiles(224)]
    table = pd.DataFrame(tiles, columns=["time", "tile_x", "tile_y"])
    table = table.assign(probability=0.1, lon=np.nan, lat=np.nan, radius_50_km=29, radius_95_km=31)
    for row in pd.read_csv(truth, parse_dates=["time"]).itertuples():
        x, y = MEDITERRANEAN.lonlat_to_pixel(row.lon, row.lat)
        across, down = x - table.tile_x, y - table.tile_y
        inside = across.between(-0.5, 223.499) & down.between(-0.5, 223.499)
        here = inside & (table.time == row.time)
        table.loc[here, ["probability", "lon", "lat"]] = 0.9, row.lon, row.lat - 30 * KM
    return table.assign(detected=table["probability"] > 0.5)


def tracks_of(*storms):
    table = pd.concat(storms).rename(columns={"storm": "track_id"})
    return table.assign(probability=0.9, radius_50_km=25.0, radius_95_km=np.nan)


def value(report, section, score):
    return report["sections"][section]["scores"][score]["value"]


def test_perfect_detections_score_one(truth, tmp_path):
    report = evaluate(write(perfect_detections(truth), tmp_path), truth, settings=QUICK)
    assert report["sections"]["tiles and times"]["counts"] == {
        "n": 72,
        "hits": 18,  # ianos lies in two tiles
        "false_alarms": 0,
        "misses": 0,
        "correct_negatives": 54,
    }
    assert value(report, "tiles and times", "hss") == 1
    assert value(report, "probabilities", "roc_area") == 1
    assert value(report, "any alarm while any storm", "pod") == 1
    assert np.isnan(
        value(report, "any alarm while any storm", "hss")
    )  # a storm at every hour leaves no calm one


def test_centres_of_detections_are_held_against_baselines(truth, tmp_path):
    table = perfect_detections(truth)
    report = evaluate(write(table, tmp_path), truth, settings=QUICK)
    lon, lat = MEDITERRANEAN.pixel_to_lonlat(
        *(table.loc[table.detected, c].to_numpy() + 111.5 for c in ("tile_x", "tile_y"))
    )
    there = table.loc[table.detected]
    away = geodesic_km(lon, lat, there.lon.to_numpy(), there.lat.to_numpy() + 30 * KM)
    assert value(report, "centres", "mean_km") == pytest.approx(30, abs=0.01)
    assert value(report, "centres", "true_centre_1h_before_median_km") == pytest.approx(
        20, abs=0.01
    )
    assert value(report, "centres", "tile_centre_mean_km") == pytest.approx(away.mean(), rel=3e-3)
    assert value(report, "centres", "within_radius_50") == 0
    assert value(report, "centres", "within_radius_95") == 1


def test_a_tile_that_fires_without_a_storm_is_a_false_alarm(truth, tmp_path):
    table = perfect_detections(truth)
    table["detected"] = table["detected"] | ((table["tile_x"] == 1065) & (table["tile_y"] == 0))
    report = evaluate(write(table, tmp_path), truth, settings=QUICK)
    assert value(report, "tiles and times", "far") == pytest.approx(6 / 24)
    assert value(report, "any alarm while any storm", "far") == 0


def test_tracks_are_judged_by_position_and_by_storm(truth, tmp_path):
    ianos, stray = storm(1, 18.0, 37.0 - 50 * KM), storm(2, 30.0, 42.0, HOURS[:3])
    report = evaluate(write(tracks_of(ianos, stray), tmp_path), truth, settings=QUICK)
    assert report["sections"]["positions"]["counts"] == {
        "n": 15,
        "hits": 6,
        "false_alarms": 3,
        "misses": 6,
    }
    assert value(report, "positions", "csi") == pytest.approx(6 / 15)
    assert value(report, "centres", "median_km") == pytest.approx(50, abs=0.01)
    assert report["sections"]["storms and tracks"]["counts"] == {
        "storms": 2,
        "storms_found": 1,
        "tracks": 2,
        "tracks_without_a_storm": 1,
        "pairs_of_track_and_storm": 1,
        "scene_hours": 6.0,
    }


def test_a_storm_in_several_tiles_at_one_time_is_there_once(truth, tmp_path):
    table = perfect_detections(truth)
    inside = table.loc[table["detected"]].index
    table.loc[inside[1::2], "detected"] = False
    moment = table.loc[table["time"] == table["time"].min()]
    for event in evaluate(write(moment, tmp_path), truth, settings=QUICK)["by_storm"]:
        assert (event["n"], event["pod"]) == (1, float("+" in event["found"]))


def test_storms_before_the_first_track_count_where_the_period_says_so(truth, tmp_path):
    path = write(tracks_of(storm(1, 18.0, 37.0).iloc[3:]), tmp_path)
    blind = evaluate(path, truth, settings=QUICK)
    whole = replace(QUICK, start="2020-09-17T00:00Z", end="2020-09-17 05:00")
    assert blind["sections"]["positions"]["counts"]["misses"] == 3
    assert evaluate(path, truth, settings=whole)["sections"]["positions"]["counts"]["misses"] == 9


def test_no_track_misses_every_storm_of_the_period(truth, tmp_path):
    path = write(tracks_of(storm(1, 18.0, 37.0)).iloc[:0], tmp_path)
    whole = EvaluationSettings(samples=20, start="2020-09-17", end="2020-09-18")
    report = evaluate(path, truth, settings=whole)
    assert value(report, "positions", "pod") == 0
    assert np.isnan(value(report, "positions", "far"))
    with pytest.raises(SceneError, match="start and end"):
        evaluate(path, truth, settings=QUICK)


def test_positions_are_paired_one_to_one_and_within_reach():
    storms = pd.concat([storm("a", 10.0, 40.0, HOURS[:1]), storm("b", 10.0, 42.0, HOURS[:1])])
    tracks = pd.DataFrame({"time": HOURS[0], "lon": 10.0, "lat": [40.9, 41.1, 20.0]})
    ours, theirs = match_tracks(tracks, storms, max_km=300)
    assert dict(zip(ours, theirs, strict=True)) == {0: 0, 1: 1}
    ours, _ = match_tracks(tracks, storms, max_km=99)
    assert ours.size == 0


def test_a_storm_is_where_it_was_at_the_nearest_known_time(truth):
    times = pd.DatetimeIndex(["2020-09-17T01:20", "2020-09-17T02:30:01", "2020-09-17T05:31"])
    present = storms_at(times, read_truth(truth), tolerance_minutes=30)
    ianos = present[present.storm == "ianos"]
    assert ianos["lat"].tolist() == pytest.approx([37 + 20 * KM, 37 + 60 * KM])
    assert ianos["lat_before"].tolist() == pytest.approx([37.0, 37 + 40 * KM])


def test_overlapping_storms_are_one_block_and_calm_times_go_by_the_week():
    storms = pd.concat(
        [
            storm("a", 10, 40, HOURS),
            storm("b", 20, 35, HOURS + pd.Timedelta(hours=3)),
            storm("c", 5, 40, HOURS + pd.Timedelta(hours=9)),
        ]
    )
    times = HOURS[0] + pd.to_timedelta([-1, 0, 8, 8.5, 9, 14, 15, 24 * 7], unit="h")
    blocks = independent_blocks(times.to_numpy(), storms)
    assert blocks.stormy.tolist() == [False, True, True, False, True, True, False, False]
    assert blocks.label[[1, 2, 4, 5]].tolist() == ["a", "a", "c", "c"]
    weeks = ["2020-09-10", "2020-09-17", "2020-09-17", "2020-09-24"]
    assert blocks.label[[0, 3, 6, 7]].tolist() == weeks


def test_truth_knows_where_storms_were_an_hour_before(shared_data):
    truth = read_truth(shared_data / "tracks" / "TRACKS_CL10.dat.gz")
    track = truth[truth["storm"] == "CL10-186"]
    assert len(truth) == 19849
    assert track["lon_before"].tolist()[1:] == track["lon"].tolist()[:-1]
    assert np.isnan(track["lat_before"].iloc[0])


def test_a_storm_track_is_found_in_itself(shared_data, tmp_path):
    path = shared_data / "tracks" / "medicanes_new_windows.csv"
    raw = pd.read_csv(path).rename(columns={"id_final": "track_id"})
    report = evaluate(
        write(raw[["track_id", "time", "lat", "lon"]], tmp_path), path, settings=QUICK
    )
    assert report["storms"] == 18
    assert value(report, "positions", "csi") == 1
    assert value(report, "centres", "p90_km") == pytest.approx(0, abs=1e-6)
    assert 5 < value(report, "centres", "true_centre_1h_before_median_km") < 25


def test_the_report_is_a_table_and_json(truth, tmp_path):
    report = evaluate(write(perfect_detections(truth), tmp_path), truth, settings=QUICK)
    text = format_report(report)
    assert "tiles and times: 72 n, 18 hits" in text
    assert text.startswith("Storms: 2 of 2 found.\nTiles: hits 18, false alarms 0, misses 0")
    assert "ianos" in text
    assert "no intervals" in text  # the two storms overlap
    assert json.loads(json.dumps(report))["storms"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": 2.0}, "probability from 0 to 1"),
        ({"detected": "maybe"}, "detected as True or False"),
        ({"tile_x": 0}, r"tile \(0, 0\) occurs twice"),
        ({"time": "noon"}, "ISO 8601"),
    ],
)
def test_impossible_detections_are_refused(change, message, truth, tmp_path):
    path = write(perfect_detections(truth).assign(**change), tmp_path)
    with pytest.raises(SceneError, match=message):
        evaluate(path, truth, settings=QUICK)


def test_what_is_missing_is_named(truth, tmp_path):
    table = perfect_detections(truth)
    with pytest.raises(SceneError, match="no column detected"):
        evaluate(write(table.drop(columns="detected"), tmp_path), truth)
    with pytest.raises(SceneError, match="which storm a row belongs to"):
        read_truth(write(table, tmp_path))
    with pytest.raises(SceneError, match=r"absent\.csv"):
        evaluate(tmp_path / "absent.csv", truth)
    with pytest.raises(ConfigurationError, match="max_km is 0"):
        EvaluationSettings(max_km=0)
    with pytest.raises(ConfigurationError, match="is no time"):
        evaluate(write(table, tmp_path), truth, settings=EvaluationSettings(start="soon"))
