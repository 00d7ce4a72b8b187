"""Positions held against storms, with their errors: one row a hit, a false alarm or a miss."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.verification.along_across import along_across_km
from medicane_models.verification.matching import distance_km, match_tracks, with_place_before

__all__ = ["METHODS", "lonlat", "of_all_runs", "paired", "with_errors"]

METHODS = {
    "": "",
    "smooth_": "of the smoothed centres",
    "tile_centre_": "of the tile's centre",
    "last_fix_": "of the fix that the forecast starts from",
    "fix_1h_before_": "of the track's own fix 1 h before",
    "true_centre_1h_before_": "of the true centre 1 h before, which no forecaster knows",
}
"""Prefixes of columns and scores of what is held against the true centre: fixes, then others."""

PLACES = {
    "": ("lon", "lat"),
    "smooth_": ("smooth_lon", "smooth_lat"),
    "last_fix_": ("last_fix_lon", "last_fix_lat"),
    "fix_1h_before_": ("lon_before", "lat_before"),
    "true_centre_1h_before_": ("true_lon_before", "true_lat_before"),
}
WITH_PARTS = ("", "smooth_")  # the error of a place an hour ago is all along the motion


def paired(tracks: pd.DataFrame, storms: pd.DataFrame, *, max_km: float) -> pd.DataFrame:
    """Pair positions with storms of the same time, one to one.

    Args:
        tracks: a track table.
        storms: as :func:`matching.storms_at` returns them for the times that are judged.
        max_km: a position farther than this from every storm is a false alarm.

    Returns:
        The columns of both, sorted by time: those of positions are unknown for a miss, and those
        of storms, whose places are ``true_lon, true_lat``, for a false alarm. ``track_id`` is
        text, "" for a miss, as ``storm`` is for a false alarm.
    """
    ours, theirs = match_tracks(tracks, storms, max_km=max_km)
    alone = np.setdiff1d(np.arange(len(tracks)), ours)
    missed = np.setdiff1d(np.arange(len(storms)), theirs)
    row = np.concatenate([ours, alone, np.full(len(missed), -1)])
    column = np.concatenate([theirs, np.full(len(alone), -1), missed])
    here = with_place_before(tracks.reset_index(drop=True), "track_id")
    here["track_id"] = here["track_id"].astype(str)  # numbers would become floats beside misses
    places = ("lon", "lat", "lon_before", "lat_before", "heading")
    there = storms.reset_index(drop=True).rename(columns={name: f"true_{name}" for name in places})
    found = here.reindex(row).reset_index(drop=True)
    known = there.reindex(column).reset_index(drop=True)
    both = found.columns.intersection(known.columns)
    table = pd.concat([found, known.drop(columns=both)], axis=1)
    table["time"] = found["time"].fillna(known["time"])
    names = [name for name in ("track_id", "storm", "intensity", "organisation") if name in table]
    table[names] = table[names].astype(object).fillna("")
    return table.sort_values(["time", "track_id", "storm"], ignore_index=True)


def with_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of :func:`paired` with the distances to the true centres, and their parts.

    Returns:
        The table with ``error_km``, NaN if unknown, of each of METHODS whose place is told; of
        fixes and smoothed centres also ``along_km``, ahead of the true centre, and ``across_km``,
        to the right of its motion.
    """
    truth = lonlat(table, "true_lon", "true_lat")
    columns = {}
    for prefix, place in PLACES.items():
        if not set(place) <= set(table.columns):
            continue
        found = lonlat(table, *place)
        columns[f"{prefix}error_km"] = distance_km(found, truth)
        if prefix in WITH_PARTS and "true_heading" in table:
            parts = along_across_km(truth, table["true_heading"].to_numpy(float), found)
            columns[f"{prefix}along_km"], columns[f"{prefix}across_km"] = parts
    return table.assign(**columns)


def lonlat(table: pd.DataFrame, lon: str = "lon", lat: str = "lat") -> Float[np.ndarray, "n 2"]:
    """Positions in degrees."""
    return table[[lon, lat]].to_numpy(dtype=float)


def of_all_runs(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of several predictions as one, in which ``run`` counts them from 0."""
    numbered = [table.assign(run=run) for run, table in enumerate(tables)]
    return pd.concat([table for table in numbered if len(table)] or numbered, ignore_index=True)
