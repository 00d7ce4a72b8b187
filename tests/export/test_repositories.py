"""Repositories of weights: clean ones of ours, and ones that transformers opens by itself."""

import json

import pytest
import torch
from export_models import tiny_folder, tiny_model, tiny_source
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from medicane_export.export_cards import transformers_card
from medicane_export.to_safetensors import export_safetensors
from medicane_export.to_transformers import export_to_transformers
from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.network.auto import AutoMedicaneModel
from medicane_models.scenes.processing import MedicaneProcessor


def test_a_run_leaves_behind_what_only_training_needs(tmp_path):
    run = tiny_folder(tmp_path / "run", "tracking")
    (run / "metrics.jsonl").write_text("{}")
    (run / "README.md").write_text("its scores")
    export_safetensors(str(run), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}
    assert "its scores" in (tmp_path / "out" / "README.md").read_text()
    assert MedicaneProcessor.from_pretrained(tmp_path / "out").tile_size == 32


def test_bf16_halves_the_file_and_is_read_back_as_float32(tmp_path):
    run = tiny_folder(tmp_path / "run")
    export_safetensors(str(run), tmp_path / "out", dtype="bf16")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    model = AutoMedicaneModel.from_pretrained(tmp_path / "out")
    for name, tensor in tiny_model().state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=2**-8, atol=0)


def test_a_repository_is_replaced_only_when_told(tmp_path):
    run = tiny_folder(tmp_path / "run")
    export_safetensors(str(run), tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigurationError, match=r"model\.safetensors exists; .* --overwrite"):
        export_safetensors(str(run), tmp_path / "out", dtype="bf16")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    export_safetensors(str(run), tmp_path / "out", dtype="bf16", overwrite=True)
    assert len((tmp_path / "out" / "model.safetensors").read_bytes()) < len(before)


def test_a_foreign_checkpoint_becomes_a_repository(tmp_path):
    weights = {f"module.{name}": tensor for name, tensor in tiny_model().state_dict().items()}
    save_file(weights, tmp_path / "foreign.safetensors")
    with pytest.raises(ConfigurationError, match="num_heads"):
        export_safetensors(str(tmp_path / "foreign.safetensors"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_is_not_written_over_itself(tmp_path):
    run = tiny_folder(tmp_path / "run")
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(ConfigurationError, match="is the model itself"):
        export_safetensors(str(run), run, dtype="bf16")
    assert (run / "model.safetensors").read_bytes() == before


def test_what_a_models_own_card_says_cannot_be_given_too(tmp_path):
    run = tiny_folder(tmp_path / "run")
    (run / "README.md").write_text("its scores")
    with pytest.raises(ConfigurationError, match="a card of its own"):
        export_safetensors(str(run), tmp_path / "out", license_id="mit")


def test_licence_and_origin_stand_in_a_new_card(tmp_path):
    run = tiny_folder(tmp_path / "run")
    export_safetensors(str(run), tmp_path / "out", license_id="mit", base_model="owner/name")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: mit" in card
    assert "base_model: owner/name" in card


def test_whence_and_licence_of_foreign_weights_are_said_only_if_told(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.VideoMAEConfig(
        hidden_size=48, num_hidden_layers=1, num_attention_heads=3, intermediate_size=96,
        image_size=32, num_frames=4,
    )  # fmt: skip
    transformers.VideoMAEForVideoClassification(config).save_pretrained(tmp_path / "foreign")
    export_safetensors(str(tmp_path / "foreign"), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: unknown" in card
    assert "base_model" not in card
    assert "Trained on: Not stated; converted from foreign." in card
    assert "real or simulated is not stated" in card
    assert "satellite" not in card
    assert "medicanes" not in card


@pytest.mark.parametrize(
    ("data_kind", "said"),
    [("simulated", "**Simulated data.**"), (None, "real or simulated is not stated"), ("real", "")],
)
def test_a_card_for_transformers_tells_the_kind_of_data(data_kind, said):
    source = tiny_source(trained_on="Twelve storms.", data_kind=data_kind)
    card = transformers_card(source, "me/storms")
    assert "Trained on: Twelve storms.\n\n" in card
    assert said in card
    assert "license: unknown" in card
    assert ("imulated" in card) == (data_kind != "real")


@pytest.mark.parametrize(
    ("task", "pipeline"), [("classification", "video-classification"), ("pretraining", None)]
)
def test_the_hub_reads_the_card_for_transformers(task, pipeline):
    card = ModelCard(transformers_card(tiny_source(task), "me/storms"))
    assert card.data.pipeline_tag == pipeline
    assert (card.data.library_name, card.data.license) == ("transformers", "unknown")
    assert "videomae" in card.data.tags


def test_a_damaged_configuration_is_named(tmp_path):
    run = tiny_folder(tmp_path / "run")
    (run / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        export_safetensors(str(run), tmp_path / "out")


def test_a_full_disk_leaves_nothing_half(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    run = tiny_folder(tmp_path / "run")
    monkeypatch.setattr(
        "medicane_models.network.configuration.MedicaneConfig.save_pretrained", full
    )
    with pytest.raises(OSError, match="No space"):
        export_safetensors(str(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_has_not_ended_is_named_with_its_newest_checkpoint(tmp_path):
    for step in ("step-00000001", "step-00000002"):
        (tmp_path / "run" / "checkpoints" / step).mkdir(parents=True)
    with pytest.raises(CheckpointError, match="step-00000002"):
        export_safetensors(str(tmp_path / "run"), tmp_path / "out")


@pytest.mark.parametrize("task", ["classification", "pretraining"])
def test_transformers_opens_what_was_exported_and_gives_the_same(tmp_path, task):
    transformers = pytest.importorskip("transformers")
    source = tiny_source(task, processor=None)
    assert export_to_transformers(source, tmp_path) == (tmp_path, ())
    document = json.loads((tmp_path / "parity.json").read_text())
    assert document["accepted"]
    assert 0 < document["sets"][0]["max"] < 1e-4
    kind = "ForVideoClassification" if task == "classification" else "ForPreTraining"
    auto = getattr(transformers, f"AutoModel{kind}")
    assert type(auto.from_pretrained(tmp_path)).__name__ == f"VideoMAE{kind}"


def test_a_transformers_repository_is_replaced_only_when_told(tmp_path):
    pytest.importorskip("transformers")
    export_to_transformers(tiny_source(processor=None), tmp_path)
    with pytest.raises(ConfigurationError, match=r"model\.safetensors exists; .* --overwrite"):
        export_to_transformers(tiny_source(processor=None), tmp_path)


def test_a_repository_that_differs_is_kept_apart_and_what_was_there_stays(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    source = tiny_source(processor=None)
    export_to_transformers(source, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("medicane_export.to_transformers.TOLERANCE", 0.0)
    place, (fault,) = export_to_transformers(source, tmp_path, overwrite=True)
    assert "logits differ by" in fault
    assert place == tmp_path / "refused"
    assert {path.name for path in place.iterdir()} == set(before)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_its_processor_is_one_that_transformers_knows(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr("medicane_export.to_transformers.simulated_clips", lambda *_, **__: None)
    export_to_transformers(tiny_source(), tmp_path)
    values = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert hasattr(transformers, values["image_processor_type"])
    assert values["image_mean"] == [0.485, 0.456, 0.406]
    assert "WV_062 − WV_073 from -25 K (0) to 0 K (1)" in (tmp_path / "README.md").read_text()


def test_what_transformers_cannot_express_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="tracking"):
        export_to_transformers(tiny_source("tracking"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_another_models_folder_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigurationError, match=r"config\.json"):
        export_to_transformers(tiny_source(), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": "bert"}
