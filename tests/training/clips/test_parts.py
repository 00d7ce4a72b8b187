from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch
from clip_stores import small_store
from plane_stores import plane_store

from medicane_models.errors import ConfigurationError
from medicane_training.clips.parts import Clips
from medicane_training.flows.interface import Step
from medicane_training.recipes.data_sections import Augmentation, DataSettings, SplitSettings

BY_DATES = SplitSettings(
    by="dates",
    validation_from="2020-09-17T08:30",
    test_from="2020-09-17T11:30",
    guard_hours=0.0,
)
"""Eight hours with the first storm, three without any, twelve with the second one."""

VIEWS = Augmentation(shift_px=(3, 10), center_margin_px=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("parts") / "s.zarr")


def settings(store, **more) -> DataSettings:
    return DataSettings(store=str(store.path), **{"split": BY_DATES, "augmentation": VIEWS, **more})


@pytest.fixture(scope="module")
def clips(store):
    return Clips(store, settings(store), seed=0)


def trained(clips, **options) -> list[int]:
    loader = clips.training(**{"global_batch": 8, "rank": 0, "world_size": 1, **options})
    return [clip for batch in loader for clip in batch.clip.tolist()]


def test_counts_are_those_of_the_index(clips, store):
    counts = clips.counts()
    assert counts["clips"].to_dict() == {"train": 8 * 12, "validation": 3 * 12, "test": 12 * 12}
    assert counts["hours"].to_dict() == {"train": 8, "validation": 3, "test": 12}
    assert counts["storms"].to_dict() == {"train": 1, "validation": 0, "test": 1}
    assert counts["cyclones"].sum() == (store.clips["label"] == 1).sum()
    assert counts.loc["test", "first"] == pd.Timestamp("2020-09-17 12:00")


def test_training_reads_every_training_clip_once_an_epoch(clips):
    assert sorted(trained(clips)) == clips.rows("train").tolist()


@pytest.mark.parametrize("part", ["validation", "test"])
def test_evaluation_shows_each_clip_once_and_as_it_is(clips, store, part):
    batches = [
        batch for rank in range(3) for batch in clips.evaluation(part, rank=rank, world_size=3)
    ]
    seen = torch.cat([batch.clip for batch in batches])
    assert sorted(seen.tolist()) == clips.rows(part).tolist()
    np.testing.assert_array_equal(batches[1].codes[0], store.read(int(batches[1].clip[0])))
    assert batches[1].views is None


def test_what_is_eligible_changes_rows_but_no_part(clips, store):
    eligible = (store.clips["tile_x"] == 0).to_numpy()
    some = Clips(store, settings(store), seed=9, eligible=eligible)
    pd.testing.assert_series_equal(some.part, clips.part)
    assert set(trained(some)) <= set(np.flatnonzero(eligible))
    np.testing.assert_array_equal(
        some.rows("test"), clips.rows("test")[eligible[clips.rows("test")]]
    )


def test_a_saved_split_is_the_same_split(clips, store, tmp_path):
    clips.save_split(tmp_path / "split.csv")
    split = SplitSettings(by="file", file=str(tmp_path / "split.csv"))
    again = Clips(store, settings(store, split=split), seed=0)
    pd.testing.assert_series_equal(again.part, clips.part)


def test_a_saved_split_says_that_its_times_are_utc(clips, tmp_path):
    clips.save_split(tmp_path / "split.csv")
    assert pd.read_csv(tmp_path / "split.csv")["end"].str.endswith("Z").all()


def test_a_split_may_have_gone_through_a_spreadsheet(clips, store, tmp_path):
    clips.save_split(tmp_path / "split.csv")
    text = (tmp_path / "split.csv").read_text().replace(",", ";")
    (tmp_path / "split.csv").write_text("# ours\n" + text, encoding="utf-8-sig")
    split = SplitSettings(by="file", file=str(tmp_path / "split.csv"))
    again = Clips(store, settings(store, split=split), seed=0)
    pd.testing.assert_series_equal(again.part, clips.part)


def test_a_split_that_tears_a_storm_is_refused(clips, store, tmp_path):
    torn = clips.part.where(store.clips["end"] != pd.Timestamp("2020-09-17 17:00"), "train")
    table = store.clips[["end", "tile_x", "tile_y"]].assign(part=torn)
    table.to_csv(tmp_path / "torn.csv", index=False)
    split = SplitSettings(by="file", file=str(tmp_path / "torn.csv"))
    with pytest.raises(ConfigurationError, match=r"storms are torn \(second in test and train\)"):
        Clips(store, settings(store, split=split), seed=0)


def test_a_part_that_comes_out_empty_is_refused_with_the_counts(store):
    cyclones = (store.clips["label"] == 1).to_numpy()
    message = r"4 of 96 for train, 0 of 36 for validation, 6 of 144 for test can be used"
    with pytest.raises(ConfigurationError, match=message):
        Clips(store, settings(store), seed=0, eligible=cyclones)


@pytest.mark.parametrize(
    ("global_batch", "world_size", "message"),
    [
        (10, 4, "10 cannot be shared evenly by 4 processes; take a multiple of 4, such as 12"),
        (97, 1, "is 97 and an epoch draws 96 clips from 96 for training; take a batch of at most"),
    ],
)
def test_batches_that_cannot_be_made_are_refused(clips, global_batch, world_size, message):
    with pytest.raises(ConfigurationError, match=message):
        clips.training(global_batch=global_batch, rank=0, world_size=world_size)


def test_balanced_training_draws_cyclones_by_their_share(store):
    shares = {"cyclone": 0.25, "cloudy": 0.75}
    some = Clips(store, settings(store, order="balanced", shares=shares, samples=40), seed=0)
    labels = store.clips["label"].to_numpy()[trained(some)]
    assert (labels == 1).mean() == 0.25


def test_the_true_rate_is_that_of_all_weather(clips, store):
    known = store.clips.iloc[clips.rows("train")].query("label != -1")
    expected = np.average(known["label"] == 1, weights=known["weight"])
    assert clips.true_rate == pytest.approx(expected)


def test_balanced_training_draws_as_many_as_there_are_to_draw_from(store):
    shares = {"cyclone": 0.5, "cloudy": 0.5}
    some = Clips(store, settings(store, order="balanced", shares=shares), seed=0)
    strata = store.clips["stratum"].iloc[some.rows("train")]
    assert len(trained(some, global_batch=1)) == strata.isin(["cyclone", "cloudy"]).sum()


def test_clips_have_names(clips):
    assert clips.store.names(np.array([0, 275])) == [
        "2020-09-17 01:00 at 0, 0",
        "2020-09-17 23:00 at 66, 38",
    ]


def drawn_for_each_view(clips, world_size: int, parts: int) -> dict[tuple[int, int], float]:
    """By clip and view what a flow draws in the second step, as ranks and parts divide it."""
    drawn = {}
    for rank in range(world_size):
        loader = clips.training(global_batch=12, rank=rank, world_size=world_size)
        _, batch = islice(loader, 2)
        for part, some in enumerate(batch.split(parts)):
            step = Step(number=1, part=part, seed=0, rank=rank, world_size=world_size)
            values = torch.rand(world_size * len(some), generator=step.generator())
            own = step.own(values, num_views=some.num_views)
            views = np.tile(np.arange(some.num_views), len(some) // some.num_views)
            drawn |= zip(zip(some.clip.tolist(), views, strict=True), own.tolist(), strict=True)
    return drawn


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("num_views", [1, 3])
def test_each_clip_draws_the_same_on_any_number_of_ranks(store, parts, num_views):
    clips = Clips(store, settings(store, num_views=num_views), seed=0)
    alone = drawn_for_each_view(clips, 1, parts)
    assert len(alone) == 12 * num_views
    assert drawn_for_each_view(clips, 2, parts) == drawn_for_each_view(clips, 3, parts) == alone


def test_ranks_read_the_same_views_as_one_process(store):
    clips = Clips(store, settings(store, num_views=2), seed=0)
    alone = next(iter(clips.training(global_batch=6, rank=0, world_size=1)))
    ranks = [next(iter(clips.training(global_batch=6, rank=r, world_size=2))) for r in range(2)]
    shared = torch.stack([rank.codes.unflatten(0, (3, 2)) for rank in ranks], dim=1)
    assert torch.equal(shared.flatten(0, 2), alone.codes)


def test_a_batch_is_split_between_clips(store):
    clips = Clips(store, settings(store, num_views=2), seed=0)
    batch = next(iter(clips.training(global_batch=6, rank=0, world_size=1)))
    parts = batch.split(3)
    assert [len(part) for part in parts] == [4, 4, 4]
    assert torch.equal(torch.cat([part.codes for part in parts]), batch.codes)
    assert torch.equal(torch.cat([part.views.matrix for part in parts]), batch.views.matrix)


def test_a_batch_in_unequal_parts_is_refused(store):
    clips = Clips(store, settings(store, num_views=2), seed=0)
    batch = next(iter(clips.training(global_batch=6, rank=0, world_size=1)))
    with pytest.raises(ConfigurationError, match=r"6 clips of a process .* in 4 equal parts"):
        batch.split(4)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_run_rolls_back_in_the_middle_of_an_epoch(store, workers):
    """Workers have read ahead of where it goes back to, and beyond."""
    clips = Clips(store, settings(store, workers=workers), seed=0)
    loader = clips.training(global_batch=8, rank=1, world_size=2)
    first = []
    for batch in islice(loader, 4):
        first.append(batch.clip.tolist())
        if len(first) == 2:
            state = loader.state_dict()
    loader.load_state_dict(state)
    assert [batch.clip.tolist() for batch in islice(loader, 2)] == first[2:]


def test_weak_storms_are_tested_alone(tmp_path, store):
    planes = plane_store(tmp_path / "s.zarr")
    split = SplitSettings(fractions=(0.5, 0.5, 0.0), guard_km=0.0, test_storms=("south",))
    data = DataSettings(store=str(planes.path), split=split, least_wind_kt=70.0)
    clips = Clips(planes, data, seed=0)
    shown = pd.concat([clips.table("train"), clips.table("validation")])["wind_kt"].dropna()
    assert shown.unique().tolist() == [80.0]
    assert sorted(clips.table("test")["wind_kt"].dropna().unique()) == [60.0, 80.0]
    with pytest.raises(ConfigurationError, match=r"least_wind_kt is 70, and no clip of .* a wind"):
        Clips(store, settings(store, least_wind_kt=70.0), seed=0)
