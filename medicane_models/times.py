"""One meaning of time: UTC, without a zone, written as ISO 8601 alone."""

import re
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.errors import ConfigurationError, SceneError, shown

__all__ = ["TIME_FORMAT", "Instant", "bounds_text", "interval", "iso_times", "utc", "utc_times"]

Instant = str | datetime | np.datetime64
"""A moment as callers give it; UTC if it names no zone."""

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
"""How every table that is written says a time."""

# the years are those that nanoseconds can count; parsers left alone read 2nov as the year 1
_DATE = r"(1[7-9]|2[01])\d\d(-\d\d(-\d\d)?|\d{4})?"
_CLOCK = r"\d\d(:?\d\d(:?\d\d(\.\d+)?)?)?"
ZONE = re.compile(r"[T ].*(?:Z|[+-]\d\d(?::?\d\d)?)$")
ISO_8601 = re.compile(rf"{_DATE}([T ]{_CLOCK}( ?(Z|[+-]\d\d(:?\d\d)?))?)?")


def utc(time: Any) -> pd.Timestamp:
    """A time in UTC without a zone; one that has no zone is taken as UTC.

    Raises:
        ConfigurationError: if it is no time, or text in another form than ISO 8601.
    """
    try:
        readable = not isinstance(time, str) or ISO_8601.fullmatch(time.strip())
        moment = pd.Timestamp(time) if readable else pd.NaT
    except (TypeError, ValueError):
        moment = pd.NaT
    if not isinstance(moment, pd.Timestamp):
        raise ConfigurationError(f"{shown(time)} is no time; write it like 2020-09-17T12:00")
    return moment if moment.tz is None else moment.tz_convert(None)


def interval(start: Any, end: Any) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    """Both ends in UTC; None leaves an end open.

    Raises:
        ConfigurationError: if an end is no time, or the last is before the first.
    """
    first, last = (None if time is None else utc(time) for time in (start, end))
    if first is not None and last is not None and last < first:
        raise ConfigurationError(
            f"nothing lies between start {first} and end {last} UTC; give an end that is not "
            "before the start"
        )
    return first, last


def bounds_text(first: pd.Timestamp | None, last: pd.Timestamp | None) -> str:
    """An interval in words, "from … to … UTC", either end of which may be open."""
    if first is None:
        return "at any time" if last is None else f"up to {last} UTC"
    return f"from {first} on, UTC" if last is None else f"from {first} to {last} UTC"


def utc_times(values: Any, *, source: str) -> pd.Series:
    """A column as datetime64[ns] without a zone, in UTC; times without a zone are taken as UTC.

    Raises:
        SceneError: if one is missing or no time.
    """
    given, times = pd.Series(values), iso_times(values)
    missing = (given.isna() | (given.astype(str) == "")).to_numpy()
    if missing.any():
        raise SceneError(f"{source}: {missing.sum()} rows have no time; fill or drop them")
    wrong = times.isna().to_numpy()
    if wrong.any():
        raise SceneError(
            f"{source}: {wrong.sum()} rows of column time hold what is no ISO 8601 time, first "
            f"{shown(given.to_numpy()[wrong][0])}; write it like 2020-09-17T12:00Z"
        )
    return times


def iso_times(values: Any) -> pd.Series:
    """The same column, NaT for what is no time."""
    given = pd.Series(values)
    if not pd.api.types.is_datetime64_any_dtype(given):
        text = given.astype(str).str.strip()
        given = text.where(text.str.fullmatch(ISO_8601.pattern))
        # apart, since pandas 2 lends a time without a zone that of the line before
        zoned = text.str.contains(ZONE)
        return _in_utc(given.where(zoned)).fillna(_in_utc(given.where(~zoned)))
    return _in_utc(given)


def _in_utc(given: pd.Series) -> pd.Series:
    times = pd.to_datetime(given, utc=True, format="ISO8601", errors="coerce")
    return times.dt.tz_localize(None).dt.as_unit("ns")
