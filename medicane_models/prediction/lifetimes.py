"""When tracks begin and end: onset, decay and gaps, and which tracks they part from and end in."""

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain import great_circle_km
from medicane_models.domain.distances import SPHERE
from medicane_models.prediction.smoothing import KNOT
from medicane_models.times import utc_times

__all__ = ["renamed", "usual_step_hours", "with_lifetimes", "with_lineage"]

GAP = 1.5  # steps of the usual length; a longer one is a gap


def usual_step_hours(times: pd.Series, *, source: str = "the detections") -> float:
    """The longest time from a fix to the next that is no gap, by all times that were looked at."""
    steps = np.diff(np.unique(utc_times(times, source=source)))
    return GAP * float(np.median(steps) / np.timedelta64(1, "h")) if len(steps) else 0.0


def with_lifetimes(
    tracks: pd.DataFrame, *, step_hours: float, start_probability: float
) -> pd.DataFrame:
    """The tracks with ``after_gap``, ``onset`` and ``decay``, NaT where no fix is likely enough.

    Args:
        tracks: as :func:`prediction.tracks.as_tracks` returns them.
        step_hours: from :func:`usual_step_hours`.
        start_probability: that starts a track.
    """
    likely = tracks["time"].where(tracks["probability"] >= start_probability)
    of_track = likely.groupby(tracks["track_id"])
    since_last = tracks.groupby("track_id")["time"].diff()
    return tracks.assign(
        after_gap=since_last > pd.Timedelta(hours=step_hours),
        onset=of_track.transform("min"),
        decay=of_track.transform("max"),
    )


def with_lineage(tracks: pd.DataFrame, *, step_hours: float, merge_km: float) -> pd.DataFrame:
    """The tracks with ``split_from`` and ``merged_into``, "" where there is no such track.

    Centres within ``merge_km`` are one cyclone. A track has split from another if, a step before it
    begins, it would have been one with it by its motion; it has merged into another if it would be
    one with it a step after it ends. The other one was there before and after; of several, the
    nearest counts.

    Args:
        tracks: with MOTION_COLUMNS, as :func:`prediction.smoothing.smoothed` returns them.
        step_hours: from :func:`usual_step_hours`.
        merge_km: of :class:`prediction.linking.LinkSettings`.
    """
    times = tracks.groupby("track_id")["time"]
    others = tracks.assign(first=times.transform("min"), last=times.transform("max"))
    tracks = tracks.assign(split_from="", merged_into="")
    for _, track in tracks.groupby("track_id"):
        first, last = track.iloc[0], track.iloc[-1]
        tracks.loc[track.index, "split_from"] = _relative(first, others, -step_hours, merge_km)
        tracks.loc[track.index, "merged_into"] = _relative(last, others, step_hours, merge_km)
    return tracks


def renamed(tracks: pd.DataFrame, name: str) -> pd.DataFrame:
    """The tracks with the number of each put into a name with {}, wherever one is named."""
    named = {
        column: [name.format(number) if number else "" for number in tracks[column].astype(str)]
        for column in ("track_id", "split_from", "merged_into")
    }
    return tracks.assign(**named)


def _relative(end: pd.Series, others: pd.DataFrame, step_hours: float, merge_km: float) -> str:
    """The track with which one would be one cyclone a step from its end, "" if there is none."""
    hours = (others["time"] - end["time"]).dt.total_seconds().to_numpy() / 3600
    soon = (hours * step_hours > 0) & (abs(hours) <= abs(step_hours))
    lasting = (others["first"] <= end["time"]) & (others["last"] >= end["time"])
    others, hours = others.loc[soon & lasting], hours[soon & lasting]
    apart = np.asarray(great_circle_km(*_moved(end, hours), others["lon"], others["lat"]))
    near = pd.Series(apart, others["track_id"]).loc[apart <= merge_km]
    return "" if near.empty else str(near.idxmin())


def _moved(
    fix: pd.Series, hours: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Where a cyclone is some hours from a fix; it stays where its speed is unknown."""
    speed, heading = (float(np.nan_to_num(fix[name])) for name in ("speed_kt", "heading"))
    lon, lat, heading = (np.full_like(hours, value) for value in (fix["lon"], fix["lat"], heading))
    lon, lat, _ = SPHERE.fwd(lon, lat, heading, speed * KNOT * hours * 1000)
    return lon, lat
