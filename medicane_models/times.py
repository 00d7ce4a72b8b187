"""One meaning of time: UTC, without a zone."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.errors import ConfigurationError, SceneError

__all__ = ["Instant", "utc", "utc_times"]

Instant = str | datetime | np.datetime64
"""A moment as callers give it; UTC if it names no zone."""


def utc(time: Any) -> pd.Timestamp:
    """A time in UTC without a zone; one that has no zone is taken as UTC.

    Raises:
        ConfigurationError: if it is no time.
    """
    try:
        moment = pd.Timestamp(time)
    except (TypeError, ValueError):
        moment = pd.NaT
    if not isinstance(moment, pd.Timestamp):
        raise ConfigurationError(f"{time!r} is no time; write it like 2020-09-17T12:00")
    return moment if moment.tz is None else moment.tz_convert(None)


def utc_times(values: Any, *, source: str) -> pd.Series:
    """A column as datetime64[ns] without a zone, in UTC; times without a zone are taken as UTC.

    Raises:
        SceneError: if one is missing or no time.
    """
    try:
        form = None if pd.api.types.is_datetime64_any_dtype(values) else "ISO8601"
        times = pd.to_datetime(values, utc=True, format=form)
    except (TypeError, ValueError) as error:
        raise SceneError(f"{source}: column time holds what is no ISO 8601 time: {error}") from None
    if times.isna().any():
        raise SceneError(f"{source}: {times.isna().sum()} rows have no time; fill or drop them")
    return times.dt.tz_localize(None).dt.as_unit("ns")
