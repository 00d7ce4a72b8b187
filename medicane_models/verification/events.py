"""Storms and false tracks as wholes: when they began and ended, and how much was found."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.verification.cases import Case
from medicane_models.verification.scores import error_summary

__all__ = ["false_tracks", "found_text", "storm_events", "track_lives"]

EVENT_COLUMNS = (
    "storm",
    "first",
    "last",
    "n",
    "pod",
    "centres",
    "tracks",
    "onset_error_h",
    "decay_error_h",
    "mean_km",
    "median_km",
    "p90_km",
    "found",
)


def track_lives(tracks: pd.DataFrame) -> pd.DataFrame:
    """When each track begins and ends: its ``onset`` and ``decay``, or its first and last fix."""
    named = {"track_id": tracks["track_id"].astype(str)}
    for name in ("onset", "decay"):
        told = tracks[name] if name in tracks else tracks["time"]
        named[name] = told.fillna(tracks["time"])
    of_track = pd.DataFrame(named).groupby("track_id", as_index=False)
    return of_track.agg({"onset": "min", "decay": "max"})


def storm_events(positions: pd.DataFrame, lives: pd.DataFrame, case: Case) -> pd.DataFrame:
    """What was found of each storm.

    Args:
        positions: as `judged_tracks.JudgedTracks` has them.
        lives: of the tracks, from :func:`track_lives`.
        case: that is judged.

    Returns:
        A row a storm: ``storm``; ``first`` and ``last`` time that it is judged; ``n`` of these
        times, ``pod``, the share where it was found, ``centres``, how often; ``tracks`` that
        followed it; ``onset_error_h`` and ``decay_error_h``, by how much these began and ended
        later than the storm, NaN where it did so outside the domain or not within the period;
        ``mean_km``, ``median_km`` and ``p90_km`` of the errors; ``found``, a + for each time where
        it was found and a - where not.
    """
    rows = [
        {
            "storm": name,
            "first": there["time"].min(),
            "last": there["time"].max(),
            "n": len(there),
            "pod": float(there["forecast"].mean()),
            "centres": int(there["forecast"].sum()),
            "tracks": ", ".join(there.loc[there["forecast"], "track_id"].unique()),
            **_life_errors(name, there, lives, case),
            **error_summary(there["error_km"].to_numpy(float)),
            "found": found_text(there["forecast"]),
        }
        for name, there in positions.loc[positions["happened"]].groupby("storm")
    ]
    return pd.DataFrame(rows, columns=list(EVENT_COLUMNS))


def false_tracks(positions: pd.DataFrame, lives: pd.DataFrame) -> pd.DataFrame:
    """Tracks that never followed a storm: a row each, with its first place.

    Returns:
        ``track_id, first, last, n``, positions in the domain, ``lon, lat, probability``, the
        highest.
    """
    found = positions.loc[positions["forecast"]]
    never = ~found.groupby("track_id")["happened"].transform("any")
    tracks = found.loc[never].sort_values("time").groupby("track_id", as_index=False)
    return tracks.agg(
        first=("time", "min"),
        last=("time", "max"),
        n=("time", "size"),
        lon=("lon", "first"),
        lat=("lat", "first"),
        probability=("probability", "max"),
    )


def found_text(found: Iterable[bool]) -> str:
    """A + for each time where a storm was found, a - where not."""
    return "".join("+" if there else "-" for there in found)


def _life_errors(
    storm: str, there: pd.DataFrame, lives: pd.DataFrame, case: Case
) -> dict[str, float]:
    """How many hours late the tracks of a storm begin and end."""
    known = case.known.loc[case.known["storm"] == storm, "time"]
    seen = case.near.loc[case.counted & (case.near["storm"] == storm).to_numpy(), "time"]
    followed = lives.loc[lives["track_id"].isin(there.loc[there["forecast"], "track_id"])]
    first, last = known.min(), known.max()
    return {
        "onset_error_h": _hours(first, followed["onset"].min(), first == seen.min() > case.start),
        "decay_error_h": _hours(last, followed["decay"].max(), last == seen.max() < case.end),
    }


def _hours(true: Any, found: Any, could_be_seen: bool) -> float:
    return (found - true) / pd.Timedelta(hours=1) if could_be_seen else np.nan
