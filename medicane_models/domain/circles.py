"""Circles on Earth as polygons of longitude and latitude that any map can draw."""

import numpy as np
import pyproj
from jaxtyping import Float

__all__ = ["circle_polygons"]

CORNERS = 48  # the polygon lies within 0.3 % of the radius inside the circle
SLIVER = 0.001  # degrees: narrower parts are left out

Ring = Float[np.ndarray, "_ 2"]


def circle_polygons(lon: float, lat: float, radius_km: float) -> list[Ring]:
    """Polygons (RFC 7946, section 3.1.6) of the points up to a radius from a place in degrees.

    Distances are those of the WGS84 ellipsoid.

    Returns:
        The corners (lon, lat) of each part, the first again at the end, counter-clockwise and
        within ±180°: two parts where the circle crosses the antimeridian, one that runs along it
        to the pole where it holds a pole, none where the radius is unknown or below 100 m.
    """
    if not radius_km > 0:
        return []
    ring = _around(lon, lat, radius_km)
    turns = round((ring[-1, 0] - ring[0, 0]) / 360)  # 1 around the North Pole, -1 the South Pole
    alone = turns != 0 or abs(ring[:, 0]).max() <= 180
    shifts = (0,) if alone else (-360, 0, 360)
    ring = _to_pole(ring, turns) if turns else ring[:-1]
    parts = (_beyond(_beyond(ring + np.array([shift, 0]), -180, 1), 180, -1) for shift in shifts)
    return [np.vstack([part, part[:1]]) for part in parts if _is_broad(part)]


def _around(lon: float, lat: float, radius_km: float) -> Ring:
    """The circle from its northernmost corner by west back to it; longitudes do not jump."""
    azimuths = np.linspace(360, 0, CORNERS + 1)
    centre = np.full(CORNERS + 1, lon), np.full(CORNERS + 1, lat)
    metres = np.full(CORNERS + 1, radius_km * 1000)
    east, north, _ = pyproj.Geod(ellps="WGS84").fwd(*centre, azimuths, metres)
    return np.column_stack([np.unwrap(east, period=360), north])


def _to_pole(ring: Ring, turns: int) -> Ring:
    """All between three turns of a ring around a pole, which reach over ±180°, and that pole."""
    turn = np.array([turns * 360, 0])
    thrice = np.vstack([ring[:-1] - turn, ring[:-1], ring + turn])
    pole = [[thrice[-1, 0], turns * 90], [thrice[0, 0], turns * 90]]
    return np.vstack([thrice, pole])


def _beyond(ring: Ring, meridian: float, side: int) -> Ring:
    """The part of a ring on the eastern (1) or western (-1) side of a meridian."""
    corners = []
    for here, there in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        stays, comes = (side * (corner[0] - meridian) >= 0 for corner in (here, there))
        if stays:
            corners.append(here)
        if stays != comes:
            share = (meridian - here[0]) / (there[0] - here[0])
            corners.append(np.array([meridian, here[1] + share * (there[1] - here[1])]))
    return np.array(corners).reshape(-1, 2)


def _is_broad(ring: Ring) -> bool:
    return len(ring) > 0 and bool((np.ptp(ring, axis=0) > SLIVER).all())
