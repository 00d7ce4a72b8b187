"""Tables of tracks: one row a time and track, sorted by track and time.

They have :data:`TRACK_COLUMNS` and may have any of :data:`OPTIONAL_COLUMNS`; their files are those
of :mod:`track_files.formats`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.errors import SceneError
from medicane_models.tables import COLUMNS, ColumnKind
from medicane_models.times import iso_times, utc_times

__all__ = [
    "DECIMALS",
    "GUESS_COLUMNS",
    "LIFE_COLUMNS",
    "MOTION_COLUMNS",
    "OPTIONAL_COLUMNS",
    "SIGHT_COLUMNS",
    "TRACK_COLUMNS",
    "as_tracks",
    "known_sights",
    "names_as_text",
    "require_columns",
    "rounded",
    "valid_positions",
]

TRACK_COLUMNS = (
    "track_id",
    "time",
    "lon",
    "lat",
    "probability",
    "radius_50_km",
    "radius_95_km",
    "edge",
)
"""What they hold is said in :data:`tables.COLUMNS`; probability and radii are NaN where unknown."""

GUESS_COLUMNS = ("guess_lon", "guess_lat", "guess_distance_km")
"""What a table has besides where centres were sought around a first guess."""

MOTION_COLUMNS = (
    "smooth_lon",
    "smooth_lat",
    "smooth_radius_50_km",
    "smooth_radius_95_km",
    "speed_kt",
    "heading",
)
"""What `prediction.smoothing` adds."""

LIFE_COLUMNS = ("missing_frames", "after_gap", "onset", "decay", "split_from", "merged_into")
"""What linking tells of fixes and, alike in all rows of a track, of the track."""

SIGHT_COLUMNS = ("observed", "parallax_east_km", "parallax_north_km")
"""How fixes were seen, as far as the files tell when, and where parallax was taken out."""

OPTIONAL_COLUMNS = (*MOTION_COLUMNS, *LIFE_COLUMNS, *SIGHT_COLUMNS, *GUESS_COLUMNS)

DECIMALS = 5
"""Of numbers in text: a metre, far below any position's error."""


def as_tracks(table: pd.DataFrame, *, source: str = "the track table") -> pd.DataFrame:
    """Sort and check a table with at least ``track_id, time, lon, lat``.

    Those of :data:`TRACK_COLUMNS` that are missing are unknown: numbers NaN, flags False, text "".
    Columns that are not part of a track table are dropped. ``track_id`` is whole numbers or text.

    Raises:
        SceneError: if a column, time or position is missing or impossible, or a track is in two
            places at one time.
    """
    require_columns(table, ("track_id", "time", "lon", "lat"), source=source)
    optional = [name for name in OPTIONAL_COLUMNS if name in table.columns]
    tracks = valid_positions(table.reindex(columns=[*TRACK_COLUMNS, *optional]), source=source)
    for name in set(tracks.columns) - {"track_id", "time"}:
        tracks[name] = _of_kind(pd.Series(tracks[name]), COLUMNS[name].kind)
    if table.empty:
        tracks["track_id"] = tracks["track_id"].astype(np.int64)
    nameless = tracks.loc[tracks["track_id"].isna() | tracks["track_id"].isin([""])]
    if len(nameless):
        raise SceneError(
            f"{source}: {len(nameless)} rows have no track_id (first at "
            f"{nameless['time'].iloc[0]}); say which track they belong to"
        )
    if not pd.api.types.is_integer_dtype(tracks["track_id"]):
        tracks["track_id"] = names_as_text(pd.Series(tracks["track_id"]))
    twice = tracks.duplicated(["track_id", "time"])
    if twice.any():
        row = tracks.loc[twice].iloc[0]
        raise SceneError(
            f"{source}: track {row.track_id} has two positions at {row.time}; keep one of them"
        )
    return tracks.sort_values(["track_id", "time"], ignore_index=True)


def valid_positions(table: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """A copy whose ``time`` is UTC and whose ``lon`` lies in -180 … 180.

    Raises:
        SceneError: if a position is missing or off the globe.
    """
    table = table.copy()
    table["time"] = utc_times(table["time"], source=source)
    for name in ("lon", "lat"):
        table[name] = _numbers(table[name])
    bad = table.loc[~(table["lon"].between(-360, 360) & table["lat"].between(-90, 90))]
    if len(bad):
        row = bad.iloc[0]
        raise SceneError(
            f"{source}: {len(bad)} rows have no valid position (first: lon {row.lon}, "
            f"lat {row.lat} at {row.time}); give degrees, lon within ±360, lat within ±90"
        )
    beyond = table["lon"].abs() > 180
    wrapped = (table.loc[beyond, "lon"] + 180) % 360 - 180
    table.loc[beyond, "lon"] = wrapped.round(10)  # what wrapping adds would part equal positions
    return table


def rounded(tracks: pd.DataFrame) -> pd.DataFrame:
    """The table as it is written: numbers with :data:`DECIMALS`."""
    return tracks.round(dict.fromkeys(tracks.select_dtypes("float"), DECIMALS))


def known_sights(table: pd.DataFrame) -> list[str]:
    """Those of :data:`SIGHT_COLUMNS` in which a table tells something."""
    told = table.columns[table.notna().any().to_numpy()]
    return [name for name in SIGHT_COLUMNS if name in told]


def names_as_text(names: pd.Series) -> pd.Series:
    """Names of tracks as text; whole numbers that were stored as floats lose their ``.0``."""
    return names.astype("str").str.replace(r"^(\d+)\.0$", r"\1", regex=True)


def require_columns(
    table: pd.DataFrame, columns: Sequence[str], *, source: str, remedy: str = ""
) -> None:
    """Refuse a table that lacks columns, by name; a remedy is told behind what it has."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        there = ", ".join(str(name)[:30] for name in table.columns[:50])
        told = "; ".join(filter(None, [f"it has {there}", remedy]))
        raise SceneError(f"{source} has no column {', '.join(missing)}; {told}")


def _numbers(values: Any) -> Float[np.ndarray, " n"]:
    """A column as numbers; NaN for what is none."""
    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)


def _of_kind(column: pd.Series, kind: ColumnKind) -> pd.Series:
    """A column as what :class:`tables.Column` says it holds, unknown where it is empty."""
    match kind:
        case "flag":
            return column.astype("boolean").fillna(value=False).astype(bool)
        case "text":
            return column.fillna("").astype("str")
        case "time":
            return iso_times(column)
        case "count" if column.notna().all():
            return column.astype(np.int64)
        case _:
            return column.astype(float)
