"""The ocean basins that agencies file cyclones under."""

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

__all__ = ["atcf_basins", "ibtracs_basins"]

ATCF_BASINS = {"NA": "AL", "EP": "EP", "WP": "WP", "NI": "IO", "SI": "SH", "SP": "SH", "SA": "SL"}
"""What ATCF calls the basins of IBTrACS, but for CP, the part of EP west of 140°W."""

ISTHMUS_LAT, ISTHMUS_EAST = (0, 20), (295, 260)  # ends of a line through Central America


def ibtracs_basins(lon: ArrayLike, lat: ArrayLike) -> Shaped[np.ndarray, "*shape"]:
    """Codes of IBTrACS (NA EP WP NI SI SP SA) for points in degrees.

    The Mediterranean belongs to the North Atlantic. Between Atlantic and Pacific stands a straight
    line from 20°N 100°W to 0° 65°W.
    """
    east, lat = np.asarray(lon) % 360, np.asarray(lat)
    isthmus = np.interp(lat, ISTHMUS_LAT, ISTHMUS_EAST)
    north = np.select(
        [east < 30, east < 100, east < 180, east < isthmus], ["NA", "NI", "WP", "EP"], "NA"
    )
    south = np.select([east < 10, east < 135, east < 290], ["SA", "SI", "SP"], "SA")
    return np.where(lat >= 0, north, south)


def atcf_basins(lon: ArrayLike, lat: ArrayLike) -> Shaped[np.ndarray, "*shape"]:
    """Codes of ATCF (AL EP CP WP IO SH SL) for points in degrees."""
    basins = ibtracs_basins(lon, lat)
    central = (basins == "EP") & (np.asarray(lon) % 360 < 220)
    return np.where(central, "CP", np.vectorize(ATCF_BASINS.get, otypes=["U2"])(basins))
