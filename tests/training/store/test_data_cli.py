import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import zarr
from clip_stores import GRID, PROCESSOR, TRACKS, frame_times, scene, small_store
from plane_stores import PROCESSOR as PLANES
from plane_stores import TRACKS as PLANE_TRACKS
from plane_stores import scenes as plane_scenes
from scene_files import archive_dataset, shares, times, write_archive
from typer.testing import CliRunner

from medicane_models.cli import app as medicane
from medicane_models.errors import ConfigurationError
from medicane_training.cli import app
from medicane_training.clips.check import check_store
from medicane_training.store.build import BuildSettings
from medicane_training.store.clip_store import ClipStore, save_table
from medicane_training.store.plane_index import PlaneSettings
from medicane_training.store.shards import shard_path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("cli") / "s.zarr")


@pytest.fixture
def store(built, tmp_path):
    return ClipStore(shutil.copytree(built.path, tmp_path / "s.zarr"))


def run(*arguments: object):
    return invoke(app, "data", *arguments)


def invoke(program, *arguments: object):
    return CliRunner().invoke(program, [*map(str, arguments)])


def change(store: ClipStore, column: str, clip: int, value: object) -> None:
    index = pd.read_parquet(store.path / "clips.parquet")
    index.loc[clip, column] = value
    save_table(index, store.path / "clips.parquet")


def problem(store: ClipStore) -> str:
    (found,) = check_store(store).problems
    return found


def test_build_makes_a_store_and_shows_its_strata(tmp_path):
    scene(frame_times(9)).to_netcdf(tmp_path / "scene.nc")
    TRACKS.to_csv(tmp_path / "tracks.csv", index=False)
    PROCESSOR.save_pretrained(tmp_path / "processor")
    result = run(
        *("build", tmp_path / "scene.nc", "--out", tmp_path / "s.zarr"),
        *("--tracks", tmp_path / "tracks.csv", "--processor", tmp_path / "processor"),
    )
    assert result.exit_code == 0, result.output
    store = ClipStore(tmp_path / "s.zarr")
    assert store.processor == PROCESSOR
    assert BuildSettings.of(store) == BuildSettings()
    stored = json.loads((store.path / "rates.json").read_text())["strata"]["cyclone"]["stored"]
    assert stored == 1
    assert "cyclone" in result.output


def build_planes(folder, *options: object):
    (pacific, _) = plane_scenes()
    pacific.to_netcdf(folder / "scene.nc")
    PLANE_TRACKS.to_csv(folder / "tracks.csv", index=False)
    PLANES.save_pretrained(folder / "processor")
    return run(
        *("build", folder / "scene.nc", "--out", folder / "s.zarr"),
        *("--tracks", folder / "tracks.csv", "--processor", folder / "processor", *options),
    )


def test_build_makes_a_store_of_planes(tmp_path):
    options = ("--sample-size", 50, "--negatives-per-frame", 2, "--every", 180, "--seed", 3)
    result = build_planes(tmp_path, *options, "--domain=165,-30,190,30")
    assert result.exit_code == 0, result.output
    store = ClipStore(tmp_path / "s.zarr")
    settings = PlaneSettings(negatives_per_frame=2, every_minutes=180, seed=3)
    assert store.document("build.json") == asdict(settings)
    assert store.grid.width == 50
    assert set(store.samples["end"].dt.hour) == {0, 3, 6}
    assert set(store.samples["storm"]) == {"", "across", "south"}


@pytest.mark.parametrize(
    "option", ["--tile-stride=3", "--calm-share=.5", "--rule=research", "--neighbours"]
)
def test_options_of_fixed_tiles_are_refused_for_planes(tmp_path, option):
    result = build_planes(tmp_path, option)
    assert isinstance(result.exception, ConfigurationError)
    assert f"{option.partition('=')[0]} is" in str(result.exception)


@pytest.mark.parametrize("option", ["--sample-size=50", "--negatives-per-frame=0"])
def test_options_of_planes_are_refused_for_fixed_tiles(tmp_path, option):
    scene(frame_times(9)).to_netcdf(tmp_path / "scene.nc")
    result = run("build", tmp_path / "scene.nc", "--out", tmp_path / "s.zarr", option)
    assert isinstance(result.exception, ConfigurationError)
    assert "no planes; leave it out" in str(result.exception)


def test_build_without_tracks_takes_the_scenes_own_grid(tmp_path):
    scene(frame_times(9)).to_netcdf(tmp_path / "scene.nc")
    PROCESSOR.save_pretrained(tmp_path / "processor")
    result = run(
        *("build", tmp_path / "scene.nc", "--out", tmp_path / "s.zarr", "--domain", "native"),
        *("--processor", tmp_path / "processor"),
    )
    assert result.exit_code == 0, result.output
    assert ClipStore(tmp_path / "s.zarr").processor.grid.offset_in(GRID) == (0, 0)


QUICK = (
    *("training.epochs=1", "training.global_batch=4", "engine.device=cpu", "data.workers=0"),
    *("data.split.by=dates", "data.split.validation_from=2020-09-17 12:00"),
    *("data.split.test_from=2020-09-17 20:00", "data.split.guard_hours=1"),
)
INFRARED = (
    *("--processor", "infrared", "--domain", "native", "--set", "tile_size=32"),
    *("--set", "num_frames=4", "--set", "max_missing=1", "--set", "cadence_minutes=15"),
)


def test_a_store_of_one_channel_is_made_by_name(tmp_path):
    scene(frame_times(9)).to_netcdf(tmp_path / "scene.nc")
    limits = ("--set", "low=300", "--set", "high=200", "--set", "channel=IR_108")
    result = run("build", tmp_path / "scene.nc", "--out", tmp_path / "s.zarr", *INFRARED, *limits)
    assert result.exit_code == 0, result.output
    assert replace(ClipStore(tmp_path / "s.zarr").processor, grid=GRID) == PROCESSOR


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "tile_sise=32"), "names no setting of a processor"),
        (("--set", "channel=IR_108"), "names no setting of a processor"),
        (("--processor", "infrared", "--set", "tile_size=none"), "tile_size"),
        (("--processor", "infrared", "--revision", "v1"), "names no place on the Hub"),
    ],
)
def test_a_processor_that_cannot_be_is_refused(tmp_path, options, words):
    result = run("build", tmp_path, "--out", tmp_path / "s.zarr", *options)
    assert isinstance(result.exception, ConfigurationError)
    assert words in str(result.exception)


def test_a_one_channel_detector_is_made_by_commands_alone(tmp_path):
    """From scene to store to model to prediction."""
    scene(frame_times()).to_netcdf(tmp_path / "scene.nc")
    TRACKS.to_csv(tmp_path / "tracks.csv", index=False)
    options = (*INFRARED, "--tracks", tmp_path / "tracks.csv")
    result = run("build", tmp_path / "scene.nc", "--out", tmp_path / "s.zarr", *options)
    assert result.exit_code == 0, result.output
    changes = [part for setting in QUICK for part in ("--set", setting)]
    detector = ("--data", tmp_path / "s.zarr", "--out", tmp_path / "detector")
    result = invoke(app, "classify", "--recipe", "tiny", *detector, *changes)
    assert result.exit_code == 0, (result.output, result.exception)
    judged = ("--model", tmp_path / "detector", "--out", tmp_path / "out", "--device", "cpu")
    result = invoke(medicane, "predict", tmp_path / "scene.nc", *judged, "--no-plot")
    assert result.exit_code == 0, (result.output, result.exception)
    assert len(pd.read_csv(tmp_path / "out" / "detections.csv")) > 0


def test_a_research_csv_is_imported_alone(tmp_path):
    for name in ("train.csv", "b.csv"):
        (tmp_path / name).write_text("path,start,end,label\n")
    result = run("build", tmp_path / "train.csv", tmp_path / "b.csv", "--out", tmp_path / "s.zarr")
    assert isinstance(result.exception, ConfigurationError)


def test_check_finds_nothing_wrong_with_a_good_store(store):
    result = run("check", store.path)
    assert result.exit_code == 0
    assert "3 shards, 96 frames, 276 clips checked" in result.output


def test_check_fails_and_names_what_is_wrong(store):
    shard_path(store.path, 1).unlink()
    result = run("check", store.path)
    assert result.exit_code == 1
    assert "c/1/0/0/0 is missing" in result.output


def test_a_flipped_bit_is_found_in_chunk_and_clips(store):
    shard = shard_path(store.path, 0)
    content = bytearray(shard.read_bytes())
    content[5 * 70 * 50 + 1000] ^= 1  # in the sixth frame
    shard.write_bytes(content)
    chunk, clips = check_store(store).problems
    assert "c/0/0/0/0 is broken" in chunk
    assert "differ from their checksum" in clips


def test_a_changed_label_is_found(store):
    change(store, "label", 12, 0)
    found = check_store(store).problems
    assert any("1 clips have another label than their tracks give" in text for text in found)
    assert any("2020-09-17 02:00 at 0, 0" in text for text in found)


def test_a_moved_target_is_found(store):
    change(store, "target_x", 12, 21.0)
    assert "another target_x" in problem(store)


def test_frames_of_another_time_are_found(store):
    index = pd.read_parquet(store.path / "clips.parquet")
    index.at[50, "rows"] = index["rows"][62]  # noqa: PD008
    index.at[50, "checksum"] = index["checksum"][62]  # noqa: PD008
    index.at[50, "cloud_index"] = index["cloud_index"][62]  # noqa: PD008
    save_table(index, store.path / "clips.parquet")
    assert "1 clips are made of frames of other times" in problem(store)


def test_rows_beyond_the_frames_are_found(store):
    change(store, "rows", 50, None)
    index = pd.read_parquet(store.path / "clips.parquet")
    index.at[50, "rows"] = np.arange(94, 98)  # noqa: PD008
    save_table(index, store.path / "clips.parquet")
    assert "name frames that are not there" in problem(store)


def test_times_that_differ_from_the_zarr_array_are_found(store):
    array = zarr.open_array(store.path / "time", mode="r+")
    array[3] = 0
    assert "differ from the array time" in problem(store)


def test_a_split_by_storm_does_not_leak_and_one_by_clip_does(store, tmp_path):
    clips = store.clips
    named = clips[["end", "tile_x", "tile_y"]]
    whole = named.assign(part="train")
    halves = named.assign(part=np.where(np.arange(len(clips)) % 2, "train", "test"))
    whole.to_csv(tmp_path / "whole.csv", index=False)
    halves.to_csv(tmp_path / "halves.csv", index=False)
    assert run("check", store.path, "--split", tmp_path / "whole.csv").exit_code == 0
    result = run("check", store.path, "--split", tmp_path / "halves.csv")
    assert result.exit_code == 1
    assert "the split leaks" in result.output


def test_a_split_of_other_clips_is_a_problem(store):
    split = store.clips.loc[:10, ["end", "tile_x", "tile_y"]].assign(part="train")
    (found,) = check_store(store, split=split).problems
    assert "no part" in found


def test_download_copies_an_archive(tmp_path):
    path = tmp_path / "archive" / "2020_nonhrv.zarr"
    write_archive(path, archive_dataset(shares(2), times("2020-09-17", 2)))
    result = run(
        *("download", "--start", "2020-09-17", "--end", "2020-09-17", "--out", tmp_path / "out"),
        *(
            "--domain",
            "9.8,47.2,10.2,47.7",
            "--archive",
            path.parent.as_uri() + "/{year}_nonhrv.zarr",
        ),
    )
    assert result.exit_code == 0, result.output
    assert "1 files in" in result.output
