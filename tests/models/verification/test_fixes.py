import io

import numpy as np
import pandas as pd
import pytest
from cold_spots import SPOT, predictor, scene
from rich.console import Console

from medicane_models.domain import geodesic_km
from medicane_models.verification.evaluation import EvaluationSettings, evaluate
from medicane_models.verification.fixes import fix_table, judge_fixes, judge_run, score_lines
from medicane_models.verification.matching import read_truth

TIMES = pd.date_range("2020-09-17", periods=3, freq="h")


def positions(name: str, lon: float, lat: float, times=TIMES, column="track_id"):
    return pd.DataFrame({column: name, "time": times, "lon": lon, "lat": lat})


def test_each_fix_is_a_hit_with_its_distance_a_false_alarm_or_a_miss():
    storms = positions("ianos", 18.0, 37.0, column="storm")
    tracks = pd.concat(
        [positions("1", 18.0, 38.0, TIMES[:2]), positions("2", 5.0, 40.0, TIMES[:1])]
    )
    fixes = judge_fixes(tracks, storms, max_km=300)
    assert fixes["track_id"].fillna("").tolist() == ["2", "1", "1", ""]
    assert fixes["storm"].fillna("").tolist() == ["", "ianos", "ianos", "ianos"]
    apart = geodesic_km(18.0, 37.0, 18.0, 38.0)
    np.testing.assert_allclose(fixes["error_km"], [np.nan, apart, apart, np.nan], rtol=5e-3)


def test_numbers_of_tracks_stay_whole_beside_misses():
    storms = positions("ianos", 18.0, 37.0, column="storm")
    fixes = judge_fixes(positions("1", 18.0, 37.5).assign(track_id=1).head(2), storms, max_km=300)
    assert fixes["track_id"].fillna("").tolist() == ["1", "1", ""]


@pytest.mark.parametrize("found", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_no_track_and_no_storm_are_no_fixes(found, there):
    storms = positions("ianos", 18.0, 37.0, TIMES if there else TIMES[:0], column="storm")
    tracks = positions("1", 18.0, 38.0, TIMES if found else TIMES[:0])
    fixes = judge_fixes(tracks, storms, max_km=300)
    assert len(fixes) == 3 * (found or there)
    assert fixes["error_km"].notna().sum() == 3 * (found and there)


@pytest.fixture
def judged(tmp_path):
    """A run on a cold spot, its files, and a truth with a second storm that it cannot see."""
    run = predictor().run(scene(), every_minutes=30)
    list(run)
    detections = run.link()
    detections.write(tmp_path)
    times = pd.date_range("2020-09-17", periods=14, freq="5min")
    storms = [
        positions("seen", SPOT[0], SPOT[1] + 0.3, times),
        positions("warm", 14.4, 37.6, times),
    ]
    pd.concat(storms).to_csv(tmp_path / "truth.csv", index=False)
    return detections, tmp_path


@pytest.mark.parametrize(
    ("file", "section", "part"),
    [("tracks.csv", "positions", "positions"), ("detections.csv", "tiles and times", "tiles")],
)
def test_the_counts_are_those_of_medicane_evaluate(judged, file, section, part):
    detections, folder = judged
    score = judge_run(detections, read_truth(folder / "truth.csv"))
    report = evaluate(folder / file, folder / "truth.csv", settings=EvaluationSettings(samples=1))
    counts = report["sections"][section]["counts"]
    assert score[part] == {name: counts[name] for name in score[part]}
    assert score["positions"]["misses"] == 3


def test_the_errors_are_those_of_medicane_evaluate(judged):
    detections, folder = judged
    score = judge_run(detections, read_truth(folder / "truth.csv"))
    settings = EvaluationSettings(samples=1)
    report = evaluate(folder / "tracks.csv", folder / "truth.csv", settings=settings)
    mean = report["sections"]["centres"]["scores"]["mean_km"]["value"]
    assert score["centres"]["mean_km"] == pytest.approx(mean, abs=0.01)


def test_a_person_reads_every_fix_and_the_counts(judged):
    detections, folder = judged
    score = judge_run(detections, read_truth(folder / "truth.csv"))
    text = io.StringIO()
    Console(file=text, width=100).print(fix_table(score))
    assert text.getvalue().count("km off") == 3
    assert text.getvalue().count("missed") == 3
    assert score_lines(score)[0].startswith(
        "Positions: hits 3, false alarms 0, misses 3; on average"
    )
    assert score_lines(score)[0].endswith(f"median {score['centres']['median_km']:.0f} km.")
