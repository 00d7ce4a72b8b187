import json
import logging
import math
import signal

import huggingface_hub
import pandas as pd
import pytest
from clip_stores import small_store
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy_runs import ToyFlow, names, toy_recipe
from typer.testing import CliRunner

from medicane_models import AutoMedicaneModel
from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_training.cli import app
from medicane_training.recipes.loading import load_recipe
from medicane_training.run import loop
from medicane_training.run.loop import NonFiniteError

SPLIT = (
    "data.split.by=dates",
    "data.split.validation_from=2020-09-17 12:00",
    "data.split.test_from=2020-09-17 20:00",
    "data.split.guard_hours=1",
)
QUICK = ("training.epochs=1", "training.global_batch=4", "engine.device=cpu", "data.workers=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("flows")


@pytest.fixture(scope="module")
def store(folder):
    return small_store(folder / "s.zarr").path


@pytest.fixture(scope="module")
def backbone(store, folder):
    return finished(train("specialize", store, "--out", folder / "backbone"), folder / "backbone")


@pytest.fixture(scope="module")
def detector(store, folder, backbone):
    out = folder / "detector"
    result = train("classify", store, "--init", backbone, "--out", out, "--final-test")
    assert "test of" in result.output
    return finished(result, out)


def train(flow, store, *arguments):
    settings = [part for setting in (*SPLIT, *QUICK) for part in ("--set", setting)]
    return run(flow, "--data", store, "--recipe", "tiny", *settings, *arguments)


def run(*command):
    return CliRunner().invoke(app, [str(part) for part in command])


def finished(result, out):
    assert result.exit_code == 0, (result.output, result.exception)
    assert "written to" in result.output
    return out


def test_each_flow_starts_from_the_one_before(store, folder, detector, caplog):
    with caplog.at_level(logging.INFO, "medicane_training"):
        result = train("track", store, "--init", detector, "--out", folder / "tracker")
    out = finished(result, folder / "tracker")
    assert f"{detector}: 30 tensors loaded" in caplog.text
    tasks = [
        AutoMedicaneModel.from_pretrained(path).config.task
        for path in (folder / "backbone", detector, out)
    ]
    assert tasks == ["pretraining", "classification", "tracking"]


def test_counts_and_parameters_are_said_at_the_start(store, folder, caplog, tmp_path):
    with caplog.at_level(logging.INFO, "medicane_training"):
        train("specialize", store, "--out", tmp_path / "run", "--set", "data.samples=4")
        train("specialize", store, "--dry-run")
    assert "validation     84" in caplog.text
    assert "random weights" in caplog.text
    assert "M parameters" in caplog.text


def test_reconstructions_are_drawn(backbone):
    drawn = names(backbone / "pictures", "*.png")
    events = EventAccumulator(str(backbone / "tensorboard"))
    events.Reload()
    assert drawn
    assert drawn == [f"epoch-0001-{name}.png" for name in sorted(events.Tags()["images"])]


def test_the_final_test_writes_its_report(detector):
    report = json.loads((detector / "test.json").read_text())
    assert report["counts"]["clips"] == 36
    assert (detector / "test.parquet").exists()
    assert "test clips" in (detector / "README.md").read_text()


def test_a_run_whose_licence_nobody_chose_has_none(backbone, detector):
    cards = [huggingface_hub.ModelCard.load(run / "README.md") for run in (backbone, detector)]
    assert [card.data.license for card in cards] == ["unknown", "unknown"]
    assert "from backbone (its licence: not stated)" in cards[1].text


def test_the_licence_of_the_recipe_is_that_of_the_card(store, tmp_path):
    told = ("--set", "model.license=cc-by-nc-4.0", "--set", "data.samples=4")
    out = finished(train("specialize", store, "--out", tmp_path / "run", *told), tmp_path / "run")
    assert huggingface_hub.ModelCard.load(out / "README.md").data.license == "cc-by-nc-4.0"


def test_the_kind_of_data_travels_from_the_store_to_the_model(backbone, detector):
    for run in (backbone, detector):
        assert AutoMedicaneModel.from_pretrained(run).config.data_kind == "real"
    assert json.loads((detector / "test.json").read_text())["data_kind"] == "real"


def test_the_card_of_a_run_says_what_its_files_say(detector):
    card = huggingface_hub.ModelCard.load(detector / "README.md")
    told = json.loads((detector / "scores.json").read_text())["data"]
    for part, counts in told["parts"].items():
        assert f"| {part} | {counts['clips']} | {counts['cyclones']} |" in card.text
    assert "Storms of the training clips: first." in card.text
    assert "Platforms of the training clips: Meteosat-11." in card.text
    assert "within 2 pixels of the tile's border are left out" in card.text
    assert "at least 1 h lie between clips of different parts" in card.text
    assert "whether the model finds any was not tested" in card.text
    assert f"Grid: {AutoMedicaneModel.from_pretrained(detector).processor.grid}." in card.text
    assert card.data.eval_results[0].dataset_args["clips"] == 36


def test_the_final_test_may_come_later_and_repeats_itself(store, backbone, detector):
    first = (detector / "test.json").read_text()
    result = train("classify", store, "--init", backbone, "--out", detector, "--final-test")
    finished(result, detector)
    assert (detector / "test.json").read_text() == first


def test_a_finished_run_is_judged_by_its_folder_alone(detector):
    first = (detector / "test.json").read_text()
    (detector / "test.json").unlink()
    finished(run("classify", "--out", detector, "--final-test"), detector)
    assert (detector / "test.json").read_text() == first


def test_a_run_is_gone_on_with_by_its_folder_alone(store, backbone, tmp_path):
    out = tmp_path / "next"
    finished(run("specialize", "--out", out, "--resume", backbone), out)
    recipes = [load_recipe("specialize", file=path / "run.yaml") for path in (backbone, out)]
    assert recipes[0] == recipes[1]


def test_a_run_of_another_flow_is_refused(detector):
    result = run("track", "--out", detector, "--final-test")
    assert "is a recipe to classify, not to track" in str(result.exception)


def test_validation_and_test_have_one_table_that_says_its_threshold(detector):
    scores = json.loads((detector / "scores.json").read_text())
    validation, test = scores["validation"], json.loads((detector / "test.json").read_text())
    config = AutoMedicaneModel.from_pretrained(detector).config
    rates = [part["base_rate"]["deployed"] for part in (validation, test)]
    for part, rate in zip((validation, test), rates, strict=True):
        rows = {row["score"]: row["model"] for row in part["table"]}
        assert rows["threshold"] == f"{config.threshold:.3g}"
        assert rows["deployment_rate"] == f"{rate:.3g}"
    assert [row["score"] for row in validation["table"]] == [row["score"] for row in test["table"]]


def test_the_validation_scores_are_those_of_the_released_model(detector):
    clips = pd.read_parquet(detector / "validation.parquet")
    config = AutoMedicaneModel.from_pretrained(detector).config
    found = clips["probability"] >= config.threshold
    scores = json.loads((detector / "scores.json").read_text())["validation"]["scores"]["model"]
    assert scores["pod"]["value"] == pytest.approx(found[clips["label"] == 1].mean())


def test_a_final_test_without_clips_is_refused_before_training(store, detector, tmp_path):
    out = tmp_path / "run"
    result = train("track", store, "--init", detector, "--out", out, "--final-test")
    assert isinstance(result.exception, ConfigurationError)
    assert "no test clips" in str(result.exception)
    assert not out.exists()


def test_a_dry_run_needs_no_folder(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = train("specialize", store, "--dry-run")
    assert result.exit_code == 0, result.exception
    assert "a validation of 84 clips" in result.output
    assert names(tmp_path) == []


def test_a_run_needs_a_folder(store):
    result = train("specialize", store)
    assert isinstance(result.exception, ConfigurationError)
    assert "--out" in str(result.exception)


def test_a_signal_leaves_with_99_and_the_run_is_no_model_yet(store, tmp_path, monkeypatch):
    recipe = toy_recipe(store)
    flow = ToyFlow(recipe, events={2: signal.SIGTERM})
    monkeypatch.setattr(loop, "make_flow", lambda recipe: flow)
    out = tmp_path / "run"
    assert train("classify", store, "--out", out).exit_code == 99
    monkeypatch.undo()
    result = train("track", store, "--init", out, "--out", tmp_path / "next")
    assert isinstance(result.exception, CheckpointError)
    assert "has not finished" in str(result.exception)


def test_what_all_ranks_know_rank_0_alone_says(store, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise NonFiniteError(3, {"loss": math.nan, "gradient_norm": 1.0}, pd.DataFrame())

    monkeypatch.setattr(loop, "run_recipe", fail)
    assert isinstance(train("classify", store, "--out", tmp_path).exception, NonFiniteError)
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    result = train("classify", store, "--out", tmp_path)
    assert (result.exit_code, result.output) == (1, "")


def test_options_set_the_recipe_and_the_result_is_printed_as_json(store, tmp_path):
    out = tmp_path / "run"
    options = ("--seed", "7", "--device", "cpu", "--threads", "1", "--json")
    result = train("specialize", store, "--out", out, *options)
    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout)["validation"]["clips"] == 84
    assert "written to" in result.stderr
    assert "seed: 7" in (out / "run.yaml").read_text()


def test_a_dry_run_prints_its_rows_as_json(store):
    result = train("specialize", store, "--dry-run", "--json")
    assert result.exit_code == 0, result.exception
    assert len(json.loads(result.stdout)) > 3


@pytest.mark.parametrize("flow", ["specialize", "classify", "track"])
def test_help_names_the_exit_code(flow):
    result = CliRunner().invoke(app, [flow, "--help"])
    assert "exit code is 99" in " ".join(result.output.split())
