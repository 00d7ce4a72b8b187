import numpy as np
import pandas as pd
import pyproj
import pytest
from plane_stores import (
    ATLANTIC,
    KM,
    PROCESSOR,
    SETTINGS,
    TIMES,
    TRACKS,
    plane_store,
    scene,
    scenes,
    weather,
)

from medicane_models.domain import Tile
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.files import alone_in
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.verification.best_tracks import positions_at
from medicane_training.store.clip_store import ClipStore, decode
from medicane_training.store.known_storms import KnownStorms
from medicane_training.store.plane_build import CALM_KM, drawn_by_hardness
from medicane_training.store.plane_index import PlaneSettings
from medicane_training.store.plane_samples import PlaneSampleWriter
from medicane_training.store.shards import ABSENT, MISSING
from medicane_training.store.writer import create_store

GEOD = pyproj.Geod(a=6371008.8, f=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return plane_store(tmp_path_factory.mktemp("planes") / "s.zarr")


def sample(store, storm, hour):
    samples = store.samples
    (row,) = samples.index[(samples["storm"] == storm) & (samples["end"] == TIMES[hour])]
    return samples.loc[row]


def pixels(store, one, slot=-1):
    """Stretched values (S, S) of a slot of a sample."""
    whole = np.empty((1, 1, store.grid.height, store.grid.width), np.uint8)
    return decode(store.read_frames(one["rows"][[slot]], Tile(0, 0), out=whole))[0, 0]


def kelvin_by_pyproj(one, size, time):
    """Kelvin where the pixels are by azimuth and distance from the centre; mirrored south."""
    x, y = np.meshgrid(*[(np.arange(size) - (size - 1) / 2) * KM * 1000] * 2)
    north = y if one["plane_lat"] < 0 else -y
    azimuth, distance = np.degrees(np.arctan2(x, north)), np.hypot(x, north)
    start = [np.full(x.shape, one[name]) for name in ("plane_lon", "plane_lat")]
    lon, lat, _ = GEOD.fwd(*start, azimuth, distance)
    return weather(lon, lat, time)


@pytest.mark.parametrize("storm", ["across", "south"])
@pytest.mark.parametrize("slot", [-1, -2])
def test_pixels_lie_where_pyproj_says_also_in_the_south_and_across_the_meridian(store, storm, slot):
    one = sample(store, storm, 6)
    found = 310 - 120 * pixels(store, one, slot)
    expected = kelvin_by_pyproj(one, store.grid.width, TIMES[6 + slot + 1])
    seen = np.isfinite(found)
    assert seen.mean() > 0.8
    np.testing.assert_allclose(found[seen], expected[seen], atol=0.6)  # half a step, and the mean


def test_a_storm_is_in_the_middle_of_its_sample_with_what_its_track_says(store):
    one = sample(store, "across", 4)
    expected = positions_at(TRACKS, TIMES[[4]], max_gap_hours=6).query("track_id == 'across'")
    assert one["plane_lon"] == pytest.approx(expected["lon"].item(), abs=1e-6)
    assert (one["centre_x"], one["centre_y"]) == ((store.grid.width - 1) / 2,) * 2
    assert (one["wind_kt"], one["pressure_hpa"], one["gap_hours"]) == (80.0, 960.0, 2.0)
    assert (one["sensor"], one["dataset"]) == ("ahi", "Himawari-8")


def test_hemispheres_are_told(store):
    told = store.samples.set_index("storm")["hemisphere"]
    assert set(told["south"]) == {"south"}
    assert set(told["across"]) == {"north"}


def test_only_storms_that_a_scene_shows_become_samples(store):
    assert set(store.samples["storm"]) - {""} == {"across", "south", "atlantic", "beside"}
    pacific = store.samples.query("sensor == 'ahi'")["storm"]
    assert set(pacific) - {""} == {"across", "south"}


def test_slots_without_a_frame_are_absent_and_read_as_missing(store):
    one = sample(store, "south", 4)  # the hours are 1, 2, 3 and 4
    assert [row == ABSENT for row in one["rows"]] == [False, True, False, False]
    codes = store.read_frames(one["rows"], Tile(3, 4))
    assert (codes[1] == MISSING).all()
    assert (codes[[0, 2, 3]] != MISSING).any(axis=(1, 2, 3)).all()


def test_clips_mark_what_inference_would_not_have(store):
    clips = store.clips.query("end == @TIMES[4] and storm == 'south'")
    assert (clips["missing"] == 1).all()
    assert (store.rows[clips.index][:, 1] == ABSENT).all()


def test_calm_samples_are_far_from_every_storm(store):
    calm = store.samples.loc[store.samples["storm"] == ""]
    assert len(calm) > 0
    for one in calm.itertuples():
        rows = len(TRACKS)
        _, _, metres = GEOD.inv(
            [one.plane_lon] * rows, [one.plane_lat] * rows, TRACKS["lon"], TRACKS["lat"]
        )
        assert min(metres) >= CALM_KM * 1000
    assert calm["weight"].ge(1).all()


def test_a_storm_of_yesterday_keeps_calm_samples_away():
    storms = KnownStorms(tracks=TRACKS, max_gap_hours=6.0)
    later = TIMES[6] + pd.Timedelta("20h")
    assert storms.at(later).empty
    assert storms.distance_km(-61.0, 16.0, later) == pytest.approx(0, abs=1e-6)
    assert np.isinf(storms.distance_km(-61.0, 16.0, later + pd.Timedelta("5h"))).all()


def test_tracks_with_windows_are_sure_only_inside():
    windows = {"window_start": TIMES[2], "window_end": TIMES[4]}
    storms = KnownStorms(tracks=TRACKS.assign(**windows), max_gap_hours=6.0)
    assert storms.at(TIMES[1]).empty
    assert len(storms.at(TIMES[3])) == TRACKS["track_id"].nunique()


def test_gaps_longer_than_allowed_make_no_sample():
    storms = KnownStorms(tracks=TRACKS, max_gap_hours=3.0)
    assert storms.at(TIMES[3]).empty


def test_the_nearest_other_storm_is_told(store):
    one = sample(store, "atlantic", 0)
    far = GEOD.inv(-60.0, 15.0, -57.0, 17.0)[2] / (KM * 1000)
    middle = (store.grid.width - 1) / 2
    x, y = one["other_x"] - middle, one["other_y"] - middle
    assert np.hypot(x, y) == pytest.approx(far, rel=1e-6)
    assert (x > 0, y < 0) == (True, True)  # north is up
    assert np.isnan(sample(store, "south", 0)["other_x"])


def test_a_tile_with_two_centres_is_ignored(store):
    clips = store.clips.query("storm == 'atlantic'")
    assert (clips["label"] == -1).all()  # the other one is 370 km away, in a tile of 640 km
    assert clips["target_x"].isna().all()


def test_targets_are_the_centre_in_the_tile(store):
    clips = store.clips.query("storm == 'south'")
    middle = (store.grid.width - 1) / 2
    assert (clips["label"] == 1).all()
    np.testing.assert_allclose(clips["target_x"] + clips["tile_x"], middle)
    away = np.hypot(clips["target_x"] - 7.5, clips["target_y"] - 7.5) * KM
    np.testing.assert_allclose(clips["storm_distance_km"], away, rtol=1e-3)
    assert away.max() <= 100 + KM
    assert clips[["tile_x", "tile_y"]].drop_duplicates().shape[0] > SETTINGS.tiles


def test_hardness_is_that_of_the_newest_frame(store):
    clips = store.clips
    assert clips["spirality"].gt(0).all()
    number = 5
    codes = store.read(number)[-1, 0]
    kelvin = 310 - 120 * decode(codes)
    padded = np.pad(kelvin, 1, constant_values=np.nan)
    boxes = np.lib.stride_tricks.sliding_window_view(padded, (2, 2)).reshape(-1, 4)  # 60 km
    means = [np.nanmean(box) for box in boxes if np.isfinite(box).sum() >= 2]
    assert clips["coldness"][number] == pytest.approx(min(means), abs=0.01)


def test_airmass_planes_are_cold_where_their_water_vapour_is(tmp_path):
    kelvin = scene(ATLANTIC, TIMES[:2], "abi", "GOES-16")
    window = kelvin["IR_108"]
    vapour = 225 + (window - 250) / 4
    channels = {"WV_062": vapour, "WV_073": vapour + 10, "IR_097": window - 15}
    four = kelvin.assign(
        {name: value.assign_attrs(window.attrs) for name, value in channels.items()}
    )
    airmass = MedicaneProcessor.airmass_planes(size=16, km=KM, plane_overlap=0.0)
    alone = plane_store(tmp_path / "alone.zarr", [kelvin]).clips
    clips = plane_store(tmp_path / "four.zarr", [four], processor=airmass).clips
    colours = decode(ClipStore(tmp_path / "four.zarr").read(0))[-1]
    assert len(colours) == 3
    assert np.ptp(colours[0]) < 0.01  # the difference of its channels is 10 K everywhere
    assert colours[0].mean() == pytest.approx((-10 + 26.2) / (0.6 + 26.2), abs=0.01)
    same = clips.merge(alone, on=["end", "storm", "tile_x", "tile_y"], suffixes=("", "_alone"))
    same = same.loc[same["storm"] != ""]
    assert len(same) > 2
    kelvin_of_abi = 225 + (same["coldness_alone"] - 250) / 4
    of_seviri = 243 - 35 * (243.9 - kelvin_of_abi) / (243.9 - 208.5)  # the store's own limits
    np.testing.assert_allclose(same["coldness"], of_seviri, atol=0.1)


def test_strata_and_rates_count_planes(store):
    table = store.document("rates.json")
    assert set(table["strata"]) <= {"cyclone", "cloudy", "clear", "ignored"}
    stored = sum(row["stored"] for row in table["strata"].values())
    assert stored == len(store.clips)
    everything = sum(row["clips"] for row in table["strata"].values())
    assert everything == pytest.approx(store.samples["weight"].sum())


def same(first: ClipStore, second: ClipStore) -> None:
    """The same clips and pixels, whatever the order of the frames."""
    tables = [s.clips.sort_values([*s.key]).reset_index(drop=True) for s in (first, second)]
    pd.testing.assert_frame_equal(*tables)


class KilledError(Exception):
    pass


def test_a_killed_build_goes_on_and_equals_one_in_one_go(store, tmp_path, monkeypatch):
    monkeypatch.setattr("medicane_training.store.plane_samples.BATCH_FRAMES", 1)
    with monkeypatch.context() as patch:
        append = PlaneSampleWriter.flush

        def flush(self):
            append(self)
            if len(self.store.samples) > 8:
                raise KilledError

        patch.setattr(PlaneSampleWriter, "flush", flush)
        with pytest.raises(KilledError):
            plane_store(tmp_path / "s.zarr")
    killed = create_store(tmp_path / "s.zarr", PROCESSOR)
    before = len(killed.samples)
    assert 8 < before < len(store.samples)
    same(plane_store(tmp_path / "s.zarr"), store)


def test_frames_of_a_killed_process_without_a_sample_are_written_over(store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:

        def kill(*_):
            raise KilledError

        patch.setattr("medicane_training.store.plane_samples.save_table", kill)
        with pytest.raises(KilledError):
            plane_store(tmp_path / "s.zarr")
    left = create_store(tmp_path / "s.zarr", PROCESSOR)
    assert (len(left.frames) > 0, len(left.samples)) == (True, 0)
    again = plane_store(tmp_path / "s.zarr")
    assert len(again.frames) == len(store.frames)
    same(again, store)


def test_scenes_added_later_make_the_same_store(store, tmp_path):
    first, second = scenes()
    plane_store(tmp_path / "s.zarr", [second])
    same(plane_store(tmp_path / "s.zarr", [first], tracks=None), store)


def test_the_same_scene_again_adds_nothing(store, tmp_path):
    plane_store(tmp_path / "s.zarr")
    again = plane_store(tmp_path / "s.zarr")
    assert len(again.frames) == len(store.frames)
    same(again, store)


def test_two_builds_at_once_are_refused(tmp_path):
    made = create_store(tmp_path / "s.zarr", PROCESSOR)
    with alone_in(made.path), pytest.raises(ConfigurationError, match="another process"):
        plane_store(tmp_path / "s.zarr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": PlaneSettings(seed=1)}, "was built with"),
        ({"processor": PROCESSOR.changed(num_frames=3, max_missing=2)}, "another processor"),
        ({"sample_size": 60}, "samples of 46 px, not 60"),
    ],
)
def test_another_way_to_build_is_refused(tmp_path, change, message):
    plane_store(tmp_path / "s.zarr", scenes()[1:])
    with pytest.raises(ConfigurationError, match=message):
        plane_store(tmp_path / "s.zarr", scenes()[1:], **change)


def test_without_tracks_nothing_says_where_storms_are(tmp_path):
    with pytest.raises(ConfigurationError, match="--tracks"):
        plane_store(tmp_path / "s.zarr", tracks=None)


def test_a_scene_without_any_plane_that_is_seen_is_refused(tmp_path):
    empty = scene(ATLANTIC, TIMES[:1], "abi", "GOES-16")
    with pytest.raises(SceneError, match="none of the 0 samples"):
        plane_store(tmp_path / "s.zarr", [empty.where(False)])


def test_hard_ones_are_drawn_more_often_and_weights_make_up_for_it():
    hardness, values = np.array([0.1, 0.5, 1.0, 2.1, 0.3]), np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    sums, drawn = [], np.zeros(5)
    for seed in range(4000):
        numbers, weights = drawn_by_hardness(hardness, 2, np.random.default_rng(seed))
        assert len(numbers) == len(set(numbers)) == 2
        sums.append((values[numbers] * weights).sum())
        drawn[numbers] += 1
    assert np.mean(sums) == pytest.approx(values.sum(), rel=0.05)
    assert (np.argsort(drawn) == np.argsort(hardness)).all()


def test_fewer_than_asked_for_are_all_drawn():
    numbers, weights = drawn_by_hardness(np.ones(2), 5, np.random.default_rng(0))
    assert (numbers.tolist(), weights.tolist()) == ([0, 1], [1.0, 1.0])
