"""CF netCDF files, CF Zarr stores and datasets in memory, with brightness temperatures."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import xarray as xr
from dask.base import compute
from jaxtyping import Float32
from pyproj.exceptions import CRSError

from medicane_models.domain import Grid
from medicane_models.errors import SceneError
from medicane_models.scenes.readers import channels
from medicane_models.scenes.readers.recording import (
    RGB,
    UNREADABLE,
    Axes,
    Frame,
    Recording,
    TimeConvention,
    cf_crs,
    longitude_under,
    merged,
    warn_unreadable,
)
from medicane_models.scenes.readers.stores import Location, zarr_store

__all__ = ["dataset_crs", "read_cf_zarr", "read_dataset", "read_netcdf"]

LONLAT = "+proj=longlat +datum=WGS84"
KELVIN_OFFSETS = {
    "k": 0.0,
    "kelvin": 0.0,
    "kelvins": 0.0,
    "degrees_kelvin": 0.0,
    "degree_kelvin": 0.0,
    "c": 273.15,
    "celsius": 273.15,
    "°c": 273.15,
    "degc": 273.15,
    "deg_c": 273.15,
    "degree_celsius": 273.15,
    "degrees_celsius": 273.15,
}
METRES = {"m": 1.0, "metre": 1.0, "meter": 1.0, "metres": 1.0, "meters": 1.0}
KILOMETRES = {"km": 1e3, "kilometre": 1e3, "kilometer": 1e3, "kilometres": 1e3, "kilometers": 1e3}
RADIANS = {"rad", "radian", "radians"}
AXIS_NAMES = {
    "x": {"x", "lon", "longitude", "x_geostationary"},
    "y": {"y", "lat", "latitude", "y_geostationary"},
    "time": {"time", "t"},
}
STANDARD_NAMES = {
    "x": {"projection_x_coordinate", "projection_x_angular_coordinate", "longitude"},
    "y": {"projection_y_coordinate", "projection_y_angular_coordinate", "latitude"},
    "time": {"time"},
}


def read_netcdf(paths: Sequence[Path], wanted: Sequence[str] | None) -> Recording:
    """Frames of CF netCDF files; each stays unread until a frame is needed.

    Raises:
        SceneError: if none can be read, a channel is absent or not in kelvin or degrees Celsius,
            the projection is not told, or the files differ.
    """
    return _read_all(paths, lambda path: xr.open_dataset(path, chunks=None), wanted)


def read_cf_zarr(locations: Sequence[str | Path], wanted: Sequence[str] | None) -> Recording:
    """Frames of Zarr stores that follow the CF conventions."""

    def opened(location: Location) -> xr.Dataset:
        return xr.open_dataset(zarr_store(location), engine="zarr", chunks=None, consolidated=None)

    return _read_all(locations, opened, wanted)


def _read_all(
    locations: Sequence[Location],
    opened: Callable[[Any], xr.Dataset],
    wanted: Sequence[str] | None,
) -> Recording:
    recordings = []
    for location in locations:
        name = Path(location).name
        try:
            dataset = opened(location)
        except UNREADABLE as error:
            warn_unreadable(name, error)
        else:
            recordings.append(read_dataset(dataset, wanted, name))
    if not recordings:
        raise SceneError(
            f"none of {len(locations)} files can be read ({Path(locations[0]).name} …)"
        )
    return merged(recordings)


def read_dataset(
    dataset: xr.Dataset, wanted: Sequence[str] | None, name: str = "the dataset"
) -> Recording:
    """Frames of a dataset with CF metadata, lazy or in memory.

    A file that does not tell its ``time_convention`` marks the end of the scan, unless it holds one
    image whose time is the start of the period that its attributes say it covers.
    """
    sources = _sources(dataset, wanted, name)
    variables = {layer: _plane(dataset, array, name) for layer, array in sources.items()}
    offsets = [0.0 if tuple(sources) == RGB else _to_kelvin(v, name) for v in sources.values()]
    first = next(iter(variables.values()))
    _require_one_raster(variables, name)
    axes = _axes(dataset, first, name)
    times = _times(dataset, first, name)
    readers = [partial(_pixels, variables, offsets, axes, i) for i in range(len(times))]
    attributes = {**first.attrs, **dataset.attrs}
    names = [str(array.name) for array in sources.values()]
    return Recording(
        grid=axes.grid,
        layers=tuple(sources),
        frames=tuple(Frame(t, name, read) for t, read in zip(times, readers, strict=True)),
        platform=str(_first(attributes, "platform", "platform_name", "platform_ID") or "unknown"),
        sensor=_sensor(attributes, names),
        sub_satellite_longitude=_longitude(attributes, axes.grid),
        time_convention=_time_convention(attributes, times),
    )


def _require_one_raster(variables: Mapping[str, xr.DataArray], name: str) -> None:
    sizes = {layer: dict(variable.sizes) for layer, variable in variables.items()}
    if any(other != next(iter(sizes.values())) for other in sizes.values()):
        raise SceneError(f"the channels of {name} differ in size: {sizes}; resample them first")


def dataset_crs(dataset: xr.Dataset, variable: xr.DataArray, name: str) -> str:
    """The projection of a variable, from its CF grid mapping or its lon/lat coordinates.

    Raises:
        SceneError: if it has neither.
    """
    mapping = variable.attrs.get("grid_mapping") or variable.encoding.get("grid_mapping")
    if mapping is None:
        if _units(dataset, variable, "x").startswith("degree"):
            return LONLAT
        raise SceneError(
            f"{variable.name} of {name} has no grid_mapping and no 1-D longitude and latitude; "
            "add the CF grid mapping of its projection"
        )
    mapping = str(mapping).split(":")[0].split()[0]
    if mapping not in dataset.variables:
        raise SceneError(f"{name} lacks the variable {mapping} that {variable.name} names")
    try:
        return cf_crs(pyproj.CRS.from_cf(dataset[mapping].attrs))
    except (CRSError, KeyError) as error:
        raise SceneError(f"{mapping} of {name} is no CF grid mapping: {error}") from error


def _sources(
    dataset: xr.Dataset, wanted: Sequence[str] | None, name: str
) -> dict[str, xr.DataArray]:
    """Per layer the variable it comes from, in its stored dimensions."""
    present = [str(variable) for variable in dataset.data_vars]
    if wanted is None and not any(channels.canonical(variable) for variable in present):
        wanted = [channels.AIRMASS] if channels.AIRMASS in present else None
    if wanted is not None and list(wanted) == [channels.AIRMASS] and channels.AIRMASS in present:
        return _colours(dataset[channels.AIRMASS], name)
    names = channels.found(present, wanted, name)
    return {channel: dataset[variable] for channel, variable in names.items()}


def _colours(airmass: xr.DataArray, name: str) -> dict[str, xr.DataArray]:
    if airmass.sizes.get("rgb") != len(RGB):
        raise SceneError(
            f"{channels.AIRMASS} of {name} has the dimensions {airmass.dims}; "
            "it needs one named rgb with three colours"
        )
    return {colour: airmass.isel(rgb=index) for index, colour in enumerate(RGB)}


def _plane(dataset: xr.Dataset, variable: xr.DataArray, name: str) -> xr.DataArray:
    """The variable with the dimensions (time, y, x), or (y, x) if it has no time."""
    roles = {role: _dimension(dataset, variable, role) for role in ("time", "y", "x")}
    if roles["x"] is None or roles["y"] is None:
        raise SceneError(
            f"{variable.name} of {name} has the dimensions {variable.dims} without 1-D "
            "coordinates for x and y; resample it onto a regular grid first"
        )
    kept = [dimension for dimension in roles.values() if dimension is not None]
    extra = [dimension for dimension in variable.dims if dimension not in kept]
    if any(variable.sizes[dimension] > 1 for dimension in extra):
        raise SceneError(f"{variable.name} of {name} has the unknown dimensions {extra}")
    return variable.isel(dict.fromkeys(extra, 0)).transpose(*kept)


def _dimension(dataset: xr.Dataset, variable: xr.DataArray, role: str) -> Hashable | None:
    for dimension in variable.dims:
        if dimension not in dataset.variables:
            continue
        standard_name = dataset[dimension].attrs.get("standard_name")
        if standard_name in STANDARD_NAMES[role] or str(dimension).lower() in AXIS_NAMES[role]:
            return dimension
    return None


def _axes(dataset: xr.Dataset, variable: xr.DataArray, name: str) -> Axes:
    crs = dataset_crs(dataset, variable, name)
    x, y = (_metres(dataset[variable.dims[axis]], crs, name) for axis in (-1, -2))
    return Axes.from_coordinates(crs, x, y)


def _metres(coordinate: xr.DataArray, crs: str, name: str) -> np.ndarray:
    """Projection coordinates in metres, or degrees where the grid is in longitude and latitude."""
    values = coordinate.to_numpy().astype(np.float64)
    units = str(coordinate.attrs.get("units", "")).lower()
    projection = pyproj.CRS.from_user_input(crs)
    if projection.is_geographic and units.startswith("degree"):
        return values
    if not projection.is_geographic and units in METRES | KILOMETRES:
        return values * (METRES | KILOMETRES)[units]
    if units in RADIANS and "perspective_point_height" in projection.to_cf():
        return values * projection.to_cf()["perspective_point_height"]
    raise SceneError(
        f"coordinate {coordinate.name} of {name} has the units {units or 'missing'!r}; projections "
        "need m, km or (geostationary) rad, longitude and latitude degrees"
    )


def _to_kelvin(variable: xr.DataArray, name: str) -> float:
    """What turns a temperature in the units of the variable into kelvin."""
    units = str(variable.attrs.get("units", "missing"))
    if units.lower() not in KELVIN_OFFSETS:
        raise SceneError(
            f"{variable.name} of {name} has the units {units!r}; brightness temperatures are read "
            "in K or degrees Celsius"
        )
    return KELVIN_OFFSETS[units.lower()]


def _units(dataset: xr.Dataset, variable: xr.DataArray, role: str) -> str:
    dimension = _dimension(dataset, variable, role)
    return str(dataset[dimension].attrs.get("units", "")).lower() if dimension else ""


def _times(dataset: xr.Dataset, variable: xr.DataArray, name: str) -> pd.DatetimeIndex:
    told = str(dataset.attrs.get("time_coverage_end", ""))
    covered = pd.to_datetime(told, errors="coerce", utc=True)
    if variable.ndim == 3:
        times = dataset[variable.dims[0]]
    elif not pd.isna(covered):  # ABI's scalar time is the middle of the scan
        return pd.DatetimeIndex([covered.tz_localize(None)])
    else:
        scalars = [t for t in ("time", "t") if t in dataset.variables and dataset[t].size == 1]
        if not scalars:
            raise SceneError(f"{name} has no time coordinate; add one in UTC")
        times = dataset[scalars[0]]
    if not np.issubdtype(times.dtype, np.datetime64):
        raise SceneError(
            f"{times.name} of {name} is no CF time; give it units such as "
            '"minutes since 2020-01-01"'
        )
    return pd.DatetimeIndex(np.atleast_1d(times.values))


def _pixels(
    variables: Mapping[str, xr.DataArray],
    offsets: Sequence[float],
    axes: Axes,
    index: int,
    window: Grid,
) -> Float32[np.ndarray, "layer y x"]:
    rows, columns = axes.slices(window)
    planes = [
        variable[(..., rows, columns) if variable.ndim == 2 else (index, rows, columns)]
        for variable in variables.values()
    ]
    # Dask arrays inside the task of a frame: no second pool of threads, and what the channels share
    # is computed once.
    values = compute(*(plane.data for plane in planes), scheduler="synchronous")
    shifted = [value + np.float32(offset) for value, offset in zip(values, offsets, strict=True)]
    return axes.orient(np.stack(shifted).astype(np.float32))


def _sensor(attributes: Mapping[Any, Any], names: Sequence[str]) -> str:
    told = str(_first(attributes, "sensor", "instrument", "instrument_name") or "").lower()
    known = next((sensor for sensor in channels.NAMES if sensor in told), None)
    return known or channels.sensor_of(names) or told or "seviri"


def _longitude(attributes: Mapping[Any, Any], grid: Grid) -> float:
    told = attributes.get("sub_satellite_longitude")
    try:
        return longitude_under(grid) if told is None else float(told)
    except ValueError:
        raise SceneError(
            f"sub_satellite_longitude is {told!r}; give degrees east as a number"
        ) from None


def _time_convention(attributes: Mapping[Any, Any], times: pd.DatetimeIndex) -> TimeConvention:
    """What a file says, else what the time of a single image is in the period it covers."""
    told = attributes.get("time_convention")
    if told in ("start_of_scan", "end_of_scan"):
        return told
    start, end = (
        pd.to_datetime(_first(attributes, *names), errors="coerce", utc=True)
        for names in (("time_coverage_start", "start_time"), ("time_coverage_end", "end_time"))
    )
    known = len(times) == 1 and not pd.isna(start) and not pd.isna(end)
    starts = known and times[0] == start.tz_localize(None) < end.tz_localize(None)
    return "start_of_scan" if starts else "end_of_scan"


def _first(attributes: Mapping[Any, Any], *names: str) -> Any:
    return next((attributes[name] for name in names if name in attributes), None)
