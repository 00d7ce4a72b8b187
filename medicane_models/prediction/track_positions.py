"""Where the storms of a table of tracks were at other times than its own."""

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from medicane_models.domain import lonlat_of, unit_vectors

__all__ = ["SIX_HOURLY", "positions_at"]

SIX_HOURLY = 6.0
"""``max_gap_hours`` for best tracks with a position every six hours (IBTrACS, HURDAT2)."""


def positions_at(
    tracks: pd.DataFrame,
    times: pd.DatetimeIndex | Shaped[np.ndarray, " n"],
    *,
    max_gap_hours: float = 2.0,
) -> pd.DataFrame:
    """Where each storm was, interpolated along great circles; never before, after or over a gap.

    Args:
        tracks: as `verification.best_tracks.read_tracks` returns them.
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
    a, b = unit_vectors(*start.T), unit_vectors(*end.T)
    angle = 2 * np.arcsin(np.minimum(np.linalg.norm(b - a, axis=1) / 2, 1))
    # sin(s·angle) / sin(angle) written so that it stays s where the angle vanishes
    scale = np.sinc(angle / np.pi)
    weights = [s * np.sinc(s * angle / np.pi) / scale for s in (1 - share, share)]
    between = weights[0][:, None] * a + weights[1][:, None] * b
    return np.stack(lonlat_of(between), axis=1)
