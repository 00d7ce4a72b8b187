import math

import pytest
import torch

from medicane_models.errors import ConfigurationError
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


def test_an_unsure_label_costs_what_it_costs_on_average_over_where_the_centre_may_be():
    torch.manual_seed(0)
    head, center = heatmap_head(), torch.tensor([[50.2, 31.7]])
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    raw = -((rows - 12) ** 2 + (columns - 15) ** 2)[None] / 40  # smooth over a cell
    drawn = center + 12 * torch.randn(20000, 2)
    expected = head.loss(raw.expand(len(drawn), -1, -1), drawn)
    unsure = head.loss(raw, center, sigma=torch.tensor([12.0]))
    assert unsure.item() == pytest.approx(expected.item(), rel=0.01)


def test_a_distribution_as_wide_as_its_label_is_unsure_costs_least():
    head, center = heatmap_head(), torch.tensor([[41.5, 29.5]])
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    squares = ((rows - 11) * 4) ** 2 + ((columns - 14) * 4) ** 2
    widths = (6.0, 12.0, 24.0)
    for sigma in widths:
        losses = [
            head.loss(-squares[None] / w**2 / 2, center, torch.tensor([sigma])) for w in widths
        ]
        assert widths[torch.stack(losses).argmin()] == sigma


def test_every_label_has_its_own_width():
    torch.manual_seed(0)
    head, raw = heatmap_head(), torch.randn(2, 24, 32)
    centers, sigma = torch.tensor([[40.0, 20.0], [11.0, 50.0]]), torch.tensor([0.0, 20.0])
    alone = [head.loss(raw[[i]], centers[[i]], sigma[[i]]) for i in range(2)]
    torch.testing.assert_close(head.loss(raw, centers, sigma), torch.stack(alone).mean())


@pytest.mark.parametrize(("kind", "shape"), [("heatmap", (2, 24, 32)), ("regression", (2, 2))])
def test_clips_count_by_their_weight(kind, shape):
    torch.manual_seed(0)
    head, raw, centers = heatmap_head(head=kind), torch.randn(shape), 30 * torch.rand(2, 2)
    weighted = head.loss(raw, centers, weight=torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(weighted, head.loss(raw[:1], centers[:1]))


def test_a_regression_head_refuses_widths_of_targets():
    head = heatmap_head(head="regression")
    with pytest.raises(ConfigurationError, match="label_sigma"):
        head.loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1))


def test_the_window_of_the_mode_is_nine_cells_wide():
    raw = torch.full((1, 48, 64), -60.0)
    raw[0, 20, 20], raw[0, 20, 24], raw[0, 20, 25] = 1.0, 0.99, 0.98
    x = heatmap_head(heatmap_stride=2).decode(raw).center[0, 0].item()
    assert x == pytest.approx((20 + 24) / 2 * 2 - 15.5, abs=0.05)


def test_an_offset_moves_its_cell_and_the_distribution_with_it():
    head = heatmap_head(heatmap_offset=True)
    raw = torch.full((1, 3, 24, 32), 0.0)
    raw[0, 0, 10, 10] = raw[0, 0, 10, 12] = 50.0
    raw[0, 1, 10, 10], raw[0, 2, 10, 12] = math.atanh(0.5), math.atanh(-0.25)
    found = head.decode(raw)
    points = torch.tensor([[25.5 + 2, 25.5], [33.5, 25.5 - 1]])  # half a cell right, a quarter up
    torch.testing.assert_close(found.center[0], points.mean(0))
    expected = points.T.cov(correction=0) + torch.eye(2) * 16 / 6
    torch.testing.assert_close(found.covariance[0], expected)


def test_offsets_learn_where_in_its_cell_a_centre_is():
    head, centers = heatmap_head(heatmap_offset=True), torch.tensor([[42.7, 30.1]])
    raw = torch.zeros(1, 3, 24, 32, requires_grad=True)
    optimizer = torch.optim.Adam([raw], 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        head.loss(raw, centers).backward()
        optimizer.step()
    torch.testing.assert_close(head.decode(raw).center, centers, atol=0.1, rtol=0)


def test_offsets_far_from_the_centre_do_not_count():
    head, centers = heatmap_head(heatmap_offset=True), torch.tensor([[42.7, 30.1]])
    raw = torch.zeros(1, 3, 24, 32, requires_grad=True)
    head.loss(raw, centers).backward()
    assert raw.grad[:, 1:].abs().sum((0, 1)).count_nonzero() == 4
