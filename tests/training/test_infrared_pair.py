"""The infrared recipes from a store of local planes to a scene: train, resume, judge, predict."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sample_stores import sample_store
from scene_files import cf_dataset
from typer.testing import CliRunner

from medicane_models.cli import app as medicane
from medicane_models.domain import Grid
from medicane_training.cli import app
from medicane_training.run import loop

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
    return sample_store(tmp_path_factory.mktemp("pair") / "s.zarr")


def run(flow: str, recipe: str, store, out, *more: str):
    settings = [part for item in SMALL.items() for part in ("--set", "=".join(map(str, item)))]
    command = [flow, "--recipe", recipe, "--data", str(store.path), "--out", str(out)]
    return CliRunner().invoke(app, [*command, *settings, *more])


def run_well(*arguments) -> None:
    result = run(*arguments)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def pair(store, tmp_path_factory):
    """Folders of a trained detector and tracker."""
    out = tmp_path_factory.mktemp("runs")
    run_well("classify", "infrared-detector", store, out / "detector", "--final-test")
    run_well("track", "infrared-tracker", store, out / "tracker", "--final-test")
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


def test_the_trackers_trust_in_its_heat_maps_is_fitted_and_judged(pair):
    config = json.loads((pair / "tracker" / "config.json").read_text())
    assert (config["guess_power"], config["guess_slope"]) != (1.0, 0.0)
    report = json.loads((pair / "tracker" / "test.json").read_text())["first_guess"]
    for scores in (report["scores"], *report["by_intensity"]):
        assert scores["first guess"]["mean_km"]["value"] == pytest.approx(48.0, rel=0.25)
        assert set(scores["refined"]) == {"mean_km", "median_km", "rms_km"}
    assert "heatmap" not in pd.read_parquet(pair / "tracker" / "test.parquet")


def test_a_backbone_is_pretrained_and_goes_into_a_tracker(store, tmp_path):
    run_well("specialize", "infrared", store, tmp_path / "backbone")
    run_well(
        "track", "infrared-tracker", store, tmp_path / "t", "--init", str(tmp_path / "backbone")
    )
    assert (tmp_path / "t" / "model.safetensors").is_file()


def test_a_run_that_was_interrupted_ends_like_another(pair, store, tmp_path, monkeypatch):
    def stop(flow, engine, batch, number, ranks):
        if number == 3:
            raise KeyboardInterrupt
        return train_step(flow, engine, batch, number, ranks)

    train_step = loop.train_step
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", stop)
        assert run("track", "infrared-tracker", store, tmp_path / "t").exit_code != 0
    run_well("track", "infrared-tracker", store, tmp_path / "t")
    assert losses(tmp_path / "t") == losses(pair / "tracker")
    weights = [load_file(out / "model.safetensors") for out in (pair / "tracker", tmp_path / "t")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A cold disc south of the equator, on a raster in degrees, every hour."""
    path = tmp_path_factory.mktemp("scene") / "scene.nc"
    grid = Grid.lonlat(west=65, south=-26, east=85, north=-10, step_degrees=0.25)
    lon, lat = grid.pixel_to_lonlat(*np.meshgrid(range(grid.width), range(grid.height)))
    kelvin = np.where(np.hypot(lon - 75, lat + 18) < 1.5, 210.0, 285.0).astype(np.float32)
    times = pd.date_range("2021-01-05", periods=4, freq="h", unit="ns")
    frames = cf_dataset(np.stack([kelvin] * 4), times, grid=grid, names=["IR_108"])
    for axis, units in (("x", "degrees_east"), ("y", "degrees_north")):
        frames[axis].attrs["units"] = units
    told = {"platform": "INSAT-3D", "sensor": "imager", "time_convention": "start_of_scan"}
    frames.assign_attrs(told).to_netcdf(path)
    return path


def predict(pair, scene, out, *more: str):
    models = ["--model", str(pair / "detector"), "--tracker", str(pair / "tracker")]
    command = ["predict", str(scene), *models, "--out", str(out), "--device", "cpu", *more]
    return CliRunner().invoke(medicane, command)


def test_a_scene_of_another_imager_is_searched_with_the_pair(pair, scene, tmp_path):
    result = predict(pair, scene, tmp_path / "out", "--threshold", "0.01")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "out" / "detections.csv")
    assert found["probability"].between(0, 1).all()
    assert len(found)


DECK = """\
SH, 05, 2021010500,   , BEST,   0, 178S,  752E,  65,  980, HU
SH, 05, 2021010506,   , BEST,   0, 184S,  746E,  70,  975, HU
"""


def test_an_agencys_positions_are_refined_with_the_pair(pair, scene, tmp_path):
    (tmp_path / "bsh052021.dat").write_text(DECK)
    guess = ["--first-guess", str(tmp_path / "bsh052021.dat"), "--first-guess-km", "30"]
    result = predict(pair, scene, tmp_path / "out", *guess)
    assert result.exit_code == 0, result.output
    tracks = pd.read_csv(tmp_path / "out" / "tracks.csv")
    assert set(tracks["track_id"]) == {"SH052021"}
    np.testing.assert_allclose(tracks["guess_lat"], [-17.8, -17.9, -18.0, -18.1], atol=0.01)
    assert tracks["guess_distance_km"].between(0, 150).all()
    found = pd.read_csv(tmp_path / "out" / "detections.csv")
    np.testing.assert_allclose(found["tile_lat"], tracks["guess_lat"], atol=1e-4)
