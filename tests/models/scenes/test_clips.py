import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from medicane_models.domain import MEDITERRANEAN, Tile
from medicane_models.errors import ConfigurationError
from medicane_models.scenes.clips import (
    Clip,
    ClipReader,
    SkippedClip,
    nearest_slots,
    plan_clips,
)
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.tiles import FixedTiles, is_present

GRID = MEDITERRANEAN.window(0, 0, 8, 6)


def times(first: str, count: int, minutes: int = 5) -> pd.DatetimeIndex:
    return pd.date_range(first, periods=count, freq=f"{minutes}min")


def small_processor(**overrides) -> MedicaneProcessor:
    return MedicaneProcessor.infrared(
        low=0, high=100, mean=(0.0,), std=(1.0,), num_frames=4, tile_size=4, grid=GRID, **overrides
    )


def scene_of(frames: np.ndarray, index: pd.DatetimeIndex) -> xr.Dataset:
    return xr.Dataset({"IR_108": (("time", "y", "x"), frames)}, coords={"time": index})


def reader_of(scene: xr.Dataset, processor: MedicaneProcessor, tiles: list[Tile]) -> ClipReader:
    return ClipReader(scene, processor, FixedTiles(GRID, processor, tiles))


def test_a_day_of_rapid_scan_has_a_clip_an_hour_and_the_newest():
    plans = plan_clips(times("2020-09-17", 288))
    assert [plan.end.hour for plan in plans[:-1]] == list(range(24))
    assert plans[-1].end == pd.Timestamp("2020-09-17 23:55")
    assert plans[2].rows == tuple(range(9, 25))


def test_clip_spans_75_minutes_and_ends_on_the_hour():
    index = times("2011-11-02 06:55", 38)
    plans = plan_clips(index)
    assert [plan.end.strftime("%H:%M") for plan in plans] == ["07:00", "08:00", "09:00", "10:00"]
    first, *_, last = plans[-1].rows
    assert index[last] - index[first] == pd.Timedelta(minutes=75)


def test_a_gap_leaves_slots_empty_instead_of_stretching_the_clip():
    index = times("2020-09-17", 24).delete([15, 16])
    (plan,) = plan_clips(index, num_frames=6, start=pd.Timestamp("2020-09-17 01:30"))[-1:]
    assert plan.end == pd.Timestamp("2020-09-17 01:55")
    (plan,) = plan_clips(
        index, num_frames=6, every_minutes=30,
        start=pd.Timestamp("2020-09-17 01:30"), end=pd.Timestamp("2020-09-17 01:30"),
    )  # fmt: skip
    assert plan.rows == (13, 14, None, None, 15, 16)


def test_frames_off_by_less_than_half_a_cadence_are_taken_once():
    index = times("2020-09-17", 13) + pd.Timedelta(seconds=149)
    plans = plan_clips(index, num_frames=12)
    assert plans[-1].end == pd.Timestamp("2020-09-17 01:00")
    assert plans[-1].rows == tuple(range(1, 13))


def test_full_disk_service_fills_only_every_third_slot():
    plans = plan_clips(times("2020-09-17", 9, minutes=15))
    assert sum(row is not None for row in plans[-1].rows) == 6


def test_two_episodes_far_apart_have_no_clips_between_them():
    index = times("2020-09-17", 24).append(times("2021-09-17", 24))
    plans = plan_clips(index)
    assert {plan.end.date() for plan in plans} == {index[0].date(), index[-1].date()}


@pytest.mark.parametrize("every", [0, -5, 7, 420])
def test_clips_divide_the_day(every):
    with pytest.raises(ConfigurationError, match="do not divide a day"):
        plan_clips(times("2020-09-17", 24), every_minutes=every)


def test_the_newest_frame_respects_the_latest_end():
    plans = plan_clips(times("2020-09-17", 288), end=pd.Timestamp("2020-09-17 05:20"))
    assert plans[-1].end == pd.Timestamp("2020-09-17 05:20")


def test_nearest_slot_prefers_the_earlier_of_two():
    assert nearest_slots([1, 3], 5) == [1, 1, 1, 3, 3]


def test_missing_frames_are_copies_of_the_nearest_and_counted():
    index = times("2020-09-17 00:50", 3).delete(1)  # 00:50 and 01:00
    frames = np.full((2, 6, 8), 10.0, "f4")
    frames[1] = 20.0
    reader = reader_of(scene_of(frames, index), small_processor(max_missing=2), [Tile(0, 0)])
    (clip,) = reader.read(plan_clips(index, num_frames=4))
    assert isinstance(clip, Clip)
    assert clip.tiles[0].missing == 2
    assert [frame[0, 0, 0] for frame in clip.tiles[0].frames] == pytest.approx([0.1, 0.1, 0.1, 0.2])


def test_more_missing_frames_than_allowed_skip_the_clip_with_a_reason():
    index = times("2020-09-17 00:55", 2)
    frames = np.zeros((2, 6, 8), "f4")
    reader = reader_of(scene_of(frames, index), small_processor(max_missing=1), [Tile(0, 0)])
    (skipped,) = reader.read(plan_clips(index, num_frames=4))
    assert isinstance(skipped, SkippedClip)
    assert skipped.reason == "2 of 4 frames missing, at most 1 allowed"


@pytest.mark.parametrize(
    ("start", "count", "reason"),
    [
        ("2020-09-17 00:45", 4, "4 of 4 frames there but showing less than 90% of any tile"),
        ("2020-09-17 01:00", 1, "3 of 4 frames missing and 1 of 4 frames there but showing"),
    ],
)
def test_frames_that_show_too_little_are_told_apart_from_missing_ones(start, count, reason):
    index = times(start, count)
    frames = np.full((count, 6, 8), np.nan, "f4")
    reader = reader_of(scene_of(frames, index), small_processor(max_missing=3), [Tile(0, 0)])
    (skipped,) = reader.read(plan_clips(index, num_frames=4))
    assert isinstance(skipped, SkippedClip)
    assert skipped.reason.startswith(reason)
    assert skipped.reason.endswith(", at most 3 allowed")


def test_an_empty_frame_counts_as_missing():
    index = times("2020-09-17 00:45", 4)
    frames = np.full((4, 6, 8), 50.0, "f4")
    frames[2] = np.nan
    reader = reader_of(scene_of(frames, index), small_processor(max_missing=1), [Tile(0, 0)])
    (clip,) = reader.read(plan_clips(index, num_frames=4))
    assert isinstance(clip, Clip)
    assert clip.tiles[0].missing == 1
    assert all((frame == 0.5).all() for frame in clip.tiles[0].frames)


@pytest.mark.parametrize("band", [0, 1, 2])
@pytest.mark.parametrize(("columns", "present"), [(2, True), (3, False)])
def test_a_frame_is_present_when_nine_tenths_of_it_are_in_every_band(band, columns, present):
    pixels = np.zeros((3, 4, 20), "f4")
    pixels[band, :, :columns] = np.nan
    assert is_present(np.isfinite(pixels)) is present


def half_read(index: pd.DatetimeIndex) -> np.ndarray:
    """Frames of which the last lost the half that each of two tiles lies in half."""
    frames = np.full((len(index), 6, 8), 50.0, "f4")
    frames[-1, :3] = np.nan
    return frames


def test_a_frame_that_no_tile_has_is_missing_from_clip_and_tiles_alike():
    index = times("2020-09-17 00:45", 4)
    reader = reader_of(
        scene_of(half_read(index), index), small_processor(max_missing=1), [Tile(0, 0), Tile(4, 0)]
    )
    (clip,) = reader.read(plan_clips(index, num_frames=4))
    assert isinstance(clip, Clip)
    assert clip.newest_time == index[-2]
    assert [tile.missing for tile in clip.tiles] == [1, 1]


def test_a_clip_that_every_tile_lacks_is_skipped_once():
    index = times("2020-09-17 00:45", 4)
    reader = reader_of(
        scene_of(half_read(index), index), small_processor(max_missing=0), [Tile(0, 0), Tile(4, 0)]
    )
    (skipped,) = reader.read(plan_clips(index, num_frames=4))
    assert isinstance(skipped, SkippedClip)
    assert skipped.tile is None


def test_a_tile_without_data_is_skipped_and_the_others_are_not():
    index = times("2020-09-17 00:45", 4)
    frames = np.full((4, 6, 8), 50.0, "f4")
    frames[:, :, 4:] = np.nan
    tiles = [Tile(0, 0), Tile(4, 0)]
    (clip,) = reader_of(scene_of(frames, index), small_processor(), tiles).read(
        plan_clips(index, num_frames=4)
    )
    assert isinstance(clip, Clip)
    assert [tile.tile for tile in clip.tiles] == [Tile(0, 0)]
    assert clip.skipped[0].tile == Tile(4, 0)


def test_each_frame_is_read_once_however_many_clips_and_tiles_need_it():
    index = times("2020-09-17 00:00", 30)
    reads = []

    def read(block):
        reads.append(int(block[0]))
        return np.full((1, 6, 8), 50.0, "f4")

    frames = da.map_blocks(
        read, da.arange(30, chunks=1), new_axis=[1, 2], chunks=((1,) * 30, 6, 8), dtype="f4",
        meta=np.empty((0, 0, 0), "f4"),
    )  # fmt: skip
    reader = reader_of(scene_of(frames, index), small_processor(), [Tile(0, 0), Tile(4, 2)])
    clips = list(reader.read(plan_clips(index, num_frames=4, every_minutes=5)))
    assert sum(isinstance(clip, Clip) for clip in clips) == 29  # the first lacks three frames
    assert sorted(reads) == list(range(30))


def test_clips_that_end_with_a_frame_count_their_slots_back_from_it():
    index = pd.DatetimeIndex(["2020-09-06 00:30", "2020-09-06 00:45", "2020-09-06 02:10"])
    plans = plan_clips(index, num_frames=2, cadence_minutes=60, ends_with_frame=True)
    found = [(plan.end.strftime("%H:%M"), plan.rows) for plan in plans]
    assert found == [("00:30", (None, 0)), ("00:45", (None, 1)), ("02:10", (1, 2))]


def test_no_clip_that_ends_with_a_frame_ends_after_the_time_asked_for():
    index = pd.DatetimeIndex(["2020-09-06 00:50", "2020-09-06 01:10"])
    (plan,) = plan_clips(
        index,
        num_frames=1,
        cadence_minutes=60,
        ends_with_frame=True,
        end=pd.Timestamp("2020-09-06 01:00"),
    )
    assert plan.end == pd.Timestamp("2020-09-06 00:50")
