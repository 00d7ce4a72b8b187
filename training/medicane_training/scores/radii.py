"""Radii of fixes that hold as many errors as they say, measured on validation storms."""

import numpy as np
from jaxtyping import Float, Shaped
from scipy.optimize import minimize

from medicane_models.network.configuration import RadiusCalibration
from medicane_models.prediction.uncertainty import RADIUS_SHARES

__all__ = ["fit_radii"]

LEAST_KM = 0.1  # an error of 0 has no logarithm
FACTOR_SPREAD, POWER_SPREAD = 2.0, 1.0
STORMS_OF_PRIOR = 1.0
SIMPLEX = ((0.0, 1.0), (0.5, 1.0), (0.0, 1.5))


def fit_radii(
    radii_km: Float[np.ndarray, "n shares"],
    errors_km: Float[np.ndarray, " n"],
    storms: Shaped[np.ndarray, " n"],
) -> RadiusCalibration:
    """Factor and power of each radius, by which RADIUS_SHARES of the errors lie inside.

    The line log r' = log factor + power · log r is the quantile of the errors' logarithms (Koenker
    and Bassett 1978, doi:10.2307/1913643), all storms alike however many clips they have. A weak
    prior keeps it near r' = r: it counts as much as one storm.

    Args:
        radii_km: of a normal error, see `normal_radius`; rows of NaN are passed over.
        errors_km: distances from the truth.
        storms: of each.
    """
    known = np.isfinite(radii_km).all(axis=1) & np.isfinite(errors_km)
    names, number, count = np.unique(storms[known], return_inverse=True, return_counts=True)
    weight = 1 / count[number]
    first, last = (
        _line(radius[known], errors_km[known], weight, share)
        for radius, share in zip(radii_km.T, RADIUS_SHARES, strict=True)
    )
    return (first, last) if len(names) else ((1.0, 1.0), (1.0, 1.0))


def _line(
    radius: Float[np.ndarray, " n"],
    error: Float[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    share: float,
) -> tuple[float, float]:
    x, y = np.log(radius), np.log(np.maximum(error, LEAST_KM))
    middle = float(np.average(x, weights=weight)) if len(x) else 0.0

    def loss(line: Float[np.ndarray, "2"]) -> float:
        """Of a line through (middle, middle + shift): pinball loss and prior."""
        shift, power = line
        above = y - (middle + shift + power * (x - middle))
        pinball = np.maximum(share * above, (share - 1) * above)
        prior = (shift / FACTOR_SPREAD) ** 2 + ((power - 1) / POWER_SPREAD) ** 2
        return float((weight * pinball).sum() + STORMS_OF_PRIOR * prior * share * (1 - share))

    options = {"initial_simplex": SIMPLEX}
    shift, power = minimize(loss, SIMPLEX[0], method="Nelder-Mead", options=options).x.tolist()
    return float(np.exp(middle + shift - power * middle)), max(power, 0.0)
