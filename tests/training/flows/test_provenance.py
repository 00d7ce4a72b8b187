import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from plane_stores import plane_store
from tiny_flows import classification, visible_store

from medicane_models.files import json_text
from medicane_models.network.configuration import MedicaneConfig
from medicane_training.clips.parts import Clips
from medicane_training.clips.split_settings import SplitSettings
from medicane_training.flows.classification import ClassificationFlow
from medicane_training.flows.provenance import clips_described, data_kind, trained_on, training_data
from medicane_training.recipes.data_sections import DataSettings
from medicane_training.recipes.sections import ModelSettings
from medicane_training.store.clip_store import save_table
from medicane_training.store.labels import CYCLONE

FRESH = ModelSettings(preset="tiny")


@pytest.fixture
def store(tmp_path):
    return visible_store(tmp_path)


def clips_from(store, *sources: str):
    """The clips of the store as if the frames came from these sources in turn."""
    frames = pd.read_parquet(store / "frames.parquet")
    named = [sources[row % len(sources)] for row in range(len(frames))]
    save_table(frames.assign(source=named), store / "frames.parquet")
    return ClassificationFlow.open(classification(store)).clips


def test_platform_period_clips_storms_and_split_are_named(store):
    clips = clips_from(store, "Meteosat-11: 9 frames of a.nc", "Meteosat-9: 9 frames of b.nc")
    count = len(clips.rows("train"))
    assert trained_on(clips, FRESH) == (
        f"{count} clips of Meteosat-11 and Meteosat-9, 2020-09-17 to 2020-09-17, 1 storm; split by "
        "file."
    )


@pytest.mark.parametrize(
    ("sources", "kind"),
    [
        (["Meteosat-11: x", "Meteosat-9: y"], "real"),
        (["simulated: x"], "simulated"),
        (["Meteosat-11, simulated: x"], "mixed"),
        (["Meteosat-11: x"] * 9 + ["simulated: y"], "mixed"),
        (["simulated: x", "unknown: y"], "mixed"),
        (["Meteosat-11: x", "unknown: y"], None),
        (["Meteosat-11: x", "week of simulated.zarr"], None),
        ([": x"], None),
    ],
)
def test_the_kind_of_data_is_that_of_the_platforms(store, sources, kind):
    clips = clips_from(store, *sources)
    assert data_kind(clips.store, clips.rows("train")) == kind


def test_a_slot_without_a_frame_is_of_no_platform(tmp_path):
    planes = plane_store(tmp_path / "s.zarr")
    frames = pd.read_parquet(planes.path / "frames.parquet")
    last = frames.index == len(frames) - 1
    frames["source"] = np.where(last, "simulated: x", "Meteosat-11: y")
    save_table(frames, planes.path / "frames.parquet")
    planes.refresh()
    others = np.flatnonzero(~(planes.rows == len(frames) - 1).any(axis=1))
    assert (planes.rows[others] < 0).any()
    assert data_kind(planes, others) == "real"


@pytest.mark.parametrize(
    ("stormy", "calm", "kind"),
    [("simulated", "Meteosat-11", "simulated"), ("Meteosat-11", "simulated", "mixed")],
)
def test_real_calm_weather_makes_no_real_cyclones_of_simulated_ones(tmp_path, stormy, calm, kind):
    planes = plane_store(tmp_path / "s.zarr")
    shown = planes.rows[planes.clips["label"].to_numpy() == CYCLONE]
    frames = pd.read_parquet(planes.path / "frames.parquet")
    frames["source"] = np.where(frames.index.isin(np.unique(shown)), f"{stormy}: x", f"{calm}: y")
    save_table(frames, planes.path / "frames.parquet")
    planes.refresh()
    split = {"by": "storm", "fractions": (0.5, 0.5, 0.0)}
    clips = Clips(
        planes, DataSettings(store=str(planes.path), split=SplitSettings(**split)), seed=0
    )
    assert data_kind(planes, clips.rows("train")) == "mixed"
    assert training_data(clips, FRESH)["data_kind"] == kind
    assert training_data(clips, FRESH, labelled=False)["data_kind"] == "mixed"


def test_only_the_frames_of_the_clips_count(store):
    frames = pd.read_parquet(store / "frames.parquet")
    late = frames["time"] > pd.Timestamp("2020-09-17 08:00")
    sources = late.map({True: "simulated: x", False: "Meteosat-11: y"})
    save_table(frames.assign(source=sources), store / "frames.parquet")
    clips = ClassificationFlow.open(classification(store)).clips
    kinds = [data_kind(clips.store, clips.rows(part)) for part in ("train", "validation")]
    assert kinds == ["real", "simulated"]
    assert "SIMULATED" not in trained_on(clips, FRESH)


def test_a_card_is_told_storms_counts_split_and_labels(store):
    clips = clips_from(store, "unknown: x")
    told = json.loads(json_text(clips_described(clips)))
    assert told["platforms"] == ["unknown"]
    assert told["storms"] == ["first"]
    assert told["split"] == {"by": "file", "guard_hours": 0.0}
    assert told["rule"]["border_margin_px"] == 2.0
    train = told["parts"]["train"]
    assert train["clips"] == len(clips.rows("train"))
    assert train["cyclones"] == (clips.table("train")["label"] == 1).sum()
    assert train["first"].startswith("2020-09-17T")


def test_simulated_frames_are_called_so_however_few(store):
    clips = clips_from(store, *["Meteosat-11: x"] * 9, "simulated: 9 frames of s.zarr")
    assert "SIMULATED scenes and Meteosat-11" in trained_on(clips, FRESH)


def test_a_platform_that_was_not_recorded_is_not_guessed(store):
    clips = clips_from(store, "9 frames of week.zarr", "unknown: x")
    assert "clips of an unrecorded platform" in trained_on(clips, FRESH)


def test_what_the_initial_model_saw_is_not_forgotten(store, tmp_path):
    MedicaneConfig(trained_on="9 clips of SIMULATED scenes.").save_pretrained(tmp_path / "m")
    clips = clips_from(store, "Meteosat-11: x")
    model = replace(FRESH, preset=None, init=str(tmp_path / "m"))
    assert trained_on(clips, model).endswith(". Before that: 9 clips of SIMULATED scenes.")


def test_the_same_clips_are_named_once(store, tmp_path):
    clips = clips_from(store, "Meteosat-11: x")
    own, older = trained_on(clips, FRESH), "9 clips of SIMULATED scenes."
    known = f"{own} Before that: {older}"
    MedicaneConfig(trained_on=known).save_pretrained(tmp_path / "m")
    model = replace(FRESH, preset=None, init=str(tmp_path / "m"))
    assert trained_on(clips, model) == known
