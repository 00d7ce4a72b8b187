"""Where a cloud top is that a geostationary satellite sees beside its place, and how high it is."""

import numpy as np
from numpy.typing import ArrayLike

from medicane_models.domain.distances import Array
from medicane_models.domain.viewing import (
    EQUATOR_KM,
    POLE_KM,
    satellite_position,
    satellite_zenith,
    surface_position,
)

__all__ = ["cloud_top_height_km", "true_position"]

LAPSE_K_PER_KM = 6.5
LATITUDES = (23.5, 45.0)
SURFACE_KELVIN = (299.7, 288.15)
TROPOPAUSE_KM = (17.0, 11.0)


def true_position(
    lon: ArrayLike, lat: ArrayLike, height_km: ArrayLike, sub_satellite_longitude: float
) -> tuple[Array, Array]:
    """Longitude and latitude in degrees below cloud tops that are seen at other ones.

    The line of sight is followed from the surface up to the ellipsoid whose half axes are longer
    by the height, which is the geodetic height to centimetres.

    Args:
        lon: where the tops appear, in degrees.
        lat: likewise.
        height_km: of the tops, 0 or more.
        sub_satellite_longitude: degrees.

    Returns:
        Longitude -180 … 180 and latitude; NaN where the satellite sees nothing.
    """
    seen = satellite_zenith(lon, lat, sub_satellite_longitude) < 90
    foot, height = np.asarray(surface_position(lon, lat)), np.asarray(height_km, float)[..., None]
    sight = satellite_position(sub_satellite_longitude) - foot
    axes = np.concatenate([EQUATOR_KM + height, EQUATOR_KM + height, POLE_KM + height], axis=-1)
    top = foot + _share_to_ellipsoid(foot / axes, sight / axes) * sight
    x, y, z = np.moveaxis(top, -1, 0)
    flattening = (axes[..., 0] / axes[..., 2]) ** 2
    true_lat = np.degrees(np.arctan2(flattening * z, np.hypot(x, y)))
    true_lon = np.degrees(np.arctan2(y, x))
    return np.where(seen, true_lon, np.nan), np.where(seen, true_lat, np.nan)


def _share_to_ellipsoid(start: Array, way: Array) -> Array:
    """Share (..., 1) of a way at which it leaves the unit sphere that it starts inside."""
    a, b, c = (
        np.asarray(product)[..., None]
        for product in (np.vecdot(way, way), np.vecdot(start, way), np.vecdot(start, start) - 1)
    )
    return (np.sqrt(b**2 - a * c) - b) / a


def cloud_top_height_km(kelvin: ArrayLike, lat: ArrayLike) -> Array:
    """Height of opaque cloud tops by their brightness temperature.

    The lapse of the ICAO standard atmosphere (ISO 2533), 6.5 K a kilometre, from the surface up to
    the tropopause: from 288.15 K to 11 km there, taken from 45° of latitude on, and from 299.7 K
    to 17 km as in the tropical atmosphere of Anderson et al. (AFGL-TR-86-0110, 1986), taken up to
    23.5°; linear in latitude between. 0 where it is warmer than the surface.
    """
    latitude = abs(np.asarray(lat, dtype=float))
    surface = np.interp(latitude, LATITUDES, SURFACE_KELVIN)
    highest = np.interp(latitude, LATITUDES, TROPOPAUSE_KM)
    return np.clip((surface - np.asarray(kelvin, dtype=float)) / LAPSE_K_PER_KM, 0, highest)
