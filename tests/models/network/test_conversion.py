import argparse
import json
import os

import pytest
import timm
import torch

from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.network.auto import AutoMedicaneModel
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.conversion import export_transformers, from_foreign
from medicane_models.network.layouts import from_2d_vit
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.pretraining import MedicaneForPreTraining

SIZES = {"image_size": 32, "num_frames": 4}
SMALL = MedicaneConfig(
    embed_dim=192, depth=2, num_heads=3, mlp_hidden_dim=48, decoder_embed_dim=96, decoder_depth=1,
    decoder_num_heads=3, decoder_mlp_hidden_dim=24, **SIZES,
)  # fmt: skip
REGRESSION = SMALL.replace(head="regression", center_mean_px=(0, 0), center_scale_px=(1, 1))


def prefixed(weights, prefix):
    return {prefix + name: tensor for name, tensor in weights.items()}


def mmaction(weights):
    names = {"patch_embed.proj": "patch_embed.projection", "mlp.fc1": "mlp.layers.0.0"}
    names |= {"mlp.fc2": "mlp.layers.1", "head": "cls_head.fc_cls"}
    renamed = {}
    for name, tensor in weights.items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        renamed[name if name.startswith("cls_head") else f"backbone.{name}"] = tensor
    return {"state_dict": renamed, "meta": {"epoch": 3}}


def joint_bias(weights):
    """Biases as plain ViTs have them, with a key bias that changes nothing."""
    joined = {name: tensor for name, tensor in weights.items() if "_bias" not in name}
    for name in [name for name in weights if name.endswith("q_bias")]:
        stem = name.removesuffix("q_bias")
        query, value = weights[name], weights[f"{stem}v_bias"]
        joined[f"{stem}qkv.bias"] = torch.cat((query, torch.randn_like(query), value))
    return joined


LAYOUTS = {
    "bare": dict,
    "model": lambda w: {"model": w, "epoch": 7, "args": argparse.Namespace(lr=1e-3)},
    "deepspeed": lambda w: {"module": prefixed(w, "module."), "global_steps": 7},
    "compiled": lambda w: {"model": prefixed(w, "_orig_mod.")},
    "wrapped twice": lambda w: prefixed(w, "module._orig_mod."),
    "hub": lambda w: prefixed(w, "model."),
    "encoder": lambda w: {"model": prefixed(w, "encoder.")},
    "mmaction": mmaction,
    "with positions": lambda w: w | {"pos_embed": torch.zeros(1, 8, 192)},
    "joint bias": joint_bias,
}


@pytest.fixture
def clips():
    return torch.randn(2, *SMALL.clip_shape)


def perturbed(model):
    """Every tensor different from its initial value, so that none can be mixed up."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fine_tuned_checkpoints_of_every_layout(layout, tmp_path, clips):
    model = perturbed(MedicaneForVideoClassification(SMALL))
    torch.save(LAYOUTS[layout](model.state_dict()), tmp_path / "c.pth")
    again, report = from_foreign(tmp_path / "c.pth", **SIZES)
    torch.testing.assert_close(again(clips).logits, model(clips).logits)
    assert report.layout == "videomae"
    assert len(report.tensors.loaded) == len(model.state_dict())


@pytest.mark.parametrize("layout", ["bare", "model", "deepspeed", "compiled"])
def test_pretraining_checkpoints(layout, tmp_path, clips):
    model = perturbed(MedicaneForPreTraining(SMALL))
    torch.save(LAYOUTS[layout](model.state_dict()), tmp_path / "c.pth")
    again, report = from_foreign(tmp_path / "c.pth", **SIZES)
    mask = torch.arange(8).remainder(2).bool().expand(2, 8)
    torch.testing.assert_close(again(clips, mask).loss, model(clips, mask).loss)
    assert report.task == "pretraining"


def test_pretraining_checkpoint_becomes_a_classifier(tmp_path):
    model = perturbed(MedicaneForPreTraining(SMALL))
    torch.save({"model": model.state_dict()}, tmp_path / "c.pth")
    classifier, report = from_foreign(tmp_path / "c.pth", task="classification", **SIZES)
    assert torch.equal(classifier.blocks[1].attn.v_bias, model.encoder.blocks[1].attn.v_bias)
    assert set(report.tensors.fresh) == {
        "fc_norm.weight",
        "fc_norm.bias",
        "head.weight",
        "head.bias",
    }
    assert "encoder.norm.weight" in report.tensors.dropped
    assert classifier.config.trained_on is None


def test_research_tracker_gives_tile_pixels(tmp_path, clips):
    model = perturbed(MedicaneForTracking(REGRESSION))
    torch.save({"model": model.state_dict()}, tmp_path / "c.pth")
    again, report = from_foreign(tmp_path / "c.pth", **SIZES)
    assert report.task == "tracking"
    torch.testing.assert_close(again(clips).center, model(clips).center)


def test_older_research_tracker_has_its_head_folded(tmp_path, clips):
    model = perturbed(MedicaneForVideoClassification(SMALL))
    torch.save({"model": model.state_dict()}, tmp_path / "c.pth")
    tracker, report = from_foreign(tmp_path / "c.pth", task="tracking", **SIZES)
    assert not report.tensors.fresh
    torch.testing.assert_close(tracker(clips).center, model(clips).logits, atol=1e-4, rtol=1e-4)


def test_two_outputs_are_taken_for_classes_with_a_note(tmp_path):
    torch.save(MedicaneForVideoClassification(SMALL).state_dict(), tmp_path / "c.pth")
    model, report = from_foreign(tmp_path / "c.pth", **SIZES)
    assert model.config.id2label == {0: "no_cyclone", 1: "cyclone"}
    assert "task=tracking" in str(report)


def test_many_classes_keep_their_numbers_or_given_names(tmp_path):
    many = SMALL.replace(id2label={0: "a", 1: "b", 2: "c"})
    torch.save(MedicaneForVideoClassification(many).state_dict(), tmp_path / "c.pth")
    assert from_foreign(tmp_path / "c.pth", **SIZES)[0].config.id2label[2] == "2"
    named, _ = from_foreign(tmp_path / "c.pth", id2label={0: "x", 1: "cyclone", 2: "z"}, **SIZES)
    assert named.config.label2id["cyclone"] == 1
    with pytest.raises(ConfigurationError, match="names 1 classes"):
        from_foreign(tmp_path / "c.pth", id2label={0: "x"}, **SIZES)


def test_pickled_code_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": {"head.weight": torch.zeros(2, 2)}, "x": Bomb()}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        from_foreign(tmp_path / "c.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3}, "holds no tensors"),
        ({"model": {"conv1.weight": torch.zeros(3)}}, "no patch embedding among conv1"),
    ],
)
def test_other_checkpoints_are_refused_by_name(content, words, tmp_path):
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=words):
        from_foreign(tmp_path / "c.pth")


def test_unreadable_files_are_refused_by_name(tmp_path):
    (tmp_path / "c.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"c\.pth"):
        from_foreign(tmp_path / "c.pth")
    (tmp_path / "c.tar").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"neither \.safetensors nor"):
        from_foreign(tmp_path / "c.tar")


def test_incomplete_checkpoint_is_refused(tmp_path):
    weights = MedicaneForVideoClassification(SMALL).state_dict()
    del weights["blocks.1.mlp.fc2.bias"]
    torch.save(weights, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=r"missing blocks\.1\.mlp\.fc2\.bias"):
        from_foreign(tmp_path / "c.pth", **SIZES)


def test_heads_of_an_unusual_width_must_be_given(tmp_path):
    odd = SMALL.replace(embed_dim=24, num_heads=2)
    torch.save(MedicaneForVideoClassification(odd).state_dict(), tmp_path / "c.pth")
    with pytest.raises(ConfigurationError, match="give num_heads"):
        from_foreign(tmp_path / "c.pth", **SIZES)
    assert from_foreign(tmp_path / "c.pth", num_heads=2, **SIZES)[0].config.num_heads == 2


def test_picture_transformer_sees_a_still_scene_as_its_picture(tmp_path):
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=32, depth=2)
    torch.save(vit.state_dict(), tmp_path / "c.pth")
    model, report = from_foreign(tmp_path / "c.pth", tubelet_size=4, **SIZES)
    picture = torch.randn(1, 3, 32, 32)
    tokens = model.patch_embed(picture[:, None].expand(1, 4, 3, 32, 32))
    torch.testing.assert_close(tokens, vit.patch_embed(picture), atol=1e-5, rtol=1e-5)
    x = torch.randn(1, 5, 192)
    torch.testing.assert_close(model.encode(x), vit.blocks(x), atol=1e-5, rtol=1e-5)
    assert report.layout == "vit-2d"
    assert "fc_norm.weight" in report.tensors.fresh
    assert len(from_2d_vit(vit.state_dict(), 2)) == len(report.tensors.loaded)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_keep_the_response_to_grey(channels, tmp_path):
    model = perturbed(MedicaneForVideoClassification(SMALL))
    torch.save(model.state_dict(), tmp_path / "c.pth")
    again, _ = from_foreign(tmp_path / "c.pth", in_channels=channels, **SIZES)
    grey = torch.randn(1, 4, 1, 32, 32)
    few, many = grey.expand(-1, -1, 3, -1, -1), grey.expand(-1, -1, channels, -1, -1)
    if channels == 1:  # the three responses are added up
        torch.testing.assert_close(again(many).logits, model(few).logits, atol=1e-4, rtol=1e-4)
    assert again(many).logits.shape == (1, 2)


def test_converted_folder_loads(tmp_path, clips):
    model = perturbed(MedicaneForVideoClassification(SMALL))
    torch.save(model.state_dict(), tmp_path / "c.pth")
    model, _ = from_foreign(tmp_path / "c.pth", trained_on="Twelve storms.", **SIZES)
    model.save_pretrained(tmp_path / "out")
    again = AutoMedicaneModel.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(again(clips).logits, model(clips).logits)
    assert again.config.trained_on == "Twelve storms."


def test_only_videomae_folders_are_converted(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(CheckpointError, match="is a vit model"):
        from_foreign(tmp_path)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (REGRESSION.replace(task="tracking"), "tracking"),
        (SMALL.replace(position="sinusoid_3d"), "sinusoid_3d"),
        (SMALL.replace(layer_scale_init_value=0.1), "layer_scale"),
        (SMALL.resized(num_frames=8), "position_grid"),
    ],
)
def test_what_transformers_lacks_is_not_exported(config, word, tmp_path):
    cls = MedicaneForTracking if config.task == "tracking" else MedicaneForVideoClassification
    with pytest.raises(ConfigurationError, match=word):
        export_transformers(cls(config), tmp_path)
