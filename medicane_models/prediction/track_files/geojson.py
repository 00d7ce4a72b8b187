"""Tracks as GeoJSON (RFC 7946)."""

import json
from collections.abc import Hashable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain.circles import circle_polygons
from medicane_models.files import replacing, to_plain
from medicane_models.prediction.tracks import DECIMALS, TRACK_COLUMNS, as_tracks, rounded

__all__ = ["point_rows", "to_feature_collection", "write_geojson"]

RADII = ("radius_95_km", "radius_50_km")


def write_geojson(
    tracks: pd.DataFrame, path: str | Path, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write :func:`to_feature_collection` as UTF-8 text."""
    collection = to_feature_collection(tracks, provenance)
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(collection, ensure_ascii=False, allow_nan=False))


def to_feature_collection(
    tracks: pd.DataFrame, provenance: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Tracks as GeoJSON (RFC 7946), each with what is drawn over the rest last.

    That is a line where a track has two positions or more, then for each row the circles of its
    radii that are known, as polygons, and a point with all columns. Lines and circles are cut at
    the antimeridian (section 3.1.9). ``provenance`` is a member beside ``features``; unknown
    numbers are null.
    """
    features: list[dict[str, Any]] = []
    for track_id, track in rounded(as_tracks(tracks)).groupby("track_id"):
        if len(track) > 1:
            features.append(_line(track_id, track))
        for row in track.to_dict("records"):
            features += [*_circles(row), _point(row)]
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    return collection | ({"provenance": to_plain(provenance)} if provenance else {})


def point_rows(collection: Mapping[str, Any]) -> pd.DataFrame:
    """The table behind the points of :func:`to_feature_collection`, times as text.

    Raises:
        KeyError, TypeError: if it is no collection of features.
    """
    points = [
        dict(zip(("lon", "lat"), feature["geometry"]["coordinates"], strict=False))
        | feature["properties"]
        for feature in collection["features"]
        if feature["geometry"]["type"] == "Point"
    ]
    return pd.DataFrame(points, columns=None if points else list(TRACK_COLUMNS))


def _line(track_id: Any, track: pd.DataFrame) -> dict[str, Any]:
    parts = _cut_at_antimeridian(track[["lon", "lat"]].to_numpy())
    properties = {
        "track_id": track_id,
        "start": track["time"].min(),
        "end": track["time"].max(),
        "positions": len(track),
        "max_probability": track["probability"].max(),
        "edge": track["edge"].any(),
    }
    return _feature("LineString", [part.round(DECIMALS).tolist() for part in parts], properties)


def _circles(row: Mapping[Hashable, Any]) -> Iterator[dict[str, Any]]:
    """The larger before the smaller one, which is then drawn above it."""
    for name in RADII:
        rings = circle_polygons(row["lon"], row["lat"], row[name])
        if rings:
            properties = {column: row[column] for column in ("track_id", "time", name)}
            polygons = [[ring.round(DECIMALS).tolist()] for ring in rings]
            yield _feature("Polygon", polygons, properties)


def _point(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    properties = {name: value for name, value in row.items() if name not in ("lon", "lat")}
    return _feature("Point", [[row["lon"], row["lat"]]], properties)


def _feature(kind: str, parts: list[Any], properties: Mapping[Any, Any]) -> dict[str, Any]:
    """A feature of one geometry, or of several of a kind."""
    geometry = {"type": kind, "coordinates": parts[0]}
    if len(parts) > 1:
        geometry = {"type": f"Multi{kind}", "coordinates": parts}
    return {"type": "Feature", "geometry": geometry, "properties": to_plain(properties)}


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
