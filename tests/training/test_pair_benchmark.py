"""The benchmark of the infrared pair, on a tiny store."""

import importlib
import json
from pathlib import Path

import pandas as pd
import pytest
from sample_stores import sample_store

from medicane_training.scores import intervals
from medicane_training.scores.heatmaps import HeatMaps

SMALL = {
    "model.changes.embed_dim": 24,
    "model.changes.depth": 1,
    "model.changes.num_heads": 2,
    "model.changes.mlp_hidden_dim": 48,
    "model.changes.stem_width": 4,
    "data.samples": 32,
    "data.augmentation.shift_px": "[0, 7]",
    "data.augmentation.center_margin_px": 2,
    "training.global_batch": 16,
    "optimizer.warmup_epochs": 0,
}
SETTINGS = [part for item in SMALL.items() for part in ("--set", "=".join(map(str, item)))]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    pair = importlib.import_module("infrared_pair")
    monkeypatch.setattr(pair, "JUDGED_SETS", ("himawari", "hursat"))

    def few(*arguments, samples, **options):
        return bootstrap(*arguments, samples=20, **options)

    bootstrap = intervals.bootstrap
    monkeypatch.setattr(intervals, "bootstrap", few)
    return pair


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sample_store(tmp_path_factory.mktemp("store") / "s.zarr")


def run(benchmark, command: str, store, out: Path, *more: str) -> dict:
    epochs = ["--epochs", "1", "--test-storms", "[ana, bo]"]
    benchmark.main([command, str(store.path), "--out", str(out), *epochs, *SETTINGS, *more])
    return json.loads((out / f"{command}.json").read_text())


def test_the_plain_net_trains_tests_and_tells_presence(benchmark, store, tmp_path):
    fractions = "data.split.fractions=[0.5, 0.5, 0.0]"
    found = run(benchmark, "baseline", store, tmp_path, "--set", fractions)
    assert found["counts"] == {"clips": 20, "storms": 2}
    assert {row["method"] for row in found["errors"]["all"]} >= {"plain net", "tile centre"}
    judged = pd.read_parquet(tmp_path / "validation.parquet")
    assert judged["presence"].between(0, 1).all()
    assert judged["error_km"].isna().any()  # weather without a cyclone is judged for its presence


@pytest.mark.slow
def test_folds_are_pooled_and_not_run_again(benchmark, store, tmp_path, monkeypatch):
    found = run(benchmark, "folds", store, tmp_path, "--folds", "3", "--plain")
    assert found["counts"]["storms"] == 4  # of six, two of which nobody may look at
    maps = HeatMaps.load(tmp_path / "fold-0" / "heatmaps.npz")
    assert set(maps.clip) <= set(pd.read_parquet(tmp_path / "fold-0" / "test.parquet")["clip"])
    monkeypatch.delattr(benchmark, "run_recipe")
    assert run(benchmark, "folds", store, tmp_path, "--folds", "3", "--plain") == found
