import json
import os
import signal
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from cold_spots import predictor, scene
from onnx_files import cold_scene, write_onnx
from PIL import Image

from medicane_models import (
    MedicaneConfig,
    MedicaneForVideoClassification,
    MedicanePredictor,
    MedicaneProcessor,
    memory,
)
from medicane_models.cli import main
from medicane_models.domain import great_circle_km
from medicane_models.errors import CheckpointError
from medicane_models.network.pretraining import MedicaneForPreTraining
from medicane_models.prediction.follow import Follower
from medicane_models.prediction.products import ProductWriter

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
        "detections.csv", "detections.json", "forecasts.csv", "maps", "report.html",
        "tracks.csv", "tracks.geojson", "tracks.png",
    ]  # fmt: skip
    with Image.open(folder / "maps" / "20111102_1000.png") as picture:
        assert picture.width > 1000
    assert "trained on simulated scenes" in err


@pytest.fixture
def guess(tmp_path):
    """A storm that stands still, in the middle of the frames."""
    path = tmp_path / "guess.csv"
    times = ("2011-11-02T06:00Z", "2011-11-02T12:00Z")
    rows = "".join(f"Rolf,{time},39.5,9.0\n" for time in times)
    path.write_text("track_id,time,lat,lon\n" + rows)
    return path


def test_predict_refines_a_first_guess(medicane, frames, guess, tmp_path):
    out = tmp_path / "out"
    code, printed, err = medicane(
        "predict", frames, "--out", out, "--first-guess", guess, "--json", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    (row,) = pd.read_csv(out / "tracks.csv").to_dict("records")
    assert (row["track_id"], row["guess_lon"], row["guess_lat"]) == ("Rolf", 9.0, 39.5)
    assert 0 < row["guess_distance_km"] < 500
    assert (out / "tracks.png").is_file()
    settings = json.loads(printed)["provenance"]["settings"]
    assert settings["first_guess"]["mean_km"] == 48.0


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (
            {"2011-11-02T06": "1999-11-02T06", "2011-11-02T12": "1999-11-02T12"},
            1,
            "has no position",
        ),
        ({"39.5,9.0": "10.0,9.0"}, 1, "outside the scene: Rolf at 9.00°E 10.00°N"),
        ({"track_id": "place"}, 1, "does not say which storm a row belongs to"),
    ],
)
def test_a_first_guess_of_elsewhere_is_one_sentence(
    medicane, frames, guess, tmp_path, changes, code, message
):
    for old, new in changes.items():
        guess.write_text(guess.read_text().replace(old, new))
    exit_code, _, err = medicane(
        "predict", frames, "--out", tmp_path / "out", "--first-guess", guess, "--device", "cpu"
    )
    errors = [line for line in err.splitlines() if line.startswith("Error")]
    assert (exit_code, len(errors)) == (code, 1)
    assert message in errors[0]


def test_how_far_off_a_first_guess_is_needs_one(medicane, frames, tmp_path):
    code, _, err = medicane("predict", frames, "--out", tmp_path, "--first-guess-km", "30")
    assert code == 2
    assert "there is no --first-guess" in err


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
    assert code == 2
    assert "file" in err
    assert "choose another folder" in err


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Arguments of predict for a scene of three clips whose models take no time."""
    made = predictor()

    def load(detector, *_, **__):
        if detector == "no/model":
            raise CheckpointError("no/model is not on the Hub")
        return made

    monkeypatch.setattr(MedicanePredictor, "from_pretrained", load)
    scene().to_netcdf(tmp_path / "scene.nc")
    return ["predict", tmp_path / "scene.nc", "--out", tmp_path / "a" / "out", "--every", "30"]


@pytest.fixture
def earlier(quick) -> dict[str, bytes]:
    """Results of an earlier run in the folder that ``quick`` writes to."""
    files = ("detections.csv", "tracks.nc", "truth.csv", "maps/20200917_0030.png")
    for name in files:
        path = quick[3] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return contents(quick[3])


def contents(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def interrupt(monkeypatch) -> None:
    """Press Ctrl-C after the clip of 01:00."""

    def add(self, clip, run):
        if f"{clip.end:%H:%M}" == "01:00":
            raise KeyboardInterrupt

    monkeypatch.setattr(ProductWriter, "add", add)


REFUSALS = {
    "a scene that is not there": (["predict", "nowhere.zarr"], "nowhere.zarr"),
    "no clip in the time range": (["predict", "SCENE", "--start", "2020-09-18"], "no frame"),
    "too few frames": (["predict", "SCENE", "--end", "2020-09-17T00:04"], "frames missing"),
    "clips that do not divide a day": (["predict", "SCENE", "--every", "7"], "do not divide"),
    "no model": (["predict", "SCENE", "--model", "no/model"], "no/model is not on the Hub"),
    "a demo without a model": (["demo", "--model", "no/model"], "no/model is not on the Hub"),
}


def refused(name: str, quick: list) -> tuple[list, str]:
    arguments, complaint = REFUSALS[name]
    return [quick[1] if item == "SCENE" else item for item in arguments], complaint


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_run_leaves_earlier_results_as_they_were(medicane, quick, earlier, refusal):
    arguments, complaint = refused(refusal, quick)
    code, _, err = medicane(*arguments, "--out", quick[3], "--overwrite")
    assert code
    assert complaint in err
    assert contents(quick[3]) == earlier


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_run_leaves_no_folder_behind(medicane, quick, refusal, tmp_path):
    arguments, _ = refused(refusal, quick)
    assert medicane(*arguments, "--out", tmp_path / "a" / "b")[0]
    assert not (tmp_path / "a").exists()


QUICK_PRODUCTS = ["detections.csv", "detections.json", "forecasts.csv", "tracks.csv"]


def test_an_interrupted_run_writes_what_it_judged_to_a_folder_of_its_own(
    medicane, quick, monkeypatch
):
    interrupt(monkeypatch)
    code, _, _ = medicane(*quick, "--no-plot")
    told = json.loads((quick[3] / "interrupted" / "detections.json").read_text())
    assert code
    assert not told["provenance"]["complete"]
    assert {row["time"] for row in told["detections"]} == {
        "2020-09-17T00:30:00Z", "2020-09-17T01:00:00Z",
    }  # fmt: skip
    assert {name.partition("/")[0] for name in contents(quick[3])} == {"interrupted"}


def test_the_same_command_goes_on_where_it_was_interrupted(medicane, quick, monkeypatch, tmp_path):
    assert medicane(*quick, "--no-plot", "--out", tmp_path / "at_once")[0] == 0
    with monkeypatch.context() as patch:
        interrupt(patch)
        assert medicane(*quick, "--no-plot")[0]
    code, _, err = medicane(*quick, "--no-plot")
    assert code == 0, err
    assert "3 of 4 clips were judged before" in err
    assert sorted(contents(quick[3])) == QUICK_PRODUCTS
    for name in ("detections.csv", "tracks.csv", "forecasts.csv"):
        assert (quick[3] / name).read_bytes() == (tmp_path / "at_once" / name).read_bytes()


def test_another_command_does_not_go_on_unless_it_may_begin_anew(medicane, quick, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch)
        assert medicane(*quick, "--no-plot")[0]
    other = [*quick, "--no-plot", "--end", "2020-09-17T01:00"]
    code, _, err = medicane(*other)
    assert code == 2
    assert "interrupted/hours was judged otherwise (settings" in err
    assert medicane(*other, "--overwrite")[0] == 0


def test_an_interrupted_run_replaces_no_earlier_results(medicane, quick, earlier, monkeypatch):
    out = quick[3]
    with monkeypatch.context() as patch:
        interrupt(patch)
        assert medicane(*quick, "--overwrite")[0]
    later = contents(out)
    assert not json.loads(later["interrupted/detections.json"])["provenance"]["complete"]
    assert {name: later[name] for name in earlier} == earlier
    assert medicane(*quick, "--overwrite", "--no-plot")[0] == 0
    assert sorted(contents(out)) == QUICK_PRODUCTS
    assert not (out / "interrupted").exists()


@pytest.fixture
def followed(quick, tmp_path):
    """Arguments of predict for a folder that a scene has arrived in."""
    (tmp_path / "in").mkdir()
    (tmp_path / "scene.nc").rename(tmp_path / "in" / "scene.nc")
    return [quick[0], tmp_path / "in", *quick[2:], "--no-plot"]


def test_predict_once_goes_on_from_the_last_round(medicane, followed):
    for judged in (4, 0):
        code, out, err = medicane(*followed, "--once", "--json")
        assert code == 0, err
        assert f"hours judged {judged}, in all 4, skipped 1" in err
        assert json.loads(out)["judged"] == judged
    assert set(QUICK_PRODUCTS) < set(contents(followed[3]))


def test_predict_follow_ends_when_it_is_told_to(medicane, followed, monkeypatch):
    tell = Follower._tell

    def told(self, state, *counts):
        if state == "waiting":
            os.kill(os.getpid(), signal.SIGTERM)
        return tell(self, state, *counts)

    monkeypatch.setattr(Follower, "_tell", told)
    code, _, err = medicane(*followed, "--follow", "--poll", "600")
    assert code == 0, err
    assert "next round" in err
    assert json.loads((followed[3] / "status.json").read_text())["state"] == "ended"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--follow", "--overwrite"], "--follow goes on with earlier results"),
        (["--once", "--overwrite"], "--once goes on with earlier results"),
        (["--follow", "--first-guess", "."], "leave one of them out"),
        (["--once", "--poll", "5"], "--once is a single round"),
        (["--poll", "5"], "give --follow"),
        (["--once", "--workers", "2"], "files that arrive are judged by one process"),
        (["--follow", "--dask", "a:1"], "files that arrive are judged by one process"),
        (["--dask", "a:1", "--workers", "2"], "give one of them"),
    ],
)
def test_what_has_no_meaning_while_following_is_refused(medicane, followed, options, complaint):
    code, _, err = medicane(*followed, *options)
    assert code == 2
    assert complaint in err
    assert not followed[3].exists()


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
    assert code == 2
    assert "nowhere.zarr does not exist" in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["predict", "."], "--out"),
        (["predict", ".", "--out", "y", "--formats", "pdf"], "csv, netcdf, geojson"),
        (["predict", ".", "--out", "y", "--start", "someday"], "someday"),
        (["predict", ".", "--out", "y", "--threshold", "2"], "threshold is 2"),
        (["predict", ".", "--out", "y", "--threads", "0"], "--threads"),
        (["predict", ".", "--out", "y", "--device", "tensorrt"], "add --runtime onnx"),
        (["predict", ".", "--out", "y", "--runtime", "onnx", "--device", "mps"], "tensorrt"),
        (["demo", "--out", "y", "--runtime", "tensorflow"], "onnx"),
        (["demo", "--out", "y", "--device", "tensorrt"], "add --runtime onnx"),
        (["predict", ".", "--out", "y", "--domain", "1,2,3"], "WEST,SOUTH,EAST,NORTH"),
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


def test_convert_makes_a_folder_that_predict_accepts(medicane, tmp_path):
    sizes = {"embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_hidden_dim": 48, "image_size": 32}
    model = MedicaneForVideoClassification(MedicaneConfig(**sizes, num_frames=4))
    torch.save({"module": model.state_dict()}, tmp_path / "checkpoint-9.pth")
    code, out, err = medicane(
        "convert", tmp_path / "checkpoint-9.pth", "--out", tmp_path / "model",
        "--set", "num_heads=3", "--set", "image_size=32", "--set", "num_frames=4",
        "--trained-on", "Twelve storms.", "--data-kind", "real",
    )  # fmt: skip
    assert code == 0, err
    assert "classification" in out
    restored = MedicaneForVideoClassification.from_pretrained(tmp_path / "model")
    assert torch.equal(restored.head.weight, model.head.weight)
    assert (restored.config.trained_on, restored.config.data_kind) == ("Twelve storms.", "real")
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


@pytest.mark.parametrize(
    ("setting", "complaint"), [("num_heads", "key=value"), ("num_head=3", "names no setting")]
)
def test_convert_refuses_an_unknown_setting(medicane, tmp_path, setting, complaint):
    (tmp_path / "x.pth").touch()
    code, _, err = medicane("convert", tmp_path / "x.pth", "--out", tmp_path, "--set", setting)
    assert code == 2
    assert complaint in err


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of two channels, for which there is no processor, and one of three."""
    paths = []
    for channels in (3, 2):
        sizes = {"embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_hidden_dim": 48}
        config = MedicaneConfig(**sizes, image_size=32, num_frames=4, in_channels=channels)
        paths.append(tmp_path / f"{channels}.pth")
        torch.save(MedicaneForVideoClassification(config).state_dict(), paths[-1])
    return paths


SIZES = ("--set", "num_heads=3", "--set", "image_size=32", "--set", "num_frames=4")


def test_convert_replaces_a_model_only_when_told_and_leaves_nothing_of_it(
    medicane, checkpoint, tmp_path
):
    three, two = checkpoint
    out = ("--out", tmp_path / "model")
    assert medicane("convert", three, *out, *SIZES)[0] == 0
    code, _, err = medicane("convert", two, *out, *SIZES)
    assert code == 2
    assert "config.json exists; choose another --out, or replace it with --overwrite" in err
    assert medicane("convert", two, *out, *SIZES, "--overwrite")[0] == 0
    assert MedicaneConfig.from_pretrained(tmp_path / "model").in_channels == 2
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["config.json", "model.safetensors"]


def test_a_fresh_head_is_drawn_by_the_seed(medicane, checkpoint, tmp_path):
    def head(name, seed):
        tracker = (*SIZES, "--task", "pretraining", "--seed", seed)
        code, _, err = medicane("convert", checkpoint[0], "--out", tmp_path / name, *tracker)
        assert code == 0, err
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert head("a", 1) == head("b", 1) != head("c", 2)


def test_simulate_replaces_a_store_only_when_told(medicane, tmp_path):
    store = tmp_path / "a.zarr"
    arguments = ("simulate", "--out", store, "--hours", "0")
    store.mkdir()
    (store / "old").touch()
    code, _, err = medicane(*arguments)
    assert code == 2
    assert "exists" in err
    code, out, err = medicane(*arguments, "--overwrite", "--json")
    assert code == 0, err
    assert json.loads(out)["frames"] == 1
    assert not (store / "old").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_revision_of_what_is_not_on_the_hub_is_refused(medicane, tmp_path):
    code, _, err = medicane("inspect", "medicane-tiny-detector", "--revision", "v2")
    assert code == 2
    assert "revision is 'v2' and medicane-tiny-detector is not on the Hub; leave it out" in err


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "hours", "day", "worst_km"),
    [("auto", 6, "2021-02-10", 30), ("medicane-tiny-detector", 4, "2021-10-29", 100)],
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
