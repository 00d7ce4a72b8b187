"""Simulated samples of a store of local planes: reproducible, honest, and only trained on."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas as pd
import pytest
from plane_stores import PROCESSOR, plane_store
from typer.testing import CliRunner

from medicane_models.domain import Tile
from medicane_models.errors import ConfigurationError
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.cli import app
from medicane_training.clips.plane_splits import is_judgeable, split_planes
from medicane_training.flows.provenance import data_kind
from medicane_training.store.backgrounds import Backgrounds
from medicane_training.store.clip_store import ClipStore, decode
from medicane_training.store.simulated_planes import SampleSimulator, add_simulated
from medicane_training.store.writer import create_store


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> ClipStore:
    return plane_store(tmp_path_factory.mktemp("real") / "store")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, real) -> ClipStore:
    path = tmp_path_factory.mktemp("simulated") / "store"
    return add_simulated(path, storms=4, calm=3, processor=PROCESSOR, backgrounds=real.path, seed=1)


def test_store_has_storms_and_calm_samples_of_unknown_time_and_place(simulated):
    samples = simulated.samples
    assert len(samples) == 7
    assert (samples["storm"] != "").sum() == 4
    assert samples["end"].isna().all()
    assert samples["plane_lon"].isna().all()
    assert set(samples["hemisphere"]) <= {"north", "south"}
    assert (samples["dataset"] == "simulated").all()


def test_storms_have_wind_and_a_centre_and_calm_samples_neither(simulated):
    stormy = simulated.samples["storm"] != ""
    told = simulated.samples[["wind_kt", "centre_x", "centre_y"]].notna().all(axis=1)
    np.testing.assert_array_equal(told, stormy)
    assert simulated.samples.loc[stormy, "storm"].is_unique


def test_every_second_sample_lies_over_a_calm_one(simulated, real):
    sources = simulated.samples["source"]
    laid = sources.str.contains("laid into")
    assert laid.sum() == 3
    calm = real.samples.loc[real.samples["storm"] == "", "sample"]
    assert set(sources[laid].str.partition("laid into ")[2]) <= set(calm)


def test_simulated_clips_only_train_even_beside_real_storms(simulated, real):
    clips = pd.concat([simulated.clips, real.clips], ignore_index=True)
    is_simulated = clips["dataset"] == "simulated"
    for seed in range(5):
        part = split_planes(clips, seed=seed)
        assert (part[is_simulated] == "train").all()
        alone = split_planes(real.clips, seed=seed)
        np.testing.assert_array_equal(part[~is_simulated], alone)
    assert not is_judgeable(simulated.clips).any()


def test_data_are_called_simulated_or_mixed(simulated):
    laid = simulated.clips["source"].str.contains("laid into").to_numpy()
    assert data_kind(simulated, np.flatnonzero(~laid)) == "simulated"
    assert data_kind(simulated, np.flatnonzero(laid)) == "mixed"


def test_sample_follows_from_its_number_and_the_seed(simulated, real):
    backgrounds = Backgrounds(ClipStore(real.path))
    again = SampleSimulator(store=simulated, seed=1, backgrounds=backgrounds)
    other = replace(again, seed=2)
    for number in (2, 3):
        once, twice = (again.sample(number, stormy=True) for _ in range(2))
        np.testing.assert_array_equal(once.stretched, twice.stretched)
        assert once.centre == twice.centre
        assert not np.array_equal(
            once.stretched, other.sample(number, stormy=True).stretched, equal_nan=True
        )


def test_killed_run_goes_on_where_it_was(tmp_path):
    few = add_simulated(tmp_path / "store", storms=2, calm=0, processor=PROCESSOR)
    first = few.samples
    more = add_simulated(tmp_path / "store", storms=3, calm=1)
    pd.testing.assert_frame_equal(more.samples.iloc[:2], first)
    assert len(more.samples) == 4


def test_samples_are_added_to_a_store_of_real_ones(tmp_path, real):
    before = real.samples
    both = add_simulated(copytree(real.path, tmp_path / "store"), storms=1, calm=1)
    pd.testing.assert_frame_equal(both.samples.iloc[: len(before)], before)
    assert len(both.samples) == len(before) + 2


def test_frames_an_hour_apart_differ_and_older_ones_may_be_lost(simulated):
    rows = np.stack(simulated.samples["rows"].to_list())
    assert (rows[:, -1] >= 0).all()
    whole = rows[(rows >= 0).all(axis=1)][0]
    pixels = decode(simulated.read_frames(whole.tolist(), Tile(0, 0)))
    assert not np.allclose(pixels[0], pixels[-1], equal_nan=True)


def test_command_leaves_out_the_data_sets_of_a_file(tmp_path, real):
    (tmp_path / "names.txt").write_text("\n".join(real.samples["dataset"].unique()))
    told = ["--out", tmp_path / "s", "--storms", 1, "--calm", 0, "--backgrounds", real.path]
    told += ["--leave-out", tmp_path / "names.txt"]
    result = CliRunner().invoke(app, ["data", "simulate", *map(str, told)])
    assert isinstance(result.exception, ConfigurationError)
    assert "no calm sample" in str(result.exception)
    assert not (tmp_path / "s").exists()


def test_data_sets_may_be_left_out_of_the_backgrounds(real):
    names = set(real.samples["dataset"])
    with pytest.raises(ConfigurationError, match="no calm sample"):
        Backgrounds(real, names)


@pytest.mark.parametrize(("storms", "calm"), [(0, 0), (-1, 3)])
def test_impossible_numbers_are_refused(tmp_path, storms, calm):
    with pytest.raises(ConfigurationError, match="give at least one"):
        add_simulated(tmp_path / "store", storms=storms, calm=calm)


def test_backgrounds_of_another_size_are_refused(tmp_path: Path, real):
    store = create_store(tmp_path / "other", PROCESSOR, sample_size=40)
    with pytest.raises(ConfigurationError, match="give another store"):
        SampleSimulator(store=store, seed=0, backgrounds=Backgrounds(real))


def test_only_planes_of_one_channel_can_be_simulated(tmp_path):
    with pytest.raises(ConfigurationError, match="one infrared channel"):
        add_simulated(tmp_path / "store", storms=1, calm=0, processor=MedicaneProcessor.airmass())
