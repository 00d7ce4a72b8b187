import json

import pandas as pd
import pytest
from northward_tracks import DAY, HOURS, STORMS, judged_folder, track, write

from medicane_models.domain import MEDITERRANEAN
from medicane_models.errors import SceneError
from medicane_models.verification.cases import EvaluationSettings
from medicane_models.verification.comparison import compare_predictions


@pytest.fixture
def truth(tmp_path):
    storms = [track(name, lon, hours) for name, (lon, hours) in STORMS.items()]
    return write(pd.concat(storms), tmp_path / "truth.csv")


def tracks(path, *names, shift=0.0):
    found = [track(n, *STORMS[name]) for n, name in enumerate(names)]
    return write(pd.concat(found).assign(lat=lambda t: t["lat"] + shift), path)


def test_the_storms_that_one_finds_more_are_the_difference(truth, tmp_path):
    one = tracks(tmp_path / "one.csv", "a", "b", "c")
    two = tracks(tmp_path / "two.csv", "a", "b")
    (report,) = compare_predictions(one, two, truth, settings=DAY)
    pod = report["sections"]["positions"]["difference"]["pod"]
    assert pod["value"] == pytest.approx(1 / 3)
    assert 0 <= pod["low"] < pod["high"] <= 1


def test_errors_are_compared_where_both_found_the_storm(truth, tmp_path):
    one = tracks(tmp_path / "one.csv", "a", "b", "c", shift=0.1)
    two = tracks(tmp_path / "two.csv", "a", "b", shift=0.3)
    section = compare_predictions(one, two, truth, settings=DAY)[0]["sections"]["centres"]
    degree = 6371.0088 * 3.14159265 / 180
    assert section["difference"]["median_km"]["value"] == pytest.approx(-0.2 * degree, rel=1e-6)
    assert section["difference"]["median_km"]["low"] == pytest.approx(-0.2 * degree, rel=1e-6)


def test_predictions_are_no_better_than_themselves(truth, tmp_path):
    one = tracks(tmp_path / "one.csv", "a", "c", shift=0.1)
    (report,) = compare_predictions(one, one, truth, settings=DAY)
    for section in report["sections"].values():
        values = pd.DataFrame(section["difference"]).T["value"].dropna()
        assert (values == 0).all()


def test_only_hours_that_both_judged_count(truth, tmp_path):
    one = tracks(tmp_path / "one.csv", "a", "b", "c")
    two = tracks(tmp_path / "two.csv", "a", "b")
    settings = EvaluationSettings(samples=20)  # of their own periods
    (report,) = compare_predictions(one, two, truth, settings=settings)
    assert (report["end"], report["times"]) == ("2020-09-17T08:00:00Z", 6)
    assert report["sections"]["positions"]["difference"]["pod"]["value"] == 0


def test_what_has_nothing_in_common_is_refused(truth, tmp_path):
    one, two = tracks(tmp_path / "one.csv", "a"), tracks(tmp_path / "two.csv", "c")
    with pytest.raises(SceneError, match="no time in common"):
        compare_predictions(one, two, truth, settings=EvaluationSettings(samples=20))
    tiles = [(HOURS[0], x, y) for x, y in MEDITERRANEAN.tiles(224)]
    table = pd.DataFrame(tiles, columns=["time", "tile_x", "tile_y"])
    detections = write(table.assign(probability=0.9, detected=True), tmp_path / "detections.csv")
    with pytest.raises(SceneError, match="detections with detections"):
        compare_predictions(detections, two, truth, settings=EvaluationSettings(grid=MEDITERRANEAN))


def test_what_was_judged_within_different_domains_is_refused(truth, tmp_path):
    one, two = (
        judged_folder(tmp_path / name, MEDITERRANEAN.window(x, 0, 448, 224))
        for name, x in (("one", 0), ("two", 224))
    )
    with pytest.raises(SceneError, match="give a domain that lies in both"):
        compare_predictions(one, two, truth, settings=EvaluationSettings(samples=20))


def test_tiles_are_compared_where_both_have_the_same(truth, tmp_path):
    grid = MEDITERRANEAN.window(0, 0, 448, 224)
    one = judged_folder(tmp_path / "one", grid)
    two = judged_folder(tmp_path / "two", grid)
    settings = EvaluationSettings(samples=20)
    report = compare_predictions(one, two, truth, settings=settings)[0]
    difference = report["sections"]["tiles and times"]["difference"]
    assert {score["value"] for score in difference.values()} <= {0.0, None}


def test_a_common_time_stands_for_the_same_in_both(truth, tmp_path):
    grid = MEDITERRANEAN.window(0, 0, 448, 224)
    pair = []
    for name, step in (("hourly", 1), ("three-hourly", 3)):
        folder = judged_folder(tmp_path / name, grid, hours=HOURS[::step])
        told = json.loads((folder / "detections.json").read_text())
        told["provenance"]["settings"] = {"every_minutes": 60 * step}
        (folder / "detections.json").write_text(json.dumps(told))
        write(track("nobody's", -5.0, range(0, 24, 3)), folder / "tracks.csv")
        pair.append(folder)
    reports = compare_predictions(*pair, truth, settings=EvaluationSettings(samples=20))
    (told,) = (r["sections"]["storms and tracks"] for r in reports if r["kind"] == "tracks")
    assert told["difference"]["false_tracks_per_100_h"]["value"] == 0
