import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from medicane_models import MedicaneConfig, MedicaneForVideoClassification, MedicaneProcessor
from medicane_models.cli import main
from medicane_models.domain import great_circle_km
from medicane_models.network.pretraining import MedicaneForPreTraining

FULL_FRAME = (1290, 420)


@pytest.fixture
def medicane(monkeypatch, capsys):
    """Run the command in this process: exit code, stdout, stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["medicane", *map(str, arguments)])
        monkeypatch.setattr("warnings.showwarning", lambda *_: None)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A folder of 16 Airmass frames ending at 10:00."""
    folder = tmp_path_factory.mktemp("airmass")
    random = np.random.default_rng(0)
    for time in pd.date_range("2011-11-02 08:45", "2011-11-02 10:00", freq="5min"):
        coarse = Image.fromarray(random.integers(40, 200, (21, 65, 3), dtype=np.uint8))
        picture = coarse.resize(FULL_FRAME, Image.Resampling.BILINEAR)
        picture.save(folder / f"airmass_rgb_{time:%Y%m%d_%H%M}.png")
    return folder


@pytest.fixture
def predicted(medicane, frames, tmp_path):
    code, out, err = medicane(
        "predict", frames, "--out", tmp_path / "out", "--start", "2011-11-02T10:00",
        "--formats", "csv,geojson", "--json", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    return tmp_path / "out", json.loads(out), err


def test_predict_writes_detections_tracks_and_a_map(predicted):
    folder, printed, err = predicted
    table = pd.read_csv(folder / "detections.csv")
    assert len(table) == len(printed["detections"]) == 12
    assert sorted(path.name for path in folder.iterdir()) == [
        "detections.csv", "detections.json", "maps", "tracks.csv", "tracks.geojson", "tracks.png",
    ]  # fmt: skip
    with Image.open(folder / "maps" / "20111102_1000.png") as picture:
        assert picture.width > 1000
    assert "trained on simulated scenes" in err


def test_earlier_results_are_kept_unless_told_otherwise(medicane, predicted, frames):
    folder, _, _ = predicted
    (folder / "tracks.nc").touch()
    arguments = ["predict", frames, "--out", folder, "--start", "2011-11-02T10:00", "--no-plot"]
    code, _, err = medicane(*arguments)
    assert code == 2
    assert "holds results of an earlier run" in err
    code, _, err = medicane(*arguments, "--overwrite")
    assert code == 0, err
    assert not (folder / "tracks.nc").exists()
    assert not list((folder / "maps").iterdir())


def test_an_output_folder_that_is_a_file_is_named(medicane, frames, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = medicane("predict", frames, "--out", tmp_path / "file")
    assert code == 1
    assert "file" in err
    assert "choose another folder" in err


def test_evaluate_reads_what_predict_wrote(medicane, predicted, tmp_path):
    folder, _, _ = predicted
    truth = pd.DataFrame(
        {"track_id": ["a"], "time": ["2011-11-02 10:00"], "lat": [38], "lon": [18]}
    )
    truth.to_csv(tmp_path / "truth.csv", index=False)
    code, out, err = medicane(
        "evaluate", folder / "detections.csv", tmp_path / "truth.csv", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["sections"]["tiles and times"]["counts"]["n"] == 12


def test_too_few_frames_fail_with_one_sentence_and_nothing_on_stdout(medicane, frames, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(frames.iterdir())[-3:]:
        (few / path.name).write_bytes(path.read_bytes())
    code, out, err = medicane("predict", few, "--out", tmp_path / "out")
    assert code == 1
    assert out == ""
    assert "13 of 16 frames missing" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "detections.csv").exists()


def test_a_scene_that_is_not_there_is_named(medicane, tmp_path):
    code, _, err = medicane("predict", tmp_path / "nowhere.zarr", "--out", tmp_path / "out")
    assert code == 1
    assert "nowhere.zarr does not exist" in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["predict", "x"], "--out"),
        (["predict", "x", "--out", "y", "--formats", "pdf"], "csv, netcdf, geojson"),
        (["predict", "x", "--out", "y", "--start", "someday"], "someday"),
        (["predict", "x", "--out", "y", "--threshold", "2"], "threshold is 2"),
        (["predict", "x", "--out", "y", "--threads", "2"], "OMP_NUM_THREADS"),
        (["predict", "x", "--out", "y", "--device", "tensorrt"], "add --runtime onnx"),
        (["predict", "x", "--out", "y", "--runtime", "onnx", "--device", "mps"], "tensorrt"),
        (["demo", "--out", "y", "--device", "tensorrt"], "tensorrt"),
        (["predict", "x", "--out", "y", "--domain", "1,2,3"], "WEST,SOUTH,EAST,NORTH"),
        (["detect"], "detect"),
    ],
)
def test_wrong_use_exits_with_2(medicane, arguments, complaint):
    code, _, err = medicane(*arguments)
    assert code == 2
    assert complaint in err


def test_an_unknown_model_lists_the_embedded_ones(medicane, frames, tmp_path):
    code, _, err = medicane(
        "predict", frames, "--out", tmp_path / "out", "--model", tmp_path / "no-such-model"
    )
    assert code == 1
    assert "medicane-tiny-detector" in err


def test_a_model_without_an_onnx_file_says_how_to_make_one(medicane, tmp_path):
    code, _, err = medicane("predict", "x", "--out", tmp_path / "out", "--runtime", "onnx")
    assert code == 1
    assert "run: medicane-export onnx medicane-tiny-detector --out DIR, and give DIR" in err


def test_convert_makes_a_folder_that_predict_accepts(medicane, tmp_path):
    sizes = {"embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_hidden_dim": 48, "image_size": 32}
    model = MedicaneForVideoClassification(MedicaneConfig(**sizes, num_frames=4))
    torch.save({"module": model.state_dict()}, tmp_path / "checkpoint-9.pth")
    code, out, err = medicane(
        "convert", tmp_path / "checkpoint-9.pth", "--out", tmp_path / "model",
        "--set", "num_heads=3", "--set", "image_size=32", "--set", "num_frames=4",
    )  # fmt: skip
    assert code == 0, err
    assert "classification" in out
    restored = MedicaneForVideoClassification.from_pretrained(tmp_path / "model")
    assert torch.equal(restored.head.weight, model.head.weight)
    assert MedicaneProcessor.from_pretrained(tmp_path / "model").tile_size == 32


def pretraining_checkpoint(folder):
    """A file of last and averaged weights of a model for clips of three channels."""
    sizes = {"embed_dim": 24, "depth": 1, "num_heads": 3, "mlp_hidden_dim": 48, "image_size": 112}
    decoder = {"decoder_embed_dim": 12, "decoder_depth": 1, "decoder_num_heads": 3}
    config = MedicaneConfig(**sizes, **decoder, num_frames=4)
    last, averaged = (MedicaneForPreTraining(config).state_dict() for _ in range(2))
    torch.save({"model": last, "model_ema": averaged}, folder / "c.pth")
    settings = ("num_heads=3", "decoder_num_heads=3", "image_size=112", "num_frames=4")
    return last, averaged, [text for setting in settings for text in ("--set", setting)]


@pytest.mark.parametrize("choice", [None, "averaged", "last"])
def test_convert_says_which_weights_it_takes(choice, medicane, tmp_path):
    last, averaged, options = pretraining_checkpoint(tmp_path)
    options += ["--weights", choice] if choice else []
    code, out, err = medicane("convert", tmp_path / "c.pth", "--out", tmp_path / "m", *options)
    assert code == 0, err
    restored = MedicaneForPreTraining.from_pretrained(tmp_path / "m")
    expected = last if choice == "last" else averaged
    assert torch.equal(restored.mask_token, expected["mask_token"])
    assert f"the {choice or 'averaged'} weights were taken" in out


def test_convert_saves_the_processor_it_is_told(medicane, tmp_path):
    _, _, options = pretraining_checkpoint(tmp_path)
    processor = MedicaneProcessor.infrared(tile_size=112, num_frames=4)
    processor.save_pretrained(tmp_path / "other")
    options += ["--processor", tmp_path / "other"]
    arguments = ("convert", tmp_path / "c.pth", "--out", tmp_path / "m", *options)
    code, _, err = medicane(*arguments)
    assert code == 2
    assert "makes clips of (4, 1, 112, 112)" in err
    assert not (tmp_path / "m").exists()
    code, _, err = medicane(*arguments, "--in-channels", 1)
    assert code == 0, err
    assert MedicaneProcessor.from_pretrained(tmp_path / "m") == processor


def test_convert_refuses_an_unknown_setting(medicane, tmp_path):
    code, _, err = medicane("convert", "x.pth", "--out", tmp_path, "--set", "num_heads")
    assert code == 2
    assert "key=value" in err


@pytest.mark.slow
@pytest.mark.slow
def test_demo_finds_its_medicane_offline(medicane, tmp_path):
    code, out, err = medicane("demo", "--out", tmp_path, "--no-plot")
    assert code == 0, err
    assert "2021-10-29" in out
    tracks, truth = (
        pd.read_csv(tmp_path / name, parse_dates=["time"]) for name in ("tracks.csv", "truth.csv")
    )
    truth["time"] = truth["time"].dt.tz_localize(None)
    both = tracks.merge(truth, on="time", suffixes=("", "_true"))
    error = great_circle_km(both["lon"], both["lat"], both["lon_true"], both["lat_true"])
    assert error.min() < 100
