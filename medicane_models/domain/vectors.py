"""Directions from the Earth's centre: points on the sphere without poles and without a seam."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

__all__ = ["east_and_north", "lonlat_of", "unit_vectors"]


def unit_vectors(lon: ArrayLike, lat: ArrayLike) -> Float[np.ndarray, "*n 3"]:
    """Vectors towards points in degrees: x to 0°E, y to 90°E, z to the north pole."""
    lon, lat = np.broadcast_arrays(np.radians(lon), np.radians(lat))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def lonlat_of(
    vectors: Float[np.ndarray, "*n 3"],
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Longitude (-180 … 180) and latitude in degrees of vectors of any length but 0."""
    x, y, z = (vectors[..., axis] for axis in range(3))
    lon, lat = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
    return np.asarray(np.degrees(lon)), np.asarray(np.degrees(lat))


def east_and_north(
    lon: ArrayLike, lat: ArrayLike
) -> tuple[Float[np.ndarray, "*n 3"], Float[np.ndarray, "*n 3"]]:
    """Unit vectors to the east and to the north at points in degrees."""
    return unit_vectors(np.add(lon, 90), np.zeros_like(lat)), unit_vectors(lon, np.add(lat, 90))
