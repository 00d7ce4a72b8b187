import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from clip_stores import GRID, PROCESSOR, frame_times

from medicane_models.domain import Tile
from medicane_models.errors import ConfigurationError, SceneError
from medicane_training.store.clip_store import LEVELS, ClipStore, decode, encode
from medicane_training.store.shards import CHUNK_FRAMES, MISSING, shard_path
from medicane_training.store.writer import FrameWriter, create_store

COUNT = CHUNK_FRAMES + 10
TIMES = frame_times(COUNT).to_numpy()


@pytest.fixture(scope="module")
def frames():
    """Random codes (T, C, H, W) in two shards of 2 × 2 chunks; one chunk is all missing."""
    codes = np.random.default_rng(0).integers(0, LEVELS + 1, (COUNT, 1, 70, 100), np.uint8)
    codes[:CHUNK_FRAMES, :, :, 50:] = MISSING
    return codes


@pytest.fixture(scope="module")
def store(tmp_path_factory, frames):
    made = create_store(tmp_path_factory.mktemp("store") / "s.zarr", PROCESSOR)
    append(made, frames, TIMES)
    return made


def append(store, codes, times):
    writer = FrameWriter(store)
    while len(codes):
        count = min(writer.room, len(codes), 20)  # also shards that are filled in two steps
        writer.append(codes[:count], times[:count], ["made"] * count)
        codes, times = codes[count:], times[count:]


def test_codes_are_254_even_steps_and_a_missing_value():
    values = np.array([0.0, 0.5, 1.0, np.nan], np.float32)
    assert encode(values).tolist() == [0, 127, 254, 255]
    np.testing.assert_array_equal(decode(encode(values)), values)


def test_rounding_is_within_half_a_step():
    values = np.random.default_rng(0).random(1000, np.float32)
    assert abs(decode(encode(values)) - values).max() <= 0.5 / 254 + 1e-7


def test_plain_zarr_reads_what_was_written(store, frames):
    np.testing.assert_array_equal(zarr.open_array(store.path / "frames", mode="r")[:], frames)


def test_xarray_sees_cf_values_times_and_projection(store, frames):
    opened = xr.open_zarr(store.path)
    np.testing.assert_allclose(opened.frames[-1], frames[-1] / 254, atol=1e-6)
    assert np.isnan(opened.frames[0, 0, 0, 50:]).all()
    assert (opened.time.to_numpy() == TIMES).all()
    np.testing.assert_allclose(opened.x, GRID.x)
    assert opened.crs.attrs["grid_mapping_name"] == "geostationary"


@pytest.mark.parametrize("tile", [Tile(0, 0), Tile(68, 38), Tile(33, 21)])
@pytest.mark.parametrize("first", [0, CHUNK_FRAMES - 2, COUNT - 4])
def test_windows_across_chunks_and_shards_match_plain_slices(store, frames, tile, first):
    read = store.read_frames(range(first, first + 4), tile)
    window = (slice(tile.y, tile.y + 32), slice(tile.x, tile.x + 32))
    np.testing.assert_array_equal(read, frames[(slice(first, first + 4), slice(None), *window)])


def test_rows_are_read_in_the_order_asked_for(store, frames):
    rows = [40, 3, 3, 4, 31, 32]
    read = store.read_frames(rows, Tile(40, 30))
    np.testing.assert_array_equal(read, frames[rows, :, 30:62, 40:72])


def test_window_outside_the_frames_is_refused(store):
    with pytest.raises(SceneError, match=r"32 × 32 px at \(69, 0\) leaves the 100 × 70 px"):
        store.read_frames([0], Tile(69, 0))


def test_a_copy_for_another_process_starts_closed(store, frames):
    store.read_frames([0], Tile(0, 0))
    copy = pickle.loads(pickle.dumps(store))
    assert set(vars(copy)) == {"path"}
    np.testing.assert_array_equal(copy.read_frames([1], Tile(0, 0)), frames[1:2, :, :32, :32])


def test_frames_not_yet_listed_are_as_if_never_written(tmp_path, frames):
    store = create_store(tmp_path / "s.zarr", PROCESSOR)
    append(store, frames[:10], TIMES[:10])
    listed = (store.path / "frames.parquet").read_bytes()
    append(store, frames[10:20], TIMES[10:20])
    (store.path / "frames.parquet").write_bytes(listed)  # as if killed just before
    again = ClipStore(store.path)
    append(again, frames[20:40], TIMES[20:40])
    expected = np.concatenate([frames[:10], frames[20:40]])
    np.testing.assert_array_equal(zarr.open_array(store.path / "frames", mode="r")[:], expected)
    np.testing.assert_array_equal(
        again.read_frames([9, 10], Tile(0, 0)), expected[9:11, :, :32, :32]
    )


def test_a_truncated_shard_is_an_error_that_names_the_file(tmp_path, frames):
    store = create_store(tmp_path / "s.zarr", PROCESSOR)
    append(store, frames, TIMES)
    shard = shard_path(store.path, 1)
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(SceneError, match=r"c/1/0/0/0 cannot be read .* medicane-train data check"):
        store.read_frames([CHUNK_FRAMES], Tile(0, 0))


def test_interrupted_creation_is_repeated_and_other_folders_are_left_alone(tmp_path):
    store = create_store(tmp_path / "s.zarr", PROCESSOR)
    (store.path / "frames.parquet").unlink()
    assert len(create_store(store.path, PROCESSOR).frames) == 0
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="no clip store but not empty"):
        create_store(tmp_path / "letters", PROCESSOR)


def test_another_layout_is_refused(tmp_path, store):
    copy = shutil.copytree(store.path, tmp_path / "copy.zarr")
    plain = zarr.open_array(copy / "frames", mode="r")[:]
    group = zarr.open_group(copy, mode="r+", use_consolidated=False)
    group.create_array("frames", data=plain, overwrite=True)
    with pytest.raises(SceneError, match=r"zarr\.json"):
        ClipStore(copy).read_frames([0], Tile(0, 0))


def test_a_folder_that_is_no_store_says_how_to_make_one(tmp_path):
    with pytest.raises(SceneError, match="medicane-train data build"):
        ClipStore(tmp_path)


def test_times_keep_their_order_of_arrival(tmp_path, frames):
    store = create_store(tmp_path / "s.zarr", PROCESSOR)
    append(store, frames[5:10], TIMES[5:10])
    append(store, frames[:5], TIMES[:5])
    expected = pd.DatetimeIndex([*TIMES[5:10], *TIMES[:5]])
    pd.testing.assert_index_equal(
        pd.DatetimeIndex(store.frames["time"]), expected, check_names=False
    )


def changed_byte(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("place", [40, -1])
def test_a_damaged_table_is_an_error_that_names_it(place, tmp_path, store):
    shutil.copytree(store.path, tmp_path / "s.zarr")
    changed_byte(tmp_path / "s.zarr" / "frames.parquet", place)
    with pytest.raises(SceneError, match=r"frames\.parquet cannot be read"):
        _ = ClipStore(tmp_path / "s.zarr").frames


def test_a_table_without_what_it_should_have_is_refused(tmp_path, store):
    shutil.copytree(store.path, tmp_path / "s.zarr")
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "s.zarr" / "frames.parquet")
    with pytest.raises(SceneError, match=r"frames\.parquet has no column time, source"):
        _ = ClipStore(tmp_path / "s.zarr").frames


@pytest.mark.parametrize("shape", [[42, 1, [], 100], [42, 1, 70], [42, 0, 70, 100], 3, None])
def test_sizes_that_are_none_are_refused(shape, tmp_path, store):
    shutil.copytree(store.path, tmp_path / "s.zarr")
    path = tmp_path / "s.zarr" / "frames" / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shape": shape}))
    with pytest.raises(SceneError, match=r"zarr\.json does not describe"):
        ClipStore(tmp_path / "s.zarr").read_frames([0], Tile(0, 0))
