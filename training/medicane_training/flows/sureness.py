"""How sure a label is, by the strength of its storm.

An eye is known to some 11 km, the centre of a sheared depression to a hundred.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

__all__ = ["label_weights", "label_widths_km", "strength"]

ENDS: Mapping[str, tuple[float, float]] = {
    "wind_kt": (35.0, 115.0),
    "pressure_hpa": (1005.0, 930.0),
}
"""The weakest and the strongest that tells anything, in the order of preference: between a
depression and a category 4."""

UNKNOWN = 0.5


def strength(clips: pd.DataFrame) -> Float[np.ndarray, " clips"]:
    """How strong the storm of each clip is, 0 … 1 between the ENDS; ½ where nobody knows.

    Args:
        clips: with ``wind_kt`` or ``pressure_hpa``, NaN where unknown, or without.
    """
    found = np.full(len(clips), np.nan)
    for name, (weakest, strongest) in ENDS.items():
        if name in clips:
            value = (clips[name].to_numpy(float) - weakest) / (strongest - weakest)
            found = np.where(np.isnan(found), value.clip(0, 1), found)
    return np.where(np.isnan(found), UNKNOWN, found)


def label_widths_km(
    clips: pd.DataFrame, widths_km: tuple[float, float]
) -> Float[np.ndarray, " clips"]:
    """Standard deviation of the true centre about the label, along each axis.

    Args:
        clips: as `strength` takes them.
        widths_km: of the strongest and of the weakest.
    """
    surest, least = widths_km
    return least + strength(clips) * (surest - least)


def label_weights(clips: pd.DataFrame, weights: tuple[float, float]) -> Float[np.ndarray, " clips"]:
    """What each label counts in the loss.

    Args:
        clips: as `strength` takes them.
        weights: of the strongest and of the weakest.
    """
    strong, weak = weights
    return weak + strength(clips) * (strong - weak)
