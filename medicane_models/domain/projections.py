"""Map projections: what they are called, which are the same, and how points get onto them."""

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from numpy.typing import ArrayLike
from pyproj.enums import TransformDirection
from pyproj.exceptions import CRSError, ProjError

from medicane_models.domain.azimuthal import from_azimuthal, plane_centre, to_azimuthal
from medicane_models.domain.distances import Array
from medicane_models.errors import ConfigurationError

__all__ = [
    "check_projection",
    "crs_text",
    "from_lonlat",
    "geostationary_crs",
    "is_geographic",
    "nearest_turn",
    "projection_of",
    "same_crs",
    "sub_satellite_longitude",
    "to_lonlat",
]

KEPT = 64  # projections, of which a run knows few, if any

PROJ_PARAMETERS = {
    "R", "R_A", "R_V", "R_lat_a", "R_lat_g", "a", "alpha", "approx", "axis", "azi", "b", "datum",
    "e", "ellps", "es", "f", "gamma", "geoidgrids", "h", "k", "k_0", "lat_0", "lat_1", "lat_2",
    "lat_b", "lat_ts", "lon_0", "lon_1", "lon_2", "lon_wrap", "lonc", "nadgrids", "no_defs",
    "no_uoff", "o_lat_p", "o_lon_p", "o_proj", "over", "pm", "proj", "rf", "south", "sweep", "tilt",
    "title", "to_meter", "towgs84", "type", "units", "vto_meter", "vunits", "wktext", "x_0", "y_0",
    "zone",
}  # fmt: skip
"""What a map projection's PROJ string may hold; PROJ itself passes over what it does not know."""


def geostationary_crs(longitude: float) -> str:
    """PROJ string of the Meteosat projection over a sub-satellite longitude in degrees."""
    return f"+proj=geos +h=35785831 +lon_0={longitude:g} +a=6378137 +b=6356752.3142 +sweep=y"


@lru_cache(maxsize=KEPT)
def projection_of(crs: str) -> pyproj.CRS:
    """The projection of a PROJ string or WKT.

    Raises:
        ConfigurationError: if PROJ does not know it, or it is no map projection of longitude and
            latitude.
    """
    try:
        _refuse_unknown_parameters(crs)
        projection = pyproj.CRS.from_user_input(crs)
        if projection.is_projected:
            _transformer(crs)
    except (CRSError, ProjError) as error:
        raise ConfigurationError(f"crs {crs!r} is no projection that PROJ knows: {error}") from None
    if not (projection.is_projected or projection.is_geographic):
        raise ConfigurationError(f"crs {crs!r} is no map projection; give one, or longlat")
    return projection


def check_projection(crs: str) -> None:
    """Refuse what :func:`projection_of` refuses; local planes are known without PROJ."""
    if plane_centre(crs) is None:
        projection_of(crs)


def is_geographic(crs: str) -> bool:
    """Whether coordinates are longitudes and latitudes in degrees."""
    return plane_centre(crs) is None and projection_of(crs).is_geographic


def _refuse_unknown_parameters(crs: str) -> None:
    if not crs.startswith("+"):
        return
    for word in crs.split():
        if not word.startswith("+") or word[1:].partition("=")[0] not in PROJ_PARAMETERS:
            raise CRSError(f"{word} is no parameter")


def crs_text(crs: str) -> str:
    """A projection as a person reads it: WKT as PROJ writes it in short, as far as it can."""
    if crs.startswith("+"):
        return crs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PROJ strings leave the names of datums out
        return projection_of(crs).to_proj4() or projection_of(crs).name


def same_crs(one: str, other: str) -> bool:
    """Whether two projections are the same, however they are written."""
    return one == other or _parameters(one) == _parameters(other)


def sub_satellite_longitude(crs: str) -> float | None:
    """Longitude, -180 … 180, that the satellite of a projection stands over; None of others."""
    operation = projection_of(crs).to_cf()
    if operation.get("grid_mapping_name") != "geostationary":
        return None
    return nearest_turn(float(operation["longitude_of_projection_origin"]))


def nearest_turn(longitude: Any, centre: Any = 0.0) -> Any:
    """The longitude, of those that are 360° apart, nearest to ``centre``."""
    return centre + (longitude - centre + 180) % 360 - 180


def from_lonlat(crs: str, lon: ArrayLike, lat: ArrayLike) -> tuple[Array, Array]:
    """Projection coordinates of points in degrees; NaN where the projection does not show them."""
    if centre := plane_centre(crs):
        return to_azimuthal(centre, lon, lat)
    return _finite(_transformer(crs).transform(lon, lat))


def to_lonlat(crs: str, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Longitude and latitude in degrees of projection coordinates; NaN off the Earth."""
    if centre := plane_centre(crs):
        return from_azimuthal(centre, x, y)
    return _finite(_transformer(crs).transform(x, y, direction=TransformDirection.INVERSE))


@lru_cache(maxsize=KEPT)
def _parameters(crs: str) -> tuple[Any, ...]:
    """What makes a projection: its CF parameters without names, rounded to what files keep."""
    names = {"crs_wkt", "reference_ellipsoid_name", "prime_meridian_name", "inverse_flattening"}
    return tuple(
        (key, _comparable(key, value))
        for key, value in sorted(projection_of(crs).to_cf().items())
        if key not in names and not key.endswith(("crs_name", "datum_name"))
    )


def _comparable(key: str, value: Any) -> Any:
    if isinstance(value, float) and key.startswith("longitude"):
        value = nearest_turn(value)
    return round(value, 3) if isinstance(value, float) else value


@lru_cache(maxsize=KEPT)
def _transformer(crs: str) -> pyproj.Transformer:
    """From longitude/latitude on the projection's own ellipsoid to projection coordinates."""
    projection = pyproj.CRS.from_user_input(crs)
    return pyproj.Transformer.from_crs(projection.geodetic_crs, projection, always_xy=True)


def _finite(points: tuple[ArrayLike, ArrayLike]) -> tuple[Array, Array]:
    """Replace PROJ's infinities, for points it cannot project, with NaN."""
    x, y = (np.asarray(v, dtype=float) for v in points)
    seen = np.isfinite(x) & np.isfinite(y)
    return np.where(seen, x, np.nan), np.where(seen, y, np.nan)
