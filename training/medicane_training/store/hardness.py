"""How easily weather is taken for a cyclone: how cold it is, and how like a spiral.

Letters: H rows, W columns.
"""

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from medicane_training.store.spirals import spiral_score

__all__ = ["coldest_kelvin", "spirality"]

COLD_KM = 60.0
SEEN = 0.5


def coldest_kelvin(kelvin: Float[np.ndarray, "H W"], km: float) -> float:
    """The coldest mean over 60 km, in kelvin; NaN where so much is seen nowhere.

    Args:
        kelvin: NaN where missing.
        km: of a pixel.
    """
    side = max(round(COLD_KM / km), 1)
    there = np.isfinite(kelvin)
    total, share = (
        ndimage.uniform_filter(values, side, mode="constant")
        for values in (np.where(there, kelvin, 0.0), there.astype(float))
    )
    enough = share >= SEEN
    return float((total[enough] / share[enough]).min()) if enough.any() else np.nan


def spirality(kelvin: Float[np.ndarray, "H W"], km: float) -> float:
    """The best spiral score of a local plane, in which cyclones turn as in the north."""
    score, _ = spiral_score(kelvin, np.diag([km, -km]))
    return float(score.max())
