import numpy as np
import pandas as pd
import pytest
from clip_stores import PROCESSOR as FIXED
from plane_stores import PROCESSOR

from medicane_models.domain import Tile, local_plane
from medicane_models.errors import ConfigurationError
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.clip_store import CLIP_KEY, ClipStore, decode
from medicane_training.store.plane_index import PlaneSettings, build_plane_index
from medicane_training.store.plane_samples import PlaneSample, PlaneSampleWriter, Spot
from medicane_training.store.shards import ABSENT, CHUNK_FRAMES, MISSING
from medicane_training.store.writer import create_store, default_sample_size

SIZE = 46
END = pd.Timestamp("2020-02-08T08:30")


def sample(name="a", **changes) -> PlaneSample:
    seed = np.random.default_rng(len(name))
    values = {
        "stretched": seed.random((4, 1, SIZE, SIZE)).astype(np.float32),
        "end": END,
        "lon": 116.72,
        "lat": -20.78,
        "sensor": "ahi",
        "dataset": "single",
        "source": "single: a.mat",
        "storm": "damien",
        "centre": Spot(22.5, 20.0),
    }
    return PlaneSample(name=name, **{**values, **changes})


@pytest.fixture
def store(tmp_path) -> ClipStore:
    return create_store(tmp_path / "s.zarr", PROCESSOR, sample_size=SIZE)


def add(store: ClipStore, *samples: PlaneSample) -> None:
    with PlaneSampleWriter(store) as writer:
        writer.add(*samples)


def test_a_sample_is_larger_than_a_tile_and_its_pixels_those_of_any_plane(store):
    assert default_sample_size(MedicaneProcessor.planes()) == 324
    assert store.grid == local_plane(0.0, 0.0, size=SIZE, km=40.0)
    assert store.tile_shape == (4, 1, 16, 16)
    assert PROCESSOR.clip_shape == (4, 2, 16, 16)  # the second one says what is missing


def test_a_store_of_fixed_tiles_has_the_grid_and_key_of_its_processor(tmp_path):
    store = create_store(tmp_path / "s.zarr", FIXED)
    assert (store.grid, store.key) == (FIXED.grid, CLIP_KEY)
    assert store.tile_shape == FIXED.clip_shape
    assert list(store.frames.columns) == ["time", "source"]
    assert not (store.path / "samples.parquet").exists()


def test_what_was_written_is_read_and_absent_slots_are_missing(store):
    stretched = np.random.default_rng(0).random((4, 1, SIZE, SIZE)).astype(np.float32)
    stretched[1] = np.nan
    stretched[2, :, :5] = np.nan
    add(store, sample(stretched=stretched))
    (rows,) = store.samples["rows"]
    assert rows.tolist() == [0, ABSENT, 1, 2]
    codes = store.read_frames(rows, Tile(4, 3))
    assert (codes[1] == MISSING).all()
    np.testing.assert_allclose(decode(codes), stretched[:, :, 3:19, 4:20], atol=0.5 / 254 + 1e-6)


def test_frames_tell_their_place_sensor_and_slot(store):
    add(store, sample())
    frames = store.frames
    assert frames["time"].tolist() == pd.date_range(end=END, periods=4, freq="h").tolist()
    assert set(frames["plane_lon"]) == {116.72}
    assert set(frames["sensor"]) == {"ahi"}


def test_many_samples_run_over_shards(store):
    count = CHUNK_FRAMES // 2 + 3
    add(store, *[sample("x" * (number + 1)) for number in range(count)])
    assert (len(store.samples), len(store.frames)) == (count, 4 * count)
    last = store.read_frames(store.samples["rows"].iloc[-1], Tile(0, 0))
    expected = sample("x" * count).stretched[:, :, :16, :16]
    np.testing.assert_allclose(decode(last), expected, atol=0.5 / 254 + 1e-6)


def test_a_name_is_added_once(store):
    add(store, sample(), sample("b"))
    with PlaneSampleWriter(store) as writer:
        assert writer.add(sample(), sample("c")) == 1
        assert "c" in writer
    assert store.samples["sample"].tolist() == ["a", "b", "c"]


def test_an_error_adds_nothing_more(store):
    try:
        with PlaneSampleWriter(store) as writer:
            writer.add(sample())
            raise KeyError
    except KeyError:
        store.refresh()
    assert store.samples.empty


@pytest.mark.parametrize(
    ("lat", "told", "expected"),
    [(-0.1, "north", "south"), (0.0, "unknown", "north"), (np.nan, "north", "north")],
)
def test_the_latitude_tells_the_hemisphere_if_it_is_known(lat, told, expected):
    assert sample(lat=lat, hemisphere=told).hemisphere == expected


def test_a_time_and_place_may_be_unknown(store):
    add(store, sample(end=pd.NaT, lon=np.nan, lat=np.nan, centre=None, storm="?a"))
    build_plane_index(store, PlaneSettings(tiles=2, displacement_km=80.0))
    clips = store.clips
    assert clips["end"].isna().all()
    assert set(clips["hemisphere"]) == {"unknown"}
    assert (clips["label"] == 1).all()  # a cyclone, and nobody knows where
    assert clips["target_x"].isna().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stretched": np.full((4, 1, SIZE, SIZE), np.nan, np.float32)}, "no newest frame"),
        ({"storm": ""}, "name the storm"),
    ],
)
def test_impossible_samples_are_refused(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        sample(**changes)


def test_samples_of_another_size_are_refused(store):
    small = sample(stretched=np.zeros((4, 1, 20, 20), np.float32))
    with pytest.raises(ConfigurationError, match=r"\(4, 1, 46, 46\)"):
        add(store, small)


@pytest.mark.parametrize(
    ("processor", "size", "message"),
    [(PROCESSOR, 10, "at least the 16 px"), (FIXED, 100, "no samples")],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path, processor, size, message):
    with pytest.raises(ConfigurationError, match=message):
        create_store(tmp_path / "s.zarr", processor, sample_size=size)


def test_a_store_of_fixed_tiles_takes_no_samples(tmp_path):
    with pytest.raises(ConfigurationError, match="no store of local planes"):
        PlaneSampleWriter(create_store(tmp_path / "s.zarr", FIXED))


@pytest.mark.parametrize(
    "wrong", [{"tiles": 0}, {"every_minutes": 0}, {"displacement_km": -1.0}, {"max_gap_hours": -1}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="give at least"):
        PlaneSettings(**wrong)


def test_a_slot_of_which_a_tile_sees_too_little_is_absent_from_its_clip(store):
    stretched = np.random.default_rng(0).random((4, 1, SIZE, SIZE)).astype(np.float32)
    stretched[0, :, :, : SIZE // 2 + 3] = np.nan  # less than half of a tile in the middle
    add(store, sample(stretched=stretched))
    build_plane_index(store, PlaneSettings(tiles=1, displacement_km=0.0))
    assert store.clips["missing"].tolist() == [1]
    assert store.rows.tolist() == [[ABSENT, 1, 2, 3]]
    assert (store.read(0)[0] == MISSING).all()


def test_clips_are_listed_once_and_share_the_weight_of_their_sample(store):
    add(store, sample(weight=6.0))
    build_plane_index(store, PlaneSettings(tiles=30, displacement_km=40.0))
    clips = store.clips
    assert not clips.duplicated(store.key).any()
    assert len(clips) < 30  # within a pixel of the middle there are fewer
    np.testing.assert_allclose(clips["weight"], 6 / len(clips))


def test_a_tile_without_its_newest_frame_is_no_clip(store):
    stretched = np.random.default_rng(0).random((4, 1, SIZE, SIZE)).astype(np.float32)
    stretched[3, :, :, : SIZE // 2 + 3] = np.nan
    add(store, sample(stretched=stretched), sample("b"))
    build_plane_index(store, PlaneSettings(tiles=1, displacement_km=0.0))
    assert store.clips["sample"].tolist() == ["b"]
