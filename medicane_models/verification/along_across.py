"""Errors split along and across the true motion."""

from datetime import timedelta

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain.distances import SPHERE
from medicane_models.prediction.track_positions import SIX_HOURLY

__all__ = ["along_across_km", "headings"]

PerRow = Float[np.ndarray, " n"]


def headings(truth: pd.DataFrame, *, max_hours: float = SIX_HOURLY) -> PerRow:
    """Where storms go, -180 to 180° clockwise from north, from the position before to the next.

    Args:
        truth: ``storm, time, lon, lat``, sorted by storm and time.
        max_hours: a neighbour farther off in time says nothing; with one neighbour, the direction
            from or to it counts.

    Returns:
        NaN where there is none or the storm stands still.
    """
    after, before = (_way_to(truth, shift, max_hours) for shift in (-1, 1))
    east, north = after - before
    return np.where(np.hypot(east, north) > 0, np.degrees(np.arctan2(east, north)), np.nan)


def along_across_km(
    truth: Float[np.ndarray, "n 2"], heading: PerRow, found: Float[np.ndarray, "n 2"]
) -> tuple[PerRow, PerRow]:
    """How far a position is ahead of the true one, and how far to the right of its motion.

    Along the great circle between both, so that the squares add up to the distance's. NaN where a
    position (lon, lat) or the heading is unknown.
    """
    azimuth, distance_km = _azimuth_and_km(truth, found)
    angle = np.radians(azimuth - heading)
    return distance_km * np.cos(angle), distance_km * np.sin(angle)


def _way_to(truth: pd.DataFrame, shift: int, max_hours: float) -> Float[np.ndarray, "2 n"]:
    """Kilometres east and north to a neighbour in time, 0 where there is none."""
    other = truth.shift(shift)
    near = abs(other["time"] - truth["time"]) <= timedelta(hours=max_hours)
    there = other.where(near & (other["storm"] == truth["storm"]))[["lon", "lat"]]
    azimuth, distance_km = _azimuth_and_km(
        truth[["lon", "lat"]].to_numpy(float), there.to_numpy(float)
    )
    angle = np.radians(azimuth)
    return np.nan_to_num(np.stack([distance_km * np.sin(angle), distance_km * np.cos(angle)]))


def _azimuth_and_km(
    here: Float[np.ndarray, "n 2"], there: Float[np.ndarray, "n 2"]
) -> tuple[PerRow, PerRow]:
    azimuth, _, metres = SPHERE.inv(*here.T, *there.T)
    return np.asarray(azimuth), np.asarray(metres) / 1000
