"""The infrared recipes from a store of local planes to a scene: train, resume, judge, predict."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from plane_stores import KM, plane_store
from scene_files import cf_dataset
from typer.testing import CliRunner

from medicane_models import predict
from medicane_models.domain import local_plane
from medicane_training.cli import app

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
    "training.epochs": 2,
    "optimizer.warmup_epochs": 1,
    "training.save_every_steps": 1,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return plane_store(tmp_path_factory.mktemp("pair") / "s.zarr")


def run(flow: str, recipe: str, store, out, *more: str) -> None:
    settings = [part for item in SMALL.items() for part in ("--set", "=".join(map(str, item)))]
    command = [flow, "--recipe", recipe, "--data", str(store.path), "--out", str(out)]
    result = CliRunner().invoke(app, [*command, *settings, *more])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def pair(store, tmp_path_factory):
    """Folders of a trained detector and tracker."""
    out = tmp_path_factory.mktemp("runs")
    run("classify", "infrared-detector", store, out / "detector", "--test")
    run("track", "infrared-tracker", store, out / "tracker", "--test")
    return out


def losses(out) -> list[dict]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    times = ("seconds", "clips_per_second", "memory_mb")
    return [{k: v for k, v in line.items() if k not in times} for line in lines]


def test_a_run_says_how_many_views_were_forced(pair):
    steps = [line for line in losses(pair / "tracker") if line["kind"] == "step"]
    assert all(0 <= line["forced_views"] < 0.5 for line in steps)


def test_the_tests_report_tells_classes_sensors_and_hemispheres(pair):
    report = json.loads((pair / "tracker" / "test.json").read_text())
    assert {"by_dataset", "by_sensor", "by_hemisphere", "by_intensity"} <= set(report)
    for row in report["radii_by_intensity"]:
        assert {"value", "low", "high"} == set(row["coverage_50"])


def test_a_backbone_is_pretrained_and_goes_into_a_tracker(store, tmp_path):
    run("specialize", "infrared", store, tmp_path / "backbone")
    run("track", "infrared-tracker", store, tmp_path / "t", "--init", str(tmp_path / "backbone"))
    assert (tmp_path / "t" / "model.safetensors").is_file()


def test_a_scene_of_another_imager_is_searched_with_the_pair(pair):
    """A day of a cold disc south of the equator, on a raster of its own."""
    grid = local_plane(75.0, -18.0, size=80, km=KM / 2)
    grid = type(grid)(**{**vars(grid), "y_step": -grid.y_step, "y_origin": -grid.y_origin})
    times = pd.date_range("2021-01-05", periods=4, freq="h", unit="ns")
    rows, columns = np.mgrid[: grid.height, : grid.width]
    values = np.where(np.hypot(rows - 40, columns - 40) < 8, 210.0, 285.0).astype(np.float32)
    scene: xr.Dataset = cf_dataset(
        np.stack([values] * 4), times, grid=grid, names=["IR_108"]
    ).assign_attrs(platform="INSAT-3D", sensor="imager", time_convention="start_of_scan")
    found = predict(scene, model=pair / "detector", tracker=pair / "tracker")
    assert len(found.detections)
    assert found.detections["probability"].between(0, 1).all()
