from dataclasses import replace

import numpy as np
import pytest
import torch

from medicane_models.domain import MEDITERRANEAN, Tile
from medicane_models.errors import ConfigurationError
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.clips.augmentation import (
    add_noise,
    adjust,
    bend,
    blur,
    hide_beyond,
    move_points,
    normalised,
    stretched,
    warp,
)
from medicane_training.clips.random_views import (
    depths,
    draw_bend,
    draw_frames,
    draw_matrix,
    draw_photometry,
    draw_tile,
    hide_block,
)
from medicane_training.recipes.data_sections import Augmentation
from medicane_training.store.clip_store import decode, encode
from medicane_training.store.shards import MISSING

SIZE = 33
TILE = Tile(426, 98)
NOTHING = Augmentation(
    shift_px=None, angle_degrees=0, scale=(1, 1), gain=0, offset=0, drop_frames=0, block=0
)
NOWHERE = np.full(2, np.nan)


def rotation(degrees: float, scale: float = 1.0, mirror: bool = False) -> torch.Tensor:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return torch.tensor(scale * turn @ np.diag([-1.0 if mirror else 1.0, 1.0]))[None].float()


def marked(x: float, y: float) -> torch.Tensor:
    """A clip whose brightness is a blob around a pixel."""
    axis = np.arange(SIZE)
    blob = np.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / 8)
    return torch.tensor(blob, dtype=torch.float32).expand(1, 2, 1, SIZE, SIZE)


def moved(clip: torch.Tensor, *how) -> torch.Tensor:
    """A clip of stretched values as :func:`warp` moves its codes."""
    return warp(torch.from_numpy(encode(clip.numpy())), *how)


def centroid(clip: torch.Tensor) -> np.ndarray:
    image = np.nan_to_num(clip[0, 0, 0].numpy())
    axis = np.arange(len(image))
    return np.array([(image.sum(0) * axis).sum(), (image.sum(1) * axis).sum()]) / image.sum()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 15, -37])
@pytest.mark.parametrize("scale", [1.0, 0.9, 1.2])
def test_the_target_moves_with_a_marked_pixel(degrees, scale, mirror):
    matrix = rotation(degrees, scale, mirror)
    target = move_points(torch.tensor([[20.0, 13.0]]), matrix, SIZE)
    np.testing.assert_allclose(target[0], centroid(moved(marked(20, 13), matrix)), atol=0.1)


def test_quarter_turns_and_mirrors_are_those_of_numpy():
    codes = np.random.default_rng(0).integers(0, 255, (1, 2, 3, SIZE, SIZE), np.uint8)
    clip = torch.from_numpy(decode(codes))
    for degrees, turns in ((90, -1), (180, 2), (270, 1)):
        expected = torch.rot90(clip, turns, (-2, -1))
        torch.testing.assert_close(moved(clip, rotation(degrees)), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(moved(clip, rotation(0, 1, True)), clip.flip(-1), atol=1e-4, rtol=0)


def test_only_a_mirror_changes_the_sense_of_rotation():
    rng = np.random.default_rng(0)
    turning = Augmentation(quarter_turns=True, angle_degrees=45)
    mirrored = Augmentation(quarter_turns=True, mirror=1.0)
    for _ in range(20):
        assert np.linalg.det(draw_matrix(turning, rng, NOWHERE, SIZE)) > 0
        assert np.linalg.det(draw_matrix(mirrored, rng, NOWHERE, SIZE)) < 0


def test_missing_pixels_stay_missing_and_do_not_spread():
    clip = torch.ones(1, 1, 1, SIZE, SIZE)
    clip[..., 10, 20] = torch.nan
    turned = moved(clip, rotation(90))
    assert turned.isnan().sum() == 1
    assert turned[0, 0, 0, 20, SIZE - 1 - 10].isnan()
    half = moved(clip, rotation(30))
    assert half[~half.isnan()].min() == half[~half.isnan()].max() == 1


def test_what_lies_outside_the_tile_is_missing():
    shrunk = moved(torch.ones(1, 1, 1, SIZE, SIZE), rotation(0, 0.5))[0, 0, 0]
    assert shrunk[0].isnan().all()
    assert not shrunk[SIZE // 4 + 1 : -SIZE // 4, SIZE // 4 + 1 : -SIZE // 4].isnan().any()


def test_gain_and_offset_follow_the_equation_in_each_band():
    values = torch.tensor([0.5, 0.75, 0.0, torch.nan]).view(1, 1, 2, 1, 2)
    done = adjust(values, torch.tensor([[2.0, 1.0]]), torch.tensor([[0.0, 0.1]]))
    np.testing.assert_allclose(done.flatten(), [0.5, 1.0, 0.1, np.nan], atol=1e-6)


def test_values_and_normalisation_are_those_of_inference():
    codes = np.random.default_rng(0).integers(0, 256, (1, 2, 3, 4, 4), np.uint8)
    processor = MedicaneProcessor.airmass()
    values = stretched(torch.from_numpy(codes))
    np.testing.assert_array_equal(values, decode(codes))
    expected = processor.normalise(decode(codes))
    np.testing.assert_allclose(normalised(values, processor), expected, atol=1e-6)


def draw(storms, label, seed):
    return draw_tile(
        Augmentation(),
        np.random.default_rng(seed),
        TILE,
        label=label,
        storms=np.array(storms, float).reshape(-1, 2),
        grid=MEDITERRANEAN,
        size=224,
    )


def test_shifted_windows_keep_the_centre_inside_and_the_grid_around():
    for seed in range(100):
        moved = draw([(500, 150)], 1, seed)
        assert moved.x + 5 <= 500 + 0.5 <= moved.x + 224 - 5
        assert moved.y + 5 <= 150 + 0.5 <= moved.y + 224 - 5
        assert all(40 <= abs(d) <= 100 for d in np.subtract(moved, (426, 98))) or moved == (426, 98)
        assert 0 <= moved.y <= 420 - 224


def test_most_windows_move():
    moved = {draw([(538, 210)], 1, seed) for seed in range(20)}
    assert len(moved) > 15


def test_a_window_without_cyclone_never_slides_over_one():
    storm = np.array([[426 + 224 + 30, 200.0]])
    for seed in range(100):
        assert depths(storm, draw(storm, 0, seed), 224)[0] <= -5


def test_neighbours_and_ignored_clips_move_only_where_no_storm_is():
    assert draw([(0, 0)], 2, 0) == draw([(0, 0)], -1, 0) == TILE
    assert draw([], -1, 0) != TILE


def test_maps_keep_the_centre_inside():
    augmentation = Augmentation(quarter_turns=True, scale=(0.5, 2.0), center_margin_px=3)
    center = np.array([30.0, 4.0])
    for seed in range(100):
        matrix = draw_matrix(augmentation, np.random.default_rng(seed), center, SIZE)
        moved = matrix @ (center - 16) + 16
        assert (moved > -0.5 + 3 - 1e-9).all()
        assert (moved < SIZE - 0.5 - 3 + 1e-9).all()


def test_nothing_is_drawn_where_nothing_is_asked_for():
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(draw_matrix(NOTHING, rng, NOWHERE, SIZE), np.eye(2))
    gain, offset = draw_photometry(NOTHING, rng, 3)
    assert gain.tolist() == [1, 1, 1]
    assert not offset.any()
    assert draw_frames(NOTHING, rng, 16, 2) == list(range(16))


def test_dropped_frames_are_filled_from_the_nearest_up_to_the_limit():
    always = Augmentation(drop_frames=1.0)
    for seed in range(20):
        shown = draw_frames(always, np.random.default_rng(seed), 16, 2)
        changed = [slot for slot in range(16) if shown[slot] != slot]
        assert len(changed) == 2
        assert all(abs(shown[slot] - slot) <= 2 for slot in changed)


def test_a_block_hides_a_rectangle_in_consecutive_frames():
    codes = np.zeros((16, 3, 40, 40), np.uint8)
    hide_block(Augmentation(block=1.0), np.random.default_rng(1), codes)
    hidden = codes == MISSING
    frames, bands, rows, columns = (
        np.flatnonzero(hidden.any(tuple({0, 1, 2, 3} - {axis}))) for axis in range(4)
    )
    assert len(bands) == 3
    assert hidden.sum() == len(frames) * 3 * len(rows) * len(columns) > 0
    assert all(np.ptp(axis) + 1 == len(axis) for axis in (frames, rows, columns))


@pytest.mark.parametrize("wrong", [{"mirror": 1.5}, {"shift_px": (100, 40)}, {"scale": (0, 1)}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="give"):
        Augmentation(**wrong)


def test_a_bent_curve_rises_and_keeps_its_ends():
    levels = torch.linspace(0, 1, 201).view(1, 1, 1, 1, -1)
    for seed in range(30):
        curve = draw_bend(Augmentation(curve=0.95), np.random.default_rng(seed))
        bent = bend(levels, torch.from_numpy(curve)[None].float()).flatten()
        assert (bent.diff() > 0).all()
        np.testing.assert_allclose(bent[[0, -1]], [0, 1], atol=1e-6)


def test_blur_goes_part_of_the_way_to_the_mean_around_and_leaves_missing_pixels_out():
    clip = torch.rand(2, 1, 1, 5, 5)
    clip[:, :, :, 0, 0] = torch.nan
    done = blur(clip, torch.tensor([0.0, 0.5]))
    torch.testing.assert_close(done[0], clip[0], equal_nan=True)
    around = torch.nanmean(clip[1, 0, 0, :3, :3])
    expected = (clip[1, 0, 0, 1, 1] + around) / 2
    assert done[1, 0, 0, 1, 1].item() == pytest.approx(expected.item(), abs=1e-6)
    assert done[1].isnan().sum() == 1


def test_noise_has_the_deviation_of_its_view():
    noisy = add_noise(torch.zeros(2, 2, 1, 64, 64), torch.tensor([0.0, 0.1]))
    assert not noisy[0].any()
    assert noisy[1].std().item() == pytest.approx(0.1, rel=0.05)


def test_what_lies_beyond_a_line_is_missing():
    lines = torch.tensor([[[1.0, 0.0, 3.0], [0.0, 1.0, torch.inf]]])
    hidden = hide_beyond(torch.zeros(1, 1, 1, SIZE, SIZE), lines)[0, 0, 0].isnan()
    x = np.arange(SIZE) - (SIZE - 1) / 2
    np.testing.assert_array_equal(hidden, np.broadcast_to(x > 3, (SIZE, SIZE)))


def test_a_shifted_map_onto_a_smaller_tile_takes_points_along():
    matrix, shift = rotation(30, 1.2), torch.tensor([[0.5, -3.0]])
    target = move_points(torch.tensor([[20.0, 13.0]]), matrix, SIZE, shift, 25)
    found = centroid(moved(marked(20, 13), matrix, shift, 25))
    np.testing.assert_allclose(target[0], found, atol=0.1)


@pytest.mark.parametrize("bands", [1, 2])
def test_marked_pixels_are_normalised_as_inference_does_it(bands):
    codes = np.random.default_rng(0).integers(250, 256, (1, 2, bands, 4, 4), np.uint8)
    processor = MedicaneProcessor.infrared(missing="marked", num_frames=2, max_missing=1)
    if bands == 2:
        processor = replace(processor, bands=processor.bands * 2, mean=(0.4, 0.5), std=(0.2, 0.3))
    found = normalised(stretched(torch.from_numpy(codes)), processor)
    np.testing.assert_allclose(found, processor.normalise(decode(codes)), atol=1e-6)
    assert found.shape[2] == bands + 1
