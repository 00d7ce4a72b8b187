"""Known storms: every usual track file in one tidy form.

The form is recognised by the first line, never by the file's name; ``.gz`` files are unpacked.
"""

import gzip
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from medicane_models.errors import SceneError
from medicane_models.prediction.tracks import require_columns, valid_positions

__all__ = ["SIX_HOURLY", "STORM_COLUMNS", "positions_at", "read_tracks"]

STORM_COLUMNS = ("track_id", "storm", "id_final", "id_cyc_unico", "name")
"""Columns of a CSV file that may name the storm, in the order of preference."""

SIX_HOURLY = 6.0
"""``max_gap_hours`` for best tracks with a position every six hours (IBTrACS, HURDAT2)."""

POSITION = ["track_id", "time", "lon", "lat"]
OPTIONAL = ("name", "pressure_hpa", "wind_kt", "window_start", "window_end")
COMPOSITE_COLUMNS = ("track_id", "lon", "lat", "year", "month", "day", "hour", "pressure_hpa")
HURDAT2_HEADER = re.compile(r"([A-Z]{2}\d{6})\s*,\s*([^,]+?)\s*,")
GZIP_MAGIC = b"\x1f\x8b"
SHOWN_LINES = 3


def read_tracks(path: str | Path) -> pd.DataFrame:
    """Read the positions of known storms from a file in any of these forms.

    * CSV with ``time, lat, lon`` and one of :data:`STORM_COLUMNS`: plain tables, our own
      ``tracks.csv``, the Mediterranean windows (``start_time, end_time`` are the hours in which a
      person saw the cyclone) and ERA5 minima.
    * Composite tracks of Flaounas et al. (2023, doi 10.5194/wcd-4-639-2023): no header, columns
      id, lon, lat, year, month, day, hour, pressure. Their ids count from 1 in every file, so the
      file's name is put before them: ``CL10-17`` in ``TRACKS_CL10.dat.gz``.
    * IBTrACS v4 CSV (two header rows) without its spurs, which are second opinions on a storm's
      first days; pressure and wind of the responsible centre, else of the US agencies.
    * HURDAT2 text of the National Hurricane Center.

    Returns:
        A row a time and storm, sorted by both: ``track_id`` (text), ``time`` (UTC), ``lon, lat``
        (degrees, -180 … 180) and, where the file has them, ``name`` ("" if unknown),
        ``pressure_hpa``, ``wind_kt`` (NaN if unknown), ``window_start, window_end`` (NaT if none).

    Raises:
        SceneError: if the file cannot be read, is in another form, or a row is impossible; rows
            are named by their line.
    """
    text, source = _text(Path(path)), str(path)
    first = text.partition("\n")[0]
    read = next((read for form, read in READERS if form.match(first)), _csv)
    return _tidy(read(text, source), source)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        unpacked = gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
        return unpacked.decode("utf-8-sig")
    except (OSError, EOFError, ValueError) as error:
        raise SceneError(f"cannot read {path} as a table of tracks: {error}") from None


def _rows(text: str, source: str, **options: Any) -> pd.DataFrame:
    """Fields as text, blank ones "", indexed by their line; a header is line 1."""
    try:
        table = pd.read_csv(
            io.StringIO(text),
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            skip_blank_lines=False,
            **options,
        ).fillna("")
    except ValueError as error:
        raise SceneError(f"cannot read {source} as CSV: {error}") from None
    table.index += 1 if "header" in options else 2
    return table.loc[(table != "").any(axis=1)]


def _csv(text: str, source: str) -> pd.DataFrame:
    table = _rows(text, source)
    identity = next((column for column in STORM_COLUMNS if column in table.columns), None)
    if identity is None:
        raise SceneError(
            f"{source} does not say which storm a row belongs to; add a column called "
            f"{' or '.join(STORM_COLUMNS)}"
        )
    require_columns(table, ("time", "lat", "lon"), source=source)
    track_id = table[identity].str.removesuffix(".0")  # whole numbers that were stored as floats
    table = table.rename(columns={"start_time": "window_start", "end_time": "window_end"})
    return table.assign(track_id=track_id)


def _composite(text: str, source: str) -> pd.DataFrame:
    table = _rows(text, source, header=None, sep=r"\s+", names=list(COMPOSITE_COLUMNS))
    name = Path(source).name.partition(".")[0].removeprefix("TRACKS_")
    date = table["year"] + "-" + table["month"] + "-" + table["day"] + "T" + table["hour"]
    return table.assign(track_id=name + "-" + table["track_id"].str.lstrip("0"), time=date)


def _ibtracs(text: str, source: str) -> pd.DataFrame:
    table = _rows(text, source)
    require_columns(table, ("SID", "NAME", "ISO_TIME", "LAT", "LON"), source=source)
    table = table.iloc[1:]  # the units
    if "TRACK_TYPE" in table.columns:
        table = table.loc[~table["TRACK_TYPE"].str.startswith("spur")]
    return pd.DataFrame(
        {
            "track_id": table["SID"],
            "time": table["ISO_TIME"],
            "lon": table["LON"],
            "lat": table["LAT"],
            "name": table["NAME"].replace({"UNNAMED": "", "NOT_NAMED": ""}),
            "pressure_hpa": _first_known(table, "WMO_PRES", "USA_PRES"),
            "wind_kt": _first_known(table, "WMO_WIND", "USA_WIND"),
        }
    )


def _first_known(table: pd.DataFrame, *columns: str) -> pd.Series:
    numbers = table.reindex(columns=list(columns)).apply(pd.to_numeric, errors="coerce")
    return numbers.bfill(axis=1).iloc[:, 0]


def _hurdat2(text: str, source: str) -> pd.DataFrame:
    rows, track_id, name = {}, "", ""
    for line, content in enumerate(text.splitlines(), start=1):
        if header := HURDAT2_HEADER.match(content):
            track_id, name = header[1], header[2].replace("UNNAMED", "")
        elif content.strip():
            fields = [field.strip() for field in content.split(",")]
            if len(fields) < 8:
                raise SceneError(f"{source}: line {line} is no HURDAT2 row: {content!r}")
            rows[line] = (track_id, name, *_hurdat2_row(fields))
    columns = ["track_id", "name", "time", "lat", "lon", "wind_kt", "pressure_hpa"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _hurdat2_row(fields: list[str]) -> tuple[str, str, str, str, str]:
    """Time, lat, lon, wind and pressure; unknown ones are -99 and -999 in the file."""
    day, hour, _, _, lat, lon, wind, pressure = fields[:8]
    time = f"{day[:4]}-{day[4:6]}-{day[6:]}T{hour[:2]}:{hour[2:]}"
    unknown = re.compile("-.*")
    return time, _signed(lat), _signed(lon), unknown.sub("", wind), unknown.sub("", pressure)


def _signed(degrees: str) -> str:
    """15.0N as 15.0, 59.0W as -59.0."""
    return ("-" if degrees[-1:] in ("S", "W") else "") + degrees.rstrip("NSEW")


READERS: tuple[tuple[re.Pattern[str], Callable[[str, str], pd.DataFrame]], ...] = (
    (re.compile(r"SID,"), _ibtracs),
    (HURDAT2_HEADER, _hurdat2),
    (re.compile(r"\s*\d+(\s+-?[\d.]+){7}\s*$"), _composite),
)


def _tidy(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Checked and sorted rows of the known columns."""
    optional = [column for column in OPTIONAL if column in rows.columns]
    table = rows.loc[:, [*POSITION, *optional]].copy()
    for column in {"lon", "lat", "pressure_hpa", "wind_kt"} & set(table.columns):
        numbers = pd.to_numeric(table[column], errors="coerce")
        table[column] = np.asarray(numbers, dtype=np.float64)
    for column in {"time", "window_start", "window_end"} & set(table.columns):
        table[column] = _times(table[column])
    _refuse_bad_rows(rows, table, source)
    table = valid_positions(table, source=source).drop_duplicates(POSITION)
    table = table.sort_values(["track_id", "time"], kind="stable")
    _refuse_two_places(table, source)
    return table.reset_index(drop=True)


def _times(values: pd.Series) -> pd.Series:
    """UTC without a zone; NaT for what is no time."""
    times = pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce")
    return times.dt.tz_localize(None).dt.as_unit("ns")


def _refuse_bad_rows(rows: pd.DataFrame, table: pd.DataFrame, source: str) -> None:
    """Name the lines whose storm, time or position is missing or impossible."""
    bad: dict[str, Bool[np.ndarray, " n"]] = {
        "track_id": (table["track_id"] == "").to_numpy(),
        "time": table["time"].isna().to_numpy(),
        "lon": ~(abs(table["lon"]) <= 360).to_numpy(),
        "lat": ~(abs(table["lat"]) <= 90).to_numpy(),
    }
    for column in {"window_start", "window_end"} & set(table.columns):
        bad[column] = (table[column].isna() & (rows[column] != "")).to_numpy()
    for column, where in bad.items():
        if where.any():
            lines = ", ".join(map(str, rows.index[where][:SHOWN_LINES]))
            value = rows[column].to_numpy()[where][0]
            raise SceneError(
                f"{source}: {where.sum()} rows have no valid {column} (line {lines}; first "
                f"{value!r}); mend or drop them"
            )


def _refuse_two_places(table: pd.DataFrame, source: str) -> None:
    twice = table.duplicated(["track_id", "time"])
    if twice.any():
        row = table.loc[twice].iloc[0]
        raise SceneError(
            f"{source}: storm {row.track_id} is in two places at {row.time} (line {row.name}); "
            "keep one"
        )


def positions_at(
    tracks: pd.DataFrame,
    times: pd.DatetimeIndex | Shaped[np.ndarray, " n"],
    *,
    max_gap_hours: float = 2.0,
) -> pd.DataFrame:
    """Where each storm was, interpolated along great circles; never before, after or over a gap.

    Args:
        tracks: as :func:`read_tracks` returns them.
        times: UTC, in any order.
        max_gap_hours: positions farther apart than this are not joined; :data:`SIX_HOURLY` for
            tracks with a position every six hours, whose error then grows to tens of kilometres.

    Returns:
        ``time, track_id, lon, lat``, a row a storm present at each distinct time, sorted.
    """
    moments = np.unique(np.asarray(times, dtype="datetime64[ns]"))
    gap = np.timedelta64(round(max_gap_hours * 3600), "s")
    known = tracks["time"].to_numpy()
    near = np.searchsorted(moments + gap, known) < np.searchsorted(moments - gap, known, "right")
    found = [
        _along(track, moments, gap).assign(track_id=name)
        for name, track in tracks.loc[near].groupby("track_id")
    ]
    positions = pd.concat(found) if found else tracks.iloc[:0]
    columns = ["time", "track_id", "lon", "lat"]
    return positions.loc[:, columns].sort_values(["time", "track_id"], ignore_index=True)


def _along(
    track: pd.DataFrame, times: Shaped[np.ndarray, " n"], gap: np.timedelta64
) -> pd.DataFrame:
    """Positions of one track, sorted by time, at those of ``times`` that it covers."""
    knots = track["time"].to_numpy()
    first, last = np.searchsorted(times, knots[0]), np.searchsorted(times, knots[-1], "right")
    times = times[first:last]
    before = np.searchsorted(knots, times, side="right") - 1
    after = np.minimum(before + 1, len(knots) - 1)
    here = knots[before] == times
    near = here | (knots[after] - knots[before] <= gap)
    times, before, after, here = times[near], before[near], after[near], here[near]
    after = np.where(here, before, after)
    step = np.maximum(knots[after] - knots[before], np.timedelta64(1, "ns"))
    lonlat = track.loc[:, ["lon", "lat"]].to_numpy(dtype=float)
    between = _great_circle(lonlat[before], lonlat[after], (times - knots[before]) / step)
    between[here] = lonlat[before[here]]  # to the last digit, as the file has them
    return pd.DataFrame({"time": times, "lon": between[:, 0], "lat": between[:, 1]})


def _great_circle(
    start: Float[np.ndarray, "n 2"],
    end: Float[np.ndarray, "n 2"],
    share: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n 2"]:
    """Points at a share of the way between positions (lon, lat) in degrees."""
    a, b = _unit_vectors(start), _unit_vectors(end)
    angle = 2 * np.arcsin(np.minimum(np.linalg.norm(b - a, axis=1) / 2, 1))
    # sin(s·angle) / sin(angle) written so that it stays s where the angle vanishes
    scale = np.sinc(angle / np.pi)
    weights = [s * np.sinc(s * angle / np.pi) / scale for s in (1 - share, share)]
    x, y, z = (weights[0][:, None] * a + weights[1][:, None] * b).T
    return np.degrees(np.stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))], axis=1))


def _unit_vectors(lonlat: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    lon, lat = np.radians(lonlat).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
