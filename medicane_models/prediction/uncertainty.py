"""From a covariance to the radius a forecaster can draw, without torch."""

import numpy as np
from jaxtyping import Float

from medicane_models.network.configuration import RadiusCalibration

__all__ = ["RADIUS_SHARES", "calibrated_radii", "error_radii", "normal_radius"]

RADIUS_SHARES = (0.5, 0.95)
"""Of the errors that the circles of a fix hold."""

_ANGLES = (np.arange(128) + 0.5) * np.pi / 128
_BISECTIONS = 40


def error_radii(
    covariance_km: Float[np.ndarray, "*batch 2 2"], calibration: RadiusCalibration | None
) -> Float[np.ndarray, "*batch shares"]:
    """Radii in km of the circles that hold RADIUS_SHARES of the errors.

    Args:
        covariance_km: as the model gives it, km²; NaN gives NaN.
        calibration: (factor, power) of each, see `MedicaneConfig`; None takes errors as normal.
    """
    radii = np.stack([normal_radius(covariance_km, share) for share in RADIUS_SHARES], axis=-1)
    return radii if calibration is None else calibrated_radii(radii, calibration)


def calibrated_radii(
    radii: Float[np.ndarray, "*batch shares"], calibration: RadiusCalibration
) -> Float[np.ndarray, "*batch shares"]:
    """Radii of normal errors, in km, by the factor and power of each."""
    factor, power = np.array(calibration).T
    return factor * radii**power


def normal_radius(
    covariance: Float[np.ndarray, "*batch 2 2"], probability: float
) -> Float[np.ndarray, "*batch"]:
    """Radius of the circle around its mean that holds a share of a bivariate normal.

    With the variances a ≥ b along the principal axes, polar coordinates of the whitened normal
    give the share outside radius r as the mean over θ of exp(−r² / 2(a cos²θ + b sin²θ)): a
    smooth periodic integrand, for which equal steps converge geometrically. (The distribution
    is Hoyt's, 1947, doi:10.1109/JRPROC.1947.232969.)

    Args:
        covariance: symmetric, in any squared unit; NaN gives NaN.
        probability: share of the distribution, 0 ≤ probability < 1.

    Returns:
        The radius in the covariance's unit, relative precision better than 1e-3.
    """
    matrices = np.asarray(covariance, dtype=np.float64).reshape(-1, 2, 2)
    small, large = _principal_variances(matrices)
    low = np.zeros_like(large)
    high = np.sqrt(-2 * large * np.log1p(-probability))  # exact for equal variances, else too far
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        too_small = _share_outside(middle, small, large) > 1 - probability
        low, high = np.where(too_small, middle, low), np.where(too_small, high, middle)
    return ((low + high) / 2).reshape(covariance.shape[:-2])


def _principal_variances(
    covariance: Float[np.ndarray, "n 2 2"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    mean = (covariance[..., 0, 0] + covariance[..., 1, 1]) / 2
    spread = np.hypot((covariance[..., 0, 0] - covariance[..., 1, 1]) / 2, covariance[..., 0, 1])
    return np.maximum(mean - spread, 0), mean + spread


def _share_outside(
    radius: Float[np.ndarray, " n"],
    small: Float[np.ndarray, " n"],
    large: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    cosine, sine = np.cos(_ANGLES), np.sin(_ANGLES)
    variance = large[..., None] * cosine**2 + small[..., None] * sine**2  # (n, angles)
    squared = radius[..., None] ** 2
    # a point mass (variance 0) is inside every circle
    exponent = np.divide(squared, 2 * variance, out=np.zeros_like(variance), where=variance != 0)
    return np.exp(-exponent).mean(-1)
