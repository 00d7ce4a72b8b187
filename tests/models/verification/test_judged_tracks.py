import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyproj
import pytest
from northward_tracks import DAY, HOURS, STORMS, track, write

from medicane_models.domain import MEDITERRANEAN
from medicane_models.errors import SceneError
from medicane_models.verification.evaluation import evaluate
from medicane_models.verification.report import format_report, markdown_report
from medicane_models.verification.score_card import score_card_page

DEGREE_KM = 6371.0088 * np.pi / 180


def results(folder, tracks, *, sensor="seviri", hours=range(24), forecasts=None, provenance=None):
    """A folder as predict writes it: every tile at some hours, none of which is a cyclone's."""
    tiles = [(HOURS[hour], x, y) for hour in hours for x, y in MEDITERRANEAN.tiles(224)]
    table = pd.DataFrame(tiles, columns=["time", "tile_x", "tile_y"])
    write(table.assign(probability=0.1, detected=False), folder / "detections.csv")
    scene = {"grid": MEDITERRANEAN.to_dict(), "sensor": sensor}
    told = {"scene": scene, "processor": {"tile_size": 224}, **(provenance or {})}
    text = json.dumps({"provenance": told, "detections": []})
    (folder / "detections.json").write_text(text)
    write(tracks, folder / "tracks.csv")
    if forecasts is not None:
        write(forecasts, folder / "forecasts.csv")
    return folder


@pytest.fixture
def truth(tmp_path):
    winds = {"a": 30.0, "b": 50.0, "c": np.nan}
    storms = [track(name, *STORMS[name]).assign(wind_kt=winds[name]) for name in STORMS]
    return write(pd.concat(storms), tmp_path / "truth.csv")


def value(section, name):
    return section["scores"][name]["value"]


def test_a_folder_is_judged_by_its_detections_and_by_its_tracks(truth, tmp_path):
    report = evaluate(results(tmp_path / "r", track(1, *STORMS["a"])), truth, settings=DAY)
    assert report["kind"] == "detections"
    assert report["tracks"]["kind"] == "tracks"
    text = format_report(report)
    assert "tiles and times: 288 n" in text
    assert "storms and tracks: 3 storms, 1 storms found" in text
    assert text.index("by storm") < text.index("storms and tracks") < text.index("tiles and times")


@pytest.mark.parametrize("form", [format_report, markdown_report, score_card_page])
def test_a_report_begins_with_what_was_found(form, truth, tmp_path):
    found = pd.concat([track(1, *STORMS["a"]), track(2, 30, [20])])
    text = form(evaluate(results(tmp_path / "r", found), truth, settings=DAY))
    told = ["Storms: 1 of 3 found, tracks without a storm 1."]
    told += ["Positions: hits 3, false alarms 1, misses 6; on average 0 km off, median 0 km."]
    places = [text.index(line) for line in [*told, "false_tracks_per_100_h"]]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("hours", "every_minutes", "scene_hours"),
    [([0, 20], None, 2), ([0, 20], 60, 2), ([0, 3, 20], 180, 9), ([0, 1, 2], 180, 3)],
)
def test_a_picture_alone_stands_for_one_step(hours, every_minutes, scene_hours, truth, tmp_path):
    settings = {} if every_minutes is None else {"settings": {"every_minutes": every_minutes}}
    folder = results(tmp_path / "r", track(1, 18, [0]), hours=hours, provenance=settings)
    report = evaluate(folder, truth, settings=DAY)["tracks"]
    assert report["sections"]["storms and tracks"]["counts"]["scene_hours"] == scene_hours


def test_calm_hours_that_were_looked_at_are_correct_negatives(truth, tmp_path):
    library = pytest.importorskip("scores.categorical")
    xr = pytest.importorskip("xarray")
    found = pd.concat([track(1, *STORMS["a"]), track(2, 30, [20])])
    report = evaluate(results(tmp_path / "r", found), truth, settings=DAY)["tracks"]
    happened, forecast = np.zeros(24), np.zeros(24)
    happened[[0, 1, 2, 6, 7, 8, 12, 13, 14]] = 1
    forecast[[0, 1, 2, 20]] = 1
    reference = library.BinaryContingencyManager(
        fcst_events=xr.DataArray(forecast), obs_events=xr.DataArray(happened)
    )
    section = report["sections"]["any track while any storm"]
    assert value(section, "hss") == pytest.approx(float(reference.heidke_skill_score()))
    assert value(section, "far") == pytest.approx(float(reference.false_alarm_ratio()))


def test_storms_count_at_hours_that_were_looked_at_only(truth, tmp_path):
    folder = results(tmp_path / "r", track(1, 18, [0]), hours=[0, 7])
    counts = evaluate(folder, truth, settings=DAY)["tracks"]["sections"]["positions"]["counts"]
    assert counts == {"n": 2, "hits": 1, "false_alarms": 0, "misses": 1}


def test_errors_have_parts_along_and_across_the_motion(truth, tmp_path):
    ahead_and_left = track(1, *STORMS["a"]).assign(lat=lambda t: t["lat"] + 0.2, lon=17.9)
    path = write(ahead_and_left, tmp_path / "t.csv")
    section = evaluate(path, truth, settings=DAY)["sections"]["centres"]
    sphere = pyproj.Proj(proj="aeqd", lon_0=18, lat_0=37.1, R=6371008.8)
    east, north = np.array(sphere(17.9, 37.3)) / 1000
    assert value(section, "along_mean_km") == pytest.approx(north, rel=1e-4)
    assert value(section, "across_mean_km") == pytest.approx(east, rel=5e-3)
    assert value(section, "across_abs_km") == -value(section, "across_mean_km")


def test_smoothed_centres_stand_beside_the_fixes(truth, tmp_path):
    table = track(1, *STORMS["a"])
    smooth = {"smooth_lon": table["lon"], "smooth_lat": table["lat"] + 0.1}
    radii = {"radius_50_km": 30.0, "smooth_radius_50_km": 10.0, "smooth_radius_95_km": 20.0}
    found = table.assign(lat=table["lat"] + 0.2, **smooth, **radii)
    path = write(found, tmp_path / "t.csv")
    section = evaluate(path, truth, settings=DAY)["sections"]["centres"]
    assert value(section, "median_km") == pytest.approx(0.2 * DEGREE_KM)
    assert value(section, "smooth_median_km") == pytest.approx(0.1 * DEGREE_KM)
    assert value(section, "fix_1h_before_median_km") == pytest.approx(0.1 * DEGREE_KM)
    within = ("within_radius_50", "smooth_within_radius_50", "smooth_within_radius_95")
    assert [value(section, name) for name in within] == [1, 0, 1]
    assert np.isnan(value(section, "within_radius_95"))


def forecast(hours, lat, *, track_id=1):
    return pd.DataFrame(
        {
            "track_id": track_id,
            "issued": HOURS[0],
            "lead_hours": float(hours),
            "valid_time": HOURS[0] + pd.Timedelta(hours=hours),
            "lon": 18.0,
            "lat": [lat],
            "radius_50_km": 10.0,
            "radius_95_km": 100.0,
        }
    )


def test_forecasts_are_held_against_the_storm_that_their_track_followed(tmp_path):
    truth = write(track("a", 18, range(24)), tmp_path / "truth.csv")
    forecasts = pd.concat([forecast(6, 37.4), forecast(12, 38.2), forecast(6, 10, track_id=2)])
    found = pd.concat([track(1, 18, [0]), track(2, 30, [0])])
    folder = results(tmp_path / "r", found, forecasts=forecasts)
    sections = evaluate(folder, truth, settings=DAY)["tracks"]["sections"]
    six, twelve = (sections[f"forecasts of {hours} h"] for hours in (6, 12))
    assert six["counts"] == {"forecasts": 1, "storms": 1}
    assert value(six, "along_mean_km") == pytest.approx(-0.2 * DEGREE_KM)
    assert value(six, "last_fix_mean_km") == pytest.approx(0.6 * DEGREE_KM)
    assert [value(six, f"within_radius_{share}") for share in (50, 95)] == [0, 1]
    assert value(twelve, "mean_km") == pytest.approx(0, abs=1e-6)


def test_forecasts_are_told_apart_by_what_the_storm_is_then(tmp_path):
    wind = np.where(np.arange(24) < 12, 40.0, 70.0)
    storm = track("a", 18, range(24)).assign(wind_kt=wind, organisation="eye")
    truth = write(storm, tmp_path / "truth.csv")
    forecasts = pd.concat([forecast(6, 37.4), forecast(12, 38.2)])
    folder = results(tmp_path / "r", track(1, 18, [0]), forecasts=forecasts)
    groups = evaluate(folder, truth, settings=DAY)["tracks"]["groups"]
    assert list(groups["intensity, forecasts of 6 h"]) == ["35 … 64 kt"]
    assert list(groups["organisation, forecasts of 6 h"]) == ["eye"]
    strong = groups["intensity, forecasts of 12 h"]["64 … 83 kt"]
    assert value(strong, "last_fix_mean_km") == pytest.approx(1.2 * DEGREE_KM)


def test_forecasts_of_a_storm_of_unknown_strength_are_in_no_class(tmp_path):
    every_six_hours = track("a", 18, range(0, 24, 6)).assign(wind_kt=[40.0, np.nan, np.nan, 40.0])
    truth = write(every_six_hours, tmp_path / "truth.csv")
    forecasts = pd.concat([forecast(6, 37.4), forecast(9, 37.7)])
    folder = results(tmp_path / "r", track(1, 18, [0]), forecasts=forecasts)
    report = evaluate(folder, truth, settings=DAY)["tracks"]
    assert {"forecasts of 6 h", "forecasts of 9 h"} <= set(report["sections"])
    assert not [name for name in report["groups"] if name.startswith("intensity, forecasts")]


@pytest.mark.parametrize("column", ["track_id", "issued", "valid_time", "lon", "lead_hours"])
def test_a_column_that_forecasts_lack_is_named(column, truth, tmp_path):
    lacking = forecast(6, 37.4).drop(columns=column)
    folder = results(tmp_path / "r", track(1, 18, [0]), forecasts=lacking)
    with pytest.raises(SceneError, match=rf"forecasts\.csv has no column {column}"):
        evaluate(folder, truth, settings=DAY)


def test_a_forecast_beyond_the_truth_is_not_judged(truth, tmp_path):
    folder = results(tmp_path / "r", track(1, 18, [0]), forecasts=forecast(6, 37.4))
    sections = evaluate(folder, truth, settings=DAY)["tracks"]["sections"]
    assert not [title for title in sections if title.startswith("forecasts")]


def test_winds_of_the_truth_part_the_errors(truth, tmp_path):
    found = pd.concat([track(1, *STORMS["a"]), track(2, *STORMS["c"])])
    path = write(found, tmp_path / "t.csv")
    groups = evaluate(path, truth, settings=DAY)["groups"]["intensity"]
    assert list(groups) == ["0 … 35 kt", "35 … 64 kt"]
    assert [value(group, "pod") for group in groups.values()] == [1, 0]


def test_predictions_of_several_sensors_are_judged_together_and_apart(truth, tmp_path):
    one = results(tmp_path / "1", pd.concat([track(1, *STORMS[name]) for name in "ab"]))
    two = results(tmp_path / "2", track(1, *STORMS["c"]), sensor="abi")
    report = evaluate([one, two], truth, settings=DAY)["tracks"]
    sensors = report["groups"]["sensor"]
    assert {name: value(group, "pod") for name, group in sensors.items()} == {
        "abi": pytest.approx(1 / 3),
        "seviri": pytest.approx(2 / 3),
    }
    assert report["sections"]["positions"]["counts"]["hits"] == 9
    assert report["sections"]["storms and tracks"]["counts"]["tracks"] == 2
    assert [event["run"] for event in report["by_storm"]] == [0, 0, 0, 1, 1, 1]


def test_damaged_provenance_is_named(truth, tmp_path):
    folder = results(tmp_path / "r", track(1, 18, [0]))
    (folder / "detections.json").write_text('{"provenance": 1}')
    with pytest.raises(SceneError, match=r"detections\.json is damaged"):
        evaluate(folder, truth, settings=DAY)


def test_what_refined_a_first_guess_is_judged_once(truth, tmp_path):
    found = track(1, *STORMS["a"])
    folder = results(tmp_path / "r", found)
    write(
        found.assign(tile_x=0, tile_y=0, guess_lon=18.0, guess_lat=37.0), folder / "detections.csv"
    )
    report = evaluate(folder, truth, settings=DAY)
    assert report["kind"] == "tracks"
    assert report["predictions"] == str(folder / "tracks.csv")
    assert report["sections"]["positions"]["counts"]["hits"] == 3


def test_the_organisation_that_the_truth_tells_parts_the_errors(tmp_path):
    kinds = {"a": "eye", "b": "sheared", "c": ""}
    storms = [track(name, *STORMS[name]).assign(organisation=kinds[name]) for name in STORMS]
    truth = write(pd.concat(storms), tmp_path / "truth.csv")
    found = pd.concat([track(1, *STORMS["a"]), track(2, *STORMS["c"])])
    report = evaluate(write(found, tmp_path / "t.csv"), truth, settings=DAY)
    groups = report["groups"]["organisation"]
    assert list(groups) == ["eye", "sheared"]
    assert [value(group, "pod") for group in groups.values()] == [1, 0]
    assert "by organisation" in format_report(report)


def test_the_organisation_parts_the_centres_of_detections(tmp_path):
    truth = write(track("a", *STORMS["a"]).assign(organisation="eye"), tmp_path / "truth.csv")
    folder = results(tmp_path / "r", track(1, *STORMS["a"]))
    table = pd.read_csv(folder / "detections.csv").assign(lon=18.0, lat=37.0, detected=True)
    write(table, folder / "detections.csv")
    assert list(evaluate(folder, truth, settings=DAY)["groups"]["organisation"]) == ["eye"]


def test_one_storm_beside_calm_weeks_has_no_interval(tmp_path):
    calm = track("b", 18, [0]).assign(time=HOURS[0] + pd.Timedelta(days=40), lon=10.0)
    truth = write(track("a", *STORMS["a"]), tmp_path / "truth.csv")
    path = write(pd.concat([track(1, *STORMS["a"]), calm]), tmp_path / "t.csv")
    settings = replace(DAY, end=HOURS[0] + pd.Timedelta(days=60))
    report = evaluate(path, truth, settings=settings)
    pod = report["sections"]["positions"]["scores"]["pod"]
    assert pod["value"] == 1
    assert np.isnan([pod["low"], pod["high"]]).all()
