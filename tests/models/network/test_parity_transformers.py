import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEForVideoClassification

from medicane_models.network.conversion import export_transformers, from_foreign
from medicane_models.network.masking import tube_mask
from medicane_models.network.pretraining import MedicaneForPreTraining

FULL = pytest.param(224, 16, marks=pytest.mark.slow)
SHAPES = pytest.mark.parametrize(("size", "frames"), [(64, 4), FULL])


def base(size, frames, *, pooled, layers=12):
    """VideoMAE base with random weights and biases."""
    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=size, num_frames=frames, use_mean_pooling=pooled, num_hidden_layers=layers,
        attn_implementation="sdpa",
    )  # fmt: skip
    model = (VideoMAEForVideoClassification if pooled else VideoMAEForPreTraining)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@SHAPES
@torch.inference_mode()
def test_logits_and_loss_of_a_classifier(size, frames, tmp_path):
    peer = base(size, frames, pooled=True)
    peer.save_pretrained(tmp_path)
    model, report = from_foreign(tmp_path)
    pixels, labels = torch.randn(2, frames, 3, size, size), torch.tensor([1, 0])
    ours, theirs = model(pixels, labels), peer(pixels, labels)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.loss, theirs.loss, atol=1e-5, rtol=0)
    assert report.layout == "transformers"
    assert len(list(peer.parameters())) == len(report.tensors.loaded) + 24  # joint qkv


@SHAPES
@torch.no_grad()
def test_pretraining_loss_and_pixels(size, frames, tmp_path):
    peer = base(size, frames, pooled=False)
    peer.save_pretrained(tmp_path)
    model, _ = from_foreign(tmp_path)
    assert isinstance(model, MedicaneForPreTraining)
    pixels = torch.randn(2, frames, 3, size, size)
    mask = tube_mask(model.config.token_grid, 0.9, clips=2)
    ours, theirs = model(pixels, mask), peer(pixels, mask)
    torch.testing.assert_close(ours.loss, theirs.loss, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.reconstruction, theirs.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pooled", [True, False])
def test_exported_models_load_in_transformers(pooled, tmp_path):
    peer = base(32, 2, pooled=pooled, layers=2)
    peer.save_pretrained(tmp_path / "theirs")
    model, _ = from_foreign(tmp_path / "theirs")
    export_transformers(model, tmp_path / "ours")
    again, info = type(peer).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values())
    expected = peer.state_dict()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_checkpoints_of_older_transformers_have_split_biases(tmp_path):
    peer = base(32, 2, pooled=True, layers=2)
    weights = peer.state_dict()
    for name in [n for n in weights if n.endswith(("query.bias", "value.bias"))]:
        stem, _, kind = name.removesuffix(".bias").rpartition(".")
        weights[f"{stem}.{kind[0]}_bias"] = weights.pop(name)
    torch.save(weights, tmp_path / "pytorch_model.bin")
    peer.config.save_pretrained(tmp_path)
    model, _ = from_foreign(tmp_path)
    pixels = torch.randn(1, 2, 3, 32, 32)
    torch.testing.assert_close(model(pixels).logits, peer(pixels).logits, atol=1e-5, rtol=0)


def test_untested_activations_are_refused(tmp_path):
    peer = VideoMAEForVideoClassification(
        VideoMAEConfig(
            hidden_size=24, num_attention_heads=2, num_hidden_layers=1, hidden_act="relu"
        )
    )
    peer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="hidden_act is 'relu'"):
        from_foreign(tmp_path)
