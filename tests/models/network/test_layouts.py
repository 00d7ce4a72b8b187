"""The same tensors under the names and in the forms of other code bases."""

import argparse
import re

import pytest
import timm
import torch
from foreign_checkpoints import REGRESSION, SIZES, SMALL, perturbed, prefixed, saved
from timm.models import adapt_input_conv

from medicane_models.network.conversion import from_foreign
from medicane_models.network.layouts import from_2d_vit, with_channels
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.positions import position_table
from medicane_models.network.pretraining import MedicaneForPreTraining


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
    "with positions": lambda w: w | {"pos_embed": position_table("sinusoid", (2, 2, 2), 192)[None]},
    "joint bias": joint_bias,
}


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


def test_models_without_attention_biases(tmp_path, clips):
    model = perturbed(MedicaneForVideoClassification(SMALL))
    for block in model.blocks:
        block.attn.q_bias.data.zero_()
        block.attn.v_bias.data.zero_()
    weights = {name: w for name, w in model.state_dict().items() if "_bias" not in name}
    again, report = from_foreign(saved(tmp_path, weights), **SIZES)
    torch.testing.assert_close(again(clips).logits, model(clips).logits)
    assert "they are zeros" in str(report)


def test_layer_scale_of_videomae(tmp_path, clips):
    model = perturbed(MedicaneForVideoClassification(SMALL.replace(layer_scale_init_value=0.1)))
    weights = {
        re.sub(r"ls([12])\.gamma", r"gamma_\1", name): w for name, w in model.state_dict().items()
    }
    again, _ = from_foreign(saved(tmp_path, weights), **SIZES)
    torch.testing.assert_close(again(clips).logits, model(clips).logits)


@pytest.mark.parametrize("channels", [1, 4, 5])
def test_channels_change_as_timm_changes_them(channels):
    kernel = torch.randn(8, 3, 2, 4, 4)
    changed = with_channels({"patch_embed.proj.weight": kernel}, channels)
    expected = adapt_input_conv(channels, kernel.flatten(2, 3)).unflatten(2, (2, 4))
    torch.testing.assert_close(changed["patch_embed.proj.weight"], expected)


@pytest.mark.parametrize("given", [1, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_pretraining_models_of_any_channels(given, channels, tmp_path):
    model = perturbed(MedicaneForPreTraining(SMALL.replace(in_channels=given)))
    path = saved(tmp_path, model.state_dict())
    again, _ = from_foreign(path, in_channels=channels, **SIZES)
    grey, mask = torch.randn(1, 4, 1, 32, 32), torch.arange(8).remainder(2).bool()[None]
    few, many = grey.expand(-1, -1, given, -1, -1), grey.expand(-1, -1, channels, -1, -1)
    with torch.no_grad():
        old, new = (m(x, mask).reconstruction for m, x in ((model, few), (again, many)))
    assert new.shape[-1] == 512 * channels
    if channels == 1 or given == 1:
        mean = old.unflatten(-1, (-1, given)).mean(-1, keepdim=True).expand(-1, -1, -1, channels)
        torch.testing.assert_close(new, mean.flatten(2), atol=1e-4, rtol=1e-4)
