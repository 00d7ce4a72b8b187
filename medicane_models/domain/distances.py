"""Distances between points on Earth."""

import numpy as np
import pyproj
from numpy.typing import ArrayLike, NDArray

__all__ = ["EARTH_RADIUS_KM", "SPHERE", "Array", "geodesic_km", "great_circle_km"]

EARTH_RADIUS_KM = 6371.0088  # mean radius of the WGS84 ellipsoid
SPHERE = pyproj.Geod(a=EARTH_RADIUS_KM * 1000, f=0)

Array = NDArray[np.floating] | np.floating  # arrays without dimensions become scalars


def great_circle_km(lon0: ArrayLike, lat0: ArrayLike, lon1: ArrayLike, lat1: ArrayLike) -> Array:
    """Distance on the sphere of radius EARTH_RADIUS_KM between points in degrees (haversine)."""
    lon0, lat0, lon1, lat1 = (np.radians(np.asarray(v)) for v in (lon0, lat0, lon1, lat1))
    half_chord = (
        np.sin((lat1 - lat0) / 2) ** 2
        + np.cos(lat0) * np.cos(lat1) * np.sin((lon1 - lon0) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half_chord, 1.0)))


def geodesic_km(lon0: ArrayLike, lat0: ArrayLike, lon1: ArrayLike, lat1: ArrayLike) -> Array:
    """Distance on the WGS84 ellipsoid between points in degrees."""
    west, south, east, north = np.broadcast_arrays(
        *(np.asarray(v, dtype=float) for v in (lon0, lat0, lon1, lat1))
    )
    return np.asarray(pyproj.Geod(ellps="WGS84").inv(west, south, east, north)[2]) / 1000
