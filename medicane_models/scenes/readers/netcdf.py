"""CF netCDF files, CF Zarr stores and datasets in memory: any imager's, in any projection."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from dask.base import compute
from jaxtyping import Float32

from medicane_models.domain import Grid
from medicane_models.domain.projections import nearest_turn
from medicane_models.errors import SceneError
from medicane_models.files import require_regular
from medicane_models.scenes.readers import channels
from medicane_models.scenes.readers.attributes import number_of
from medicane_models.scenes.readers.bands import Bands, bands_of
from medicane_models.scenes.readers.coordinates import layout_of
from medicane_models.scenes.readers.joining import joined_bands
from medicane_models.scenes.readers.moments import ANY_YEAR, moments_of, scans_of
from medicane_models.scenes.readers.planck import Conversion, to_kelvin
from medicane_models.scenes.readers.recording import (
    RGB,
    UNREADABLE,
    Frame,
    Layout,
    Recording,
    longitude_under,
    merged,
    refusing_unreadable,
    warn_unreadable,
)
from medicane_models.scenes.readers.sizes import refuse_huge
from medicane_models.scenes.readers.stores import Location, dimensions, opened_group, zarr_store

__all__ = ["read_cf_zarr", "read_dataset", "read_netcdf"]

VIEW_ZENITH = "VZA"  # of HURSAT, in degrees at the storm


def read_netcdf(paths: Sequence[Path], wanted: Sequence[str] | None) -> Recording:
    """Frames of CF netCDF files; each stays unread until a frame is needed.

    Raises:
        SceneError: if none can be read, a channel is absent or not in kelvin or degrees Celsius,
            the projection is not told, or the files differ.
    """

    def opened(path: Path) -> xr.Dataset:
        require_regular(path)
        _refuse_huge(path)
        return xr.open_dataset(path, chunks=None, cache=False, decode_times=ANY_YEAR)

    return _read_all(paths, opened, wanted)


def read_cf_zarr(locations: Sequence[str | Path], wanted: Sequence[str] | None) -> Recording:
    """Frames of Zarr stores that follow the CF conventions."""

    def opened(location: Location) -> xr.Dataset:
        options: dict[str, Any] = {"chunks": None, "cache": False, "decode_times": ANY_YEAR}
        options["consolidated"] = None
        with opened_group(location) as group:
            shapes = {n: dict(zip(dimensions(a), a.shape, strict=False)) for n, a in group.arrays()}
            refuse_huge(shapes, Path(location).name)
        return xr.open_dataset(zarr_store(location), engine="zarr", **options)

    return _read_all(locations, opened, wanted)


def _read_all(
    locations: Sequence[Location],
    opened: Callable[[Any], xr.Dataset],
    wanted: Sequence[str] | None,
) -> Recording:
    files: list[tuple[xr.Dataset, Bands]] = []
    for location in locations:
        name = Path(location).name
        try:
            with warnings.catch_warnings():
                # days as fractions are rounded to the second later on
                warnings.simplefilter("ignore", xr.SerializationWarning)
                dataset = opened(location)
        except SceneError:
            raise
        except UNREADABLE as error:
            warn_unreadable(name, error)
        else:
            with refusing_unreadable(name):
                files.append((dataset, bands_of(dataset, name)))
    if not files:
        raise SceneError(
            f"none of {len(locations)} files can be read ({Path(locations[0]).name} …)"
        )
    return _recording_of(sorted(files, key=_view_zenith), wanted)


def _refuse_huge(path: Path) -> None:
    """Before xarray reads coordinates."""
    with netCDF4.Dataset(path) as file:
        variables = file.variables.items()
        refuse_huge(
            {n: dict(zip(v.dimensions, v.shape, strict=True)) for n, v in variables}, path.name
        )


def _view_zenith(file: tuple[xr.Dataset, Bands]) -> float:
    """Of several satellites that saw a storm at one time, the one above it comes first."""
    dataset, bands = file
    angle = dataset.variables.get(VIEW_ZENITH)
    with refusing_unreadable(bands.file):
        return 0.0 if angle is None or angle.size != 1 else float(angle.values.item())


def _recording_of(
    files: Sequence[tuple[xr.Dataset, Bands]], wanted: Sequence[str] | None
) -> Recording:
    """Files that hold all bands each, or one band each of the same images."""
    together = frozenset().union(*(bands.known() for _, bands in files))
    if not together or (wanted is not None and channels.AIRMASS in wanted):
        return merged([_frames(dataset, bands, wanted) for dataset, bands in files])
    asked = channels.asked_for(together, wanted, files[0][1].imagers)
    parts = [[name for name in asked if name in bands.known()] for _, bands in files]
    if all(len(part) == len(asked) for part in parts) or not any(parts):
        return merged([_frames(dataset, bands, asked) for dataset, bands in files])
    read = [
        _frames(dataset, bands, part if bands.known() else asked)
        for (dataset, bands), part in zip(files, parts, strict=True)
        if part or not bands.known()  # which is refused
    ]
    return joined_bands(read, asked)


def read_dataset(
    dataset: xr.Dataset, wanted: Sequence[str] | None, name: str = "the dataset"
) -> Recording:
    """Frames of a dataset with CF metadata, lazy or in memory; times as :func:`moments_of`."""
    return _frames(dataset, bands_of(dataset, name), wanted)


def _frames(dataset: xr.Dataset, bands: Bands, wanted: Sequence[str] | None) -> Recording:
    with refusing_unreadable(bands.file):
        return _told(dataset, bands, wanted)


def _told(dataset: xr.Dataset, bands: Bands, wanted: Sequence[str] | None) -> Recording:
    name = bands.file
    sources = _sources(dataset, bands, wanted)
    laid = {
        layer: layout_of(dataset, array, name, bands.sensor) for layer, array in sources.items()
    }
    variables = {layer: variable for layer, (variable, _) in laid.items()}
    _require_one_raster(variables, name)
    first, layout = next(iter(laid.values()))
    is_rgb = tuple(sources) == RGB
    conversions = [
        _as_they_are if is_rgb else to_kelvin(dataset, v, name) for v in sources.values()
    ]
    times, convention = moments_of(dataset, first, bands.imager, name)
    scans = scans_of(dataset, len(times), name)
    read = partial(_pixels, list(variables.values()), conversions, layout)
    return Recording(
        grid=layout.grid,
        layers=tuple(sources),
        frames=tuple(
            Frame(time, name, partial(read, index), scan=scan)
            for index, (time, scan) in enumerate(zip(times, scans, strict=True))
        ),
        platform=bands.platform,
        sensor=bands.sensor,
        sub_satellite_longitude=_longitude({**first.attrs, **dataset.attrs}, layout.grid, name),
        time_convention=convention,
        calibration="grey" if dataset.attrs.get("calibration") == "grey" else "kelvin",
    )


def _require_one_raster(variables: Mapping[str, xr.DataArray], name: str) -> None:
    sizes = {layer: dict(variable.sizes) for layer, variable in variables.items()}
    if any(other != next(iter(sizes.values())) for other in sizes.values()):
        raise SceneError(f"the channels of {name} differ in size: {sizes}; resample them first")


def _sources(
    dataset: xr.Dataset, bands: Bands, wanted: Sequence[str] | None
) -> dict[str, xr.DataArray]:
    """Per layer the variable it comes from, in its stored dimensions."""
    is_painted = channels.AIRMASS in dataset.data_vars
    if wanted is None and not bands.known() and is_painted:
        wanted = [channels.AIRMASS]
    if wanted is not None and list(wanted) == [channels.AIRMASS] and is_painted:
        return _colours(dataset[channels.AIRMASS], bands.file)
    names = bands.holding(channels.asked_for(bands.known(), wanted, bands.imagers))
    return {channel: dataset[variable] for channel, variable in names.items()}


def _colours(airmass: xr.DataArray, name: str) -> dict[str, xr.DataArray]:
    if airmass.sizes.get("rgb") != len(RGB):
        raise SceneError(
            f"{channels.AIRMASS} of {name} has the dimensions {airmass.dims}; "
            "it needs one named rgb with three colours"
        )
    return {colour: airmass.isel(rgb=index) for index, colour in enumerate(RGB)}


def _as_they_are(values: np.ndarray) -> Float32[np.ndarray, "y x"]:
    return values.astype(np.float32)


def _pixels(
    variables: Sequence[xr.DataArray],
    conversions: Sequence[Conversion],
    layout: Layout,
    index: int,
    window: Grid,
) -> Float32[np.ndarray, "layer y x"]:
    def read(rows: slice, columns: slice) -> Float32[np.ndarray, "layer y x"]:
        planes = [
            v[(..., rows, columns) if v.ndim == 2 else (index, rows, columns)] for v in variables
        ]
        # Dask arrays inside the task of a frame: no second pool of threads, and what the channels
        # share is computed once.
        values = compute(*(plane.data for plane in planes), scheduler="synchronous")
        return np.stack([turn(value) for turn, value in zip(conversions, values, strict=True)])

    return layout.laid(window, read)


def _longitude(attributes: Mapping[Any, Any], grid: Grid, file: str) -> float:
    given = attributes.get("sub_satellite_longitude")
    if given is None or (isinstance(given, float) and np.isnan(given)):  # as our own scenes say
        return longitude_under(grid)
    told = number_of(attributes, "sub_satellite_longitude", file=file) or 0.0
    if abs(told) > 360:
        raise SceneError(f"sub_satellite_longitude of {file} is {told:g}; give -180 … 180")
    return nearest_turn(told)
