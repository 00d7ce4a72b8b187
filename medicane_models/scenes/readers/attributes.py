"""Attributes as files have them: texts, numbers and times, or none; anything else is refused."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.errors import SceneError

__all__ = ["number_of", "text_of", "time_of"]

Attributes = Mapping[Any, Any]


def text_of(attributes: Attributes, *names: str, file: str) -> str | None:
    """The first of the named attributes that is there; None if none is, or if it is blank.

    Raises:
        SceneError: if it is no text.
    """
    name = _present(attributes, names)
    if name is None:
        return None
    if not isinstance(attributes[name], str):
        raise SceneError(f"{name} of {file} is {attributes[name]!r}; give text")
    return attributes[name].strip() or None


def number_of(attributes: Attributes, *names: str, file: str) -> float | None:
    """The first of the named attributes that is there, None if none is.

    Raises:
        SceneError: if it is no finite number.
    """
    name = _present(attributes, names)
    if name is None:
        return None
    value = np.asarray(attributes[name])
    if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise SceneError(f"{name} of {file} is {attributes[name]!r}; give a finite number")
    return float(value.item())


def time_of(attributes: Attributes, *names: str, file: str) -> pd.Timestamp | None:
    """The first of the named attributes that is there, in UTC without a zone; None if none is.

    Raises:
        SceneError: if it is no time.
    """
    name = _present(attributes, names)
    told = None if name is None else attributes[name]
    if told is None or (isinstance(told, str) and not told.strip()):
        return None
    known = isinstance(told, str | datetime | np.datetime64)
    time = pd.to_datetime(told, errors="coerce", utc=True) if known else pd.NaT
    if not isinstance(time, pd.Timestamp):
        raise SceneError(f"{name} of {file} is {told!r}; write it like 2020-09-17T12:00:00Z")
    return time.tz_localize(None)


def _present(attributes: Attributes, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if attributes.get(name) is not None), None)
