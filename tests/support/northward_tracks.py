"""Cyclones that go north on one day, and what judges them."""

import numpy as np
import pandas as pd

from medicane_models.verification.cases import EvaluationSettings

HOURS = pd.date_range("2020-09-17", periods=24, freq="h")
DAY = EvaluationSettings(start=HOURS[0], end=HOURS[-1], samples=20)
STORMS = {"a": (18, range(3)), "b": (5, range(6, 9)), "c": (12, range(12, 15))}


def track(name, lon, hours):
    """A cyclone that goes north by a tenth of a degree an hour."""
    lat = 37 + 0.1 * np.asarray(hours)
    return pd.DataFrame({"track_id": name, "time": HOURS[list(hours)], "lon": lon, "lat": lat})


def write(table, path):
    path.parent.mkdir(exist_ok=True)
    table.to_csv(path, index=False)
    return path
