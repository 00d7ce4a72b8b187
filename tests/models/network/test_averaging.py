import pytest
import torch

from medicane_models.errors import ConfigurationError
from medicane_models.network.averaging import (
    EIGHT_WAYS,
    FLIPS,
    View,
    average_classification,
    average_heatmaps,
    average_tracking,
)
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.outputs import TrackingOutput

SMALL = MedicaneConfig(
    image_size=32, num_frames=2, embed_dim=12, depth=1, num_heads=2, mlp_hidden_dim=24
)
SHIFTED = (View(offset=(3, 5)), View(offset=(8, 0), flip_x=True, transpose=True))


def spot(x, y, rows=32, columns=32):
    frames = torch.zeros(1, 2, 3, rows, columns)
    frames[..., y, x] = 1
    return frames


def brightest(tile):
    """A tracker that is always right: the brightest pixel, with errors along x only."""
    index = tile[:, -1, 0].flatten(1).argmax(1)
    center = torch.stack((index % tile.shape[4], index // tile.shape[4]), 1).float()
    return TrackingOutput(center=center, covariance=torch.diag(torch.tensor([9.0, 0.0]))[None])


@pytest.fixture
def tracker(monkeypatch):
    model = MedicaneForTracking(SMALL).eval()
    monkeypatch.setattr(model, "forward", brightest)
    return model


@pytest.mark.parametrize("view", [*EIGHT_WAYS, *SHIFTED])
def test_centres_come_back_to_where_they_were(view, tracker):
    estimate = average_tracking(tracker, spot(12, 9, 40, 48), [view])
    assert estimate.center.tolist() == [[12, 9]]
    turned = [[0, 0], [0, 9]] if view.transpose else [[9, 0], [0, 0]]
    assert estimate.covariance.tolist() == [turned]


def test_eight_ways_are_all_different():
    tile = torch.randn(1, 1, 1, 32, 32)
    views = torch.cat([view.apply(tile, (32, 32)) for view in EIGHT_WAYS])
    assert len(views.flatten(1).unique(dim=0)) == 8


def test_averaging_a_perfect_tracker_mixes_its_errors(tracker):
    estimate = average_tracking(tracker, spot(20, 4), EIGHT_WAYS)
    assert estimate.center.tolist() == [[20, 4]]
    assert estimate.covariance.tolist() == [[[4.5, 0], [0, 4.5]]]


def test_disagreement_widens_the_covariance(monkeypatch):
    model = MedicaneForTracking(SMALL).eval()
    stubborn = TrackingOutput(center=torch.tensor([[10.0, 15.5]]), covariance=torch.zeros(1, 2, 2))
    monkeypatch.setattr(model, "forward", lambda _: stubborn)
    estimate = average_tracking(model, spot(0, 0), [View(), View(flip_x=True)])
    assert estimate.center.tolist() == [[15.5, 15.5]]
    assert estimate.covariance.tolist() == [[[5.5**2, 0], [0, 0]]]


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
    singles = [model(view.apply(frames, (32, 32))).probabilities for view in FLIPS]
    torch.testing.assert_close(averaged.probabilities, sum(singles) / 4)
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


@pytest.mark.parametrize("view", EIGHT_WAYS)
def test_maps_come_back_as_the_tile_lies(view):
    tile = torch.rand(1, 1, 1, 32, 32)
    assert torch.equal(view.undo_map(view.apply(tile, (32, 32))[:, 0, 0]), tile[:, 0, 0])


def test_the_mean_map_of_one_view_has_its_centre(mapper):
    frames = torch.rand(2, 2, 3, 32, 32)
    plain, averaged = mapper(frames), average_heatmaps(mapper, frames, [View()])
    assert torch.equal(averaged.center, plain.center)
    assert torch.equal(averaged.covariance, plain.covariance)


def test_the_mean_map_turns_with_the_clip(mapper):
    """A mirrored clip has the mirrored map if all eight views are averaged."""
    frames = torch.rand(1, 2, 3, 32, 32)
    outputs = (average_heatmaps(mapper, f, EIGHT_WAYS) for f in (frames, frames.flip(4)))
    one, mirrored = (out.heatmap for out in outputs)
    assert one is not None
    torch.testing.assert_close(one.flip(2), mirrored)
    assert one.sum().item() == pytest.approx(1)


def test_maps_that_cannot_be_averaged_are_refused(mapper):
    frames = torch.rand(1, 2, 3, 40, 48)
    with pytest.raises(ConfigurationError, match="offsets"):
        average_heatmaps(mapper, frames, SHIFTED)
    with pytest.raises(ConfigurationError, match="heatmap head"):
        average_heatmaps(MedicaneForTracking(SMALL.replace(head="regression")), frames)
