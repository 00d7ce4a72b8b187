import pytest
import torch
from timm.optim import create_optimizer_v2
from torch import nn

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.masking import decoder_mask, plan_tokens, tube_mask
from medicane_models.network.pretraining import MedicaneForPreTraining

SMALL = MedicaneConfig(
    task="pretraining", image_size=64, num_frames=8, embed_dim=24, depth=2, num_heads=2,
    mlp_hidden_dim=48, decoder_embed_dim=12, decoder_depth=2, decoder_num_heads=2,
    decoder_mlp_hidden_dim=24,
)  # fmt: skip


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MedicaneForPreTraining(SMALL)


@pytest.fixture
def clips():
    return torch.randn(2, *SMALL.clip_shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def masks():
    seen = tube_mask(SMALL.token_grid, 0.75, clips=2, generator=torch.Generator().manual_seed(0))
    return seen, decoder_mask(
        seen, SMALL.token_grid, 0.5, generator=torch.Generator().manual_seed(0)
    )


def by_the_book(model, pixels, hidden, skipped):
    """VideoMAEv2's loss, all tokens through the whole decoder, written out for one clip."""
    encoder, decoder = model.encoder, model.decoder
    tokens = encoder.embed(pixels)[:, ~hidden]
    seen = model.encoder_to_decoder(encoder.norm(encoder.encode(tokens)))
    asked = model.mask_token + model.positions[~skipped]
    tokens = torch.cat((seen + model.positions[~hidden], asked), 1)
    for block in decoder.blocks:
        tokens = block(tokens)
    predicted = decoder.head(decoder.norm(tokens[:, -int((~skipped).sum()) :]))
    std = torch.tensor([0.229, 0.224, 0.225])
    values = (pixels * std[:, None, None]).unflatten(1, (4, 2)).unflatten(4, (4, 16))
    values = values.unflatten(6, (4, 16)).permute(0, 1, 4, 6, 2, 5, 7, 3).flatten(1, 3)
    values = values.flatten(2, 4)[:, ~skipped]
    target = (values - values.mean(2, True)) / (values.var(2, keepdim=True).sqrt() + 1e-6)
    error = (predicted - target.flatten(2)).square().mean(2)
    return (error * hidden[~skipped]).sum() / hidden[~skipped].sum()


def test_loss_and_gradients_are_those_of_the_whole_computation(model, clips, masks):
    losses = [by_the_book(model, clips[i : i + 1], masks[0][i], masks[1][i]) for i in range(2)]
    expected = torch.stack(losses).mean()
    expected.backward()
    gradient = model.decoder.blocks[1].attn.qkv.weight.grad.clone()
    model.zero_grad()
    loss = model(clips, *masks).loss
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(model.decoder.blocks[1].attn.qkv.weight.grad, gradient)


def test_pixels_of_unasked_hidden_tokens_do_not_matter(model, clips, masks):
    unused = (masks[0] & masks[1]).view(2, 4, 4, 4)
    unused = unused.repeat_interleave(2, 1).repeat_interleave(16, 2).repeat_interleave(16, 3)
    other = torch.where(unused[:, :, None], 99.0, clips)
    assert torch.equal(model(clips, *masks).loss, model(other, *masks).loss)


def test_pixels_without_data_do_not_matter(model, clips, masks):
    no_data = torch.zeros(2, 8, 64, 64, dtype=torch.bool)
    no_data[:, :, :24, :40] = True
    visible = ~masks[0].view(2, 4, 4, 4).repeat_interleave(2, 1)
    visible = visible.repeat_interleave(16, 2).repeat_interleave(16, 3)
    other = torch.where((no_data & ~visible)[:, :, None], 7.0, clips)
    losses = [model(pixels, *masks, no_data=no_data).loss for pixels in (clips, other)]
    torch.testing.assert_close(*losses)
    assert not torch.equal(losses[0], model(clips, *masks).loss)


def test_nothing_missing_is_the_plain_loss(model, clips, masks):
    nothing = torch.zeros(2, 8, 64, 64, dtype=torch.bool)
    torch.testing.assert_close(
        model(clips, *masks, no_data=nothing).loss, model(clips, *masks).loss
    )


def test_reconstruction_keeps_visible_pixels_and_fills_the_others(model, clips, masks):
    frames = model.reconstruct(clips, masks[0])
    hidden = masks[0].view(2, 4, 4, 4).repeat_interleave(2, 1)
    hidden = hidden.repeat_interleave(16, 2).repeat_interleave(16, 3)[:, :, None].expand_as(clips)
    assert torch.equal(frames[~hidden], clips[~hidden])
    assert (frames[hidden] != clips[hidden]).float().mean() > 0.99


def test_perfect_predictions_reconstruct_the_clip(model, clips, masks, monkeypatch):
    truth = clips.unflatten(1, (4, 2)).unflatten(4, (4, 16)).unflatten(6, (4, 16))
    truth = truth.permute(0, 1, 4, 6, 2, 5, 7, 3).flatten(1, 3).flatten(2, 4)  # (b, n, p, c)
    normal = (truth - truth.mean(2, True)) / truth.std(2, keepdim=True)
    index = plan_tokens(masks[0]).targets
    exact = normal.flatten(2)[torch.arange(2)[:, None], index]
    monkeypatch.setattr(model, "_predict", lambda *_: exact)
    torch.testing.assert_close(model.reconstruct(clips, masks[0]), clips, atol=1e-4, rtol=1e-4)


def test_impossible_masks_are_refused(model, clips, masks):
    ragged = masks[0].clone()
    ragged[0, masks[0][0].nonzero()[0]] = False
    with pytest.raises(ConfigurationError, match="same number"):
        model(clips, ragged)
    with pytest.raises(ConfigurationError, match="only for tokens the encoder sees"):
        model(clips, masks[0], masks[0])


def test_checkpointing_keeps_the_loss(model, clips, masks):
    plain = model(clips, *masks).loss
    model.set_grad_checkpointing()
    model(clips, *masks).loss.backward()
    torch.testing.assert_close(model(clips, *masks).loss, plain)


def test_mask_token_does_not_decay(model):
    optimizer = create_optimizer_v2(model, "adamw", lr=1, weight_decay=0.05)
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    assert id(model.mask_token) not in decayed
    assert id(model.encoder_to_decoder.weight) in decayed


def test_starts_near_the_variance_of_the_targets(model, clips, masks):
    assert 0.9 < model(clips, *masks).loss.item() < 3


def test_every_linear_map_of_a_new_model_is_drawn_once(monkeypatch):
    drawn = []
    monkeypatch.setattr(nn.init, "xavier_uniform_", drawn.append)
    monkeypatch.setattr(nn.init, "normal_", lambda weight, std: drawn.append(weight))
    model = MedicaneForPreTraining(SMALL)
    maps = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    assert sorted(map(id, drawn)) == sorted(map(id, [*maps, model.mask_token]))
