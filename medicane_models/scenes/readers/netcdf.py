"""CF netCDF files, CF Zarr stores and datasets in memory, with brightness temperatures."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from dask.base import compute
from jaxtyping import Float32

from medicane_models.domain import Grid
from medicane_models.domain.projections import nearest_turn, projection_of
from medicane_models.errors import MedicaneError, SceneError
from medicane_models.scenes.readers import channels
from medicane_models.scenes.readers.attributes import number_of, text_of, time_of
from medicane_models.scenes.readers.mapping import mapping_crs
from medicane_models.scenes.readers.moments import ANY_YEAR, scans_of, times_of
from medicane_models.scenes.readers.recording import (
    RGB,
    UNREADABLE,
    Axes,
    Frame,
    Recording,
    TimeConvention,
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
RADIANS = {"rad": 1.0, "radian": 1.0, "radians": 1.0}
MICRORADIANS = dict.fromkeys(
    ("microradian", "microradians", "micro_radian", "murad", "urad", "µrad", "μrad"), 1e-6
)
SPELLINGS = ("degrees_{0}", "degree_{0}", "degrees_{1}", "degree_{1}", "degrees{1}", "degree{1}")
DEGREES = {
    "x": {spelling.format("east", "e") for spelling in SPELLINGS},
    "y": {spelling.format("north", "n") for spelling in SPELLINGS},
}
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

    def opened(path: Path) -> xr.Dataset:
        return xr.open_dataset(path, chunks=None, decode_times=ANY_YEAR)

    return _read_all(paths, opened, wanted)


def read_cf_zarr(locations: Sequence[str | Path], wanted: Sequence[str] | None) -> Recording:
    """Frames of Zarr stores that follow the CF conventions."""

    def opened(location: Location) -> xr.Dataset:
        options: dict[str, Any] = {"chunks": None, "consolidated": None, "decode_times": ANY_YEAR}
        return xr.open_dataset(zarr_store(location), engine="zarr", **options)

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
    scans = scans_of(dataset, len(times), name)
    attributes = {**first.attrs, **dataset.attrs}
    platform = text_of(attributes, "platform", "platform_name", "platform_ID", file=name)
    names = [str(array.name) for array in sources.values()]
    return Recording(
        grid=axes.grid,
        layers=tuple(sources),
        frames=tuple(map(Frame, times, [name] * len(times), readers, scans)),
        platform=platform or "unknown",
        sensor=_sensor(attributes, names, name),
        sub_satellite_longitude=_longitude(attributes, axes.grid, name),
        time_convention=_time_convention(attributes, times, name),
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
    mapping = text_of({**variable.encoding, **variable.attrs}, "grid_mapping", file=name)
    if mapping is None:
        if _units(_coordinate(dataset, variable, "x"), name).startswith("degree"):
            return LONLAT
        raise SceneError(
            f"{variable.name} of {name} has no grid_mapping and no 1-D longitude and latitude; "
            "add the CF grid mapping of its projection"
        )
    mapping = mapping.split(":")[0].split()[0]
    if mapping not in dataset.variables:
        raise SceneError(f"{name} lacks the variable {mapping} that {variable.name} names")
    sensor = _sensor({**variable.attrs, **dataset.attrs}, [str(variable.name)], name)
    return mapping_crs(dataset[mapping].attrs, sensor, f"{mapping} of {name}")


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
    coordinate = _coordinate(dataset, variable, role)
    return None if coordinate is None else coordinate.dims[0]


def _coordinate(dataset: xr.Dataset, variable: xr.DataArray, role: str) -> xr.DataArray | None:
    """The 1-D coordinate of a role; a dimension's own goes before others along it with units."""
    along = [
        dataset[name]
        for dimension in variable.dims
        for name in dict.fromkeys((dimension, *dataset.variables))
        if name in dataset.variables and dataset[name].dims == (dimension,)
    ]
    along.sort(key=lambda coordinate: "units" not in coordinate.attrs)
    return next((coordinate for coordinate in along if _role(coordinate) == role), None)


def _role(coordinate: xr.DataArray) -> str | None:
    """What a coordinate says that it is: by standard name, units, axis or its own name."""
    attributes = {key: str(value).lower() for key, value in coordinate.attrs.items()}
    told = {
        "standard_name": STANDARD_NAMES,
        "units": DEGREES,
        "axis": {"x": {"x"}, "y": {"y"}, "time": {"t"}},
    }
    for key, roles in told.items():
        for role, values in roles.items():
            if attributes.get(key) in values:
                return role
    named = str(coordinate.name).lower()
    return next((role for role, names in AXIS_NAMES.items() if named in names), None)


def _axes(dataset: xr.Dataset, variable: xr.DataArray, name: str) -> Axes:
    crs = dataset_crs(dataset, variable, name)
    x, y = (_metres(_coordinate(dataset, variable, role), crs, name) for role in "xy")
    try:
        return Axes.from_coordinates(crs, x, y)
    except MedicaneError as error:
        raise SceneError(f"{name}: {error}") from error


def _metres(coordinate: xr.DataArray | None, crs: str, name: str) -> np.ndarray:
    """Projection coordinates in metres, or degrees where the grid is in longitude and latitude."""
    if coordinate is None or coordinate.dtype.kind not in "iuf":
        raise SceneError(f"the coordinates of {name} are no numbers; give each axis its values")
    values = coordinate.to_numpy().astype(np.float64)
    units = _units(coordinate, name)
    projection = projection_of(crs)
    if projection.is_geographic and units.startswith("degree"):
        return values
    if not projection.is_geographic and units in METRES | KILOMETRES:
        return values * (METRES | KILOMETRES)[units]
    angles = RADIANS | MICRORADIANS
    if units in angles and "perspective_point_height" in projection.to_cf():
        return values * angles[units] * projection.to_cf()["perspective_point_height"]
    raise SceneError(
        f"coordinate {coordinate.name} of {name} has the units {units or 'missing'!r}; projections "
        "need m, km or (geostationary) rad or microradian, longitude and latitude degrees"
    )


def _to_kelvin(variable: xr.DataArray, name: str) -> float:
    """What turns a temperature in the units of the variable into kelvin."""
    units = text_of(variable.attrs, "units", file=f"{variable.name} of {name}") or "missing"
    if units.lower() not in KELVIN_OFFSETS:
        raise SceneError(
            f"{variable.name} of {name} has the units {units!r}; brightness temperatures are read "
            "in K or degrees Celsius"
        )
    return KELVIN_OFFSETS[units.lower()]


def _units(coordinate: xr.DataArray | None, name: str) -> str:
    if coordinate is None:
        return ""
    units = text_of(coordinate.attrs, "units", file=f"{coordinate.name} of {name}")
    return (units or "").lower()


def _times(dataset: xr.Dataset, variable: xr.DataArray, name: str) -> pd.DatetimeIndex:
    covered = time_of(dataset.attrs, "time_coverage_end", file=name)
    if variable.ndim == 3:
        return times_of(dataset[variable.dims[0]], name)
    if covered is not None:  # ABI's scalar time is the middle of the scan
        return times_of(xr.DataArray(covered, name="time_coverage_end"), name)
    scalars = [t for t in ("time", "t") if t in dataset.variables and dataset[t].size == 1]
    if not scalars:
        raise SceneError(f"{name} has no time coordinate; add one in UTC")
    return times_of(dataset[scalars[0]], name)


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


def _sensor(attributes: Mapping[Any, Any], names: Sequence[str], file: str) -> str:
    """What a file says, else whose channel names it has; SEVIRI's names stand for any imager."""
    told = (text_of(attributes, "sensor", "instrument", "instrument_name", file=file) or "").lower()
    known = next((sensor for sensor in channels.NAMES if sensor in told), None)
    return known or told or channels.sensor_of(names) or "unknown"


def _longitude(attributes: Mapping[Any, Any], grid: Grid, file: str) -> float:
    given = attributes.get("sub_satellite_longitude")
    if given is None or (isinstance(given, float) and np.isnan(given)):  # as our own scenes say
        return longitude_under(grid)
    told = number_of(attributes, "sub_satellite_longitude", file=file) or 0.0
    if abs(told) > 360:
        raise SceneError(f"sub_satellite_longitude of {file} is {told:g}; give -180 … 180")
    return nearest_turn(told)


def _time_convention(
    attributes: Mapping[Any, Any], times: pd.DatetimeIndex, file: str
) -> TimeConvention:
    """What a file says, else what the time of a single image is in the period it covers."""
    told = text_of(attributes, "time_convention", file=file)
    if told in ("start_of_scan", "end_of_scan"):
        return told
    if told is not None:
        raise SceneError(
            f"time_convention of {file} is {told!r}; give start_of_scan or end_of_scan"
        )
    start = time_of(attributes, "time_coverage_start", "start_time", file=file)
    end = time_of(attributes, "time_coverage_end", "end_time", file=file)
    if len(times) != 1 or start is None or end is None:
        return "end_of_scan"
    starts = bool(times[0] == start) and start < end
    return "start_of_scan" if starts else "end_of_scan"
