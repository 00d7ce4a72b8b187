import pytest
import torch
from timm.optim import create_optimizer_v2
from torch import nn

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.masking import decoder_mask, tube_mask
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.pretraining import MedicaneForPreTraining
from medicane_models.network.stems import Stem, with_folded_norms

STEMS = ("convolutional", "residual")
SMALL = MedicaneConfig(
    image_size=(32, 48), patch_size=8, num_frames=3, tubelet_size=1, in_channels=2, stem="residual",
    stem_width=4, embed_dim=24, depth=2, num_heads=2, mlp_hidden_dim=48, decoder_embed_dim=12,
    decoder_depth=1, decoder_num_heads=2, decoder_mlp_hidden_dim=24,
)  # fmt: skip
FINE = {"heatmap_features": True, "heatmap_stride": 2}


def clips(config=SMALL, count=2):
    return torch.randn(count, *config.clip_shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stem", STEMS)
def test_every_stage_halves_the_frames_and_doubles_the_channels(stem):
    config = SMALL.replace(stem=stem, patch_size=16)
    shapes = [tuple(view.shape) for view in Stem(config)(clips())]
    assert shapes == [
        (2, 3, 4, 16, 24), (2, 3, 8, 8, 12), (2, 3, 16, 4, 6), (2, 3, 24, 2, 3),
    ]  # fmt: skip


def test_only_a_residual_stem_has_skip_connections():
    plain, residual = (Stem(SMALL.replace(stem=stem)) for stem in STEMS)
    counts = [sum(isinstance(m, nn.Conv2d) for m in stem.modules()) for stem in (plain, residual)]
    assert counts == [3, 3 + 2 * 2]  # none in the first stage


def test_residual_blocks_look_at_the_newest_frame_only():
    stem = Stem(SMALL).eval()
    plain = Stem(SMALL.replace(stem="convolutional")).eval()
    plain.load_state_dict(stem.state_dict(), strict=False)
    views, without = stem(clips()), plain(clips())
    torch.testing.assert_close(views[-1][:, :2], without[-1][:, :2])
    assert not torch.allclose(views[1][:, 2], without[1][:, 2])


def test_every_frame_is_seen_alone():
    stem = Stem(SMALL).eval()
    later = clips()
    later[:, 1:] = 3.0
    for view, other in zip(stem(clips()), stem(later), strict=True):
        torch.testing.assert_close(view[:, 0], other[:, 0])
    alone = stem(clips()[:, 2:])
    torch.testing.assert_close(alone[-1][:, 0], stem(clips())[-1][:, 2])


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("tubelet", [1, 3])
def test_a_token_is_a_linear_map_of_its_frames_features(stem, tubelet):
    model = MedicaneForVideoClassification(SMALL.replace(stem=stem, tubelet_size=tubelet)).eval()
    embed = model.patch_embed
    features = embed.stem(clips())[-1].transpose(1, 2)  # (b, c, t, h, w)
    expected = embed.proj(features).flatten(2).transpose(1, 2)
    assert expected.shape == (2, model.config.num_tokens, 24)
    torch.testing.assert_close(embed(clips()), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 12, "image_size": 48}, "patch_size is 12.*power of two"),
        ({"patch_size": 1}, "patch_size is 1"),
        ({"stem": "patch", "heatmap_features": True}, "set stem to convolutional"),
        ({"heatmap_features": True, "heatmap_stride": 1}, "heatmap_stride is 1"),
        ({"stem_width": 0}, "stem_width is 0"),
    ],
)
def test_what_a_stem_cannot_do_is_refused(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        SMALL.replace(**changes)


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("offset", [False, True])
def test_cells_are_as_fine_as_asked_for_and_reach_a_patch_beyond(stride, offset):
    changes = {"heatmap_features": True, "heatmap_stride": stride, "heatmap_offset": offset}
    found = MedicaneForTracking(SMALL.replace(**changes))(clips())
    assert found.heatmap.shape == (2, (32 + 16) // stride, (48 + 16) // stride)
    assert found.cell_px == stride


def test_finer_features_reach_the_cells_above_them_only():
    torch.manual_seed(0)
    model = MedicaneForTracking(SMALL.replace(**FINE)).eval()
    views = [view[:, -1].detach() for view in model.patch_embed.views(clips())]
    views[0].requires_grad_()
    pooled = torch.zeros(2, 4, 6, 24)
    model.head(pooled, views)[0, 4 + 5, 4 + 9].backward()  # cell (5, 9) of the tile
    rows, columns = views[0].grad[0].abs().sum(0).nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 6, 8, 10)


def test_features_are_those_of_the_newest_frame():
    model = MedicaneForTracking(SMALL.replace(**FINE, depth=1)).eval()
    older = clips()
    older[:, :2] = 9.0
    tokens = torch.zeros(2, SMALL.num_tokens, 24)
    first, other = (
        model.forward_head(tokens, newest=[v[:, -1] for v in model.patch_embed.views(pixels)])
        for pixels in (clips(), older)
    )
    torch.testing.assert_close(first, other)


@pytest.mark.parametrize("stem", [*STEMS, "patch"])
def test_a_model_of_the_newest_frame_takes_the_others_for_missing(stem):
    config = SMALL.replace(stem=stem, newest_only=True)
    model = MedicaneForVideoClassification(config).eval()
    alone = clips()
    alone[:, :-1] = 0.0
    torch.testing.assert_close(model(clips()).logits, model(alone).logits)
    every = MedicaneForVideoClassification(config.replace(newest_only=False)).eval()
    every.load_state_dict(model.state_dict())
    assert not torch.allclose(every(clips()).logits, every(alone).logits)


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("frames", [{}, {"tubelet_size": 3}, {"num_frames": 1}])
def test_older_frames_that_are_seen_once_are_as_if_seen_in_every_clip(stem, frames):
    config = SMALL.replace(stem=stem, **FINE, **frames)
    every = trained(MedicaneForTracking(config))
    newest = MedicaneForTracking(config.replace(newest_only=True)).eval()
    newest.load_state_dict(every.state_dict())
    alone = clips(config)
    alone[:, :-1] = 0.0
    torch.testing.assert_close(newest.forward_raw(clips(config)), every.forward_raw(alone))


@pytest.mark.parametrize("stem", [*STEMS, "patch"])
@pytest.mark.parametrize("cls", [MedicaneForVideoClassification, MedicaneForTracking])
def test_convolutions_do_what_the_norms_of_a_stem_did(stem, cls):
    features = {} if stem == "patch" else FINE
    model = trained(cls(SMALL.replace(stem=stem, **features)))
    folded = with_folded_norms(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    for name, value in vars(model(clips())).items():
        torch.testing.assert_close(vars(folded(clips()))[name], value, atol=1e-5, rtol=1e-4)


def test_a_model_whose_norms_were_folded_stays_as_it_was():
    model = trained(MedicaneForTracking(SMALL))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = with_folded_norms(model)
    torch.testing.assert_close(model.state_dict(), before, atol=0, rtol=0)
    assert folded.blocks[0].mlp.fc1.weight is model.blocks[0].mlp.fc1.weight


def trained(model):
    """A model in evaluation mode whose norms have seen something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(value, 0.5, 1.5)
    return model.eval()


def test_a_head_that_misses_its_features_says_so():
    model = MedicaneForTracking(SMALL.replace(**FINE))
    with pytest.raises(ConfigurationError, match="forward_raw"):
        model.forward_head(model.forward_features(clips()))


@pytest.mark.parametrize("stem", STEMS)
def test_no_hidden_value_reaches_the_prediction(stem):
    torch.manual_seed(0)
    config = SMALL.replace(stem=stem, image_size=32)
    model = MedicaneForPreTraining(config)
    masked = tube_mask(config.token_grid, 0.5, clips=2)
    hidden = masked.view(2, 3, 1, 4, 4).repeat_interleave(8, 3).repeat_interleave(8, 4)
    pixels = clips(config).requires_grad_()
    output = model(pixels, masked)
    (gradient,) = torch.autograd.grad(output.reconstruction.square().sum(), pixels)
    assert (gradient * hidden).abs().max() == 0
    assert (gradient * ~hidden).abs().max() > 0
    other = torch.where(hidden, torch.nan, clips(config))
    assert torch.equal(model(other, masked).reconstruction, output.reconstruction)


def test_pretraining_with_a_stem_learns():
    torch.manual_seed(0)
    config = SMALL.replace(image_size=32)
    model = MedicaneForPreTraining(config)
    pixels = torch.linspace(-1, 1, 32).outer(torch.linspace(0, 2, 32)).expand(4, 3, 2, 32, 32)
    masked = tube_mask(config.token_grid, 0.5, clips=4)
    asked = decoder_mask(masked, config.token_grid, 0.5)
    losses = descend(model, lambda: model(pixels, masked, asked).loss, 30)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize(
    "changes", [{"head": "regression"}, FINE, {**FINE, "heatmap_offset": True}]
)
def test_trackers_with_a_stem_learn_where_a_spot_is(stem, changes):
    torch.manual_seed(0)
    model = MedicaneForTracking(SMALL.replace(stem=stem, **changes))
    centers = torch.tensor([[8.3, 8.0], [40.0, 24.9], [20.0, 12.0], [33.0, 7.0]])
    pixels = spots(centers)
    losses = descend(model, lambda: model(pixels, centers).loss, 60)
    assert losses[-1] < losses[0] - 0.3
    assert (model(pixels).center - centers).norm(dim=1).mean() < 3


def spots(centers):
    x, y = torch.arange(48.0), torch.arange(32.0)
    apart = (x - centers[:, :1]).square()[:, None] + (y - centers[:, 1:]).square()[:, :, None]
    return (4 * torch.exp(-apart / 8))[:, None, None].expand(-1, *SMALL.clip_shape)


def descend(model, loss_of, steps):
    optimizer, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_statistics_of_norms_are_weights_like_all_others(tmp_path):
    model = MedicaneForTracking(SMALL.replace(**FINE))
    model(clips(), torch.zeros(2, 2)).loss.backward()  # a step of training moves the statistics
    model.eval().save_pretrained(tmp_path, dtype=torch.float16)
    loaded = MedicaneForTracking.from_pretrained(tmp_path)
    norm = loaded.patch_embed.stem.stages[0].halving.bn
    assert norm.num_batches_tracked.item() == 1
    assert norm.num_batches_tracked.dtype == torch.int64
    torch.testing.assert_close(loaded(clips()).center, model(clips()).center, atol=0.1, rtol=0.01)
    assert torch.equal(loaded(clips()[:1]).center, loaded(clips()).center[:1])


@pytest.mark.parametrize("cls", [MedicaneForVideoClassification, MedicaneForTracking])
def test_a_pretrained_stem_goes_on_under_another_head(cls, tmp_path):
    before = MedicaneForPreTraining(SMALL)
    before.encoder.patch_embed.stem(clips())
    before.save_pretrained(tmp_path)
    model, report = cls.from_backbone(tmp_path)
    for name, value in before.encoder.patch_embed.state_dict().items():
        assert torch.equal(model.patch_embed.state_dict()[name], value)
    assert not any("patch_embed" in name for name in (*report.fresh, *report.dropped))


def test_a_stem_is_the_first_layer_and_its_norms_do_not_decay():
    model = MedicaneForTracking(SMALL.replace(**FINE))
    optimizer = create_optimizer_v2(model, "adamw", lr=1, weight_decay=0.05, layer_decay=0.5)
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    groups = {name: of[id(p)] for name, p in model.named_parameters()}
    stem = {name: group for name, group in groups.items() if "stem" in name}
    assert {group["lr_scale"] for group in stem.values()} == {0.5**3}
    assert groups["head.finer.last.weight"]["lr_scale"] == 1
    assert {name for name, group in stem.items() if not group["weight_decay"]} == {
        name for name in stem if "bn" in name
    }


def test_a_classifier_on_a_stem_can_be_replaced_and_checkpointed():
    model = MedicaneForVideoClassification(SMALL)
    model.reset_classifier(3)
    model.set_grad_checkpointing()
    loss = model(clips(), torch.tensor([0, 2])).loss
    loss.backward()
    assert model.patch_embed.stem.stages[0].halving.conv.weight.grad.abs().sum() > 0
