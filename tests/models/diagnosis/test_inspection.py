import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from imager_files import hursat_dataset
from onnx_files import PROCESSOR, SIZES, metadata, write_onnx
from PIL import Image
from safetensors.torch import save_file
from transformers import VideoMAEConfig

from medicane_models import MedicaneConfig, MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.cli import main
from medicane_models.diagnosis.headers import onnx_properties
from medicane_models.diagnosis.inspection import description_of, description_rows, inspect_model
from medicane_models.errors import CheckpointError, ConfigurationError


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    made = MedicaneForVideoClassification(
        MedicaneConfig(**SIZES, threshold=0.7, temperature=1.5, id2label={0: "calm", 1: "cyclone"})
    )
    made.processor = PROCESSOR
    made.save_pretrained(tmp_path / "model")
    return made, tmp_path / "model"


def line(description, label: str) -> str:
    return next(text for name, text in description_rows(description) if name == label)


def test_a_folder_tells_its_task_labels_and_calibration(model):
    told = inspect_model(model[1])
    assert (told["kind"], told["task"]) == ("folder", "classification")
    assert told["labels"] == ["calm", "cyclone"]
    assert (told["threshold"], told["temperature"]) == (0.7, 1.5)
    assert told["trained_on"] == "a closed form"
    assert line(told, "labels") == "calm, cyclone"


def test_parameters_and_sizes_are_those_of_the_weights(model):
    made, folder = model
    told = inspect_model(folder)
    assert told["parameters"] == sum(p.numel() for p in made.parameters())
    assert told["precision"] == "F32"
    assert told["files"]["model.safetensors"] == (folder / "model.safetensors").stat().st_size
    made.save_pretrained(folder, dtype=torch.bfloat16)
    assert inspect_model(folder)["precision"] == "BF16"


def test_inputs_and_outputs_are_those_of_the_model(model):
    made, folder = model
    told = inspect_model(folder)
    (clips,) = told["inputs"]
    with torch.inference_mode():
        output = made.eval()(torch.zeros(3, *clips["shape"][1:]))
    assert clips["name"] == "pixel_values"
    for info in told["outputs"]:
        assert [3, *info["shape"][1:]] == list(getattr(output, info["name"]).shape)


def test_clips_and_grid_are_those_of_the_processor(model):
    told = inspect_model(model[1])
    assert told["clips"]["channels"] == ["IR_108"]
    assert told["grid"]["width"] == 80
    assert line(told, "clips").startswith("4 frames every 5 min, tiles of 32 px, at most 2 frames")
    assert line(told, "band") == "IR_108 = IR_108 from 300 K (0) to 200 K (1)"


def test_outputs_of_a_tracker_are_those_of_the_model(tmp_path):
    made = MedicaneForTracking(MedicaneConfig(task="tracking", **SIZES)).eval()
    made.save_pretrained(tmp_path)
    told = inspect_model(tmp_path)
    with torch.inference_mode():
        output = made(torch.zeros(2, *made.config.clip_shape))
    assert told["head"] == "heatmap"
    assert told["clips"] is None
    for info in told["outputs"]:
        assert [2, *info["shape"][1:]] == list(getattr(output, info["name"]).shape)


def test_a_model_says_what_it_was_trained_on(tmp_path):
    told = inspect_model("medicane-tiny-detector")
    assert told["kind"] == "folder"
    assert "SIMULATED" in line(told, "trained on")
    assert (told["data_kind"], line(told, "data kind")) == ("simulated", "simulated")
    fresh = MedicaneConfig(task="tracking", **SIZES | {"trained_on": None})
    MedicaneForTracking(fresh).save_pretrained(tmp_path)
    assert "UNTRAINED" in line(inspect_model(tmp_path), "trained on")


def test_a_kind_of_data_that_nobody_stated_is_called_so(tmp_path):
    untold = MedicaneConfig(task="tracking", **SIZES | {"data_kind": None})
    MedicaneForTracking(untold).save_pretrained(tmp_path)
    assert line(inspect_model(tmp_path), "data kind") == "not stated"


def test_a_file_tells_what_it_was_exported_with(tmp_path):
    path = write_onnx(
        tmp_path / "model_int8.onnx", "tracking", precision="int8", revision="abc",
        quantisation="dynamic", versions={"torch": "2.9"},
    )  # fmt: skip
    told = inspect_model(path)
    expected = metadata("tracking")
    assert (told["kind"], told["task"], told["precision"]) == ("ONNX file", "tracking", "int8")
    assert (told["revision"], told["exported_from"]) == ("abc", "coldest-tracking")
    assert [info["name"] for info in told["outputs"]] == ["center", "covariance"]
    assert told["clips"]["mean"] == expected.processor.mean
    assert told["files"] == {"model_int8.onnx": path.stat().st_size}


def test_properties_are_those_onnxruntime_reads(tmp_path):
    path = write_onnx(tmp_path / "model.onnx", "classification")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert onnx_properties(path) == session.get_modelmeta().custom_metadata_map


def test_a_folder_of_exported_files_is_read_from_them(tmp_path):
    write_onnx(tmp_path / "model.onnx", "classification")
    write_onnx(tmp_path / "model_int8.onnx", "classification", precision="int8")
    told = inspect_model(tmp_path)
    assert (told["task"], told["precision"]) == ("classification", "fp32")
    assert set(told["files"]) == {"model.onnx", "model_int8.onnx"}


def test_the_comparison_with_torch_is_told_for_each_file(tmp_path):
    write_onnx(tmp_path / "model.onnx", "classification")
    accepted = {"accepted": True, "faults": [], "sets": {"random": {"clips": 8}}}
    refused = {"accepted": False, "faults": ["3 km too far"], "sets": {"real": {"clips": 2}}}
    variants = {"model.onnx": accepted, "model_int8.onnx": refused}
    (tmp_path / "parity.json").write_text(json.dumps({"format": 1, "variants": variants}))
    assert inspect_model(tmp_path / "model.onnx")["parity"] == {"model.onnx": accepted}
    told = [text for label, text in description_rows(inspect_model(tmp_path)) if label == "parity"]
    assert told == [
        "model.onnx like torch, on 8 random clips",
        "model_int8.onnx refused: 3 km too far, on 2 real clips",
    ]


def test_a_finished_run_is_its_model_with_scores(model):
    made, folder = model
    (folder / "run.yaml").write_text(
        "model: {preset: tiny}\nrun: {commit: abc, command: classify}\n"
    )
    (folder / "scores.json").write_text('{"pod": 0.9}')
    told = inspect_model(folder)
    assert (told["kind"], told["state"]) == ("training run", "finished")
    assert told["run"]["commit"] == "abc"
    assert told["scores"] == {"pod": 0.9}
    assert told["parameters"] == sum(p.numel() for p in made.parameters())


def test_an_unfinished_run_is_its_newest_checkpoint(model, tmp_path):
    for step in (90, 120):
        shutil.copytree(model[1], tmp_path / "run" / "checkpoints" / f"step-{step:08d}")
    (tmp_path / "run" / "run.yaml").write_text("run: {}\n")
    told = inspect_model(tmp_path / "run")
    assert told["state"] == "unfinished, newest is step-00000120"
    assert told["task"] == "classification"


def test_a_run_without_a_checkpoint_is_named(tmp_path):
    (tmp_path / "run.yaml").write_text("run: {}\n")
    with pytest.raises(CheckpointError, match="is a run without a checkpoint yet"):
        inspect_model(tmp_path)


def test_a_transformers_model_is_told_to_be_converted(tmp_path):
    VideoMAEConfig(num_frames=8, id2label={0: "a", 1: "b"}).save_pretrained(tmp_path)
    told = inspect_model(tmp_path)
    assert told["kind"] == "transformers VideoMAE"
    assert (told["num_frames"], told["hidden_size"]) == (8, 768)
    assert told["hint"] == f"run: medicane convert {tmp_path} --out DIR, and use DIR"


def test_other_models_and_bare_weights_are_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigurationError, match="of type 'bert'"):
        inspect_model(tmp_path)
    (tmp_path / "weights.pth").touch()
    with pytest.raises(ConfigurationError, match=r"weights alone; .* medicane convert"):
        inspect_model(tmp_path / "weights.pth")


def test_damaged_files_are_named(model, tmp_path):
    folder = model[1]
    whole = write_onnx(tmp_path / "model.onnx", "classification").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "model.safetensors").write_bytes(b"not a header")
    for path, complaint in (
        (tmp_path / "cut.onnx", "is not a whole ONNX"),
        (folder, "safetensors"),
    ):
        with pytest.raises(CheckpointError, match=complaint):
            inspect_model(path)


def test_a_foreign_onnx_file_is_named(tmp_path):
    write_onnx(tmp_path / "foreign.onnx", "classification", properties={"author": "somebody"})
    with pytest.raises(CheckpointError, match="no metadata of medicane-models"):
        inspect_model(tmp_path / "foreign.onnx")


def test_a_folder_without_a_model_says_what_to_give(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds neither config\.json nor model\.onnx"):
        inspect_model(tmp_path)


def test_weights_need_no_configuration_s_promise(model):
    folder = model[1]
    save_file({"a": torch.zeros(2, 3)}, folder / "model.safetensors")
    assert inspect_model(folder)["parameters"] == 6


def test_weights_beside_the_graph_are_passed_over(tmp_path):
    path = write_onnx(tmp_path / "model.onnx", "classification")
    weights = onnx.numpy_helper.from_array(torch.zeros(1_000_000).numpy(), "unused")
    model = onnx.load(path)
    model.graph.initializer.append(weights)
    onnx.save(model, path, save_as_external_data=True, location="model.onnx.data")
    told = inspect_model(path)
    assert told["files"]["model.onnx.data"] == 4_000_000
    assert told["task"] == "classification"


def test_the_command_needs_neither_torch_nor_onnxruntime(tmp_path):
    path = write_onnx(tmp_path / "model.onnx", "classification")
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "timm", "onnx", "onnxruntime"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from medicane_models.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "inspect", path, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels"] == ["no_cyclone", "cyclone"]


def test_the_command_prints_plain_lines_when_piped(model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["medicane", "inspect", str(model[1])])
    with pytest.raises(SystemExit) as left:
        main()
    lines = capsys.readouterr().out.splitlines()
    assert left.value.code == 0
    assert "task         classification" in lines
    assert any(
        text.startswith("output       probabilities float32 (batch × class 2)") for text in lines
    )


@pytest.fixture
def storm(tmp_path) -> Path:
    """Two HURSAT files, three hours apart."""
    folder = tmp_path / "storm"
    folder.mkdir()
    for hour in (0, 3):
        kelvin = np.random.default_rng(hour).uniform(200, 300, (21, 21)).astype(np.float32)
        dataset = hursat_dataset(kelvin, f"2011-01-21T0{hour}:00", (179.0, -14.0))
        dataset.to_netcdf(folder / f"{hour}.nc")
    return folder


def test_a_scene_tells_its_instrument_bands_and_times(storm):
    told = description_of(storm)
    assert (told["kind"], told["sensor"], told["platform"]) == ("scene", "hursat-b1", "GOES-11")
    assert line(told, "band") == "IR_108 = IRWIN of HURSAT-B1 (all imagers, around storms), 11 µm"
    assert (
        line(told, "times") == "2 from 2011-01-21T00:00:00Z to 2011-01-21T03:00:00Z, every 180 min"
    )
    assert told["extent"]["east"] > 179
    json.dumps(told)


def test_a_scene_across_the_180th_meridian_has_an_east_below_the_west(storm):
    for file in storm.iterdir():
        file.unlink()
    kelvin = np.full((41, 41), 250, np.float32)
    hursat_dataset(kelvin, "2011-01-21T00:00", (179.5, -14.0)).to_netcdf(storm / "0.nc")
    told = description_of(storm)["extent"]
    assert (told["west"], told["east"]) == pytest.approx((178.07, -179.07), abs=0.05)


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        ([0, 1, 2, 9], "every 60 min"),
        ([0, 1, 5, 24 * 200], "irregular, from 60 min to 200 days apart"),
        ([0, 4, 40], "irregular, from 4 h to 36 h apart"),
        ([0], "T00:00:00Z"),
    ],
)
def test_times_are_regular_or_said_not_to_be(tmp_path, hours, said):
    for hour in hours:
        time = f"{pd.Timestamp('2020-09-16') + pd.Timedelta(hours=hour):%Y-%m-%dT%H:%M}"
        kelvin = np.full((5, 5), 250, np.float32)
        hursat_dataset(kelvin, time, (20.0, 14.0)).to_netcdf(tmp_path / f"{hour}.nc")
    assert line(description_of(tmp_path), "times").endswith(said)


def test_grey_pictures_are_described_where_an_extent_places_them(tmp_path, capsys, monkeypatch):
    Image.new("L", (40, 30), 90).save(tmp_path / "20200917_1200.png")
    monkeypatch.setattr("sys.argv", ["medicane", "inspect", str(tmp_path), "--extent=10,20,50,50"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert "west 10, south 20, east 50, north 50" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [{"extent": "1,2,3,4"}, {"reader": "ahi_hsd"}])
def test_a_model_is_not_opened_like_a_scene(model, asked):
    with pytest.raises(ConfigurationError, match="is no scene; leave it out"):
        description_of(model[1], **asked)


def test_a_folder_with_a_model_in_it_is_no_scene(model):
    (model[1] / "scene.nc").touch()
    assert description_of(model[1])["kind"] == "folder"


def test_a_scene_has_no_revision(storm):
    with pytest.raises(ConfigurationError, match=r"revision is 'v2' and .* is a scene"):
        description_of(storm, revision="v2")
