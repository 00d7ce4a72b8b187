"""Where cyclones were by all fixes of their tracks, beside the fixes, and how they moved.

Kalman's filter forwards, then the backward pass of Rauch, Tung and Striebel (1965, doi
10.2514/3.3166), with the errors that last of `prediction.motion`.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain import east_and_north
from medicane_models.prediction.motion import Motion, MotionModel, deviation_km, places_km
from medicane_models.prediction.tracks import MOTION_COLUMNS, as_tracks

__all__ = ["KNOT", "motion_until_then", "smoothed", "smoothed_motion", "velocity"]

KNOT = 1.852  # km/h


def smoothed(tracks: pd.DataFrame, model: MotionModel | None = None) -> pd.DataFrame:
    """The tracks with :data:`prediction.tracks.MOTION_COLUMNS`.

    A smoothed radius is the fix's own times the ratio of the deviations after and before smoothing,
    so that a calibrated radius stays one. Fixes without ``radius_95_km`` count nothing and stay
    without; speed and heading are unknown also where a track has one fix.

    Args:
        tracks: as :func:`prediction.tracks.as_tracks` accepts them.
        model: the default one if None.
    """
    model = model or MotionModel()
    tracks = as_tracks(tracks)
    columns = np.full((len(tracks), len(MOTION_COLUMNS)), np.nan)
    known = np.flatnonzero(tracks["radius_95_km"].notna())
    for rows in tracks.iloc[known].groupby("track_id").indices.values():
        columns[known[rows]] = _columns(tracks.iloc[known[rows]], model)
    return tracks.assign(**dict(zip(MOTION_COLUMNS, columns.T, strict=True)))


def smoothed_motion(
    hours: Float[np.ndarray, " n"],
    place: Float[np.ndarray, "n 3"],
    deviation: Float[np.ndarray, " n"],
    model: MotionModel,
) -> Motion:
    """The motion of one cyclone at each of its fixes, by all of them.

    Args:
        hours: ascending.
        place: from :func:`prediction.motion.places_km`.
        deviation: of the fixes' errors along one axis, km.
        model: how it moves and its fixes err.
    """
    motions, steps = _until_then(hours, place, deviation, model), np.diff(hours)[:, None]
    for number in range(len(steps) - 1, -1, -1):
        motions[number] = _looking_back(model, motions[number], motions[number + 1], steps[number])
    return motions[0].joined(*motions[1:])


def motion_until_then(track: pd.DataFrame, model: MotionModel) -> Motion:
    """The motion of one cyclone at each of its fixes by those until then, all of known radii."""
    motions = _until_then(*_fixes(track), model)
    return motions[0].joined(*motions[1:])


def velocity(
    motion: Motion,
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Speed in km/h and heading in degrees, clockwise from north, 0 to 360."""
    axes = east_and_north(*motion.lonlat)
    east, north = ((motion.mean[..., 1, :] * axis).sum(axis=-1) for axis in axes)
    return np.hypot(east, north), np.degrees(np.arctan2(east, north)) % 360


def _fixes(track: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hours, places and deviations of the rows of one track."""
    hours = (track["time"] - track["time"].iloc[0]).dt.total_seconds().to_numpy() / 3600
    place = places_km(track["lon"].to_numpy(), track["lat"].to_numpy())
    return hours, place, deviation_km(track["radius_95_km"].to_numpy())


def _until_then(
    hours: Float[np.ndarray, " n"],
    place: Float[np.ndarray, "n 3"],
    deviation: Float[np.ndarray, " n"],
    model: MotionModel,
) -> list[Motion]:
    """The motion at each fix by it and those before."""
    motions = [model.started(place[:1], deviation[:1])]
    for number, step in enumerate(np.diff(hours)[:, None], start=1):
        fix = place[number : number + 1], deviation[number : number + 1]
        motions.append(model.seen(model.later(motions[-1], step), *fix))
    return motions


def _looking_back(
    model: MotionModel, here: Motion, later: Motion, hours: Float[np.ndarray, " one"]
) -> Motion:
    """What is known here by its own and all earlier fixes, improved by what is known later."""
    expected, (step, _) = model.later(here, hours), model.transition(hours)
    gain = np.linalg.solve(expected.covariance, step @ here.covariance).swapaxes(-1, -2)
    learnt = later.covariance - expected.covariance
    return Motion(
        here.mean + gain @ (later.mean - expected.mean),
        here.covariance + gain @ learnt @ gain.swapaxes(-1, -2),
    )


def _columns(track: pd.DataFrame, model: MotionModel) -> Float[np.ndarray, "n columns"]:
    """MOTION_COLUMNS of the fixes of one track, all with known radii."""
    motion = smoothed_motion(*_fixes(track), model)
    radii = track[["radius_50_km", "radius_95_km"]].to_numpy()
    before, after = deviation_km(radii[:, 1]), motion.deviation_km
    shrinkage = np.divide(after, before, out=np.ones_like(after), where=before > 0)
    speed, heading = velocity(motion) if len(track) > 1 else np.full((2, 1), np.nan)
    radii = radii * shrinkage[:, None]
    return np.column_stack([*motion.lonlat, radii, speed / KNOT, heading])
