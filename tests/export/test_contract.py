"""A real SEVIRI clip through a script that knows only onnxruntime and numpy."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_export.loaded_model import LoadedModel
from medicane_models.domain import Tile
from medicane_models.hub import TILE_DETECTOR, TILE_TRACKER
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.scenes.opening import open_scene, scene_grid

SCRIPT = Path(__file__).with_name("plain_onnxruntime.py")
ALONE = """
import runpy, sys
for name in ("torch", "medicane_models", "medicane_export"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0])
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scene(shared_data) -> xr.Dataset:
    """Sixteen frames: the four oldest of twelve stand for what came before them."""
    frames = open_scene(sorted((shared_data / "seviri_rss_20231220").glob("*.zarr.zip")))
    rows = [0, 0, 0, 0, *range(12)]
    step = np.timedelta64(5, "m")
    times = frames["time"].to_numpy()[-1] - step * np.arange(15, -1, -1)
    return frames.isel(time=rows).assign_coords(time=times).load()


@pytest.fixture(scope="module")
def exported(scene, tmp_path_factory) -> dict[str, Path]:
    """The embedded models on the scene's own pixels, in kelvin; and as folders of the package."""
    folders = {}
    for name in (TILE_DETECTOR, TILE_TRACKER):
        source = LoadedModel.load(name)
        processor = replace(source.processor, grid=scene_grid(scene))
        folders[name] = tmp_path_factory.mktemp(name)
        source.model.processor = processor
        source.model.save_pretrained(folders[name])
        request = OnnxRequest(input_forms=("kelvin",), count=0)
        export_onnx(replace(source, processor=processor), folders[name], request, lambda _: None)
    return folders


@pytest.fixture(scope="module")
def row(scene, exported) -> dict:
    """What the package says about the tile, with a threshold that leaves no tile out."""
    predictor = MedicanePredictor.from_pretrained(
        exported[TILE_DETECTOR], exported[TILE_TRACKER], device="cpu", threshold=1e-9
    )
    newest = list(predictor.run(scene))[-1]
    return newest.table.iloc[-1].to_dict()


def answer(scene, file: Path, tile: Tile, folder: Path) -> dict:
    window = {"y": slice(tile.y, tile.y + 224), "x": slice(tile.x, tile.x + 224)}
    channels = {
        name: scene[name].isel(window).to_numpy() for name in scene if scene[name].ndim == 3
    }
    clip = folder / "clip.npz"
    np.savez(clip, **channels, tile_offset=np.array(tile, np.int64))
    command = [sys.executable, "-c", ALONE, str(SCRIPT), str(file), str(clip)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_detector_alone_gives_the_packages_probability(scene, exported, row, tmp_path):
    tile = Tile(int(row["tile_x"]), int(row["tile_y"]))
    threshold = MedicaneConfig.from_pretrained(exported[TILE_DETECTOR]).threshold
    found = answer(scene, exported[TILE_DETECTOR] / "model_kelvin.onnx", tile, tmp_path)
    assert found["missing_frames"] == [0]
    assert found["probabilities"][0][1] == pytest.approx(row["probability"], abs=1e-5)
    assert found["detected"] is bool(row["probability"] >= threshold)


def test_the_tracker_alone_gives_the_packages_place_and_radii(scene, exported, row, tmp_path):
    tile = Tile(int(row["tile_x"]), int(row["tile_y"]))
    found = answer(scene, exported[TILE_TRACKER] / "model_kelvin.onnx", tile, tmp_path)
    assert found["center"][0] == pytest.approx([row["center_x"], row["center_y"]], abs=0.01)
    assert found["lonlat"][0] == pytest.approx([row["lon"], row["lat"]], abs=2e-3)
    for name in ("radius_50_km", "radius_95_km"):
        assert found[name][0] == pytest.approx(row[name], rel=5e-3)
