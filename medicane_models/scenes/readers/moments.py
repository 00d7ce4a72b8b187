"""When frames were taken, out of a decoded CF time coordinate."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pandas.errors import OutOfBoundsDatetime

from medicane_models.errors import SceneError
from medicane_models.scenes.instruments import Imager
from medicane_models.scenes.readers.attributes import text_of, time_of
from medicane_models.scenes.readers.coordinates import coordinate_of
from medicane_models.scenes.readers.recording import SCAN_TIMES, ScanTimes, TimeConvention

__all__ = ["ANY_YEAR", "moments_of", "scans_of", "times_of"]

CALENDARS = {"standard", "gregorian", "proleptic_gregorian", "julian"}
ANY_YEAR = xr.coders.CFDatetimeCoder(time_unit="us")  # nanoseconds reach from 1678 to 2262
YEARS = (1960, 2100)  # the first image from orbit was taken in 1960


def times_of(times: xr.DataArray, file: str) -> pd.DatetimeIndex:
    """UTC without a zone; NaT where a file has none.

    Args:
        times: as xarray decoded them.
        file: its name, for messages.

    Raises:
        SceneError: if it is no CF time, of a model's calendar, or of a year without satellites.
    """
    what = f"{times.name} of {file}"
    if calendar := _calendar(times):
        if calendar not in CALENDARS:
            raise SceneError(
                f"{what} has the calendar {calendar}, which is a model's, not of observations"
            )
        raise _no_year(what, str(np.ravel(times.values)[0].year))
    if not np.issubdtype(times.dtype, np.datetime64):
        raise SceneError(f'{what} is no CF time; give it units such as "minutes since 2020-01-01"')
    index = pd.DatetimeIndex(np.atleast_1d(times.values))
    for year in index.year.dropna():
        if not YEARS[0] <= year <= YEARS[1]:
            raise _no_year(what, f"{year:.0f}")
    try:
        return index.as_unit("ns")
    except OutOfBoundsDatetime:
        raise _no_year(what, "beyond 2262") from None


def scans_of(dataset: xr.Dataset, count: int, file: str) -> list[ScanTimes | None]:
    """Of each frame when the outer rows were seen; None where a dataset does not tell.

    Raises:
        SceneError: if these are no times, or not one a frame.
    """
    if not set(SCAN_TIMES) <= dataset.variables.keys():
        return [None] * count
    told = [times_of(dataset[name], file) for name in SCAN_TIMES]
    if any(len(times) != count for times in told):
        raise SceneError(
            f"{' and '.join(SCAN_TIMES)} of {file} hold {len(told[0])} and {len(told[1])} times "
            f"for {count} frames; give one a frame, or leave them out"
        )
    pairs = [ScanTimes(north, south) for north, south in zip(*told, strict=True)]
    return [None if pd.isna(pair.north) or pd.isna(pair.south) else pair for pair in pairs]


def _calendar(times: xr.DataArray) -> str | None:
    """The calendar of times that numpy cannot hold."""
    values = np.ravel(times.values)
    return getattr(values[0], "calendar", None) if times.dtype == object and values.size else None


def _no_year(what: str, year: str) -> SceneError:
    first, last = YEARS
    return SceneError(
        f"{what} holds the year {year}, of which no satellite has images; give times of "
        f"{first} … {last}"
    )


def moments_of(
    dataset: xr.Dataset, variable: xr.DataArray, imager: Imager | None, file: str
) -> tuple[pd.DatetimeIndex, TimeConvention]:
    """Times of a variable's frames, and what they mean.

    Where the file does not tell its ``time_convention``, it is what the table of imagers says: the
    nominal times of GridSat and HURSAT and those of CPC's merged infrared are starts; for ABI's
    ``t``, the middle of a scan, its end is taken out of ``time_bounds`` or ``time_coverage_end``.
    Times of other files are ends, unless it is one image whose time is the start of the period that
    the attributes say it covers.

    Args:
        dataset: holds the coordinates.
        variable: with the dimensions (time, y, x), or (y, x) of one image.
        imager: whose file it is; None if that is unknown.
        file: its name, for messages.

    Raises:
        SceneError: if there is no time, or none that a satellite could have.
    """
    attributes = {**variable.attrs, **dataset.attrs}
    told = _told(attributes, file)
    meaning = None if imager is None or told else imager.times
    if meaning == "middle" and "t" in dataset.variables:
        return _ends(dataset, variable, file), "end_of_scan"
    if meaning in ("start", "nominal"):
        return _stored(dataset, variable, file).round("s"), "start_of_scan"  # fractions of days
    times = _scanned(dataset, variable, file)
    return times, told or _inferred(attributes, times, file)


def _ends(dataset: xr.Dataset, variable: xr.DataArray, file: str) -> pd.DatetimeIndex:
    """The ends of ABI's scans.

    Raises:
        SceneError: if only their middles are told.
    """
    bounds = dataset.variables.get(str(dataset["t"].attrs.get("bounds", "time_bounds")))
    if bounds is not None and np.issubdtype(bounds.dtype, np.datetime64):
        return times_of(xr.DataArray(bounds.to_numpy().reshape(-1, 2)[:, 1], name="t"), file)
    covered = time_of(dataset.attrs, "time_coverage_end", file=file)
    if covered is None or (variable.ndim == 3 and len(variable) > 1):
        raise SceneError(
            f"t of {file} is the middle of a scan whose end is not told; add time_bounds, or one "
            "image's time_coverage_end"
        )
    return times_of(xr.DataArray(covered, name="time_coverage_end"), file)


def _scanned(dataset: xr.Dataset, variable: xr.DataArray, file: str) -> pd.DatetimeIndex:
    """Times along a dimension, else the end of the period that one image covers, else a scalar."""
    covered = time_of(dataset.attrs, "time_coverage_end", file=file)
    if variable.ndim == 3 or covered is None:
        return _stored(dataset, variable, file)
    return times_of(xr.DataArray(covered, name="time_coverage_end"), file)


def _stored(dataset: xr.Dataset, variable: xr.DataArray, file: str) -> pd.DatetimeIndex:
    if variable.ndim == 3:
        along = coordinate_of(dataset, variable, "time")
        return times_of(dataset[variable.dims[0]] if along is None else along, file)
    scalars = [t for t in ("time", "t") if t in dataset.variables and dataset[t].size == 1]
    if not scalars:
        raise SceneError(f"{file} has no time coordinate; add one in UTC")
    return times_of(dataset[scalars[0]], file)


def _told(attributes: Mapping[Any, Any], file: str) -> TimeConvention | None:
    told = text_of(attributes, "time_convention", file=file)
    if told is None or told in ("start_of_scan", "end_of_scan"):
        return told
    raise SceneError(f"time_convention of {file} is {told!r}; give start_of_scan or end_of_scan")


def _inferred(attributes: Mapping[Any, Any], times: pd.DatetimeIndex, file: str) -> TimeConvention:
    """What the time of a single image is in the period it covers."""
    start = time_of(attributes, "time_coverage_start", "start_time", file=file)
    end = time_of(attributes, "time_coverage_end", "end_time", file=file)
    if len(times) != 1 or start is None or end is None:
        return "end_of_scan"
    starts = bool(times[0] == start) and start < end
    return "start_of_scan" if starts else "end_of_scan"
