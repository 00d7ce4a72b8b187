import pytest
import torch
from timm.optim import create_optimizer_v2
from torch import nn

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.presets import UNTRAINED
from medicane_models.network.pretraining import MedicaneForPreTraining

SMALL = MedicaneConfig(
    image_size=(32, 48), num_frames=4, embed_dim=24, depth=3, num_heads=2, mlp_hidden_dim=48,
    decoder_embed_dim=12, decoder_num_heads=2, decoder_mlp_hidden_dim=24,
)  # fmt: skip
MILLIONS = {
    "small": (21.88, 24.03),
    "base": (86.23, 94.21),
    "large": (303.86, 317.78),
    "huge": (631.61, 645.66),
    "giant": (1011.61, 1026.31),
}


def clips(config=SMALL, count=2):
    return torch.randn(count, *config.clip_shape, generator=torch.Generator().manual_seed(0))


def millions(model):
    return round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)


@pytest.mark.parametrize("name", MILLIONS)
def test_sizes_have_the_published_parameters(name):
    config = MedicaneConfig.preset(name)
    with torch.device("meta"):
        classifier, masked = MedicaneForVideoClassification(config), MedicaneForPreTraining(config)
    assert (millions(classifier), millions(masked)) == MILLIONS[name]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("kind", [MedicaneForVideoClassification, MedicaneForPreTraining])
def test_a_model_built_on_a_gpu_is_there_whole(kind):
    with torch.device("cuda"):
        model = kind(SMALL)
    assert {value.device.type for value in model.state_dict().values()} == {"cuda"}
    assert {value.device.type for value in model.buffers()} == {"cuda"}


def test_giant_has_2048_tokens_and_a_wide_mlp():
    with torch.device("meta"):
        model = MedicaneForVideoClassification(MedicaneConfig.preset("giant"))
    assert model.positions.shape == (2048, 1408)
    assert model.blocks[0].mlp.fc1.out_features == 6144


def test_names_are_the_research_code_s():
    block = "blocks.0."
    attention = ("attn.q_bias", "attn.v_bias", "attn.qkv.weight", "attn.proj.weight")
    names = set(MedicaneForVideoClassification(SMALL.replace(depth=1)).state_dict())
    expected = {"patch_embed.proj.weight", "fc_norm.bias", "head.weight", "head.bias"}
    expected |= {
        block + name for name in (*attention, "norm1.weight", "norm2.bias", "mlp.fc1.bias")
    }
    assert expected < names
    assert "attn.qkv.bias" not in str(names)
    assert "positions" not in names
    tracker = MedicaneForTracking(SMALL.replace(head="regression")).state_dict()
    assert {"head.mlp.0.weight", "head.mlp.1.bias"} < set(tracker)


def test_patch_embedding_is_its_convolution():
    model, pixels = MedicaneForVideoClassification(SMALL), clips()
    expected = model.patch_embed.proj(pixels.transpose(1, 2)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.patch_embed(pixels), expected, atol=1e-5, rtol=1e-5)
    kept = torch.tensor([[3, 0, 11], [5, 5, 2]])
    some = model.patch_embed(pixels, kept)
    torch.testing.assert_close(some[1, 2], expected[1, 2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(some[0, 0], expected[0, 3], atol=1e-5, rtol=1e-5)


def test_fresh_classifier_starts_undecided():
    output = MedicaneForVideoClassification(SMALL)(clips(), torch.tensor([0, 1]))
    assert output.loss.item() == pytest.approx(0.6931, abs=1e-2)
    assert output.probabilities.sum(1).tolist() == pytest.approx([1, 1])


def test_temperature_divides_the_logits():
    model = MedicaneForVideoClassification(SMALL.replace(temperature=2.0)).eval()
    output = model(clips())
    torch.testing.assert_close(output.probabilities, (output.logits / 2).softmax(1))


def test_soft_labels_are_accepted():
    model = MedicaneForVideoClassification(SMALL).eval()
    hard = model(clips(), torch.tensor([0, 1])).loss
    torch.testing.assert_close(model(clips(), torch.eye(2)).loss, hard)


@pytest.mark.parametrize("head", ["regression", "heatmap"])
def test_trackers_learn_where_a_spot_is(head):
    torch.manual_seed(0)
    model = MedicaneForTracking(SMALL.replace(head=head))
    pixels, centers = torch.zeros(2, *SMALL.clip_shape), torch.tensor([[8.0, 8.0], [40.0, 24.0]])
    pixels[0, :, :, 4:12, 4:12] = pixels[1, :, :, 20:28, 36:44] = 3
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(pixels, centers).loss.backward()
        optimizer.step()
    estimate = model.eval()(pixels)
    assert (estimate.center - centers).norm(dim=1).max() < 3
    assert estimate.covariance.shape == (2, 2, 2)


def test_wrong_clips_are_refused_with_both_shapes():
    model = MedicaneForVideoClassification(SMALL)
    with pytest.raises(ConfigurationError, match=r"\(4, 3, 32, 32\).*\(4, 3, 32, 48\)"):
        model(torch.zeros(1, 4, 3, 32, 32))


@pytest.mark.parametrize("position", ["sinusoid", "sinusoid_3d"])
def test_any_shape_of_clip_has_a_model(position):
    config = SMALL.replace(
        position=position, image_size=24, patch_size=8, num_frames=3, tubelet_size=1, in_channels=1
    )
    assert MedicaneForVideoClassification(config)(clips(config)).logits.shape == (2, 2)


def test_features_and_head_make_the_forward_pass():
    model = MedicaneForVideoClassification(SMALL).eval()
    features = model.forward_features(clips())
    assert features.shape == (2, SMALL.num_tokens, 24)
    assert model.forward_head(features, pre_logits=True).shape == (2, 24)
    torch.testing.assert_close(model.forward_head(features), model(clips()).logits)


def test_classifier_can_be_replaced_or_removed():
    fitted = {"temperature": 3.0, "threshold": 0.2, "data_kind": "real"}
    model = MedicaneForVideoClassification(SMALL.replace(trained_on="storms", **fitted))
    model.reset_classifier(3, {0: "no_cyclone", 1: "cyclone", 2: "near"})
    assert model(clips()).logits.shape == (2, 3)
    assert {name: getattr(model.config, name) for name in UNTRAINED} == UNTRAINED
    assert model.config.label2id["near"] == 2
    model.reset_classifier(0)
    assert model(clips()).logits.shape == (2, 24)


def test_layers_decay_as_published():
    model = MedicaneForVideoClassification(SMALL)
    optimizer = create_optimizer_v2(model, "adamw", lr=1, weight_decay=0.05, layer_decay=0.5)
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    scale = {name: of[id(p)]["lr_scale"] for name, p in model.named_parameters()}
    assert scale["patch_embed.proj.weight"] == 0.5**4
    assert [scale[f"blocks.{i}.attn.q_bias"] for i in range(3)] == [0.5**3, 0.5**2, 0.5]
    assert scale["head.weight"] == scale["fc_norm.weight"] == 1
    decayed = {name for name, p in model.named_parameters() if of[id(p)]["weight_decay"]}
    assert decayed == {name for name, p in model.named_parameters() if p.ndim > 1}


def test_checkpointing_keeps_the_gradients():
    model = MedicaneForVideoClassification(SMALL)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(clips(), torch.tensor([0, 1])).loss.backward()
        gradients.append(model.blocks[0].attn.q_bias.grad.clone())
    torch.testing.assert_close(*gradients)


def test_regularisation_acts_in_training_only():
    rates = dict.fromkeys(("drop_path_rate", "proj_drop_rate", "attn_drop_rate"), 0.5)
    model = MedicaneForVideoClassification(SMALL.replace(**rates, head_drop_rate=0.5))
    assert not torch.equal(model(clips()).logits, model(clips()).logits)
    model.eval()
    assert torch.equal(model(clips()).logits, model(clips()).logits)
    assert model.blocks[0].drop_path1.__class__ is nn.Identity
    assert model.blocks[2].drop_path1.drop_prob == 0.5


def test_layer_scale_is_timm_s():
    model = MedicaneForVideoClassification(SMALL.replace(layer_scale_init_value=1e-5))
    assert model.state_dict()["blocks.0.ls1.gamma"].tolist() == pytest.approx([1e-5] * 24)


@pytest.mark.parametrize("cls", [MedicaneForVideoClassification, MedicaneForTracking])
def test_bfloat16_stays_close(cls):
    torch.manual_seed(0)
    model = cls(SMALL).eval()
    exact = model(clips())
    rough = model.to(torch.bfloat16)(clips())
    value = "logits" if cls is MedicaneForVideoClassification else "heatmap"
    torch.testing.assert_close(
        getattr(rough, value).float(), getattr(exact, value), atol=0.05, rtol=0.05
    )
