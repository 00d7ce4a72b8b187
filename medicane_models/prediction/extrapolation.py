"""Where cyclones will be if they keep their motion: forecasts, never to be taken for fixes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.domain.distances import SPHERE
from medicane_models.prediction.motion import MotionModel
from medicane_models.prediction.smoothing import motion_of, velocity
from medicane_models.prediction.uncertainty import error_radii

__all__ = ["FORECAST_COLUMNS", "LEAD_HOURS", "extrapolated"]

FORECAST_COLUMNS = (
    "track_id",
    "issued",
    "lead_hours",
    "valid_time",
    "lon",
    "lat",
    "radius_50_km",
    "radius_95_km",
)
"""There is no ``time``, without which nothing takes the table for tracks."""

LEAD_HOURS = (6.0, 12.0)


def extrapolated(
    tracks: pd.DataFrame,
    *,
    now: pd.Timestamp,
    max_gap_hours: float,
    lead_hours: Sequence[float] = LEAD_HOURS,
    model: MotionModel | None = None,
) -> pd.DataFrame:
    """Places along great circles, with circles that grow as the motion model says.

    Args:
        tracks: as :func:`prediction.tracks.as_tracks` returns them.
        now: when was last looked for cyclones.
        max_gap_hours: tracks that were seen this long before it are still followed; others, and
            those with fewer than two fixes of known radius, have no forecast.
        lead_hours: from the last fix of each track.
        model: the default one if None.

    Returns:
        FORECAST_COLUMNS, a row a track and lead; ``issued`` is the time of the track's last fix.
    """
    model = model or MotionModel()
    oldest = now - pd.Timedelta(hours=max_gap_hours)
    rows = [
        row
        for _, track in tracks.loc[tracks["radius_95_km"].notna()].groupby("track_id")
        if len(track) > 1 and track["time"].iloc[-1] >= oldest
        for row in _forecasts(track, lead_hours, model)
    ]
    return pd.DataFrame(rows, columns=list(FORECAST_COLUMNS))


def _forecasts(
    track: pd.DataFrame, lead_hours: Sequence[float], model: MotionModel
) -> list[dict[str, Any]]:
    last = track.iloc[-1]
    lead = np.array(lead_hours, dtype=float)
    newest = motion_of(track, model).of(np.full(len(lead), len(track) - 1))
    variance = model.later(newest, lead).deviation_km ** 2
    radii = error_radii(variance[:, None, None] * np.eye(2), None)
    speed, heading = velocity(newest)
    lon, lat, _ = SPHERE.fwd(*newest.lonlat, heading, speed * lead * 1000)
    times = [last["time"] + pd.Timedelta(hours=hours) for hours in lead]
    told = (lead, times, lon, lat, *radii.T)
    return [
        dict(zip(FORECAST_COLUMNS, (last["track_id"], last["time"], *values), strict=True))
        for values in zip(*told, strict=True)
    ]
