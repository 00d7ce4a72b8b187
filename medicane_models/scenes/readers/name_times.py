"""Times in the names of files, as strptime patterns tell them or as most people write them."""

import re
from datetime import datetime
from functools import cache

import pandas as pd

from medicane_models.errors import ConfigurationError

__all__ = ["check_pattern", "time_in"]

DATES = ("%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%Y_%m_%d", "%d%b%Y", "%Y%j")
CLOCKS = ("%H%M%S", "%H%M", "%H:%M:%S", "%H:%M", "%H-%M-%S", "%H-%M")
USUAL = tuple(date + by + clock for date in DATES for clock in CLOCKS for by in ("", *"_-.T"))
FORMS = {
    "Y": r"\d{4}",
    "j": r"\d{3}",
    "b": "[a-z]{3}",
    **dict.fromkeys(("y", "m", "d", "H", "M", "S"), r"\d\d"),
}
SOME_TIME = datetime(2019, 11, 28, 23)


def check_pattern(pattern: str) -> None:
    """Refuse what does not bring back a day and an hour.

    Raises:
        ConfigurationError: naming it.
    """
    try:
        _regular(pattern)
        read = datetime.strptime(SOME_TIME.strftime(pattern), pattern)
    except (KeyError, ValueError, re.error):
        read = None
    if read != SOME_TIME:
        raise ConfigurationError(
            f"time is {pattern!r}; give a strptime pattern with day and hour, made of %Y %y %m %d "
            "%j %b %H %M %S, such as %Y%m%d_%H%M"
        )


def time_in(name: str, pattern: str | None) -> pd.Timestamp | None:
    """The first time in a name that follows the pattern, or a usual one; None if there is none."""
    for one in USUAL if pattern is None else (pattern,):
        for match in _regular(one).finditer(name):
            time = pd.to_datetime(match[1], format=one, errors="coerce")
            if not pd.isna(time):
                return time.as_unit("ns")
    return None


@cache
def _regular(pattern: str) -> re.Pattern[str]:
    """What finds the texts of a strptime pattern, where no further digit is beside them."""
    text, *directives = pattern.split("%")
    parts = [FORMS[part[0]] + re.escape(part[1:]) for part in map(_directive, directives)]
    return re.compile(rf"(?<!\d)({re.escape(text)}{''.join(parts)})(?!\d)", re.IGNORECASE)


def _directive(text: str) -> str:
    if not text:
        raise KeyError("%")
    return text
