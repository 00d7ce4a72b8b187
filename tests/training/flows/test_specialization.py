from dataclasses import replace

import numpy as np
import pytest
import torch
from clip_stores import PROCESSOR
from PIL import Image
from tiny_flows import judged, specialization, step, train, visible_store

from medicane_models.files import json_text
from medicane_models.network.masking import decoder_mask, no_data_share, tube_mask
from medicane_training.clips.batches import ClipBatch
from medicane_training.clips.dataset import ClipDataset
from medicane_training.flows.specialization import SpecializationFlow
from medicane_training.recipes.data_sections import Augmentation
from medicane_training.store.shards import MISSING

GRID = (2, 4, 4)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return visible_store(tmp_path_factory.mktemp("specialization"))


@pytest.fixture
def flow(store):
    return SpecializationFlow.open(specialization(store))


@pytest.fixture
def model(flow):
    torch.manual_seed(0)
    return flow.make_model()[0]


def clips(flow: SpecializationFlow, *numbers: int, hide: tuple[int, ...] = ()) -> ClipBatch:
    """Clips of the store; of those at ``hide`` the lower part is missing, within a token's row."""
    batch = ClipDataset(flow.clips.store).__getitems__(list(numbers))
    for row in hide:
        batch.codes[row, :, :, 20:] = MISSING
    return batch


def ramps(flow: SpecializationFlow, count: int) -> ClipBatch:
    """Clips that get brighter in a direction of their own, which any visible token tells."""
    angle = torch.linspace(0, 2 * np.pi, count + 1)[:-1, None, None]
    axis = torch.arange(32.0)
    plane = angle.cos() * axis + angle.sin() * axis[:, None]  # (clips, h, w)
    codes = (127 + 2.5 * (plane - plane.mean((1, 2), keepdim=True))).clamp(0, 254).byte()
    codes = codes[:, None, None].expand(-1, 4, -1, -1, -1).clone()
    return replace(
        clips(flow, *range(count)), codes=codes, center=torch.full((count, 2), torch.nan)
    )


def test_it_learns_to_fill_in_what_its_surroundings_tell(flow, model):
    batch = ramps(flow, 8)
    losses = train(flow, model, batch, 40)
    assert losses[0] > 0.9
    assert np.mean(losses[-5:]) < 0.7


@torch.no_grad()
def test_the_loss_of_a_clip_is_the_models_own(flow, model):
    """With the masks that its number determines, where part of it is missing too."""
    for hide in ((), (0,)):
        batch = clips(flow, 40, hide=hide)
        no_data = (batch.codes == MISSING).any(2)
        shares = no_data_share(no_data, 2, 8)
        drawn = torch.Generator().manual_seed(40)
        encoder = tube_mask(GRID, 0.75, no_data=shares, generator=drawn)
        masks = encoder, decoder_mask(encoder, GRID, 0.5, generator=drawn)
        expected = model(batch.pixel_values(PROCESSOR)[0], *masks, no_data=no_data).loss
        assert flow.judge(model, batch)["loss"][0] == pytest.approx(expected.item(), rel=1e-4)


@torch.no_grad()
def test_validation_losses_do_not_depend_on_the_batch(flow, model):
    model.eval()
    together = flow.judge(model, clips(flow, 3, 70, 5, hide=(1,)))["loss"]
    alone = [flow.judge(model, clips(flow, 3))["loss"][0]]
    alone += [flow.judge(model, clips(flow, 70, hide=(0,)))["loss"][0]]
    np.testing.assert_allclose(together[:2], alone, rtol=1e-5)


def test_two_ranks_have_the_loss_of_one(flow, model):
    """The sampler deals clips in turn; missing data of either must not move the other's masks."""
    numbers, hidden = [3, 30, 5, 41, 70, 8, 9, 64], {1, 4}
    whole = flow.loss(model, clips(flow, *numbers, hide=tuple(hidden)), step(7))
    ranks = []
    for rank in range(2):
        own = range(rank, len(numbers), 2)
        hide = tuple(place for place, row in enumerate(own) if row in hidden)
        batch = clips(flow, *(numbers[row] for row in own), hide=hide)
        ranks.append(flow.loss(model, batch, step(7, rank=rank, world_size=2)))
    torch.testing.assert_close(torch.stack(ranks).mean(), whole)


def test_masks_change_from_step_to_step(flow, model):
    batch = clips(flow, 3, 4)
    first, again, other = (flow.loss(model, batch, step(n)).item() for n in (0, 0, 1))
    assert first == again
    assert first != other


@torch.no_grad()
def test_a_clip_without_data_counts_for_nothing(flow, model):
    model.eval()
    batch = clips(flow, 3, 4)
    batch.codes[1] = MISSING
    columns = flow.judge(model, batch)
    assert np.isnan(columns["loss"]).tolist() == [False, True]
    assert flow.loss(model, batch, step()).isfinite()


def test_no_data_is_followed_through_augmentation(store):
    recipe = specialization(store)
    turning = Augmentation(shift_px=None, angle_degrees=45.0, drop_frames=0, block=1.0)
    data = replace(recipe.data, augmentation=turning)
    flow = SpecializationFlow.open(replace(recipe, data=data))
    batch = next(iter(flow.clips.training(global_batch=8, rank=0, world_size=1)))
    pixels, no_data = flow._pixels(batch)
    assert no_data.any()
    assert (pixels[no_data[:, :, None]] == 0).all()
    assert flow.loss(flow.make_model()[0], batch, step()).isfinite()


def test_scores_say_what_is_left_unexplained(flow, model):
    table = judged(flow, model)
    scores = flow.score(table)
    assert len(table) == len(flow.clips.rows("validation"))
    assert scores["loss"] == pytest.approx(table["loss"].mean())
    assert scores["unexplained"] == pytest.approx(scores["loss"] / scores["loss_of_mean"])
    assert 0.9 < scores["loss_of_mean"] < 1  # (n - 1) / n of the unbiased variance


def test_the_report_of_the_test_is_json_with_counts(flow, model):
    table = judged(flow, model)
    report = flow.report(flow.finish(model, table)[0], table)
    assert report["counts"] == {"clips": len(table), "clips_with_data": len(table)}
    assert report["scores"]["model"]["loss"]["value"] == pytest.approx(table["loss"].mean())
    assert "nan" not in json_text(report).lower()
    assert "clips of Meteosat-11, 2020-09-17" in model.config.trained_on


def test_pictures_show_original_masked_and_filled_frames(flow, model, tmp_path):
    model.eval()
    paths = flow.draw(model, tmp_path / "new", "epoch-1")
    assert len(paths) == flow.recipe.masking.pictures
    picture = np.asarray(Image.open(paths[0])) / 255
    assert picture.shape == (3 * 32, 4 * 32, 3)
    original, seen, filled = picture.reshape(3, 32, 128, 3)
    visible = seen != seen[0].min(initial=2, where=np.isclose(seen[0], 0.5, atol=0.01))
    assert 0.2 < visible.mean() < 0.3  # a quarter of the cells
    np.testing.assert_allclose(original[visible], seen[visible])
    np.testing.assert_allclose(filled[visible], original[visible], atol=0.01)
    assert not np.allclose(filled[~visible], original[~visible], atol=0.01)


def test_no_pictures_where_none_are_asked_for(store, tmp_path):
    flow = SpecializationFlow.open(specialization(store, pictures=0))
    assert flow.draw(flow.make_model()[0], tmp_path, "x") == []
