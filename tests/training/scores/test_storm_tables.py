"""Tables by group, with counts and intervals by storm."""

import numpy as np
import pandas as pd
import pytest
from sample_stores import sample_store

from medicane_models.verification.matching import Blocks
from medicane_training.flows.tracking import JUDGED_COLUMNS
from medicane_training.scores.baselines import baseline_errors
from medicane_training.scores.storm_tables import (
    error_table,
    judged_tables,
    printed_table,
    spread,
)

STORMS = np.array(["a", "a", "b", "b", "c", "c"])
BLOCKS = Blocks(STORMS, np.full(6, fill_value=True))
GROUPS = np.array(["weak", "weak", "weak", "weak", "strong", ""])


def test_the_root_mean_square_stands_beside_mean_and_median():
    found = spread(np.array([3.0, 4.0, np.nan]))
    assert found["rms_km"] == pytest.approx(np.sqrt(12.5))
    assert found["mean_km"] == pytest.approx(3.5)


def test_each_group_and_method_has_its_counts_and_intervals():
    errors = {"net": np.array([1.0, 2, 3, 4, 5, 6]), "other": np.array([np.nan] * 4 + [7, 8])}
    strong, also, weak = error_table(errors, GROUPS, BLOCKS, "wind")
    assert (weak["wind"], weak["method"], weak["clips"], weak["storms"]) == ("weak", "net", 4, 2)
    assert (weak["mean_km"]["low"], weak["mean_km"]["high"]) == (1.5, 3.5)
    assert (strong["mean_km"]["value"], also["mean_km"]["value"]) == (5, 7)
    assert np.isnan(strong["mean_km"]["low"])  # one storm
    assert printed_table([weak])[0]["mean/median/p90/rms km"] == "2/2/4/3"


def test_tables_of_a_store_hold_every_clip_in_each_grouping(tmp_path):
    store = sample_store(tmp_path / "s.zarr")
    rows = np.flatnonzero(store.clips["label"] == 1)
    truth = store.clips[["target_x", "target_y"]].to_numpy()[rows]
    judged = pd.DataFrame(0.0, index=range(len(rows)), columns=list(JUDGED_COLUMNS))
    judged[["true_x", "true_y"]], judged[["x", "y"]] = truth, truth + np.eye(2)[0]
    judged = judged.assign(clip=rows, error_km=40.0, variance_x=1.0, variance_y=1.0)
    judged = judged.assign(radius_50_km=40.0, radius_95_km=80.0)
    tables = judged_tables(store, judged, baseline_errors(store, rows))
    assert set(tables["errors"]) == {"all", "wind", "dataset", "organisation"}
    for of in tables["errors"].values():
        assert sum(row["clips"] for row in of if row["method"] == "model") == len(rows)
    (radii,) = tables["radii"]["all"]
    assert (radii["coverage_50"]["value"], radii["coverage_95"]["value"]) == (1.0, 1.0)
    assert radii["storms"] == 6
