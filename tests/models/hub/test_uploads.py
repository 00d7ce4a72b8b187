import json

import pytest
import torch
from huggingface_hub import ModelCard
from local_hub import COMMITS, PROCESSOR, SECRET, SMALL, uploaded
from typer.testing import CliRunner

from medicane_models.cli import app
from medicane_models.errors import ConfigurationError, MedicaneError, OutputError
from medicane_models.hub import embedded_models
from medicane_models.network.auto import AutoMedicaneModel, model_class
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.scenes.processing import MedicaneProcessor

PLANES = MedicaneProcessor.planes(size=32, km=20.0)


def test_upload_is_one_commit_with_a_card(hub, folder):
    PROCESSOR.save_pretrained(folder)
    model = AutoMedicaneModel.from_pretrained(folder)
    assert model.push_to_hub("me/model", token=SECRET, private=True) == COMMITS[1]
    assert hub.created[0]["name"] == "model"
    files = uploaded(hub)
    names = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(files) == names
    for name in names[1:]:
        assert files[name] == (folder / name).read_bytes()
    assert b"library_name: medicane-models" in files["README.md"]
    assert b"UNTRAINED" in files["README.md"]


STEM = {"stem": "residual", "stem_width": 4, "in_channels": 1, "num_frames": 4}
KINDS = {
    "detector": ("classification", {}, PROCESSOR),
    "tracker with a heat map": ("tracking", {"head": "heatmap"}, PROCESSOR),
    "tracker by regression": ("tracking", {"head": "regression"}, PROCESSOR),
    "backbone": ("pretraining", {}, PROCESSOR),
    "infrared detector": ("classification", STEM, PLANES),
    "infrared tracker": ("tracking", {**STEM, "views": "eight"}, PLANES),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_every_kind_comes_back_as_it_was_pushed(hub, cache, kind):
    task, settings, processor = KINDS[kind]
    torch.manual_seed(0)
    config = MedicaneConfig.from_dict({**SMALL.to_dict(), "task": task, **settings})
    model = model_class(task)(config).eval()
    model.processor = processor
    commit = model.push_to_hub("me/model", token=SECRET)
    back = AutoMedicaneModel.from_pretrained("me/model", revision=commit, cache_dir=cache)
    assert (back.config, back.processor) == (config, processor)
    torch.testing.assert_close(back.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", embedded_models())
def test_embedded_models_come_back_as_they_were_pushed(hub, cache, name):
    assert push(name, "me/model").exit_code == 0
    back = AutoMedicaneModel.from_pretrained("me/model", cache_dir=cache)
    own = AutoMedicaneModel.from_pretrained(name)
    assert (back.config, back.processor) == (own.config, own.processor)
    torch.testing.assert_close(back.state_dict(), own.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", embedded_models())
def test_the_hub_takes_the_cards_of_embedded_models(hub, name):
    card = ModelCard.load(embedded_models()[name] / "README.md")
    assert card.data.eval_results
    assert card.data.library_name == "medicane-models"
    assert card.data.license in ("apache-2.0", "other")
    assert {"video", "satellite", "cyclone"} <= set(card.data.tags)


def push(*arguments):
    return CliRunner().invoke(app, ["push", *map(str, arguments)])


def test_pushing_a_folder_uploads_everything_in_it(hub, folder):
    PROCESSOR.save_pretrained(folder)
    (folder / "README.md").write_text("my own words")
    for name in ("model.onnx", "extra/notes.txt", "checkpoints/step-1/x", ".a.part", "refused/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    result = push(folder, "me/model", "--private", "--json")
    assert result.exit_code == 0, result.exception
    names = [
        "README.md", "config.json", "extra/notes.txt", "model.onnx", "model.safetensors",
        "preprocessor_config.json",
    ]  # fmt: skip
    assert sorted(uploaded(hub)) == names
    assert hub.created[0]["visibility"] == "private"
    told = json.loads(result.stdout)
    assert (told["repository"], told["commit"], told["files"]) == ("me/model", COMMITS[1], names)


def test_a_folder_without_a_card_gets_one_on_the_hub_alone(hub, folder):
    assert push(folder, "me/model").exit_code == 0
    assert "README.md" in uploaded(hub)
    assert not (folder / "README.md").exists()


REFUSED = {
    "/repos/create": [(403, ""), (404, ""), (401, "RepoNotFound"), (500, "")],
    "/commit/": [(404, ""), (403, ""), (404, "RepoNotFound"), (404, "RevisionNotFound")],
    "/preupload/": [(404, ""), (404, "RevisionNotFound")],
}


@pytest.mark.parametrize(
    ("part", "answer"), [(part, answer) for part, answers in REFUSED.items() for answer in answers]
)
def test_a_refused_upload_is_told_in_one_sentence(hub, folder, part, answer, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.refusals[part] = answer
    error = push(folder, "me/model", "--revision", "v2").exception
    assert isinstance(error, MedicaneError)
    assert "\n" not in str(error)
    assert "me/model" in str(error)
    assert ("no branch 'v2'" in str(error)) == (answer[1] == "RevisionNotFound")


def test_a_hub_that_is_not_there_is_told_in_one_sentence(folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    error = push(folder, "me/model").exception
    assert isinstance(error, OutputError)
    assert "cannot be uploaded to me/model" in str(error)


def test_what_cannot_be_a_repository_is_refused(hub, folder):
    assert isinstance(push(folder, "me/my/model").exception, ConfigurationError)
