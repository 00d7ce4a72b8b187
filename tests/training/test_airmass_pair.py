"""The benchmark that makes the Airmass pair, on a season of two days."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from medicane_training.store.clip_store import ClipStore
from medicane_training.store.plane_index import build_plane_index


@pytest.mark.slow
def test_a_season_becomes_samples_of_its_medicanes_and_none_twice(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    pair = importlib.import_module("airmass_pair")
    monkeypatch.setattr(pair, "STRETCH_DAYS", 2)
    season = pair.Season.stormy("2001-09-01", 2, 1)
    monkeypatch.setattr(pair, "SEASONS", (season,))
    pair.build(tmp_path, 1)
    store = ClipStore(tmp_path / "seasons.zarr")
    build_plane_index(store, pair.SETTINGS)
    store.refresh()
    stormy = store.samples.loc[store.samples["storm"] != ""]
    assert set(stormy["storm"]) <= set(season.tracks["track_id"])
    assert len(stormy) > 1
    assert set(stormy["end"].dt.hour) <= {0, 12}
    for sample in stormy.itertuples():
        true = season.tracks.query("track_id == @sample.storm and time == @sample.end")
        np.testing.assert_allclose(
            [sample.plane_lon, sample.plane_lat], true[["lon", "lat"]].iloc[0]
        )
    assert {0, 1} <= set(store.clips["label"])
    before = store.samples
    pair.build(tmp_path, 1)
    store.refresh()
    assert store.samples.equals(before)
