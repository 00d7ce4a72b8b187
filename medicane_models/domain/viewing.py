"""How a geostationary satellite sees points on the WGS84 ellipsoid."""

import numpy as np
from numpy.typing import ArrayLike

from medicane_models.domain.distances import Array
from medicane_models.domain.vectors import unit_vectors

__all__ = ["EQUATOR_KM", "POLE_KM", "satellite_position", "satellite_zenith", "surface_position"]

EQUATOR_KM, POLE_KM = 6378.137, 6356.752314245  # half axes of WGS84
ORBIT_KM = 42164.0  # from the centre of the Earth, CGMS 03 (LRIT/HRIT global specification)


def satellite_zenith(lon: ArrayLike, lat: ArrayLike, sub_satellite_longitude: float) -> Array:
    """Angle in degrees between the satellite and the vertical at points in degrees.

    0 under the satellite, 90 on the horizon, more behind it.
    """
    upwards = unit_vectors(lon, lat)
    sight = satellite_position(sub_satellite_longitude) - _on_ellipsoid(upwards)
    cosine = np.vecdot(upwards, sight) / np.sqrt(np.vecdot(sight, sight))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def satellite_position(sub_satellite_longitude: float) -> Array:
    """Kilometres (x, y, z) from the Earth's centre: to 0°E, to 90°E and to the north pole."""
    turn = np.radians(sub_satellite_longitude)
    return ORBIT_KM * np.array([np.cos(turn), np.sin(turn), 0.0])


def surface_position(lon: ArrayLike, lat: ArrayLike) -> Array:
    """Kilometres (..., 3) from the Earth's centre of points in degrees, geodetic latitude."""
    return _on_ellipsoid(unit_vectors(lon, lat))


def _on_ellipsoid(upwards: Array) -> Array:
    """Where the ellipsoid's vertical has these directions."""
    scaled = np.array([EQUATOR_KM, EQUATOR_KM, POLE_KM]) ** 2 * upwards
    return scaled / np.sqrt((scaled * upwards).sum(axis=-1, keepdims=True))
