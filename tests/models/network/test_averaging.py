import pytest
import torch

from medicane_models.errors import ConfigurationError
from medicane_models.network.averaging import (
    EIGHT_WAYS,
    FLIPS,
    View,
    average_classification,
    average_tracking,
)
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification

SMALL = MedicaneConfig(
    image_size=32, num_frames=2, embed_dim=12, depth=1, num_heads=2, mlp_hidden_dim=24
)
SHIFTED = (View(offset=(3, 5)), View(offset=(8, 0), flip_x=True, transpose=True))


def spot(x, y, rows=32, columns=32):
    frames = torch.zeros(1, 2, 3, rows, columns)
    frames[..., y, x] = 1
    return frames


def brightest(tile):
    """The raw outputs of a tracker that is always right."""
    index = tile[:, -1, 0].flatten(1).argmax(1)
    return torch.stack((index % tile.shape[4], index // tile.shape[4]), 1).float()


def regression(covariance, monkeypatch, raw):
    config = SMALL.replace(
        head="regression",
        center_mean_px=(0.0, 0.0),
        center_scale_px=(1.0, 1.0),
        error_covariance_px=covariance,
    )
    model = MedicaneForTracking(config).eval()
    monkeypatch.setattr(model, "forward_raw", raw)
    return model


@pytest.fixture
def tracker(monkeypatch):
    """With errors along x only."""
    return regression(((9.0, 0.0), (0.0, 0.0)), monkeypatch, brightest)


@pytest.fixture
def heatmaps(monkeypatch):
    """All of the distribution is on the cell that holds the brightest pixel."""
    model = MedicaneForTracking(SMALL.replace(heatmap_stride=1, heatmap_offset=True)).eval()

    def raw(tile):
        logits = 1e3 * torch.nn.functional.pad(tile[:, -1, 0], [16] * 4)
        tenth = torch.full_like(logits, 0.1).atanh()
        return torch.stack((logits, tenth, -2 * tenth), 1)

    monkeypatch.setattr(model, "forward_raw", raw)
    return model


@pytest.mark.parametrize("view", [*EIGHT_WAYS, *SHIFTED])
def test_centres_come_back_to_where_they_were(view, tracker):
    estimate = average_tracking(tracker, spot(12, 9, 40, 48), [view])
    assert estimate.center.tolist() == [[12, 9]]
    turned = [[0, 0], [0, 9]] if view.transpose else [[9, 0], [0, 0]]
    assert estimate.covariance.tolist() == [turned]


@torch.no_grad()
def test_heatmaps_are_averaged_where_the_views_share_a_tile():
    torch.manual_seed(0)
    model, frames = MedicaneForTracking(SMALL).eval(), torch.randn(2, *SMALL.clip_shape)
    averaged = average_tracking(model, frames, EIGHT_WAYS)
    assert averaged.heatmap is not None
    torch.testing.assert_close(averaged.heatmap.sum((1, 2)), torch.ones(2))
    assert (averaged.cell_px, averaged.origin_px) == (4, (-14.5, -14.5))
    wide = torch.randn(1, 2, 3, 40, 48)
    assert average_tracking(model, wide, SHIFTED).heatmap is None


def test_eight_ways_are_all_different():
    tile = torch.randn(1, 1, 1, 32, 32)
    views = torch.cat([view.apply(tile, (32, 32)) for view in EIGHT_WAYS])
    assert len(views.flatten(1).unique(dim=0)) == 8


def test_averaging_a_perfect_tracker_mixes_its_errors(tracker):
    estimate = average_tracking(tracker, spot(20, 4), EIGHT_WAYS)
    assert estimate.center.tolist() == [[20, 4]]
    assert estimate.covariance.tolist() == [[[4.5, 0], [0, 4.5]]]


def test_disagreement_widens_the_covariance(monkeypatch):
    nowhere = ((0.0, 0.0), (0.0, 0.0))
    stubborn = torch.tensor([[10.0, 15.5]])
    model = regression(nowhere, monkeypatch, lambda tiles: stubborn.expand(len(tiles), 2))
    estimate = average_tracking(model, spot(0, 0), [View(), View(flip_x=True)])
    assert estimate.center.tolist() == [[15.5, 15.5]]
    assert estimate.covariance.tolist() == [[[5.5**2, 0], [0, 0]]]


@pytest.mark.parametrize("view", EIGHT_WAYS)
def test_peaks_and_their_offsets_come_back_to_where_they_were(view, heatmaps):
    estimate = average_tracking(heatmaps, spot(12, 9), [view])
    off = (-0.1 if view.flip_x else 0.1, 0.198 if view.flip_y else -0.198)
    moved = estimate.center[0] - torch.tensor([12, 9])
    assert moved.tolist() == pytest.approx(off[::-1] if view.transpose else off, abs=1e-3)


def test_a_peak_that_few_views_see_does_not_count(heatmaps, monkeypatch):
    right, wrong = (heatmaps.forward_raw(spot(x, 9)) for x in (12, 25))
    monkeypatch.setattr(heatmaps, "forward_raw", lambda _: torch.cat([wrong, *[right] * 7]))
    monkeypatch.setattr(View, "undo_raw", lambda self, raw: raw)
    estimate = average_tracking(heatmaps, spot(12, 9), EIGHT_WAYS)
    assert estimate.center[0, 0] == pytest.approx(12.1, abs=0.01)
    assert estimate.heatmap.amax() == pytest.approx(7 / 8)


def test_correlations_change_sign_with_one_flip():
    covariance = torch.tensor([[[4.0, 1.0], [1.0, 2.0]]])
    assert View(flip_x=True).undo_covariance(covariance)[0, 0, 1] == -1
    assert View(flip_x=True, flip_y=True).undo_covariance(covariance)[0, 0, 1] == 1


@torch.no_grad()
def test_probabilities_are_averaged():
    torch.manual_seed(0)
    model = MedicaneForVideoClassification(SMALL.replace(temperature=2.0)).eval()
    frames = torch.randn(2, *SMALL.clip_shape)
    averaged = average_classification(model, frames, FLIPS)
    singles = [model(view.apply(frames, (32, 32))).logits.softmax(1) for view in FLIPS]
    torch.testing.assert_close(averaged.logits.exp(), sum(singles) / 4)
    torch.testing.assert_close((averaged.logits / 2).softmax(1), averaged.probabilities)


def test_views_that_do_not_fit_are_refused():
    with pytest.raises(ConfigurationError, match="leaves the frame"):
        View(offset=(1, 0)).apply(spot(0, 0), (32, 32))
    with pytest.raises(ConfigurationError, match="cannot be transposed"):
        View(transpose=True).apply(spot(0, 0), (32, 16))


@pytest.fixture
def mapper():
    torch.manual_seed(0)
    return MedicaneForTracking(SMALL.replace(task="tracking", head="heatmap")).eval()


def test_the_mean_map_turns_with_the_clip(mapper):
    """A mirrored clip has the mirrored map if all eight views are averaged."""
    frames = torch.rand(1, 2, 3, 32, 32)
    outputs = (average_tracking(mapper, f, EIGHT_WAYS) for f in (frames, frames.flip(4)))
    one, mirrored = (out.heatmap for out in outputs)
    assert one is not None
    torch.testing.assert_close(one.flip(2), mirrored)
    assert one.sum().item() == pytest.approx(1)
