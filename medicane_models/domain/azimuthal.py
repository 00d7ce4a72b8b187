"""The azimuthal equidistant projection of the sphere: distance and bearing from a centre are true.

Snyder, Map Projections: A Working Manual (USGS, 1987), chapter 25, in unit vectors (east, north,
up) at the centre, so that poles and the 180th meridian are places like any other. PROJ needs about
a millisecond to set up each centre; these formulas need nothing.
"""

import re
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from medicane_models.domain.distances import EARTH_RADIUS_KM, Array

__all__ = ["from_azimuthal", "plane_centre", "plane_crs", "to_azimuthal"]

RADIUS_M = EARTH_RADIUS_KM * 1000
NUMBER = r"(-?\d+(?:\.\d+)?)"
PLANE_CRS = re.compile(
    rf"\+proj=aeqd \+lat_0={NUMBER} \+lon_0={NUMBER} \+R={re.escape(f'{RADIUS_M:.1f}')} \+units=m"
)


def plane_crs(lon: float, lat: float) -> str:
    """PROJ string of the plane around a point in degrees, kept to 10 cm."""
    return f"+proj=aeqd +lat_0={lat:.6f} +lon_0={lon:.6f} +R={RADIUS_M:.1f} +units=m"


@lru_cache(maxsize=4096)
def plane_centre(crs: str) -> tuple[float, float] | None:
    """Longitude and latitude of the centre that :func:`plane_crs` wrote; None of other crs."""
    match = PLANE_CRS.fullmatch(crs)
    if match is None:
        return None
    lat, lon = (float(number) for number in match.groups())
    return (lon, lat) if abs(lat) <= 90 else None


def to_azimuthal(
    centre: tuple[ArrayLike, ArrayLike], lon: ArrayLike, lat: ArrayLike
) -> tuple[Array, Array]:
    """Metres east and north of a centre, along great circles, of points in degrees.

    Several centres are paired with the points.
    """
    middle = np.radians(centre[1])
    turn, phi = np.radians(np.asarray(lon) - centre[0]), np.radians(lat)
    east = np.cos(phi) * np.sin(turn)
    north = np.cos(middle) * np.sin(phi) - np.sin(middle) * np.cos(phi) * np.cos(turn)
    up = np.sin(middle) * np.sin(phi) + np.cos(middle) * np.cos(phi) * np.cos(turn)
    arc_over_chord = RADIUS_M / _sinc(np.arctan2(np.hypot(east, north), up))
    return east * arc_over_chord, north * arc_over_chord


def from_azimuthal(centre: tuple[float, float], x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Longitude (-180 … 180) and latitude in degrees of metres east and north of a centre.

    NaN beyond the antipode.
    """
    middle = np.radians(centre[1])
    x, y = np.asarray(x) / RADIUS_M, np.asarray(y) / RADIUS_M
    arc = np.hypot(x, y)
    chord_over_arc = _sinc(np.where(arc <= np.pi, arc, np.nan))
    east, north, up = x * chord_over_arc, y * chord_over_arc, np.cos(arc)
    towards_pole = np.cos(middle) * up - np.sin(middle) * north
    axis = np.sin(middle) * up + np.cos(middle) * north
    lon = centre[0] + np.degrees(np.arctan2(east, towards_pole))
    lat = np.degrees(np.arctan2(axis, np.hypot(east, towards_pole)))
    return lon - 360 * np.rint(lon / 360), lat


def _sinc(angle: Array) -> Array:
    """Sine of an angle over the angle; 1 at 0."""
    return np.sinc(angle / np.pi)
