import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from medicane_models.errors import CheckpointError
from medicane_models.hub import (
    AIRMASS_DETECTOR,
    AIRMASS_TRACKER,
    TILE_DETECTOR,
    TILE_TRACKER,
    embedded_models,
)
from medicane_models.network.auto import AutoMedicaneModel
from medicane_models.network.base import load_backbone
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.presets import UNTRAINED
from medicane_models.network.pretraining import MedicaneForPreTraining
from medicane_models.scenes.processing import MedicaneProcessor

SMALL = MedicaneConfig(
    image_size=32, num_frames=4, embed_dim=24, depth=2, num_heads=2, mlp_hidden_dim=48,
    decoder_embed_dim=12, decoder_depth=1, decoder_num_heads=2, decoder_mlp_hidden_dim=24,
)  # fmt: skip
PROCESSOR = MedicaneProcessor.airmass(tile_size=32, num_frames=4)
CLASSES = (MedicaneForVideoClassification, MedicaneForTracking, MedicaneForPreTraining)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    MedicaneForVideoClassification(SMALL.replace(trained_on="storms")).save_pretrained(tmp_path)
    return tmp_path


def edit_weights(folder, edit):
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors")


def load_whole(folder):
    weights = MedicaneForVideoClassification(SMALL).state_dict()
    return weights | load_file(folder / "model.safetensors")


@pytest.mark.parametrize("cls", CLASSES)
def test_saved_models_come_back_whole(cls, tmp_path, capsys):
    model = cls(SMALL)
    model.save_pretrained(tmp_path)
    again = AutoMedicaneModel.from_pretrained(tmp_path)
    assert type(again) is cls
    assert not again.training
    assert again.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert capsys.readouterr() == ("", "")


def test_positions_are_made_anew_on_the_cpu(saved):
    model = MedicaneForVideoClassification.from_pretrained(saved)
    assert model.positions.device.type == "cpu"
    assert torch.equal(model.positions, MedicaneForVideoClassification(SMALL).positions)


def test_weights_train_after_loading(saved):
    model = MedicaneForVideoClassification.from_pretrained(saved).train()
    model(torch.zeros(1, *SMALL.clip_shape), torch.tensor([1])).loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_half_size_files_load_as_float32(tmp_path):
    model = MedicaneForVideoClassification(SMALL)
    model.save_pretrained(tmp_path, dtype=torch.bfloat16)
    assert load_file(tmp_path / "model.safetensors")["head.weight"].dtype == torch.bfloat16
    assert AutoMedicaneModel.from_pretrained(tmp_path).head.weight.dtype == torch.float32
    rough = AutoMedicaneModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert rough.head.weight.dtype == torch.bfloat16


def test_shape_of_clips_can_change_at_loading(saved):
    model = AutoMedicaneModel.from_pretrained(saved, num_frames=8, image_size=(32, 64))
    assert model.config.position_grid == (2, 2, 2)
    assert model(torch.zeros(1, 8, 3, 32, 64)).logits.shape == (1, 2)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda w: w.pop("blocks.1.attn.q_bias"), r"missing blocks\.1\.attn\.q_bias"),
        (lambda w: w.update(extra=torch.zeros(1)), "unexpected extra"),
        (
            lambda w: w.update({"head.weight": torch.zeros(5, 24)}),
            r"head\.weight is \(5, 24\) instead of \(2, 24\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(saved, edit, words):
    edit_weights(saved, edit)
    with pytest.raises(CheckpointError, match=words):
        AutoMedicaneModel.from_pretrained(saved)


def test_many_misfits_are_counted(saved):
    edit_weights(saved, lambda w: [w.pop(name) for name in list(w) if name.startswith("blocks")])
    with pytest.raises(CheckpointError, match="and 22 more"):
        AutoMedicaneModel.from_pretrained(saved)


def test_truncated_weights_are_refused(saved):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        AutoMedicaneModel.from_pretrained(saved)


def test_another_task_s_model_is_not_loaded_silently(saved):
    with pytest.raises(CheckpointError, match=r"classification model.*from_backbone"):
        MedicaneForTracking.from_pretrained(saved)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("target", CLASSES)
def test_backbones_move_between_tasks_with_a_report(cls, target, tmp_path):
    fitted = {"temperature": 2.0, "threshold": 0.2, "error_covariance_px": ((1, 0), (0, 1))}
    source = cls(SMALL.replace(trained_on="storms", data_kind="real", **fitted))
    source.save_pretrained(tmp_path)
    model, report = target.from_backbone(tmp_path)
    trunk, other = getattr(model, "encoder", model), getattr(source, "encoder", source)
    assert torch.equal(trunk.blocks[1].mlp.fc2.weight, other.blocks[1].mlp.fc2.weight)
    assert torch.equal(trunk.patch_embed.proj.bias, other.patch_embed.proj.bias)
    assert {name: getattr(model.config, name) for name in UNTRAINED} == UNTRAINED
    assert set(report.loaded) | set(report.fresh) == set(model.state_dict())
    assert len(report.loaded) + len(report.dropped) == len(source.state_dict())


def test_report_names_what_starts_fresh(saved):
    _, report = MedicaneForTracking.from_backbone(saved, head="regression")
    assert report.dropped == ("head.bias", "head.weight")
    assert "fc_norm.weight" in report.loaded
    assert str(report).startswith("30 tensors loaded; dropped: head.bias, head.weight; fresh: head")


def test_incomplete_backbone_is_refused(saved):
    edit_weights(saved, lambda w: w.pop("patch_embed.proj.bias"))
    with pytest.raises(CheckpointError, match=r"missing patch_embed\.proj\.bias"):
        MedicaneForTracking.from_backbone(saved)
    shallow, weights = MedicaneForTracking(SMALL.replace(depth=1)), load_whole(saved)
    with pytest.raises(CheckpointError, match=r"unexpected blocks\.1\.norm1"):
        load_backbone(shallow, weights, "deep")


def test_failed_save_leaves_the_former_model(saved, monkeypatch):
    before = (saved / "model.safetensors").read_bytes()

    def fail(state, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("medicane_models.network.weights.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        MedicaneForVideoClassification(SMALL).save_pretrained(saved)
    assert (saved / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_processor_travels_with_the_model(cls, tmp_path):
    model = cls(SMALL)
    model.processor = PROCESSOR
    model.save_pretrained(tmp_path / "first")
    again = cls.from_pretrained(tmp_path / "first", dtype=torch.bfloat16)
    again.save_pretrained(tmp_path / "second")
    assert again.processor == PROCESSOR
    assert AutoMedicaneModel.from_pretrained(tmp_path / "second").processor == PROCESSOR
    stored = load_file(tmp_path / "second" / "model.safetensors").values()
    assert {tensor.dtype for tensor in stored} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_frames": 2}, replace(PROCESSOR, num_frames=2, max_missing=1)),
        ({"image_size": 64}, replace(PROCESSOR, tile_size=64)),
        ({"image_size": (32, 64)}, None),
        ({"threshold": 0.9}, PROCESSOR),
    ],
)
def test_a_processor_makes_the_clips_that_were_asked_for(tmp_path, changes, expected):
    model = MedicaneForVideoClassification(SMALL)
    model.processor = PROCESSOR
    model.save_pretrained(tmp_path)
    assert AutoMedicaneModel.from_pretrained(tmp_path, **changes).processor == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["blocks.1.attn.q_bias", "patch_embed.proj.weight"])
@pytest.mark.parametrize(
    "load", [AutoMedicaneModel.from_pretrained, MedicaneForTracking.from_backbone]
)
def test_weights_that_are_no_numbers_are_named(saved, load, name, value):
    edit_weights(saved, lambda w: w[name].flatten()[-1:].fill_(value))
    with pytest.raises(CheckpointError, match=f"NaN or infinity in {re.escape(name)}, as float32"):
        load(saved)


def test_weights_too_large_for_a_type_are_named(saved):
    edit_weights(saved, lambda w: w["head.bias"].fill_(1e6))
    assert AutoMedicaneModel.from_pretrained(saved).head.bias[0] == 1e6
    with pytest.raises(CheckpointError, match=r"in head\.bias, as float16"):
        AutoMedicaneModel.from_pretrained(saved, dtype=torch.float16)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *((name, (4, 4, 112, 112)) for name in (AIRMASS_DETECTOR, AIRMASS_TRACKER)),
        *((name, (16, 3, 224, 224)) for name in (TILE_DETECTOR, TILE_TRACKER)),
    ],
)
def test_embedded_models_load_by_name_and_say_what_they_know(name, shape):
    folder = embedded_models()[name]
    model = AutoMedicaneModel.from_pretrained(name)
    assert model.config.clip_shape == shape
    assert (folder / "model.safetensors").stat().st_size <= 12_000_000
    assert "SIMULATED" in model.config.trained_on
    assert model.config.data_kind == "simulated"
    assert "A simulated score says nothing about real storms" in (folder / "README.md").read_text()


def test_configuration_file_says_what_it_is(saved):
    values = json.loads((saved / "config.json").read_text())
    assert (values["model_type"], values["task"]) == ("medicane", "classification")
    assert values["id2label"] == {"0": "no_cyclone", "1": "cyclone"}
