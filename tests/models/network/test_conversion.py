import argparse
import json
import os
import re

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import adapt_input_conv

from medicane_models.errors import CheckpointError, ConfigurationError, MedicaneError
from medicane_models.network.auto import AutoMedicaneModel
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.conversion import export_transformers, from_foreign
from medicane_models.network.layouts import from_2d_vit, with_channels
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.positions import position_table
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
    "with positions": lambda w: w | {"pos_embed": position_table("sinusoid", (2, 2, 2), 192)[None]},
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
    told = {"trained_on": "Twelve storms.", "data_kind": "real"}
    model, _ = from_foreign(tmp_path / "c.pth", **told, **SIZES)
    model.save_pretrained(tmp_path / "out")
    again = AutoMedicaneModel.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(again(clips).logits, model(clips).logits)
    assert (again.config.trained_on, again.config.data_kind) == ("Twelve storms.", "real")


def test_data_that_nobody_stated_are_not_made_up(tmp_path):
    torch.save(MedicaneForVideoClassification(SMALL).state_dict(), tmp_path / "c.pth")
    model, _ = from_foreign(tmp_path / "c.pth", **SIZES)
    assert model.config.trained_on == "Not stated; converted from c.pth."
    assert model.config.data_kind is None


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
        (SMALL.replace(newest_only=True), "newest_only"),
        (SMALL.replace(stem="residual"), "stem 'residual'; keep ours"),
    ],
)
def test_what_transformers_lacks_is_not_exported(config, word, tmp_path):
    cls = MedicaneForTracking if config.task == "tracking" else MedicaneForVideoClassification
    with pytest.raises(ConfigurationError, match=word):
        export_transformers(cls(config), tmp_path)


def test_a_stem_is_nothing_to_be_converted(tmp_path):
    model = MedicaneForPreTraining(SMALL.replace(stem="convolutional"))
    for source, settings in (
        (saved(tmp_path, model.state_dict()), {}),
        (saved(tmp_path, classifier_weights(), "plain.pth"), {"stem": "residual"}),
    ):
        with pytest.raises(ConfigurationError, match="with a stem is this package's own"):
            from_foreign(source, **SIZES, **settings)


def saved(tmp_path, content, name="c.pth"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


def classifier_weights(value=None):
    weights = MedicaneForVideoClassification(SMALL).state_dict()
    return weights if value is None else {k: torch.full_like(v, value) for k, v in weights.items()}


AVERAGES = {
    "model_ema": lambda last, mean: {"model": last, "model_ema": prefixed(mean, "module.")},
    "state_dict_ema": lambda last, mean: {"state_dict_ema": mean, "state_dict": last},
    "ema": lambda last, mean: {"model": last, "ema": {"module": mean, "decay": 0.999}},
    "ema_state_dict": lambda last, mean: {"module": last, "ema_state_dict": mean},
    "deepspeed": lambda last, mean: {"module": prefixed(last, "module."), "model_ema": mean},
    "swa": lambda last, mean: {
        "model": last,
        "ema_model": prefixed(mean, "module.") | {"n_averaged": torch.tensor(7)},
    },
    "mmengine": lambda last, mean: {
        "meta": {"mmengine_version": "0.10.7"},
        "state_dict": mean,
        "ema_state_dict": prefixed(last, "module.") | {"steps": torch.tensor(7)},
    },
}


@pytest.mark.parametrize(("weights", "value"), [(None, 2.0), ("averaged", 2.0), ("last", 1.0)])
@pytest.mark.parametrize("layout", AVERAGES)
def test_averaged_weights_are_preferred_and_named(layout, weights, value, tmp_path):
    checkpoint = AVERAGES[layout](classifier_weights(1.0), classifier_weights(2.0))
    path = saved(tmp_path, checkpoint | {"epoch": 3})
    model, report = from_foreign(path, weights=weights, **SIZES)
    assert model.head.weight.unique().tolist() == [value]
    kind = "last" if value == 1 else "averaged"
    assert f"the {kind} weights were taken" in str(report)


def test_one_set_of_weights_needs_no_choice(tmp_path):
    path = saved(tmp_path, {"model": classifier_weights()})
    assert "weights were taken" not in str(from_foreign(path, **SIZES)[1])
    with pytest.raises(ConfigurationError, match=r"c\.pth: it holds no averaged weights"):
        from_foreign(path, weights="averaged", **SIZES)
    path = saved(tmp_path, {"model_ema": classifier_weights()})
    with pytest.raises(ConfigurationError, match=r"c\.pth: it holds no last weights"):
        from_foreign(path, weights="last", **SIZES)


@pytest.mark.parametrize("nameless", [{"shadow_params": [torch.zeros(2)]}, [torch.zeros(2)]])
def test_averages_without_names_are_not_passed_over(nameless, tmp_path):
    path = saved(tmp_path, {"model": classifier_weights(), "ema": nameless})
    with pytest.raises(CheckpointError, match="no tensors by name under ema"):
        from_foreign(path, **SIZES)
    assert from_foreign(path, weights="last", **SIZES)


@pytest.mark.parametrize(
    "beside", [np.float64(3), np.int64(3), np.arange(3), np.datetime64(3, "D")]
)
def test_numpy_s_numbers_beside_the_weights_are_read(beside, tmp_path):
    path = saved(tmp_path, {"model": classifier_weights(), "best": beside})
    assert from_foreign(path, **SIZES)


def test_numpy_s_objects_are_not_read(tmp_path):
    path = saved(tmp_path, {"model": classifier_weights(), "x": np.array([print], dtype=object)})
    with pytest.raises(CheckpointError, match="could run code"):
        from_foreign(path, **SIZES)


@pytest.mark.parametrize("reader", [os.system, eval, exec, os.mkdir])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_named_and_not_run(reader, zipped, tmp_path):
    class Bomb:
        def __reduce__(self):
            return reader, (str(tmp_path / "ran"),)

    torch.save({"x": Bomb()}, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=rf"could run code: \w*\.?{reader.__name__}"):
        from_foreign(tmp_path / "c.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_truncated_files_are_unreadable_not_dangerous(kind, share, tmp_path):
    path = tmp_path / ("c.safetensors" if kind == "safetensors" else "c.pth")
    if kind == "safetensors":
        save_file(classifier_weights(), path)
    else:
        torch.save(classifier_weights(), path, _use_new_zipfile_serialization=kind == "zip")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match="not a readable"):
        from_foreign(path, **SIZES)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(2, 192, dtype=torch.int8), "head.weight is int8 strided on cpu, not floating"),
        (torch.zeros(2, 192, dtype=torch.bool), "not floating"),
        (torch.zeros(2, 192, dtype=torch.complex64), "not floating"),
        (torch.zeros(2, 192).to_sparse(), "sparse_coo"),
        (torch.zeros(2, 192, device="meta"), "on meta"),
        (torch.full((2, 192), torch.nan), "holds NaN or infinity in head.weight"),
        (torch.full((2, 192), -torch.inf), "holds NaN or infinity in head.weight"),
        (
            torch.full((2, 192), torch.inf, dtype=torch.float16),
            "holds NaN or infinity in head.weight",
        ),
    ],
)
def test_weights_are_finite_floating_point(value, words, tmp_path):
    path = saved(tmp_path, {"model": classifier_weights() | {"head.weight": value}})
    with pytest.raises(CheckpointError, match=words):
        from_foreign(path, **SIZES)


def cycle():
    checkpoint = {"epoch": torch.tensor(3.0)}
    checkpoint["model"] = checkpoint
    return checkpoint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds no tensors, only nothing"),
        ([torch.zeros(2)], "holds no tensors"),
        (torch.zeros(2), "holds no tensors"),
        ({"model": {}}, "only model"),
        ({"model": {"encoder": {"w": torch.zeros(2)}}}, "under model, only encoder"),
        ({3: torch.zeros(2)}, "holds no tensors, only 3"),
        (cycle(), "no patch embedding"),
        ({"module.a": torch.zeros(2), "a": torch.zeros(2)}, "a is there twice"),
    ],
)
def test_checkpoints_of_another_form_are_refused(content, words, tmp_path):
    with pytest.raises(CheckpointError, match=words):
        from_foreign(saved(tmp_path, content))


MODELS = {
    "classifier": MedicaneForVideoClassification(SMALL),
    "tracker": MedicaneForTracking(REGRESSION),
    "pretraining": MedicaneForPreTraining(SMALL),
}
DAMAGES = {
    "missing": lambda weights, name: {k: v for k, v in weights.items() if k != name},
    "scalar": lambda weights, name: weights | {name: torch.tensor(0.5)},
    "cube": lambda weights, name: weights | {name: torch.zeros(2, 2, 2)},
    "empty": lambda weights, name: weights | {name: torch.zeros(0)},
    "far": lambda weights, name: weights | {name.replace(".0.", ".999999999."): torch.zeros(2)},
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("kind", "channels"), [*((kind, None) for kind in MODELS), ("pretraining", 4)]
)
def test_one_damaged_tensor_is_refused_in_one_sentence(kind, channels, damage, tmp_path):
    weights = MODELS[kind].state_dict()
    for name in weights:
        damaged = DAMAGES[damage](weights, name)
        if damage == "far" and ".0." not in name:
            continue
        path = saved(tmp_path, damaged)
        with pytest.raises(MedicaneError) as refused:
            from_foreign(path, task=MODELS[kind].task, in_channels=channels, **SIZES)
        assert "medicane convert" not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_learned_positions_are_refused(tmp_path):
    path = saved(tmp_path, classifier_weights() | {"pos_embed": torch.randn(1, 8, 192)})
    with pytest.raises(CheckpointError, match="pos_embed was learned"):
        from_foreign(path, **SIZES)
    with pytest.raises(CheckpointError, match=r"pos_embed is \(1, 8, 192\), the clips have 16 tok"):
        from_foreign(path, image_size=32, num_frames=8)


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


def test_names_of_classes_are_for_classifiers(tmp_path):
    path = saved(tmp_path, MODELS["pretraining"].state_dict())
    with pytest.raises(ConfigurationError, match="classes are named for a pretraining model"):
        from_foreign(path, id2label={0: "a"}, **SIZES)
