"""From a CF grid mapping to a projection, which has to be one of Earth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyproj
from pyproj.exceptions import CRSError

from medicane_models.errors import SceneError
from medicane_models.scenes.instruments import IMAGERS
from medicane_models.scenes.readers.attributes import number_of, text_of

__all__ = ["LONLAT", "earth_crs", "mapping_crs"]

SWEEPS = {imager.key: imager.sweep for imager in IMAGERS if imager.sweep}
"""Which axis of the instrument sweeps, where a file does not say."""

LONLAT = "+proj=longlat +datum=WGS84"
WGS84_METRES = (6378137.0, 6356752.314245)
RANGES = {
    "semi_major_axis": (6.3e6, 6.4e6),
    "semi_minor_axis": (6.3e6, 6.4e6),
    "longitude_of_prime_meridian": (0, 0),
    "false_easting": (-1e8, 1e8),
    "false_northing": (-1e8, 1e8),
}
GEOSTATIONARY_RANGES = {"perspective_point_height": (3.4e7, 3.8e7)}  # metres
WKT = ("crs_wkt", "spatial_ref")
TEXTS = (
    "grid_mapping_name", "sweep_angle_axis", "fixed_angle_axis", "reference_ellipsoid_name",
    "ellipsoid_name", "prime_meridian_name", "horizontal_datum_name", "geographic_crs_name",
    "projected_crs_name", "towgs84_name",
)  # fmt: skip
NUMBERS = (
    "perspective_point_height", "semi_major_axis", "semi_minor_axis", "inverse_flattening",
    "earth_radius", "longitude_of_prime_meridian", "longitude_of_projection_origin",
    "latitude_of_projection_origin", "longitude_of_central_meridian",
    "straight_vertical_longitude_from_pole", "azimuth_of_central_line", "false_easting",
    "false_northing", "scale_factor_at_projection_origin", "scale_factor_at_central_meridian",
    "grid_north_pole_latitude", "grid_north_pole_longitude", "north_pole_grid_longitude",
)  # fmt: skip
NEEDED = {
    "latitude_of_projection_origin",
    "longitude_of_central_meridian",
    "longitude_of_projection_origin",
    "perspective_point_height",
    "standard_parallel",
    "straight_vertical_longitude_from_pole",
}
"""Of these a projection needs all that pyproj gives it."""

LISTS = ("standard_parallel", "towgs84")
TOLERANCE = 1e-5  # relative: what is left of numbers written with seven digits
RAW_ERRORS = (ArithmeticError, AttributeError, CRSError, KeyError, TypeError, ValueError)
"""What pyproj raises for what is no projection."""


def mapping_crs(attributes: Mapping[Any, Any], sensor: str, name: str) -> str:
    """The projection that the attributes of a grid mapping describe.

    Args:
        attributes: CF parameters, WKT, or both.
        sensor: decides the sweep of geostationary imagers whose file does not tell it.
        name: of the variable and its file, for messages.

    Raises:
        SceneError: if they describe no projection of Earth, or contradict each other.
    """
    told = _parameters(attributes, sensor, name)
    wkt = text_of(attributes, *WKT, file=name)
    if not wkt and "grid_mapping_name" not in told:
        raise SceneError(f"{name} is no CF grid mapping: it lacks grid_mapping_name")
    try:
        projection = pyproj.CRS.from_wkt(wkt) if wkt else pyproj.CRS.from_cf(told)
        found = projection.to_cf()
    except RAW_ERRORS as error:
        raise SceneError(f"{name} is no CF grid mapping: {error}") from error
    if not wkt:
        _refuse_gaps(told, found, name)
    _refuse_contradictions(told, found, name)
    return earth_crs(projection, name)


def earth_crs(projection: pyproj.CRS, name: str) -> str:
    """The shortest text that a Grid can restore the projection from.

    Raises:
        SceneError: if it is none of Earth.
    """
    cf = projection.to_cf()
    _refuse_other_planets(cf, name)
    is_moved = cf.get("false_easting") or cf.get("false_northing")
    if cf.get("grid_mapping_name") == "geostationary" and not is_moved:
        return (
            f"+proj=geos +h={cf['perspective_point_height']:.15g} "
            f"+lon_0={cf['longitude_of_projection_origin']:.15g} "
            f"+a={cf['semi_major_axis']:.15g} +b={cf['semi_minor_axis']:.15g} "
            f"+sweep={cf['sweep_angle_axis']}"
        )
    if cf.get("grid_mapping_name") == "latitude_longitude" and _is_wgs84(cf):
        return LONLAT
    return projection.to_string()


def _is_wgs84(cf: Mapping[str, Any]) -> bool:
    semi_axes = (cf.get("semi_major_axis", 0), cf.get("semi_minor_axis", 0))
    return bool(np.allclose(semi_axes, WGS84_METRES, rtol=0, atol=1e-3))


def _parameters(attributes: Mapping[Any, Any], sensor: str, name: str) -> dict[str, Any]:
    """The CF parameters without WKT, each of its type."""
    texts = {key: text_of(attributes, key, file=name) for key in TEXTS}
    numbers = {key: number_of(attributes, key, file=name) for key in NUMBERS}
    lists = {key: _numbers_of(attributes, key, name) for key in LISTS}
    told = {k: v for k, v in (texts | numbers | lists).items() if v is not None}
    sweeps = {"sweep_angle_axis", "fixed_angle_axis"} & told.keys()
    has_wkt = text_of(attributes, *WKT, file=name) is not None
    if told.get("grid_mapping_name") != "geostationary" or sweeps or has_wkt:
        return told
    if sensor not in SWEEPS:
        raise SceneError(
            f'{name} lacks sweep_angle_axis; add "x" as for ABI, or "y" as for SEVIRI, FCI and AHI'
        )
    return told | {"sweep_angle_axis": SWEEPS[sensor]}


def _numbers_of(attributes: Mapping[Any, Any], key: str, name: str) -> list[float] | None:
    if attributes.get(key) is None:
        return None
    values = np.atleast_1d(attributes[key])
    return [number_of({key: value}, key, file=name) or 0.0 for value in values.ravel()]


def _refuse_gaps(told: Mapping[str, Any], found: Mapping[str, Any], name: str) -> None:
    """PROJ takes 0 for what a grid mapping should tell."""
    is_geostationary = told["grid_mapping_name"] == "geostationary"
    needed = NEEDED - ({"latitude_of_projection_origin"} if is_geostationary else set())
    if missing := sorted(needed & found.keys() - told.keys()):
        raise SceneError(f"{name} lacks {', '.join(missing)}; add it to the grid mapping")


def _refuse_contradictions(told: Mapping[str, Any], found: Mapping[str, Any], name: str) -> None:
    """What a file tells has to be in the projection that pyproj made of it."""
    found = {"earth_radius": found.get("semi_major_axis"), **found}
    for key, value in told.items():
        other = found.get(key)
        if key in NUMBERS and other is not None and not _alike(value, other, key):
            raise SceneError(f"{name} contradicts itself: {key} is {value:.10g} and {other:.10g}")
        is_name = key in ("grid_mapping_name", "sweep_angle_axis", "fixed_angle_axis")
        if is_name and other not in (None, "unknown", value.lower()):
            raise SceneError(f"{name} contradicts itself: {key} is {value} and {other}")


def _alike(one: float, other: float, key: str) -> bool:
    apart = abs(one - other)
    if "longitude" in key:
        apart = min(apart % 360, 360 - apart % 360)
    return apart <= TOLERANCE * max(abs(other), 1)


def _refuse_other_planets(found: Mapping[str, Any], name: str) -> None:
    is_geostationary = found.get("grid_mapping_name") == "geostationary"
    ranges = RANGES | (GEOSTATIONARY_RANGES if is_geostationary else {})
    for key, (lowest, highest) in ranges.items():
        value = found.get(key, lowest)
        if not lowest <= value <= highest:
            raise SceneError(
                f"{name} has a {key} of {value:g}, which is not {lowest:g} … {highest:g}"
            )
    for key, value in found.items():
        limit = 90 if "latitude" in key else 360 if "longitude" in key else None
        if limit and isinstance(value, float) and abs(value) > limit:
            raise SceneError(f"{name} has a {key} of {value:g}, which is beyond ±{limit} degrees")
