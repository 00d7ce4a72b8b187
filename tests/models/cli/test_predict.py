import json

import pandas as pd
import pytest
import torch
from onnx_files import cold_scene, write_onnx
from PIL import Image

from medicane_models import MedicaneProcessor, memory


def test_predict_writes_detections_tracks_and_a_map(predicted):
    folder, printed, err = predicted
    table = pd.read_csv(folder / "detections.csv")
    assert len(table) == len(printed["detections"]) == 23
    assert sorted(path.name for path in folder.iterdir()) == [
        "detections.csv", "detections.json", "forecasts.csv", "maps", "report.html",
        "tracks.csv", "tracks.geojson", "tracks.png",
    ]  # fmt: skip
    with Image.open(folder / "maps" / "20111102_1000.png") as picture:
        assert picture.width > 1000
    assert "trained on simulated scenes" in err


def test_an_output_folder_that_is_a_file_is_named(medicane, frames, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = medicane("predict", frames, "--out", tmp_path / "file")
    assert code == 2
    assert "file" in err
    assert "choose another folder" in err


@pytest.mark.parametrize(
    ("options", "pages"),
    [([], 1), (["--no-plot"], 0), (["--no-plot", "--report"], 1), (["--no-report"], 0)],
)
def test_a_page_is_written_unless_there_are_no_maps_or_else_as_asked(
    medicane, quick, options, pages
):
    assert medicane(*quick, *options)[0] == 0
    assert len(list(quick[3].glob("report.html"))) == pages
    assert not list(quick[3].glob(".*"))


def test_films_are_written_of_the_scene_and_of_each_cyclone(medicane, quick):
    assert medicane(*quick, "--no-plot", "--animate")[0] == 0
    assert [path.stem for path in sorted((quick[3] / "films").iterdir())] == ["basin", "track_1"]
    assert not (quick[3] / "report.html").exists()


def test_a_page_shows_each_fix_of_the_run(medicane, quick):
    assert medicane(*quick, "--no-plot", "--report")[0] == 0
    page = (quick[3] / "report.html").read_text("utf-8")
    assert page.count('class="frame"') == len(pd.read_csv(quick[3] / "tracks.csv"))


@pytest.mark.parametrize(("option", "pictures"), [("--plot", 3), ("--no-plot", 0)])
def test_pictures_are_made_for_maps_only(medicane, quick, monkeypatch, option, pictures):
    made, picture = [], MedicaneProcessor.picture
    monkeypatch.setattr(
        MedicaneProcessor, "picture", lambda *given: made.append(1) or picture(*given)
    )
    assert medicane(*quick, option)[0] == 0
    assert len(made) == len(list(quick[3].glob("maps/*.png"))) == pictures


def test_too_few_frames_fail_with_one_sentence_and_nothing_on_stdout(medicane, frames, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(frames.iterdir())[-3:]:
        (few / path.name).write_bytes(path.read_bytes())
    tiles = ("--model", "medicane-tiny-detector")
    code, out, err = medicane("predict", few, "--out", tmp_path / "out", *tiles)
    assert code == 1
    assert out == ""
    assert "13 of 16 frames missing" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "detections.csv").exists()


def test_a_scene_that_is_not_there_is_named(medicane, tmp_path):
    code, _, err = medicane("predict", tmp_path / "nowhere.zarr", "--out", tmp_path / "out")
    assert code == 2
    assert "nowhere.zarr does not exist" in err


def test_an_unknown_model_lists_the_embedded_ones(medicane, frames, tmp_path):
    code, _, err = medicane(
        "predict", frames, "--out", tmp_path / "out", "--model", tmp_path / "no-such-model"
    )
    assert code == 2
    assert "medicane-tiny-detector" in err


def test_a_model_without_an_onnx_file_says_how_to_make_one(medicane, tmp_path):
    options = ["--runtime", "onnx", "--model", "medicane-tiny-detector"]
    code, _, err = medicane("predict", ".", "--out", tmp_path / "out", *options)
    assert code == 2
    assert "run: medicane-export onnx medicane-tiny-detector --out DIR, and give DIR" in err


def test_detecting_alone_writes_no_tracks(medicane, tmp_path):
    detector = write_onnx(tmp_path / "detector.onnx", "classification")
    cold_scene().to_netcdf(tmp_path / "scene.nc")
    code, out, err = medicane(
        "predict", tmp_path / "scene.nc", "--out", tmp_path / "out", "--model", detector,
        "--tracker", "none", "--json",
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    assert any(row["detected"] for row in told["detections"])
    assert all(row["lon"] is None for row in told["detections"])
    assert told["provenance"]["tracker"] is None
    assert told["provenance"]["untracked"] == "no tracker was asked for"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "detections.csv", "detections.json", "maps", "report.html",
    ]  # fmt: skip


def test_a_detector_alone_goes_without_the_embedded_tracker_where_that_does_not_fit(
    medicane, tmp_path
):
    detector = write_onnx(tmp_path / "detector.onnx", "classification")
    cold_scene().to_netcdf(tmp_path / "scene.nc")
    code, out, err = medicane(
        "predict", tmp_path / "scene.nc", "--out", tmp_path / "out", "--model", detector, "--json",
        "--no-plot",
    )  # fmt: skip
    assert code == 0, err
    assert "detecting without centres and tracks: medicane-ir-tracker does not fit" in err
    untracked = json.loads(out)["provenance"]["untracked"]
    assert "medicane-ir-tracker" in untracked
    assert "medicane-tiny-tracker does not fit" in untracked


def test_torch_computes_on_as_many_threads_as_are_given(medicane, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    medicane("predict", tmp_path, "--out", tmp_path / "out", "--threads", "3")
    assert given == [3]


def test_prediction_gives_back_the_memory_of_its_frames(medicane, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(memory, "give_back_large_arrays", lambda: done.append(True))
    medicane("predict", tmp_path, "--out", tmp_path / "out")
    assert done == [True]
