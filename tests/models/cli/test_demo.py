import json

import numpy as np
import pandas as pd
import pytest
from onnx_files import write_onnx

from medicane_models.domain import great_circle_km


def test_demo_runs_exported_models_too(medicane, tmp_path):
    detector = write_onnx(tmp_path / "detector.onnx", "classification")
    code, out, err = medicane(
        "demo", "--out", tmp_path / "out", "--model", detector, "--hours", "2", "--json",
        "--no-plot",
    )  # fmt: skip
    assert code == 0, err
    assert "onnxruntime" in json.loads(out)["provenance"]["device"]


def test_demo_scores_what_it_found_against_the_truth(medicane, tmp_path):
    code, out, err = medicane(
        "demo", "--out", tmp_path / "out", "--hours", "3", "--json", "--no-plot"
    )
    assert code == 0, err
    score = json.loads(out)["score"]
    fixes = pd.DataFrame(score["fixes"]).dropna(subset="error_km")
    true = pd.read_csv(tmp_path / "out" / "truth.csv").set_index("time").loc[fixes["time"]]
    apart = great_circle_km(*(t[c].to_numpy() for t in (fixes, true) for c in ("lon", "lat")))
    np.testing.assert_allclose(fixes["error_km"], apart, rtol=1e-6)
    assert score["positions"]["hits"] == len(fixes) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "hours", "day", "worst_km"),
    [("auto", 6, "2021-02-10", 30), ("medicane-airmass-detector", 4, "2021-10-29", 30)],
)
def test_demo_finds_its_cyclone_offline(medicane, tmp_path, model, hours, day, worst_km):
    how = ("--model", model, "--hours", hours, "--no-plot")
    code, out, err = medicane("demo", "--out", tmp_path, *how)
    assert code == 0, err
    assert day in out
    tracks, truth = (
        pd.read_csv(tmp_path / name, parse_dates=["time"]) for name in ("tracks.csv", "truth.csv")
    )
    both = tracks.merge(truth, on="time", suffixes=("", "_true"))
    error = great_circle_km(both["lon"], both["lat"], both["lon_true"], both["lat_true"])
    assert error.min() < worst_km
