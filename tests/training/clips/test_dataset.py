from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from clip_stores import PROCESSOR, small_store

from medicane_models.errors import ConfigurationError, SceneError
from medicane_training.clips.dataset import ClipDataset, ClipLoader
from medicane_training.clips.sampling import (
    ClipKey,
    ClipSampler,
    balanced,
    in_order,
    present_shares,
    shuffled,
)
from medicane_training.recipes.data_sections import Augmentation
from medicane_training.store.clip_store import decode
from medicane_training.store.shards import shard_path

AUGMENTATION = Augmentation(shift_px=(3, 10), drop_frames=0.2, block=0.5, center_margin_px=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("data") / "s.zarr")


def sampler(count: int = 20, **options) -> ClipSampler:
    order = options.pop("order", None) or shuffled(range(count), seed=1)
    return ClipSampler(order, **{"batch_size": 4, "even": True, **options})


def keys(one: ClipSampler) -> list[ClipKey]:
    return [key for batch in one for key in batch]


def test_a_batch_holds_clips_labels_and_centres_of_the_index(store):
    cyclone = int(np.flatnonzero(store.clips["label"] == 1)[0])
    batch = ClipDataset(store).__getitems__([cyclone, 3])
    np.testing.assert_array_equal(batch.codes, np.stack([store.read(cyclone), store.read(3)]))
    assert batch.label.tolist() == [1, 0]
    expected = store.clips.loc[[cyclone, 3], ["target_x", "target_y"]]
    np.testing.assert_allclose(batch.center, expected, rtol=1e-6)


def test_pixel_values_are_what_inference_would_see(store):
    values, _ = ClipDataset(store)[5].pixel_values(PROCESSOR)
    expected = PROCESSOR.normalise(decode(store.read(5)))
    np.testing.assert_allclose(values[0], expected, atol=1e-6)


def test_views_of_a_clip_lie_side_by_side_and_differ(store):
    batch = ClipDataset(store, augmentation=AUGMENTATION, num_views=3).__getitems__([7, 8])
    assert batch.clip.tolist() == [7, 7, 7, 8, 8, 8]
    assert not torch.equal(batch.codes[0], batch.codes[1])
    values, _ = batch.pixel_values(PROCESSOR)
    assert values.shape == (6, 4, 1, 32, 32)
    assert values.isfinite().all()


def test_the_centre_of_a_view_points_at_the_same_place(store):
    """Windows that only slide show, at the target, the pixel that the tile shows at its own."""
    slide = Augmentation(
        shift_px=(3, 10), angle_degrees=0, scale=(1, 1), drop_frames=0, block=0, center_margin_px=2
    )
    cyclone = int(np.flatnonzero(store.clips["label"] == 1)[0])
    dataset = ClipDataset(store, augmentation=slide, num_views=8)
    batch = dataset[ClipKey(cyclone, 0, 0)]
    x, y = (store.clips.loc[cyclone, ["target_x", "target_y"]].to_numpy(float) + 0.1).astype(int)
    marked = store.read(cyclone)[:, :, y, x]
    assert len(set(map(tuple, batch.center.tolist()))) > 1
    for codes, center in zip(batch.codes, batch.center, strict=True):
        column, row = (center + 0.1).int().tolist()
        np.testing.assert_array_equal(codes[:, :, row, column], marked)


def test_a_view_depends_on_seed_epoch_and_position_alone(store):
    def view(seed: int, key: ClipKey) -> torch.Tensor:
        dataset = ClipDataset(store, augmentation=AUGMENTATION, seed=seed)
        return dataset[key].pixel_values(PROCESSOR)[0]

    first = view(0, ClipKey(9, 2, 5))
    torch.testing.assert_close(view(0, ClipKey(9, 2, 5)), first)
    for seed, key in ((1, ClipKey(9, 2, 5)), (0, ClipKey(9, 3, 5)), (0, ClipKey(9, 2, 6))):
        assert not torch.equal(view(seed, key), first)


@pytest.mark.parametrize(("start_method", "workers"), [("fork", 2), ("spawn", 1)])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_workers_change_nothing(store, start_method, workers):
    dataset = ClipDataset(store, augmentation=AUGMENTATION, num_views=2)
    dataset[0]  # opens the store here before a worker forks
    alone = list(ClipLoader(dataset, sampler()))
    loader = ClipLoader(dataset, sampler(), workers=workers, start_method=start_method)
    shared = list(loader)
    assert len(alone) == len(shared) == 5
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.codes, other.codes)
        assert torch.equal(one.pixel_values(PROCESSOR)[0], other.pixel_values(PROCESSOR)[0])


def test_epochs_differ_and_follow_each_other(store):
    loader = ClipLoader(ClipDataset(store), sampler())
    first, second = ([batch.clip.tolist() for batch in loader] for _ in range(2))
    assert first != second
    assert loader.state_dict() == {"epoch": 2, "position": 0}


def test_a_run_resumes_at_the_batch_it_had_come_to(store):
    dataset = ClipDataset(store, augmentation=AUGMENTATION)
    whole = [batch.codes for batch in ClipLoader(dataset, sampler())]
    interrupted = ClipLoader(dataset, sampler())
    for _ in islice(interrupted, 2):
        state = interrupted.state_dict()
    resumed = ClipLoader(dataset, sampler())
    resumed.load_state_dict(state)
    assert len(resumed) == 3
    for one, other in zip(resumed, whole[2:], strict=True):
        assert torch.equal(one.codes, other)


def test_training_ranks_get_equally_many_full_batches():
    ranks = [keys(sampler(22, rank=rank, world_size=2)) for rank in range(2)]
    assert [len(rank) for rank in ranks] == [8, 8]
    positions = sorted(key.position for rank in ranks for key in rank)
    assert positions == list(range(16))


@pytest.mark.parametrize("count", [1, 7, 16, 21])
def test_evaluation_sees_every_clip_once_in_all_ranks_together(count):
    ranks = [
        keys(sampler(order=in_order(range(count)), even=False, rank=rank, world_size=3))
        for rank in range(3)
    ]
    assert sorted(key.clip for rank in ranks for key in rank) == list(range(count))


def test_a_run_may_resume_on_another_number_of_ranks():
    before = [sampler(32, rank=rank, world_size=2) for rank in range(2)]
    used = [key for one in before for key in next(iter(one))]
    before[0].advance()
    after = sampler(32)
    after.load_state_dict(before[0].state_dict())
    assert sorted([*used, *keys(after)], key=lambda k: k.position) == keys(sampler(32))


def test_balanced_draws_follow_the_shares_and_treat_storms_alike(store):
    index = store.clips
    order = balanced(index, range(len(index)), samples=1000, seed=0)(0)
    strata = Counter(index["stratum"].iloc[order])
    shares = present_shares(index, range(len(index)))
    assert {name: count / 1000 for name, count in strata.items()} == pytest.approx(shares, abs=1e-3)
    assert "clear" not in strata  # there is none
    storms = Counter(index["storm"].iloc[order[index["stratum"].iloc[order] == "cyclone"]])
    assert abs(storms["first"] - storms["second"]) <= 1


def test_no_clip_of_a_stratum_comes_again_before_all_have_come(store):
    index = store.clips
    order = balanced(index, range(len(index)), samples=300, seed=0, shares={"cloudy": 1.0})(0)
    counts = Counter(order.tolist())
    assert len(counts) == (index["stratum"] == "cloudy").sum()
    assert max(counts.values()) - min(counts.values()) <= 1


def test_draws_come_from_the_given_clips_alone(store):
    clips = np.flatnonzero(store.clips["storm"] == "first")
    order = balanced(store.clips, clips, samples=50, seed=0)(3)
    assert set(order.tolist()) <= set(clips.tolist())


def test_an_order_depends_on_seed_and_epoch(store):
    clips = range(len(store.clips))
    orders = [
        balanced(store.clips, clips, samples=50, seed=seed)(epoch).tolist()
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] == orders[1]
    assert orders[0] not in orders[2:]


def test_shares_of_no_stratum_are_refused_by_name(store):
    with pytest.raises(ConfigurationError, match=r"data\.shares names cyclon; the strata are "):
        present_shares(store.clips, range(20), {"cyclon": 0.5, "clear": 0.5})


def test_shares_without_any_clip_are_refused(store):
    clear = {"clear": 1.0}
    with pytest.raises(ConfigurationError, match="no clip belongs to clear"):
        balanced(store.clips, range(20), samples=5, seed=0, shares=clear)


def test_an_unreadable_clip_is_an_error_that_names_it(tmp_path):
    broken = small_store(tmp_path / "s.zarr")
    shard_path(broken.path, 2).write_bytes(b"short")
    loader = ClipLoader(ClipDataset(broken), sampler(order=in_order([275]), batch_size=1))
    with pytest.raises(SceneError, match=r"clip 275 \(2020-09-17 23:00 UTC, tile 66, 38\): .*c/2/"):
        list(loader)


def test_several_views_without_augmentation_are_refused(store):
    with pytest.raises(ConfigurationError, match="only with an augmentation"):
        ClipDataset(store, num_views=2)
