import pytest
import torch

from medicane_models.errors import ConfigurationError
from medicane_models.network.masking import (
    decoder_mask,
    no_data_share,
    plan_tokens,
    running_cell_mask,
    tube_mask,
)

GRID = (8, 14, 14)


@pytest.mark.parametrize(("ratio", "masked"), [(0.75, 147), (0.9, 176), (0.0, 0)])
def test_tube_mask_is_the_same_in_every_frame(ratio, masked):
    frames = tube_mask(GRID, ratio, clips=3).unflatten(1, (8, 196))
    assert (frames.sum(2) == masked).all()
    assert (frames == frames[:, :1]).all()


def test_tube_masks_are_reproducible_and_differ_between_clips():
    first, again = (
        tube_mask(GRID, 0.75, clips=2, generator=torch.Generator().manual_seed(1)) for _ in "ab"
    )
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


def test_running_cells_follow_the_published_order():
    published = [[1, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 0]] * 2
    cells = running_cell_mask((8, 2, 2), 0.5, start=0)[0].unflatten(0, (8, 4))
    assert cells.int().tolist() == published


def test_running_cells_tile_the_grid_and_start_anywhere():
    frames = running_cell_mask((4, 6, 4), 0.5, start=2)[0].unflatten(0, (4, 6, 4))
    assert torch.equal(frames[:, :2, :2].repeat(1, 3, 2), frames)
    shifted = running_cell_mask((6, 6, 4), 0.5, start=0)[0].unflatten(0, (6, 6, 4))[2:]
    assert torch.equal(frames, shifted)


@pytest.mark.parametrize(("ratio", "masked"), [(0.0, 0), (0.3, 1), (0.5, 2), (0.75, 3)])
def test_running_cells_mask_whole_slots(ratio, masked):
    assert running_cell_mask((1, 2, 2), ratio).sum() == masked


def test_running_starts_are_drawn_for_each_clip():
    masks = running_cell_mask((1, 2, 2), 0.5, clips=64, generator=torch.Generator().manual_seed(0))
    assert len(masks.unique(dim=0)) == 4


@pytest.mark.parametrize("grid", [(8, 7, 14), (8, 14, 7)])
def test_odd_grids_are_refused(grid):
    with pytest.raises(ConfigurationError, match="even token grid"):
        running_cell_mask(grid, 0.5)


@pytest.mark.parametrize("ratio", [-0.1, 1.0])
def test_impossible_ratios_are_refused(ratio):
    with pytest.raises(ConfigurationError, match="mask ratio"):
        tube_mask(GRID, ratio)


def test_decoder_ratio_zero_decodes_what_was_not_seen():
    seen = ~tube_mask(GRID, 0.9, clips=2)
    assert torch.equal(decoder_mask(~seen, GRID, 0), seen)


def test_expected_number_of_scored_tokens():
    masked = tube_mask((8, 16, 16), 0.75, clips=4)
    plan = plan_tokens(masked, decoder_mask(masked, (8, 16, 16), 0.5))
    assert plan.visible.shape == (4, 512)
    assert plan.decoded.shape == (4, 1024)
    assert (plan.scored.sum(1) == 768).all()


def test_plan_lists_scored_tokens_last():
    masked = torch.tensor([[True, False, True, True], [True, True, False, True]])
    skipped = torch.tensor([[False, False, True, False], [True, False, False, False]])
    plan = plan_tokens(masked, skipped)
    assert plan.visible.tolist() == [[1], [2]]
    assert plan.decoded.tolist() == [[1, 0, 3], [2, 1, 3]]
    assert plan.scored.all()
    assert plan.targets.tolist() == [[0, 3], [1, 3]]


def test_ragged_masks_are_refused():
    masked = torch.tensor([[True, False, True], [True, False, False]])
    with pytest.raises(ConfigurationError, match="same number"):
        plan_tokens(masked)


def test_cells_without_data_are_masked_first():
    no_data = torch.zeros(1, 4, 32, 32, dtype=torch.bool)
    no_data[:, :, :16] = True
    share = no_data_share(no_data, 2, 16)
    assert share.tolist() == [[1, 1, 0, 0, 1, 1, 0, 0]]
    assert tube_mask((2, 2, 2), 0.5, no_data=share).tolist() == [[True, True, False, False] * 2]
