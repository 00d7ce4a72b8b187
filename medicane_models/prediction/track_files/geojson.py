"""Tracks as GeoJSON (RFC 7946)."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.files import replacing, to_plain
from medicane_models.prediction.tracks import DECIMALS, TRACK_COLUMNS, as_tracks, rounded

__all__ = ["point_rows", "to_feature_collection", "write_geojson"]


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
    """Tracks as GeoJSON (RFC 7946): a line a track of two positions or more, a point a row.

    Lines are cut at the antimeridian (section 3.1.9). ``provenance`` is a member beside
    ``features``; unknown numbers are null.
    """
    features: list[dict[str, Any]] = []
    for track_id, track in rounded(as_tracks(tracks)).groupby("track_id"):
        if len(track) > 1:
            features.append(_line(track_id, track))
        features += [_point(row) for row in track.to_dict("records")]
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if provenance:
        text = json.dumps(dict(provenance), default=str)
        collection["provenance"] = json.loads(text, parse_constant=lambda _: None)  # no NaN in JSON
    return collection


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
