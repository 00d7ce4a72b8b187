"""Tracks as a deck of ATCF, the text that tropical agencies and MET's TC-Pairs read.

A deck has a line a position, 35 fields of it common to all (NRL, Best Track/Objective Aid/Wind
Radii Format), then pairs of a name and a value: here the other columns of the table. It holds
tenths of degrees, up to 8 km off what the table says, and no wind or pressure, which are unknown.
"""

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medicane_models.files import replacing, to_plain
from medicane_models.prediction.track_files.storm_ids import StormId, number_storms
from medicane_models.prediction.tracks import as_tracks, rounded

__all__ = ["FORECASTS", "POSITIONS", "deck_lines", "write_atcf"]

POSITIONS = "MEDI"
"""The technique of what was seen; its fourth field is minutes, as in best tracks."""

FORECASTS = "MEDF"
"""The technique of what lies ahead of what was seen."""

UNKNOWN = (
    "  0,    0, XX,   0,    ,    0,    0,    0,    0,    0,    0,   0,   0,   0,    ,   0,    "
)
"""Wind, pressure, kind, radii and what follows them, as decks have them unknown."""

NAMELESS = "          , X,  0,    ,    0,    0,    0,    0"  # the last common fields

COMMON = ("time", "lon", "lat")  # columns that common fields hold


def write_atcf(
    tracks: pd.DataFrame, path: str | Path, forecasts: pd.DataFrame | None = None
) -> None:
    """Write the lines of all tracks, one after the other, each fix before what is ahead of it.

    Args:
        tracks: as :func:`tracks.as_tracks` accepts them; no track, no line.
        path: of the deck.
        forecasts: from fixes of these tracks, as :func:`extrapolation.extrapolated` returns them.
    """
    tracks = as_tracks(tracks)
    ids = number_storms(tracks)
    lines = [*deck_lines(tracks, ids), *(() if forecasts is None else _ahead(forecasts, ids))]
    with replacing(Path(path)) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in sorted(lines, key=_place)), "utf-8")


def deck_lines(tracks: pd.DataFrame, ids: Mapping[Hashable, StormId], *, tau: int = 0) -> list[str]:
    """A line a row of a track table.

    Args:
        tracks: as :func:`tracks.as_tracks` returns them.
        ids: what their tracks are called, from :func:`number_storms`.
        tau: hours from what was seen to the positions; their times are when they are valid.
    """
    rows = rounded(tracks).to_dict("records")
    return [_line(row, ids[row["track_id"]], tau) for row in rows]


def _ahead(forecasts: pd.DataFrame, ids: Mapping[Hashable, StormId]) -> Iterator[str]:
    valid = forecasts.rename(columns={"valid_time": "time"}).drop(columns=["issued", "lead_hours"])
    for lead in forecasts["lead_hours"].unique().tolist():
        yield from deck_lines(valid.loc[forecasts["lead_hours"] == lead], ids, tau=round(lead))


def _place(line: str) -> tuple[str, ...]:
    """By storm, by what was seen when, by hours ahead."""
    basin, number, hour, minutes, _, tau = line.split(",")[:6]
    return basin, number, hour, minutes, tau


def _line(row: Mapping[Hashable, Any], storm: StormId, tau: int) -> str:
    seen = row["time"] - pd.Timedelta(hours=tau)
    technique = FORECASTS if tau else POSITIONS
    lat, lon = _tenths(row["lat"], "NS"), _tenths(row["lon"], "EW")
    known = {name: _told(value) for name, value in row.items() if name not in COMMON}
    fields = [
        f"{storm.basin}, {storm.number}, {seen:%Y%m%d%H}, {seen:%M}, {technique}, {tau:3d}",
        f"{lat:>4}, {lon:>5}, {UNKNOWN}, {_motion(row)}, {NAMELESS}",
        *(f"{name}, {value}" for name, value in known.items() if value),
    ]
    return ", ".join(fields)


def _motion(row: Mapping[Hashable, Any]) -> str:
    """Direction and speed in whole degrees and knots, blank where they are unknown."""
    heading, speed = (row.get(name, float("nan")) for name in ("heading", "speed_kt"))
    known = not (pd.isna(heading) or pd.isna(speed))
    return f"{round(heading) % 360:3d}, {round(speed):3d}" if known else "   ,    "


def _tenths(degrees: float, signs: str) -> str:
    """15.04 as 150N, -59.0 as 590W."""
    return f"{round(abs(degrees) * 10)}{signs[degrees < 0]}"


def _told(value: Any) -> str:
    """A value as text that no comma splits, "" where it is unknown."""
    plain = to_plain(value)
    return "" if plain is None else str(plain).replace(",", ";")
