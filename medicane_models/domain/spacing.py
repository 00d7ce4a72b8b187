"""Coordinates along an axis: where they start, and how far apart they are."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medicane_models.errors import SceneError

__all__ = ["even_spacing", "unwrapped"]

UNEVEN = 0.05  # of a step


def unwrapped(longitudes: ArrayLike) -> ArrayLike:
    """Longitudes that run on where they jump by a turn; an even axis stays as it is."""
    values = np.asarray(longitudes, dtype=float)
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all():
        return values  # which is refused
    if _unevenness(values) <= UNEVEN:
        return values
    return np.unwrap(values, period=360)


def even_spacing(name: str, coordinates: ArrayLike) -> tuple[float, float, int]:
    """First value, step and count of coordinates.

    Raises:
        SceneError: if the axis is uneven, or has fewer than two finite values.
    """
    values = np.asarray(coordinates, dtype=float)
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all():
        raise SceneError(f"coordinate {name} needs at least two finite values along one axis")
    if _unevenness(values) > UNEVEN:
        raise SceneError(
            f"coordinate {name} is not evenly spaced, from {values[0]:g} to {values[-1]:g}; "
            "resample the file onto a regular grid first"
        )
    return float(values[0]), float(values[-1] - values[0]) / (values.size - 1), int(values.size)


def _unevenness(values: NDArray[np.floating]) -> float:
    """How far coordinates lie off even spacing, in steps; infinite for a step of 0."""
    step = (values[-1] - values[0]) / (values.size - 1)
    if step == 0:
        return np.inf
    return float(abs((values - values[0]) / step - np.arange(values.size)).max())
