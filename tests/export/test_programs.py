"""The programs in the documentation that need processes of their own, run as they are printed."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pandas as pd
import pytest
import xarray as xr
from absent import WITHOUT, run_without
from documents import ROOT, named
from export_models import PROCESSOR, tiny_source
from onnx_files import cold_scene, write_onnx

from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_models import MedicanePredictor, OnnxPredictor
from medicane_models.simulation import simulate_scene

PLAIN = named(ROOT / "export" / "README.md", "plain")
SERVE = named(ROOT / "docs" / "serving.md", "serve")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A detector that takes every tile for a cyclone and a tracker, in torch and from kelvin."""
    out = tmp_path_factory.mktemp("exported")
    request = OnnxRequest(input_forms=("kelvin",), count=0)
    for task, settings in (("classification", {"threshold": 1e-6}), ("tracking", {})):
        source = tiny_source(task, trained_on="nothing", **settings)
        source.model.processor = source.processor
        source.model.save_pretrained(out / task)
        export_onnx(source, out / task, request, lambda _: None)
    simulate_scene(hours=0.5, grid=PROCESSOR.grid, seed=5)[0].to_netcdf(out / "scene.nc")
    return out


def plain(exported: Path, scene: Path) -> subprocess.CompletedProcess:
    models = [exported / task / "model_kelvin.onnx" for task in ("classification", "tracking")]
    absent = ["torch", "timm", "medicane_models", "medicane_export"]
    return run_without(absent, PLAIN, *models, scene)


@pytest.mark.slow
def test_without_the_package_tiles_are_what_they_are_with_it(exported):
    done = plain(exported, exported / "scene.nc")
    assert done.returncode == 0, done.stderr
    found = pd.DataFrame(map(json.loads, done.stdout.splitlines()))
    predictor = MedicanePredictor.from_pretrained(
        exported / "classification", exported / "tracking", device="cpu"
    )
    table = predictor.predict(exported / "scene.nc").table
    newest = table[table["time"] == table["time"].max()]
    assert found["tile"].tolist() == newest[["tile_x", "tile_y"]].to_numpy().tolist()
    assert found["probability"].tolist() == pytest.approx(newest["probability"].tolist(), abs=1e-5)
    for name, axis in (("lon", 0), ("lat", 1)):
        assert found["lonlat"].str[axis].tolist() == pytest.approx(newest[name].tolist(), abs=2e-3)
    for name in ("radius_50_km", "radius_95_km"):
        assert found[name].tolist() == pytest.approx(newest[name].tolist(), rel=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("axis", "change"),
    [
        ("x", lambda scene: scene.isel(x=slice(None, None, -1))),
        ("y", lambda scene: scene.assign_coords(y=scene["y"] + 3000)),
        ("time", lambda scene: scene.isel(time=slice(None, None, 2))),
    ],
)
def test_without_the_package_other_pixels_and_times_are_refused(exported, tmp_path, axis, change):
    with xr.open_dataset(exported / "scene.nc") as scene:
        change(scene).to_netcdf(tmp_path / "other.nc")
    done = plain(exported, tmp_path / "other.nc")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"other.nc: {axis} is not the model's" in done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    for name, task in (("detector", "classification"), ("tracker", "tracking")):
        write_onnx(folder / name / "model.onnx", task)
    cold_scene().to_netcdf(folder / "scene.nc")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT + SERVE, "torch,timm", "0"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.communicate()


def posted(address: str, body: bytes, kind: str = "application/x-netcdf") -> dict:
    with urlopen(Request(address, body, {"Content-Type": kind}), timeout=60) as answer:
        return json.load(answer)


def test_the_server_judges_a_scene_that_is_sent_or_named(folder, address):
    predictor = OnnxPredictor.from_pretrained(folder / "detector", folder / "tracker", device="cpu")
    expected = json.loads(predictor.predict(folder / "scene.nc").to_json())["detections"]
    named = json.dumps({"scene": "scene.nc"}).encode()
    for sent in (((folder / "scene.nc").read_bytes(),), (named, "application/json")):
        answers = [drop_names(row) for row in posted(address, *sent)["detections"]]
        assert answers == [drop_names(row) for row in expected]


def drop_names(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "model"}


@pytest.mark.parametrize(
    ("body", "kind", "complaint"),
    [
        (b"no netCDF", "application/x-netcdf", "can be read"),
        (b'{"scene": "no.nc"}', "application/json", "no.nc"),
        (b"{}", "application/json", "scene"),
    ],
)
def test_the_server_says_what_it_cannot_judge_and_goes_on(folder, address, body, kind, complaint):
    with pytest.raises(HTTPError) as refused:
        posted(address, body, kind)
    assert refused.value.code == 400
    assert complaint in json.load(refused.value)["error"]
    assert posted(address, (folder / "scene.nc").read_bytes())["detections"]
