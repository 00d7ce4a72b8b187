"""Where cyclones will be if they keep their motion: forecasts, never to be taken for fixes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medicane_models.domain.distances import SPHERE
from medicane_models.prediction.motion import Motion, MotionModel
from medicane_models.prediction.smoothing import motion_until_then, velocity
from medicane_models.prediction.uncertainty import error_radii

__all__ = ["FORECAST_COLUMNS", "LEAD_HOURS", "extrapolated", "standing"]

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
    lead_hours: Sequence[float] = LEAD_HOURS,
    model: MotionModel | None = None,
) -> pd.DataFrame:
    """Places along great circles, with circles that grow as the motion model says.

    From each fix but the first of a track, by what was known then: no later fix counts. Fixes
    without ``radius_95_km`` count nothing and start none.

    Args:
        tracks: as :func:`prediction.tracks.as_tracks` returns them.
        lead_hours: from a fix to what is forecast.
        model: the default one if None.

    Returns:
        FORECAST_COLUMNS, a row a fix and lead; ``issued`` is the time of the fix.
    """
    model = model or MotionModel()
    known = tracks.loc[tracks["radius_95_km"].notna()].groupby("track_id")
    tables = [_forecasts(track, lead_hours, model) for _, track in known if len(track) > 1]
    if not tables:
        return pd.DataFrame(columns=list(FORECAST_COLUMNS))
    return pd.concat(tables, ignore_index=True)


def standing(forecasts: pd.DataFrame, *, now: pd.Timestamp, max_gap_hours: float) -> pd.DataFrame:
    """The newest forecasts of the tracks that are still followed.

    Args:
        forecasts: from `extrapolated`.
        now: when was last looked for cyclones.
        max_gap_hours: tracks that were seen this long before it are still followed.
    """
    newest = forecasts.groupby("track_id")["issued"].transform("max")
    oldest = now - pd.Timedelta(hours=max_gap_hours)
    is_standing = (forecasts["issued"] == newest) & (forecasts["issued"] >= oldest)
    return forecasts.loc[is_standing].reset_index(drop=True)


def _forecasts(
    track: pd.DataFrame, lead_hours: Sequence[float], model: MotionModel
) -> pd.DataFrame:
    known = motion_until_then(track, model).of(np.arange(1, len(track)))
    tables = [_ahead(track.iloc[1:], known, lead, model) for lead in lead_hours]
    return pd.concat(tables).sort_values(["issued", "lead_hours"], ignore_index=True)


def _ahead(
    fixes: pd.DataFrame, known: Motion, lead_hours: float, model: MotionModel
) -> pd.DataFrame:
    """Where some motions lead, one a fix."""
    lead = np.full(len(fixes), float(lead_hours))
    speed, heading = velocity(known)
    lon, lat, _ = SPHERE.fwd(*known.lonlat, heading, speed * lead * 1000)
    variance = model.later(known, lead).deviation_km ** 2
    radii = error_radii(variance[:, None, None] * np.eye(2), None)
    times = fixes["time"], fixes["time"] + pd.Timedelta(hours=lead_hours)
    told = (fixes["track_id"], times[0], lead, times[1], lon, lat, *radii.T)
    return pd.DataFrame(dict(zip(FORECAST_COLUMNS, map(np.asarray, told), strict=True)))
