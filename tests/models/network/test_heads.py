import math

import pytest
import torch

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.heads import make_tracking_head

SIZES = {
    "task": "tracking",
    "image_size": (64, 96),
    "num_frames": 4,
    "embed_dim": 12,
    "num_heads": 2,
}


def heatmap_head(**changes):
    return make_tracking_head(MedicaneConfig.from_dict(SIZES | changes))


def peak(head, row, column, value=50.0):
    raw = torch.zeros(1, 24, 32)
    raw[0, row, column] = value
    return head.decode(raw)


def test_cells_cover_the_tile_and_a_patch_around_it():
    corner = peak(heatmap_head(), 0, 0)
    assert corner.center.tolist() == [[-14.5, -14.5]]  # the middle of pixels -16 … -13
    assert corner.heatmap.shape == (1, (64 + 32) / 4, (96 + 32) / 4)
    assert peak(heatmap_head(), 4, 6).center.tolist() == [[9.5, 1.5]]


def test_tokens_and_cells_lie_at_the_same_place():
    torch.manual_seed(0)
    head = heatmap_head()
    tokens = torch.zeros(1, 2 * 4 * 6, 12)
    tokens.unflatten(1, (2, 4, 6))[:, :, 2, 3] = 1  # rows 32 … 47, columns 48 … 63
    with torch.no_grad():
        head.conv.weight.zero_()
        head.conv.bias.zero_()
        head.conv.weight[:, :, 1, 1] = 5
        center = head.decode(head(head.pool(tokens))).center
    torch.testing.assert_close(center, torch.tensor([[55.5, 39.5]]))


def test_loss_is_the_density_of_the_pyramids():
    torch.manual_seed(0)
    head, raw = heatmap_head(), torch.full((1, 24, 32), -30.0)
    raw[:, 2:-2, 2:-2] = torch.randn(1, 20, 28)
    x, y = torch.meshgrid(torch.arange(-14, 110.0, 2), torch.arange(-14, 78.0, 2), indexing="xy")
    centers = torch.stack((x.flatten(), y.flatten()), 1)
    density = torch.stack([head.loss(raw, center[None]).neg().exp() for center in centers])
    assert density.sum().item() * 4 == pytest.approx(1, abs=1e-3)


def test_uniform_loss_is_the_log_of_the_area():
    loss = heatmap_head().loss(torch.zeros(1, 24, 32), torch.tensor([[40.3, 20.9]]))
    assert loss.item() == pytest.approx(math.log(128 * 96))


def test_centres_outside_count_at_the_rim():
    head, raw = heatmap_head(), torch.randn(1, 24, 32)
    far, rim = (head.loss(raw, torch.tensor([[x, 10.0]])) for x in (-300.0, -14.5))
    assert far.item() == rim.item()
    assert math.isfinite(far)


def test_covariance_is_the_second_moment():
    raw = torch.full((1, 24, 32), -60.0)
    raw[0, 10, 10] = raw[0, 10, 14] = 0.0  # 16 px apart
    mean = heatmap_head(heatmap_center="mean").decode(raw)
    x = 10 * 4 - 14.5
    assert mean.center.tolist() == [pytest.approx([x + 8, 25.5])]
    assert mean.covariance[0, 0, 0].item() == pytest.approx(64 + 16 / 6)
    assert mean.covariance[0, 1, 1].item() == pytest.approx(16 / 6)


def test_mode_ignores_a_second_peak_but_its_covariance_does_not():
    raw = torch.full((1, 24, 32), -60.0)
    raw[0, 4, 4], raw[0, 20, 28] = 1.0, 0.0
    estimate = heatmap_head().decode(raw)
    assert estimate.center.tolist() == [pytest.approx([1.5, 1.5])]
    assert estimate.covariance[0, 0, 0] > 1000


def test_temperature_widens_the_distribution():
    torch.manual_seed(0)
    raw = 5 * torch.randn(1, 24, 32)
    narrow, wide = heatmap_head(), heatmap_head(temperature=3.0)
    assert wide.decode(raw).heatmap.max() < narrow.decode(raw).heatmap.max()


def test_regression_is_standardised_to_tile_pixels():
    head = make_tracking_head(MedicaneConfig.from_dict(SIZES | {"head": "regression"}))
    assert head.decode(torch.zeros(1, 2)).center.tolist() == [[47.5, 31.5]]
    center = torch.tensor([[47.5 + 96 / math.sqrt(12), 31.5]])
    assert head.loss(torch.zeros(1, 2), center).item() == pytest.approx(0.5)


def test_research_head_is_in_pixels():
    config = {"head": "regression", "center_mean_px": (0.0, 0.0), "center_scale_px": (1.0, 1.0)}
    head = make_tracking_head(MedicaneConfig.from_dict(SIZES | config))
    raw, center = torch.tensor([[10.0, 20.0]]), torch.tensor([[13.0, 24.0]])
    assert head.decode(raw).center.tolist() == raw.tolist()
    assert head.loss(raw, center).item() == pytest.approx((9 + 16) / 2)


def test_regression_knows_its_error_only_if_it_was_measured():
    unknown = make_tracking_head(MedicaneConfig.from_dict(SIZES | {"head": "regression"}))
    assert unknown.decode(torch.zeros(3, 2)).covariance.isnan().all()
    measured = {"head": "regression", "error_covariance_px": ((9.0, 1.0), (1.0, 4.0))}
    known = make_tracking_head(MedicaneConfig.from_dict(SIZES | measured))
    assert known.decode(torch.zeros(3, 2)).covariance[2].tolist() == [[9, 1], [1, 4]]
