"""How a page says places, times, fixes and motion."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "GUESSED",
    "Fix",
    "Forecast",
    "counted",
    "date_text",
    "fix_text",
    "forecasts_text",
    "known",
    "moment_text",
    "motion_text",
    "period_text",
    "place_text",
    "span_years",
    "tick_text",
]

GUESSED = "temperatures are guessed from the greys of pictures"

Fix = Mapping[str, Any]
"""A row of a track table; where the truth is known also ``true_lon, true_lat, error_km``."""

Forecast = Mapping[str, Any]
"""Where one is extrapolated to: a row of ``forecasts.csv``."""

COMPASS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE")
COMPASS += ("S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")


def known(value: float | None) -> bool:
    """Whether a field of a fix holds a number."""
    return value is not None and not np.isnan(value)


def moment_text(time: pd.Timestamp) -> str:
    """A time, UTC."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def span_years(times: Iterable[pd.Timestamp]) -> bool:
    """Whether times lie in more than one year, so that dates need theirs."""
    return len({time.year for time in times}) > 1


def date_text(time: pd.Timestamp, *, year: bool) -> str:
    """Day and month, and the year where what is shown spans several."""
    return f"{time.day} {time:%b %Y}" if year else f"{time.day} {time:%b}"


def tick_text(time: pd.Timestamp, *, year: bool) -> str:
    """The date at midnight, the time of day otherwise."""
    return date_text(time, year=year) if time == time.normalize() else f"{time:%H:%M}"


def period_text(times: Iterable[pd.Timestamp]) -> str:
    """From the first time to the last, UTC."""
    ordered = sorted(times)
    first, last = ordered[0], ordered[-1]
    if first == last:
        return moment_text(first)
    if first.normalize() == last.normalize():
        return f"{first:%Y-%m-%d %H:%M}–{last:%H:%M} UTC"
    return f"{first:%Y-%m-%d %H:%M} – {moment_text(last)}"


def place_text(lat: float, lon: float) -> str:
    """Degrees with their hemispheres."""
    return f"{abs(lat):.2f}°{'S' if lat < 0 else 'N'} {abs(lon):.2f}°{'W' if lon < 0 else 'E'}"


def counted(number: int, what: str) -> str:
    """A number of things; "no" of 0."""
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def fix_text(fix: Fix, *, threshold: float | None = None) -> str:
    """Where a row of a track table has the centre, how surely, and how far that is off.

    With a threshold it is told which probability makes a detection and how many frames are missing.
    """
    parts = [place_text(fix["lat"], fix["lon"])]
    for share in (50, 95):
        if known(radius := fix[f"radius_{share}_km"]):
            parts.append(f"{share} % within {radius:.0f} km")
    if known(fix["probability"]):
        counts = "" if threshold is None else f" (a detection from {threshold:.2g} on)"
        parts.append(f"probability {fix['probability']:.2f}{counts}")
    if threshold is not None and known(missing := fix.get("missing_frames")) and missing:
        parts.append(f"{counted(int(missing), 'frame')} of its clip missing")
    if known(fix.get("error_km")):
        parts.append(f"{fix['error_km']:.0f} km from the true centre")
    if known(fix.get("guess_distance_km")):
        parts.append(f"{fix['guess_distance_km']:.0f} km from the first guess")
    if fix["edge"]:
        parts.append("may reach beyond the scene")
    return " · ".join(parts)


def motion_text(fix: Fix) -> str | None:
    """Where a cyclone goes at a fix, and how fast; None where that is unknown."""
    speed, heading = fix.get("speed_kt"), fix.get("heading")
    if speed is None or heading is None or np.isnan([speed, heading]).any():
        return None
    if round(speed) == 0:
        return "stationary"
    towards = COMPASS[int(np.rint(heading / 22.5)) % 16]
    return f"moving {towards} at {speed:.0f} kt"


def forecasts_text(forecasts: Sequence[Forecast]) -> str | None:
    """Where a cyclone is extrapolated to; None where it is not."""
    places = [
        f"{place_text(ahead['lat'], ahead['lon'])} in {ahead['lead_hours']:g} h "
        f"(95 % within {ahead['radius_95_km']:.0f} km)"
        for ahead in forecasts
    ]
    return f"Extrapolated, if it keeps its motion: {', '.join(places)}" if places else None
