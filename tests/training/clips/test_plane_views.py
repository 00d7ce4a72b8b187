"""Views of local planes: whole samples are read, and one map brings them onto the plane."""

import numpy as np
import pandas as pd
import pytest
import torch
from sample_stores import (
    FRAMES,
    MIDDLE,
    PROCESSOR,
    SAMPLE_SIZE,
    SIZE,
    picture,
    sample,
    sample_store,
)

from medicane_models.domain import Tile
from medicane_models.errors import ConfigurationError
from medicane_training.clips.check import check_store
from medicane_training.clips.dataset import ClipDataset
from medicane_training.clips.plane_views import draw_plane, fill_patches, own_plane
from medicane_training.clips.random_views import draw_borders, dropped_frames
from medicane_training.clips.sampling import ClipKey
from medicane_training.recipes.data_sections import Augmentation
from medicane_training.store.clip_store import decode
from medicane_training.store.plane_samples import Spot
from medicane_training.store.shards import MISSING

FREE = {"angle_degrees": 180.0, "mirror": 0.5, "scale": (0.7, 1.6), "center_margin_px": 2.0}
PLAIN = {"gain": 0.0, "offset": 0.0, "drop_frames": 0.0, "block": 0.0}
TURNED = Augmentation(shift_px=(0, 7), **FREE, **PLAIN)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sample_store(tmp_path_factory.mktemp("planes") / "s.zarr")


def views(store, augmentation, *, clip: int = 0, count: int = 16):
    """Views of a clip in one batch."""
    dataset = ClipDataset(store, augmentation=augmentation, num_views=count)
    return dataset[ClipKey(clip, 0, 0)]


def storm_clip(store) -> int:
    return int(np.flatnonzero(store.clips["label"] == 1)[0])


def brightest(image: np.ndarray) -> np.ndarray:
    """Middle (x, y) of the cold disc."""
    rows, columns = np.nonzero(np.nan_to_num(image) > 0.7)
    return np.array([columns.mean(), rows.mean()])


def test_without_augmentation_tiles_are_those_of_inference(store):
    clip = storm_clip(store)
    values, center = ClipDataset(store)[clip].pixel_values(PROCESSOR)
    np.testing.assert_allclose(values[0], PROCESSOR.normalise(decode(store.read(clip))), atol=1e-6)
    x, y = store.clips.loc[clip, ["target_x", "target_y"]]
    np.testing.assert_allclose(center[0], [x, y])


def test_the_target_stays_on_the_storm_however_a_plane_is_turned(store):
    batch = views(store, TURNED, clip=storm_clip(store))
    assert batch.codes.shape == (16, FRAMES, 1, SAMPLE_SIZE, SAMPLE_SIZE)
    values, center = batch.stretched(SIZE)
    assert values.shape[-2:] == (SIZE, SIZE)
    for image, target in zip(values[:, -1, 0].numpy(), center.numpy(), strict=True):
        np.testing.assert_allclose(brightest(image), target, atol=0.5)
    assert center.std(0).min() > 2  # they are displaced


def test_corners_of_turned_planes_come_from_the_sample(store):
    values, _ = views(store, TURNED, clip=storm_clip(store)).stretched(SIZE)
    assert values.isfinite().all()


def test_storms_and_borders_of_the_sample_keep_the_share_that_is_asked_for(store):
    wide = Augmentation(
        shift_px=(0, 25), most_missing=0.05, **FREE | {"scale": (0.4, 0.5)}, **PLAIN
    )
    batch = views(store, wide, clip=int(np.flatnonzero(store.clips["label"] == 0)[0]), count=64)
    values, _ = batch.stretched(SIZE)
    assert batch.views is not None
    drawn = ~batch.views.forced
    share = values[:, -1, 0].isnan().float().mean((1, 2))
    assert (share[drawn] < 0.05 + 0.03).all()  # the mesh is coarse
    assert drawn.float().mean() > 0


def test_what_cannot_be_drawn_is_the_own_tile_and_says_so(store):
    clip = storm_clip(store)
    never = Augmentation(shift_px=(30, 30), **FREE | {"scale": (1, 1)}, **PLAIN)
    batch = views(store, never, clip=clip, count=2)
    assert batch.views is not None
    assert batch.views.forced.all()
    values, center = batch.stretched(SIZE)
    np.testing.assert_allclose(values[0], decode(store.read(clip)), atol=1e-5)
    np.testing.assert_allclose(center[0], ClipDataset(store)[clip].center[0], atol=1e-4)


def test_no_storm_slides_into_a_plane_without_one():
    rng, own = np.random.default_rng(0), own_plane(Tile(30, 30), sample_size=92, size=32)
    far = np.array([[70.0, 45.0]])
    frame = np.zeros((1, 92, 92), np.uint8)
    wide = Augmentation(shift_px=(0, 20), **FREE)
    for _ in range(100):
        view = draw_plane(wide, rng, frame, own, anchor=np.full(2, MIDDLE), storms=far)
        assert view.depths(far)[0] <= -2


def test_all_frames_but_the_newest_may_be_missing_and_are_marked(store):
    alone = Augmentation(shift_px=(0, 7), single_frame=1.0, **FREE, **PLAIN)
    values, _ = views(store, alone, clip=storm_clip(store)).pixel_values(PROCESSOR)
    seen = values[:, :, 1]
    assert not seen[:, :-1].any()
    assert seen[:, -1].all()
    assert not values[:, :-1].any()


def test_frames_are_dropped_up_to_the_limit_and_never_the_newest():
    often = Augmentation(drop_frames=0.9)
    drawn = [dropped_frames(often, np.random.default_rng(seed), 4, 2) for seed in range(50)]
    assert max(map(len, drawn)) == 2
    assert not any(3 in frames for frames in drawn)


def test_borders_know_nothing_of_the_label_and_hide_no_more_than_they_should(store):
    bordered = Augmentation(shift_px=(0, 7), border=0.7, **FREE, **PLAIN)
    shares = []
    for label in (0, 1):
        clip = int(np.flatnonzero(store.clips["label"] == label)[0])
        values, _ = views(store, bordered, clip=clip, count=200).stretched(SIZE)
        shares.append(values[:, -1, 0].isnan().float().mean((1, 2)).numpy())
    assert abs((shares[0] > 0).mean() - (shares[1] > 0).mean()) < 0.1
    assert abs(shares[0].mean() - shares[1].mean()) < 0.05
    assert max(map(np.max, shares)) < 0.65


def test_a_second_border_comes_only_with_a_first():
    lines = [
        draw_borders(Augmentation(border=0.5), np.random.default_rng(s), 32) for s in range(99)
    ]
    there = np.isfinite(np.array(lines)[:, :, 2])
    assert 0.3 < there[:, 0].mean() < 0.7
    assert not (there[:, 1] & ~there[:, 0]).any()


def test_patches_join_what_is_left_and_right_of_them():
    codes = np.tile(np.arange(92, dtype=np.uint8), (4, 1, 92, 1))
    codes[:, :, 40:50, 40:50] = 200  # a mark
    codes[0] = MISSING
    view = own_plane(Tile(30, 30), sample_size=92, size=32)
    before = codes.copy()
    for seed in range(200):
        fill_patches(Augmentation(patches=3), np.random.default_rng(seed), codes, view)
    assert (codes[0] == MISSING).all()
    assert (codes[1:, :, 40:50, 40:50] == 200).mean() < 0.2
    assert (codes[1:, :, :27] == before[1:, :, :27]).all()  # far outside the plane


def test_a_sample_without_a_known_centre_is_drawn_about_its_middle(tmp_path):
    unknown = [sample("x", 1, storm="?x"), sample("y", 2, centre=Spot(46, 46), storm="y")]
    store = sample_store(tmp_path / "s.zarr", unknown)
    batch = views(store, TURNED, clip=int(np.flatnonzero(store.clips["storm"] == "?x")[0]))
    assert batch.label.unique().tolist() == [1]
    assert batch.center.isnan().all()
    assert batch.views is not None
    assert not batch.views.forced.any()


def test_views_depend_on_seed_epoch_and_position_alone(store):
    jitter = Augmentation(shift_px=(0, 7), curve=0.5, blur=0.5, border=0.5, patches=2, **FREE)

    def view(key: ClipKey) -> torch.Tensor:
        return ClipDataset(store, augmentation=jitter)[key].pixel_values(PROCESSOR)[0]

    torch.testing.assert_close(view(ClipKey(0, 1, 2)), view(ClipKey(0, 1, 2)))
    assert not torch.equal(view(ClipKey(0, 1, 2)), view(ClipKey(0, 1, 3)))


def test_what_a_store_cannot_read_is_refused(tmp_path):
    from clip_stores import small_store

    fixed = small_store(tmp_path / "s.zarr")
    with pytest.raises(ConfigurationError, match=r"single_frame is 0\.5, and the"):
        ClipDataset(fixed, augmentation=Augmentation(single_frame=0.5))
    with pytest.raises(ConfigurationError, match="patches is 2, and the store has fixed tiles"):
        ClipDataset(fixed, augmentation=Augmentation(patches=2))


def test_a_sound_store_of_samples_is_found_so_and_a_changed_one_not(tmp_path):
    short = sample("z", 3, stretched=picture(3, frames=2))
    some = [sample("x", 1), sample("y", 2, end=pd.NaT), short]
    good = sample_store(tmp_path / "s.zarr", some)
    assert check_store(good).problems == ()
    index = good.clips.assign(rows=good.rows.tolist(), checksum=0)
    index.to_parquet(good.path / "clips.parquet")
    good.refresh()
    (told,) = check_store(good).problems
    assert "6 clips differ from their checksum" in told
