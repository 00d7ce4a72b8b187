import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from clip_stores import (
    GRID,
    PROCESSOR,
    SETTINGS,
    TRACKS,
    codes,
    frame_times,
    kelvin,
    scene,
    small_store,
)
from scene_files import archive_dataset, shares, write_archive

from medicane_models.errors import ConfigurationError, SceneError, SceneWarning
from medicane_models.files import alone_in
from medicane_models.scenes.opening import open_scene
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store import build as building
from medicane_training.store.build import BuildSettings, build_store
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.shards import ABSENT, MISSING
from medicane_training.store.strata import log_odds_shift, true_rate


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("built") / "s.zarr")


def build(path, scenes, **options):
    options = {"processor": PROCESSOR, "tracks": TRACKS, "settings": SETTINGS, **options}
    return build_store(scenes, path, **options)


def test_a_clip_holds_the_frames_of_its_times(store):
    clip = 137
    end, x, y = store.clips.loc[clip, ["end", "tile_x", "tile_y"]]
    times = pd.date_range(end=end, periods=4, freq="15min")
    expected = codes(kelvin(times))[:, None, y : y + 32, x : x + 32]
    np.testing.assert_array_equal(store.read(clip), expected)
    assert store.clips["checksum"][clip] == zlib.crc32(expected.astype(np.uint8).tobytes())
    assert store.clips["cloud_index"][clip] == pytest.approx((expected > 150 / 255 * 254).mean())


def test_every_hour_has_a_clip_for_every_tile(store):
    assert store.clips["end"].nunique() == 23  # the first hour lacks frames
    assert len(store.clips) == 23 * len(GRID.tiles(32))


def test_frames_that_are_marked_missing_are_absent_and_no_copies(tmp_path):
    marked = PROCESSOR.changed(missing="marked", max_missing=3)
    times = frame_times(9).delete(2)  # of the clip until one o'clock
    made = build(tmp_path / "s.zarr", [scene(times)], processor=marked)
    clip = int(np.argmax(made.clips["end"] == pd.Timestamp("2020-09-17 01:00")))
    assert (made.rows[clip] == ABSENT).tolist() == [False, True, False, False]
    assert made.tile_shape == (4, 1, 32, 32)
    assert (made.read(clip)[1] == MISSING).all()


def test_labels_and_targets_follow_the_tracks(store):
    cyclones = store.clips.loc[store.clips["label"] == 1]
    assert set(cyclones["storm"]) == {"first", "second"}
    first = cyclones.loc[cyclones["storm"] == "first"]
    np.testing.assert_allclose(first["target_x"] + first["tile_x"], 20.25, atol=1e-3)
    np.testing.assert_allclose(first["target_y"] + first["tile_y"], 12.5, atol=1e-3)


def test_strata_tell_neighbours_hours_places_and_weather_apart(store):
    clips = store.clips.set_index(["end", "tile_x", "tile_y"])["stratum"]
    storm, calm = pd.Timestamp("2020-09-17 03:00"), pd.Timestamp("2020-09-17 20:00")
    assert clips[storm, 0, 0] == "cyclone"
    assert clips[storm, 22, 0] == "ignored"  # the centre is within two pixels of the border
    assert clips[storm, 22, 19] == "neighbour"
    assert clips[storm, 66, 38] == "cyclone_hour"
    assert clips[calm, 0, 0] == "same_place"
    assert clips[calm, 44, 0] == "cloudy"


def test_rates_count_all_weather(store):
    table = store.document("rates.json")
    strata = table["strata"]
    assert strata["cyclone"] == {"stored": 10, "clips": 10.0, "cyclones": 10.0}
    assert sum(rate["stored"] for rate in strata.values()) == len(store.clips)
    assert table["true_rate"] == pytest.approx(10 / (len(store.clips) - 10))


def test_thinned_calm_hours_stand_for_all_of_them(tmp_path, store):
    settings = BuildSettings(rule=SETTINGS.rule, calm_share=0.5, seed=3)
    thin = build(tmp_path / "s.zarr", [scene(frame_times())], settings=settings)
    stormy = store.clips.loc[store.clips["label"] != 0, "end"].unique()
    calm = thin.clips.loc[~thin.clips["end"].isin(stormy)]
    assert set(stormy) <= set(thin.clips["end"])
    assert 0 < calm["end"].nunique() < 13
    assert set(calm["weight"]) == {2.0}
    assert len(thin.frames) < len(store.frames)
    assert true_rate(thin.clips) == pytest.approx(true_rate(store.clips), rel=0.5)


def test_a_logit_learned_on_balanced_clips_is_shifted_to_the_true_rate():
    shift = log_odds_shift(true_share=0.002, sampled_share=0.5)
    assert 1 / (1 + np.exp(-shift)) == pytest.approx(0.002)  # a sample that says nothing: ½
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        log_odds_shift(true_share=0.0, sampled_share=0.5)


def test_building_again_reads_nothing_and_changes_nothing(store, monkeypatch):
    before = store.clips
    monkeypatch.setattr(building, "encode", None)
    again = small_store(store.path)
    pd.testing.assert_frame_equal(again.clips, before)


def test_a_killed_build_continues(tmp_path, store, monkeypatch):
    appended = []

    def killed(self, *arguments):
        if len(appended) == 1:
            raise KeyboardInterrupt
        appended.append(1)
        return original(self, *arguments)

    original = building.FrameWriter.append
    with monkeypatch.context() as patch:
        patch.setattr(building.FrameWriter, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            small_store(tmp_path / "s.zarr")
    with pytest.raises(SceneError, match="finish its build"):
        _ = ClipStore(tmp_path / "s.zarr").clips
    pd.testing.assert_frame_equal(small_store(tmp_path / "s.zarr").clips, store.clips)


def test_scenes_in_any_order_make_the_same_clips(tmp_path, store):
    early, late = scene(frame_times(50)), scene(frame_times()[40:])
    made = build(tmp_path / "s.zarr", [late, early])
    pd.testing.assert_frame_equal(
        made.clips.drop(columns="source"), store.clips.drop(columns="source")
    )
    np.testing.assert_array_equal(made.read(100), store.read(100))


def test_later_scenes_are_appended_and_complete_clips_are_kept(tmp_path, store):
    build(tmp_path / "s.zarr", [scene(frame_times(50))])
    made = build(tmp_path / "s.zarr", [scene(frame_times()[50:])])
    pd.testing.assert_frame_equal(
        made.clips.drop(columns="source"), store.clips.drop(columns="source")
    )


def test_a_gap_is_filled_from_the_nearest_frame_and_counted(tmp_path):
    times = frame_times(9).delete(6)  # 01:30
    made = build(tmp_path / "s.zarr", [scene(times)])
    clips = made.clips.loc[made.clips["end"] == pd.Timestamp("2020-09-17 02:00")]
    assert set(clips["missing"]) == {1}
    filled = kelvin(pd.DatetimeIndex(times[[5, 5, 6, 7]]))  # the earlier of two as near
    np.testing.assert_array_equal(made.read(int(clips.index[0]))[:, 0], codes(filled)[:, :32, :32])


def test_clips_with_too_many_gaps_and_frames_of_nothing_are_left_out(tmp_path):
    values = kelvin(frame_times(9))
    values[5] = np.nan
    with pytest.warns(UserWarning, match="black, constant or empty"):
        made = build(
            tmp_path / "s.zarr", [scene(frame_times(9).delete(7), np.delete(values, 7, 0))]
        )
    assert set(made.clips["end"]) == {pd.Timestamp("2020-09-17 01:00")}
    assert len(made.frames) == 7


def test_without_tracks_clips_are_unlabelled_and_only_the_weather_is_told(tmp_path):
    made = build(tmp_path / "s.zarr", [scene(frame_times(9))], tracks=None)
    assert set(made.clips["label"]) == {-1}
    assert set(made.clips["stratum"]) == {"cloudy"}


def test_tiles_may_be_denser(tmp_path):
    settings = BuildSettings(rule=SETTINGS.rule, tile_stride=30)
    made = build(tmp_path / "s.zarr", [scene(frame_times(9))], settings=settings)
    assert sorted(set(made.clips["tile_x"])) == [0, 30, 60]


def test_other_settings_or_another_processor_are_refused(tmp_path, store):
    with pytest.raises(ConfigurationError, match="was built with"):
        build(store.path, [], settings=BuildSettings())
    with pytest.raises(ConfigurationError, match="another processor"):
        build(store.path, [], processor=MedicaneProcessor.infrared())


def test_too_few_frames_for_any_clip_is_an_error(tmp_path):
    with pytest.raises(SceneError, match="none of the 2 frames"):
        build(tmp_path / "s.zarr", [scene(frame_times(2, "2020-09-17 00:45"))])


def test_files_of_the_archive_are_a_source(tmp_path):
    times = frame_times(5)
    path = write_archive(
        tmp_path / "a.zarr", archive_dataset(shares(5, grid=GRID), times, grid=GRID)
    )
    made = build(tmp_path / "s.zarr", [path])
    assert len(made.frames) == 5
    expected = 199.10002 + (313.2767 - 199.10002) * shares(5, grid=GRID)[..., 3]
    np.testing.assert_allclose(made.read(0)[:, 0], codes(expected)[1:, :32, :32].clip(0), atol=1)


def saved(folder, times, name):
    folder.mkdir(exist_ok=True)
    scene(times).to_netcdf(folder / name)
    return folder / name


def test_files_of_one_kind_are_one_scene(tmp_path, monkeypatch):
    times = frame_times(5)
    files = [saved(tmp_path / "in", times[[row]], f"{row}.nc") for row in range(5)]
    opened = []
    original = building.open_scene
    monkeypatch.setattr(
        building, "open_scene", lambda *args, **how: opened.append(args) or original(*args, **how)
    )
    made = build(tmp_path / "s.zarr", files)
    assert [len(source) for (source,) in opened] == [5]
    assert made.frames["time"].tolist() == times.tolist()


def test_raw_segments_given_one_by_one_are_one_scene(shared_data, tmp_path):
    folder = shared_data / "seviri_hrit_20200906"
    two = replace(PROCESSOR, num_frames=2, max_missing=0)
    built = build(tmp_path / "s.zarr", sorted(folder.iterdir()), processor=two, tracks=None)
    seen = open_scene(folder, domain=GRID, channels="IR_108")["IR_108"].to_numpy()
    x, y = built.clips.loc[0, ["tile_x", "tile_y"]]
    expected = codes(seen.clip(200, 300))[:, None, y : y + 32, x : x + 32]
    np.testing.assert_array_equal(built.read(0), expected)
    assert list(built.clips["end"].unique()) == [pd.Timestamp("2020-09-06 01:00")]


def test_times_that_come_twice_are_named(tmp_path):
    times = frame_times(5)
    files = [saved(tmp_path / "in", times, name) for name in ("a.nc", "b.nc")]
    with pytest.warns(SceneWarning, match=r"the same time twice.*a\.nc.* and b\.nc"):
        build(tmp_path / "files.zarr", files)
    with pytest.warns(SceneWarning, match="5 frames of .* have times of"):
        build(tmp_path / "scenes.zarr", [scene(times), scene(times)])


def other_sensor(tmp_path):
    return scene(frame_times(5)).assign_attrs(sensor="abi")


def no_scene(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.nc").write_bytes(b"no netCDF")
    return tmp_path / "in" / "broken.nc"


@pytest.mark.filterwarnings("ignore:broken.nc")
@pytest.mark.parametrize("refused", [other_sensor, no_scene])
def test_a_refused_build_leaves_nothing_behind(tmp_path, refused):
    with pytest.raises(SceneError):
        build(tmp_path / "s.zarr", [scene(frame_times(5)), refused(tmp_path)])
    assert not (tmp_path / "s.zarr").exists()


def test_two_builds_at_once_do_not_mix(tmp_path):
    path = tmp_path / "s.zarr"
    build(path, [scene(pd.date_range("2021-01-01", periods=20, freq="15min"))])
    before = (path / "frames.parquet").read_bytes()
    with alone_in(path), pytest.raises(ConfigurationError, match="another process writes into"):
        build(path, [scene(pd.date_range("2021-01-01", periods=20, freq="15min"))])
    assert (path / "frames.parquet").read_bytes() == before
    build(path, [scene(pd.date_range("2021-01-01", periods=20, freq="15min"))])
