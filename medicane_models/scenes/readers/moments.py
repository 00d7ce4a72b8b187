"""When frames were taken, out of a decoded CF time coordinate."""

import numpy as np
import pandas as pd
import xarray as xr
from pandas.errors import OutOfBoundsDatetime

from medicane_models.errors import SceneError
from medicane_models.scenes.readers.recording import SCAN_TIMES, ScanTimes

__all__ = ["ANY_YEAR", "scans_of", "times_of"]

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
