import json
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from northward_tracks import judged_folder

from medicane_models.cli import main
from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.prediction.track_files.formats import FORMATS, save_tracks
from medicane_models.verification.cases import EvaluationSettings, box_domain, inside_domain
from medicane_models.verification.evaluation import evaluate
from medicane_models.verification.report import format_report
from medicane_models.verification.score_meanings import meaning

HOURS = pd.date_range("2020-09-17", periods=12, freq="h")
FIRST, LAST = "2020-09-17T00:00", "2020-09-17T11:00"
PACIFIC = Grid.lonlat(west=150, south=-40, east=210, north=10, step_degrees=0.1)
QUICK = EvaluationSettings(samples=20)
results = partial(judged_folder, hours=HOURS)


def track(name, lon, lat, times=HOURS):
    lats = lat + 0.1 * np.arange(len(times))
    return pd.DataFrame({"track_id": name, "time": times, "lon": lon, "lat": lats})


def write(table, path):
    path.parent.mkdir(exist_ok=True)
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def yasa(tmp_path):
    """A storm of the Pacific that crosses the antimeridian, as truth."""
    return write(track("yasa", np.linspace(179, 181.2, 12), -17), tmp_path / "truth.csv")


def counts(report, section="positions"):
    return report["sections"][section]["counts"]


def test_a_perfect_track_is_perfect_in_every_ocean(yasa, tmp_path):
    report = evaluate(write(track(1, np.linspace(179, 181.2, 12), -17), tmp_path / "t.csv"), yasa)
    assert counts(report) == {"n": 12, "hits": 12, "false_alarms": 0, "misses": 0}
    assert report["domain"] == "the whole world"


def test_the_domain_is_that_of_the_detections_beside_the_tracks(yasa, tmp_path):
    folder = results(tmp_path / "out", PACIFIC)
    write(track(1, 179.5, -17), folder / "tracks.csv")
    pd.concat([pd.read_csv(yasa), track("ianos", 18, 37)]).to_csv(yasa, index=False)
    report = evaluate(folder / "tracks.csv", yasa, settings=QUICK)
    assert counts(report)["misses"] == 0
    assert report["left_out"]["truth_outside_the_domain"] == 12
    assert report["left_out"]["storms_left_out"] == 1
    assert "1 storms with all their positions" in format_report(report)


@pytest.mark.parametrize("name", ["", "detections.csv", "detections.json"])
def test_detections_are_read_from_a_folder_and_from_both_files(name, yasa, tmp_path):
    folder = results(tmp_path / "out", PACIFIC)
    report = evaluate(folder / name, yasa, settings=QUICK)
    assert report["kind"] == "detections"
    assert report["domain"] == "149.95…210.05°E -40.05…10.05°N"
    tiles = len(PACIFIC.tiles(224))
    assert counts(report, "tiles and times")["n"] == 12 * tiles
    assert report["storms"] == 1


def test_a_folder_of_tracks_alone_is_their_table(yasa, tmp_path):
    write(track(1, 180, -17), tmp_path / "out" / "tracks.csv")
    assert evaluate(tmp_path / "out", yasa, settings=QUICK)["kind"] == "tracks"


def test_a_box_cuts_truth_tracks_and_tiles(yasa, tmp_path):
    settings = EvaluationSettings(domain=box_domain("178,-20,-179.9,-10"), samples=20)
    alarms = [track(1, np.linspace(179, 181.2, 12), -17), track(2, 100, -17)]
    report = evaluate(write(pd.concat(alarms), tmp_path / "t.csv"), yasa, settings=settings)
    assert counts(report) == {"n": 6, "hits": 6, "false_alarms": 0, "misses": 0}
    assert report["left_out"]["predictions_outside_the_domain"] == 18
    tiles = evaluate(results(tmp_path / "out", PACIFIC), yasa, settings=settings)
    assert 0 < counts(tiles, "tiles and times")["n"] < 12 * len(PACIFIC.tiles(224))


def test_a_track_of_a_storm_just_outside_is_no_false_alarm(yasa, tmp_path):
    settings = EvaluationSettings(domain=box_domain("170,-20,180.1,-10"), samples=20)
    inside = track(1, 180.05, -17)
    report = evaluate(write(inside, tmp_path / "t.csv"), yasa, settings=settings)
    assert counts(report)["false_alarms"] == 0


def test_truth_of_another_time_is_refused_by_both_times(yasa, tmp_path):
    later = write(track(1, 180, -17, HOURS + pd.Timedelta(days=365)), tmp_path / "t.csv")
    with pytest.raises(SceneError, match=r"2021-09-17.*truth\.csv covers 2020-09-17.*in common"):
        evaluate(later, yasa)
    forced = EvaluationSettings(start="2021-09-17", end="2021-09-18")
    with pytest.raises(SceneError, match="no time in common"):
        evaluate(later, yasa, settings=forced)


def test_truth_of_another_place_is_refused_unless_a_calm_period_is_meant(yasa, tmp_path):
    folder = results(tmp_path / "out", MEDITERRANEAN)
    with pytest.raises(SceneError, match=r"no storm within -.*°E .*°N from 2020-09-17.*calm"):
        evaluate(folder, yasa, settings=QUICK)
    calm = EvaluationSettings(start=FIRST, end=LAST, samples=20)
    report = evaluate(folder, yasa, settings=calm)
    assert counts(report, "tiles and times")["false_alarms"] == 12
    assert report["left_out"]["storms_left_out"] == 1


def test_a_calm_day_within_the_truth_is_judged_if_it_is_named(yasa, tmp_path):
    later = track("zoe", 170, -12, HOURS + pd.Timedelta(days=9))
    pd.concat([pd.read_csv(yasa), later]).to_csv(yasa, index=False)
    calm = HOURS + pd.Timedelta(days=4)
    settings = EvaluationSettings(start="2020-09-21", end="2020-09-22", samples=20)
    report = evaluate(write(track(1, 180, -17, calm), tmp_path / "t.csv"), yasa, settings=settings)
    assert counts(report) == {"n": 12, "hits": 0, "false_alarms": 12, "misses": 0}
    assert report["left_out"]["truth_outside_the_period"] == 24


@pytest.mark.parametrize("found", [0, 4])
def test_tracks_are_judged_while_detections_were_made(found, yasa, tmp_path):
    folder = results(tmp_path / "out", PACIFIC)
    write(track(1, np.linspace(179, 181.2, 12), -17).iloc[:found], folder / "tracks.csv")
    report = evaluate(folder / "tracks.csv", yasa, settings=QUICK)
    assert counts(report) == {"n": 12, "hits": found, "false_alarms": 0, "misses": 12 - found}


def test_nothing_to_judge_is_an_error(yasa, tmp_path):
    empty = write(track(1, 180, -17).iloc[:0], tmp_path / "empty.csv")
    settings = EvaluationSettings(start="2020-09-17", end="2020-09-18")
    with pytest.raises(SceneError, match="holds no position"):
        evaluate(write(track(1, 180, -17), tmp_path / "t.csv"), empty)
    assert counts(evaluate(empty, yasa, settings=settings))["misses"] == 12
    elsewhere = EvaluationSettings(domain=box_domain("0,30,40,45"), start=FIRST, end=LAST)
    with pytest.raises(SceneError, match="no tile within"):
        evaluate(results(tmp_path / "out", PACIFIC), yasa, settings=elsewhere)


def test_detections_without_their_grid_are_refused(yasa, tmp_path):
    folder = results(tmp_path / "out", PACIFIC)
    (folder / "detections.json").unlink()
    with pytest.raises(SceneError, match=r"no detections\.json beside it"):
        evaluate(folder, yasa)


def test_tracks_may_have_any_form_that_truth_may_have(yasa, tmp_path):
    table = track("yasa", np.linspace(179, 181.2, 12), -17)
    text = table.to_csv(index=False, sep=";", decimal=",")
    (tmp_path / "excel.csv").write_text(text)
    dates = {name: getattr(table["time"].dt, name) for name in ("year", "month", "day", "hour")}
    tempest = write(table.drop(columns="time").assign(**dates), tmp_path / "tempest.csv")
    for path in (tmp_path / "excel.csv", tempest):
        assert counts(evaluate(path, yasa, settings=QUICK))["hits"] == 12


def likely(name, lon, lat, times=HOURS):
    """A track as predict writes them, with radii of which the larger hold its truth."""
    unsure = {"probability": 0.75, "radius_50_km": 1.0, "radius_95_km": 40.0, "edge": False}
    return track(name, lon, lat, times).assign(**unsure)


@pytest.fixture
def forms(tmp_path):
    """The same track in every format, 11 km off the truth."""
    return save_tracks(likely("7", np.linspace(179, 181.2, 12), -17.1), tmp_path / "forms")


@pytest.mark.parametrize("form", FORMATS)
def test_tracks_are_judged_alike_in_every_form_that_predict_writes(form, forms, yasa):
    report = evaluate(forms[form], yasa, settings=QUICK)
    scores = report["sections"]["centres"]["scores"]
    assert counts(report)["hits"] == 12
    assert counts(report, "centres")["with_radii"] == 12
    assert scores["mean_km"]["value"] == pytest.approx(11.1, abs=0.1)
    assert [scores[f"within_radius_{p}"]["value"] for p in (50, 95)] == [0, 1]


@pytest.mark.parametrize("form", FORMATS)
def test_a_truth_may_have_every_form_that_predict_writes(form, forms, tmp_path):
    same = write(track("yasa", np.linspace(179, 181.2, 12), -17.1), tmp_path / "same.csv")
    report = evaluate(same, forms[form], settings=QUICK)
    assert [storm["storm"] for storm in report["by_storm"]] == ["7"]
    assert report["by_storm"][0]["mean_km"] < 0.01


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "atcf"])
def test_a_day_without_a_track_is_a_day_without_a_hit_in_every_form(form, yasa, tmp_path):
    path = save_tracks(likely("7", [], -17.1, HOURS[:0]), tmp_path, [form])[form]
    day = EvaluationSettings(start=FIRST, end=LAST, samples=20)
    assert counts(evaluate(path, yasa, settings=day))["misses"] == 12


@pytest.mark.parametrize(
    ("name", "content"), [("a.nc", b"CDF\x01"), ("b.nc", b"\x89HDF\r\n\x1a\n")]
)
def test_netcdf_without_tracks_is_refused_with_one_sentence(name, content, yasa, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SceneError, match="holds no trajectories of tracks"):
        evaluate(tmp_path / name, yasa)


@pytest.mark.parametrize("text", ["{}", "[1]", "{", '{"type": "FeatureCollection"}'])
def test_json_without_detections_is_refused_with_one_sentence(text, yasa, tmp_path):
    (tmp_path / "x.geojson").write_text(text)
    with pytest.raises(SceneError, match=r"x\.geojson holds no detections or tracks; give"):
        evaluate(tmp_path / "x.geojson", yasa)


def test_a_folder_without_results_is_refused(yasa, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(SceneError, match=r"holds no detections\.csv or tracks\.csv"):
        evaluate(tmp_path / "none", yasa)


@pytest.mark.parametrize(
    ("box", "inside"),
    [("0,30,40,45", [True, False, False]), ("170,-20,-170,0", [False, True, True])],
)
def test_a_box_holds_what_lies_in_it(box, inside):
    places = pd.DataFrame({"lon": [18.0, 179.0, -179.0], "lat": [37.0, -10.0, -10.0]})
    assert inside_domain(places, box_domain(box)).tolist() == inside


@pytest.mark.parametrize("box", ["model", "1,2,3", "0,45,40,30", "0,0,0,1", "0,-91,1,0", "a,b,c,d"])
def test_what_is_no_box_is_refused(box):
    with pytest.raises(ConfigurationError, match=f"domain '{box}'"):
        box_domain(box)


def test_an_empty_period_is_refused():
    with pytest.raises(ConfigurationError, match=r"start 2020-09-18.* end 2020-09-17"):
        EvaluationSettings(start="2020-09-18", end="2020-09-17")


def test_every_score_is_explained_and_absent_intervals_are_not_printed(yasa, tmp_path):
    report = evaluate(results(tmp_path / "out", PACIFIC), yasa, settings=QUICK)
    text = format_report(report)
    names = [name for section in report["sections"].values() for name in section["scores"]]
    assert all(meaning(name) in text for name in names)
    assert "the true centre 1 h before" in text
    assert "persistence" not in text
    assert "– …" not in text
    assert "no intervals" in text


def test_intervals_are_printed_where_there_are_any(tmp_path):
    storms = [track(n, 20 * n, 10, HOURS + pd.Timedelta(days=30 * n)) for n in range(3)]
    truth = write(pd.concat(storms), tmp_path / "truth.csv")
    found = write(pd.concat(storms[1:]), tmp_path / "found.csv")
    settings = EvaluationSettings(start="2020-09-01", end="2020-12-31", samples=20)
    text = format_report(evaluate(found, truth, settings=settings))
    assert "20 resamples of 3 storms and calm weeks (few: take them as rough)" in text
    assert "0 … 1" in text


def test_the_command_takes_a_folder_a_box_and_several_truths(yasa, tmp_path, monkeypatch, capsys):
    other = write(track("ianos", 18, 37), tmp_path / "other.csv")
    folder = results(tmp_path / "out", PACIFIC)
    arguments = ["evaluate", folder, yasa, other, "--domain", "150,-40,210,10", "--json"]
    monkeypatch.setattr(sys, "argv", ["medicane", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    report = json.loads(capsys.readouterr().out)
    assert report["truth"] == f"{yasa}, {other}"
    assert report["left_out"]["storms_left_out"] == 1
