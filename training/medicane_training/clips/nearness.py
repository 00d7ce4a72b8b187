"""Which clips of local planes see the weather of others: near in time and on Earth."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from medicane_models.domain import EARTH_RADIUS_KM

__all__ = ["GUARD_KM", "near"]

GUARD_KM = 2000.0
"""Between clips of different parts that are near in time: no storm and no tile reaches so far."""


def near(
    clips: pd.DataFrame, others: pd.DataFrame, *, hours: float, km: float
) -> Bool[np.ndarray, " n"]:
    """Whether each clip has one among the others nearer in time than ``hours`` and than ``km``.

    A clip whose place is unknown may be anywhere, one whose time is unknown is near nothing. A
    place counts as near when it is so along each axis of space, which may say so of some up to
    √3 times as far, and of none wrongly that it is not.

    Args:
        clips: ``end, plane_lon, plane_lat``.
        others: the same.
        hours: 0 finds none.
        km: likewise.
    """
    found = np.full(len(clips), False)
    if hours <= 0 or km <= 0:
        return found
    here, there = (_scaled(table, hours, km) for table in (clips, others))
    placed, others_placed = (np.isfinite(points).all(axis=1) for points in (here, there))
    found[placed] = _within_one(here[placed], there[others_placed])
    time, others_time = here[:, :1], there[:, :1]
    found[~placed] |= _within_one(time[~placed], others_time)
    return found | _within_one(time, others_time[~others_placed])


def _scaled(table: pd.DataFrame, hours: float, km: float) -> Float[np.ndarray, "n 4"]:
    """Time and place such that one unit along any axis is what still counts as near."""
    end = table["end"].to_numpy("datetime64[ns]")
    time = np.where(np.isnat(end), np.nan, end.astype(np.int64) / 3.6e12)
    lon, lat = np.radians(table[["plane_lon", "plane_lat"]].to_numpy(float)).T
    place = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    return np.column_stack([time / hours, place * (EARTH_RADIUS_KM / km)])


def _within_one(
    points: Float[np.ndarray, "n d"], others: Float[np.ndarray, "m d"]
) -> Bool[np.ndarray, " n"]:
    """Whether some other point is nearer than 1 along each axis."""
    found = np.full(len(points), False)
    known = np.isfinite(points).all(axis=1)
    others = others[np.isfinite(others).all(axis=1)]
    if known.any() and len(others):
        distance, _ = KDTree(others).query(points[known], p=np.inf, distance_upper_bound=1.0)
        found[known] = np.isfinite(distance)
    return found
