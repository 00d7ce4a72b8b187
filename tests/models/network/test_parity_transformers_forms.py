"""Every form in which transformers writes a VideoMAE: converted with equal outputs, or refused."""

import itertools
import json

import pytest
import torch
from transformers import (
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
    VideoMAEModel,
)

from medicane_models.errors import CheckpointError, ConfigurationError, MedicaneError
from medicane_models.network.conversion import from_foreign

TINY = {
    "image_size": 32, "num_frames": 4, "hidden_size": 24, "num_attention_heads": 3,
    "num_hidden_layers": 2, "intermediate_size": 40, "decoder_hidden_size": 16,
    "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1,
    "decoder_intermediate_size": 20,
}  # fmt: skip
KINDS = {
    "classifier": (VideoMAEForVideoClassification, {}),
    "pretraining": (VideoMAEForPreTraining, {"use_mean_pooling": False}),
    "backbone": (VideoMAEModel, {}),
}
FIELDS = {
    "defaults": {},
    "no biases": {"qkv_bias": False},
    "rectangle": {"image_size": (32, 48)},
    "patch as a pair": {"patch_size": [8, 8]},
    "tubelet": {"tubelet_size": 4},
    "channels": {"num_channels": 2},
    "labels": {"num_labels": 3},
    "names": {"id2label": {0: "calm", 1: "storm"}, "label2id": {"calm": 0, "storm": 1}},
    "epsilon": {"layer_norm_eps": 1e-2},
    "dropout": {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.2},
    "deviation": {"initializer_range": 0.1},
}


def made(kind, **fields):
    """A model whose every tensor differs from its initial value."""
    torch.manual_seed(0)
    cls, own = KINDS[kind]
    peer = cls(VideoMAEConfig(**TINY | own | fields)).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return peer


def assert_same(model, peer, kind):
    """Equal outputs for the same clip."""
    clip = torch.randn(2, *model.config.clip_shape)
    mask = torch.arange(model.config.num_tokens).remainder(2).bool().expand(2, -1)
    with torch.no_grad():
        if kind == "classifier":
            ours, theirs = model(clip).logits, peer(clip).logits
        elif kind == "pretraining":
            ours, theirs = model(clip, mask).reconstruction, peer(clip, mask).logits
        else:
            ours, theirs = model.forward_features(clip), peer(clip).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


PAIRS = [*itertools.product(KINDS, FIELDS)]
PAIRS.remove(("pretraining", "patch as a pair"))  # transformers itself fails


@pytest.mark.parametrize(("kind", "fields"), PAIRS)
def test_every_field_is_converted(kind, fields, tmp_path):
    peer = made(kind, **FIELDS[fields])
    peer.save_pretrained(tmp_path)
    model, report = from_foreign(tmp_path)
    assert_same(model, peer, kind)
    assert report.layout == "transformers"
    if kind == "classifier" and fields in ("labels", "names"):
        assert model.config.id2label == peer.config.id2label
    if fields == "dropout":
        assert (model.config.proj_drop_rate, model.config.attn_drop_rate) == (0.1, 0.2)


REFUSED = [
    ("classifier", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
    ("classifier", {"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
    ("classifier", {"patch_size": (8, 16)}, "8 × 16"),
    ("classifier", {"use_mean_pooling": False}, "use_mean_pooling is false"),
    ("classifier", {"num_labels": 1}, "one output"),
    ("classifier", {"problem_type": "multi_label_classification"}, "'multi_label_classification'"),
    ("pretraining", {"use_mean_pooling": True}, "use_mean_pooling is true"),
    ("pretraining", {"norm_pix_loss": False}, "norm_pix_loss is false"),
]


@pytest.mark.parametrize(("kind", "fields", "words"), REFUSED)
def test_what_no_model_here_can_keep_is_refused_by_name(kind, fields, words, tmp_path):
    made(kind, **fields).save_pretrained(tmp_path)
    with pytest.raises(MedicaneError, match=words) as refused:
        from_foreign(tmp_path)
    assert "medicane convert" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "fields"), [(kind, fields) for kind, fields, words in REFUSED if "is " in words][2:]
)
def test_the_backbone_of_a_refused_model_can_be_had(kind, fields, tmp_path):
    peer = made(kind, **fields)
    peer.save_pretrained(tmp_path)
    model, report = from_foreign(tmp_path, task="tracking")
    clip = torch.randn(1, *model.config.clip_shape)
    bare = peer.videomae
    bare.layernorm = None
    theirs = bare(clip).last_hidden_state
    torch.testing.assert_close(model.forward_features(clip), theirs, atol=1e-5, rtol=1e-5)
    assert any(name.startswith("head.") for name in report.tensors.fresh)


def save(peer, folder, container, shards):
    """As transformers 5 writes safetensors and transformers 4 wrote pickles."""
    peer.save_pretrained(folder, max_shard_size="20KB" if shards else "1GB")
    if container == "bin":
        to_pickles(folder)
    return folder


def to_pickles(folder):
    from safetensors.torch import load_file

    for path in folder.glob("*.safetensors"):
        name = path.name.replace("model", "pytorch_model", 1)
        torch.save(load_file(path), folder / name.replace(".safetensors", ".bin"))
        path.unlink()
    for path in folder.glob("*.index.json"):
        text = path.read_text().replace("model-0", "pytorch_model-0")
        path.unlink()
        text = text.replace(".safetensors", ".bin")
        (folder / "pytorch_model.bin.index.json").write_text(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [False, True])
def test_every_container_is_read(kind, container, shards, tmp_path):
    peer = made(kind)
    folder = save(peer, tmp_path, container, shards)
    assert bool(list(folder.glob("*.index.json"))) == shards
    assert_same(from_foreign(folder)[0], peer, kind)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_every_precision_is_read(kind, dtype, tmp_path):
    peer = made(kind).to(dtype)
    peer.save_pretrained(tmp_path)
    assert_same(from_foreign(tmp_path)[0], peer.float(), kind)


def test_the_weights_file_of_a_folder_is_read_with_its_configuration(tmp_path):
    peer = made("classifier", **FIELDS["names"])
    peer.save_pretrained(tmp_path)
    model, _ = from_foreign(tmp_path / "model.safetensors")
    assert_same(model, peer, "classifier")
    assert model.config.id2label == {0: "calm", 1: "storm"}


def test_settings_against_the_configuration_are_refused(tmp_path):
    made("classifier").save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match=r"num_frames is 8, its config\.json says 4"):
        from_foreign(tmp_path, num_frames=8)


@pytest.mark.parametrize("container", ["safetensors", "bin"])
def test_a_missing_shard_is_named(container, tmp_path):
    folder = save(made("classifier"), tmp_path, container, shards=True)
    shard = sorted(folder.glob("*model-00002*"))[0]
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"no {shard.name}"):
        from_foreign(folder)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"weight_map": {"a": "../x.safetensors"}}, "outside of its folder"),
        ({"weight_map": {"a": "..\\x.safetensors"}}, "outside of its folder"),
        ({"weight_map": {}}, "has no weight_map"),
        ({}, "has no weight_map"),
        ([], "no JSON object"),
    ],
)
def test_hostile_indices_are_refused(index, words, tmp_path):
    made("classifier").config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=words):
        from_foreign(tmp_path)


def test_a_folder_without_weights_says_what_it_lacks(tmp_path):
    made("classifier").config.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"none of model\.safetensors, pytorch_model\.bin"):
        from_foreign(tmp_path)


def test_a_broken_configuration_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        from_foreign(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json"])
def test_pointers_of_git_lfs_are_named(name, tmp_path):
    save(made("classifier"), tmp_path, "bin" if name.endswith("bin") else "safetensors", False)
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    for source in (tmp_path, tmp_path / name):
        if source.is_dir() or name != "config.json":
            with pytest.raises(CheckpointError, match="is a Git LFS pointer"):
                from_foreign(source)


def test_tensors_without_a_place_are_refused(tmp_path):
    peer = made("classifier")
    weights = peer.state_dict() | {"videomae.encoder.layer.0.adapter.weight": torch.zeros(2)}
    peer.config.save_pretrained(tmp_path)
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"unexpected .*adapter\.weight"):
        from_foreign(tmp_path)


def test_promised_biases_must_be_there(tmp_path):
    peer = made("classifier", qkv_bias=False)
    peer.save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"qv_bias": false', '"qv_bias": true'))
    with pytest.raises(CheckpointError, match=r"missing blocks\.0\.attn\.q_bias"):
        from_foreign(tmp_path)


def test_classes_are_not_taken_for_pixels(tmp_path):
    peer = made("classifier")
    peer.save_pretrained(tmp_path)
    model, report = from_foreign(tmp_path, task="tracking")
    assert "head.weight" in report.tensors.dropped
    assert model.config.center_mean_px is None


def test_labels_without_numbers_are_refused_by_name(tmp_path):
    made("classifier").config.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"id2label": {"a": "b"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(made("classifier").state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigurationError, match=r"config\.json of"):
        from_foreign(tmp_path)
