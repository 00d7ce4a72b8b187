"""Known storms: every usual track file in one tidy form.

The form is recognised by the first line, never by the file's name; ``.gz`` files are unpacked.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from medicane_models.errors import SceneError, shown
from medicane_models.prediction.track_files.reading import read_tracks_text
from medicane_models.prediction.track_positions import SIX_HOURLY, positions_at
from medicane_models.prediction.tracks import (
    names_as_text,
    require_columns,
    valid_positions,
)
from medicane_models.tables import COLUMNS, parse_table, typed_column
from medicane_models.times import iso_times
from medicane_models.verification.agencies import AGENCIES, DATE_COLUMNS, OURS, iso_dates

__all__ = ["SIX_HOURLY", "STORM_COLUMNS", "positions_at", "read_tracks"]

STORM_COLUMNS = ("track_id", "storm", "id_final", "id_cyc_unico", "name")
"""Columns of a CSV file that may name the storm, in the order of preference."""

POSITION = ["track_id", "time", "lon", "lat"]
TEXTS = ("name", "organisation")
OPTIONAL = (*TEXTS, "pressure_hpa", "wind_kt", "window_start", "window_end", *OURS)
NAME_COLUMNS = (
    f"name its columns {STORM_COLUMNS[0]} (or {', '.join(STORM_COLUMNS[1:])}), "
    f"time (or {', '.join(DATE_COLUMNS)}), lat and lon"
)
SHOWN_LINES = 3
WRITE_ISO = "write ISO 8601, like 2020-09-17T12:00Z"
TIMES = ("time", "window_start", "window_end")


def read_tracks(path: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Read the positions of known storms from files in any of these forms.

    * CSV with ``time, lat, lon`` and one of :data:`STORM_COLUMNS`: plain tables, our own
      ``tracks.csv``, the Mediterranean windows (``start_time, end_time`` are the hours in which a
      person saw the cyclone) and ERA5 minima. Semicolons with decimal commas, comments and
      ``year, month, day, hour`` in place of ``time`` (TempestExtremes) are understood.
    * Tracks that ``medicane predict`` wrote, in any of its formats.
    * Composite tracks of Flaounas et al. (2023, doi 10.5194/wcd-4-639-2023): no header, columns
      id, lon, lat, year, month, day, hour, pressure. Their ids count from 1 in every file, so the
      file's name is put before them: ``CL10-17`` in ``TRACKS_CL10.dat.gz``.
    * IBTrACS v4 CSV, with or without its line of units, without its spurs, which are second
      opinions on a storm's first days; pressure and wind of the responsible centre, else of the
      US agencies.
    * HURDAT2 text of the National Hurricane Center.
    * ATCF decks: the best track (BEST), else the operational positions (CARQ), else those of the
      file's only technique; no forecasts. The storm is what our own decks call it, or a file such
      as ``bal092011.dat``, else its basin, number and first year.

    Args:
        path: a file, a folder of such files, or several of them; what has the same id in several
            files is one storm.

    Returns:
        A row a time and storm, sorted by both: ``track_id`` (text), ``time`` (UTC), ``lon, lat``
        (degrees, -180 … 180) and, where the files have them, ``name`` and ``organisation``, such as
        eye, embedded or sheared ("" if unknown), ``pressure_hpa``, ``wind_kt`` (NaN if unknown),
        ``window_start, window_end`` (NaT if none) and the other columns of a track table.

    Raises:
        SceneError: if a file cannot be read, is in another form, or a row is impossible; rows
            are named by their line.
    """
    files = _files([path] if isinstance(path, str | Path) else path)
    tables = [_read(file) for file in files]
    if len(tables) == 1:
        return tables[0]
    joined = pd.concat(tables, ignore_index=True).drop_duplicates(POSITION)
    texts = [name for name in TEXTS if name in joined.columns]
    joined[texts] = joined[texts].fillna("")
    joined = joined.sort_values(["track_id", "time"], kind="stable", ignore_index=True)
    if (row := _second_place(joined)) is not None:
        raise SceneError(
            f"storm {row.track_id} is in two places at {row.time} in {', '.join(map(str, files))}; "
            "keep one"
        )
    return joined


def _files(paths: Sequence[str | Path]) -> list[Path]:
    """The files, and those of the folders in the order of their names."""
    files: list[Path] = []
    for path in map(Path, paths):
        inside = [file for file in sorted(path.glob("[!.]*")) if file.is_file()]
        if path.is_dir() and not inside:
            raise SceneError(f"{path} holds no file of tracks")
        files += inside if path.is_dir() else [path]
    if not files:
        raise SceneError("no file of tracks is named; give at least one")
    return files


def _read(path: Path) -> pd.DataFrame:
    text, source = read_tracks_text(path), str(path)
    first = text.lstrip().partition("\n")[0]
    read = next((read for form, read in AGENCIES if form.match(first)), _csv)
    return _tidy(read(text, source), source)


def _csv(text: str, source: str) -> pd.DataFrame:
    table = parse_table(text, source=source)
    identity = next((column for column in STORM_COLUMNS if column in table.columns), None)
    if identity is None:
        raise SceneError(f"{source} does not say which storm a row belongs to; {NAME_COLUMNS}")
    if "time" not in table.columns and set(DATE_COLUMNS) <= set(table.columns):
        table["time"] = iso_dates(table)
    require_columns(table, ("time", "lat", "lon"), source=source, remedy=NAME_COLUMNS)
    track_id = names_as_text(pd.Series(table[identity]))
    table = table.rename(columns={"start_time": "window_start", "end_time": "window_end"})
    return table.assign(track_id=track_id)


def _tidy(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Checked and sorted rows of the known columns."""
    optional = [name for name in OPTIONAL if name in rows.columns and name not in POSITION]
    table = rows.loc[:, [*POSITION, *optional]].copy()
    for column in ("lon", "lat"):
        degrees = pd.to_numeric(table[column], errors="coerce")
        table[column] = np.asarray(degrees, dtype=np.float64)
    for column in set(COLUMNS) & set(optional):
        table[column] = typed_column(table[column].fillna(""), source=source)
    for column in set(TIMES) & set(table.columns):
        table[column] = iso_times(table[column])
    _refuse_bad_rows(rows, table, source)
    table = valid_positions(table, source=source).drop_duplicates(POSITION)
    table = table.sort_values(["track_id", "time"], kind="stable")
    _refuse_two_places(table, source)
    return table.reset_index(drop=True)


def _refuse_bad_rows(rows: pd.DataFrame, table: pd.DataFrame, source: str) -> None:
    """Name the lines whose storm, time or position is missing or impossible."""
    bad: dict[str, Bool[np.ndarray, " n"]] = {
        "track_id": (table["track_id"] == "").to_numpy(),
        "time": table["time"].isna().to_numpy(),
        "lon": ~(abs(table["lon"]) <= 360).to_numpy(),
        "lat": ~(abs(table["lat"]) <= 90).to_numpy(),
    }
    for column in set(TIMES[1:]) & set(table.columns):
        bad[column] = (table[column].isna() & (rows[column] != "")).to_numpy()
    for column, where in bad.items():
        if where.any():
            lines = ", ".join(map(str, rows.index[where][:SHOWN_LINES]))
            value = rows[column].to_numpy()[where][0]
            raise SceneError(
                f"{source}: {where.sum()} rows have no valid {column} (line {lines}; first "
                f"{shown(value)}); {WRITE_ISO if column in TIMES else 'mend or drop them'}"
            )


def _refuse_two_places(table: pd.DataFrame, source: str) -> None:
    if (row := _second_place(table)) is not None:
        raise SceneError(
            f"{source}: storm {row.track_id} is in two places at {row.time} (line {row.name}); "
            "keep one"
        )


def _second_place(table: pd.DataFrame) -> Any:
    """The first row whose storm is elsewhere at that time, if there is one."""
    twice = table.loc[table.duplicated(["track_id", "time"])]
    return None if twice.empty else twice.iloc[0]
