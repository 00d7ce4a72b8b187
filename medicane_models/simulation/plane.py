"""Where and when: the plane on which all weather lies, and its clock.

The plane is in kilometres, x = 111.195 km · cos 38° · longitude and y = 111.195 km · |latitude|, so
that any two grids see the same weather; the southern half of the Earth is a mirror image.
"""

import math
from datetime import timedelta

import numpy as np
import pandas as pd
from jaxtyping import Float32
from numpy.typing import ArrayLike

__all__ = ["KM_PER_DEGREE", "KM_PER_DEGREE_EAST", "hours_since_epoch", "plane_km", "ramp", "winter"]

EPOCH = pd.Timestamp("2000-01-01")
KM_PER_DEGREE = 111.195
KM_PER_DEGREE_EAST = KM_PER_DEGREE * math.cos(math.radians(38))
COLDEST_DAY, DAYS_OF_YEAR = 35, 365.2425


def hours_since_epoch(time: pd.Timestamp) -> float:
    """Hours since the beginning of the year 2000, UTC."""
    return (time - EPOCH) / timedelta(hours=1)


def plane_km(lon: ArrayLike, lat: ArrayLike) -> Float32[np.ndarray, "2 *s"]:
    """Position on the plane of points in degrees."""
    return np.stack(
        [
            np.asarray(lon, np.float32) * np.float32(KM_PER_DEGREE_EAST),
            np.abs(np.asarray(lat, np.float32)) * np.float32(KM_PER_DEGREE),
        ]
    )


def winter(hour: float, *, southern: bool = False) -> float:
    """0 in early August, 1 in early February; half a year later in the south."""
    days = hour / 24 - COLDEST_DAY + (DAYS_OF_YEAR / 2 if southern else 0)
    return 0.5 + 0.5 * math.cos(2 * math.pi * days / DAYS_OF_YEAR)


def ramp(share: float) -> float:
    """0 below 0, 1 above 1, smooth between."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
