"""From detections to tracks: merge what several tiles saw of one cyclone, then follow it in time.

Three steps. (1) At each time, centres of one cyclone are merged (`prediction.merging`). (2) From
time to time, cyclones are assigned to where tracks lead by their motion (`prediction.motion`), so
that all pairs together are likeliest, and never farther than they can move. (3) A track counts if
it once reached the probability to start one and lasted long enough. Nothing depends on the order
of the rows.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from medicane_models.domain import Grid, great_circle_km, lonlat_of
from medicane_models.errors import ConfigurationError
from medicane_models.prediction.lifetimes import usual_step_hours, with_lifetimes, with_lineage
from medicane_models.prediction.merging import LABEL_ERROR_KM, by_time, merge_detections
from medicane_models.prediction.motion import (
    RADIUS_PER_DEVIATION,
    Motion,
    MotionModel,
    deviation_km,
    places_km,
)
from medicane_models.prediction.smoothing import smoothed
from medicane_models.prediction.tracks import as_tracks

__all__ = ["LinkSettings", "at_edge", "link_detections", "pair_nearest"]

BELIEVED = 0.999  # of the fixes of a cyclone lie where its motion lets expect them
MODEL = MotionModel()


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """When two centres are one cyclone, now or later.

    "Reference tracks" below are the 206 cyclones (19 643 hourly steps) of Flaounas et al. 2023,
    doi 10.5194/wcd-4-639-2023, that ten tracking methods agree on.

    Attributes:
        start_probability: a track needs it at least once; take the model's own threshold.
        continue_probability: weaker centres are ignored; those in between only continue tracks.
        merge_km: centres this close to the most probable one at their time are one cyclone with
            it: a medicane is less than 300 km across, and simultaneous reference tracks never come
            closer than 547 km.
        max_speed_km_per_hour: an upper bound, whatever a track's motion makes likely: 99.7 % of
            the hourly steps of the reference tracks are slower, the median is 21 km/h. The error
            of both positions comes on top of it.
        max_gap_hours: a cyclone unseen for longer than this is a new one when it comes back.
        min_duration_hours: from first to last time; shorter tracks are dropped.
        edge_km: centres this close to the domain's border are flagged. The cloud of a medicane,
            less than 300 km across, may then be cut off.
    """

    start_probability: float = 0.5
    continue_probability: float = 0.3
    merge_km: float = 300.0
    max_speed_km_per_hour: float = 100.0
    max_gap_hours: float = 6.0
    min_duration_hours: float = 0.0
    edge_km: float = 150.0

    def __post_init__(self) -> None:
        if not 0 < self.continue_probability <= self.start_probability <= 1:
            raise ConfigurationError(
                f"continue_probability {self.continue_probability:g} and start_probability "
                f"{self.start_probability:g} must obey 0 < continue ≤ start ≤ 1"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value >= 0):
                raise ConfigurationError(f"{field.name} is {value}; give a number of 0 or more")


def link_detections(
    detections: pd.DataFrame, *, grid: Grid, settings: LinkSettings | None = None
) -> pd.DataFrame:
    """Follow every cyclone through a table of detections.

    Args:
        detections: one row a clip and tile with ``time``, ``probability``, ``lon``, ``lat``,
            ``radius_50_km``, ``radius_95_km``; rows without a centre (NaN) are skipped.
        grid: the domain, for the ``edge`` flag.
        settings: the defaults if None.

    Returns:
        A track table (:data:`prediction.tracks.TRACK_COLUMNS`, MOTION_COLUMNS, LIFE_COLUMNS and
        those SIGHT_COLUMNS that the detections tell something in); ``track_id`` counts from 1 in
        the order of the first times.

    Raises:
        SceneError: if a column, time, position or probability is missing or impossible.
    """
    settings = settings or LinkSettings()
    cyclones = merge_detections(
        detections, merge_km=settings.merge_km, min_probability=settings.continue_probability
    )
    step_hours = usual_step_hours(pd.Series(detections["time"]))
    cyclones["track_id"] = _follow(cyclones, step_hours, settings)
    tracks = cyclones.loc[_counts(cyclones, settings)].copy()
    tracks["track_id"] = pd.factorize(tracks["track_id"])[0] + 1
    tracks["edge"] = at_edge(tracks, grid, settings.edge_km)
    tracks = with_lifetimes(
        smoothed(tracks), step_hours=step_hours, start_probability=settings.start_probability
    )
    return as_tracks(with_lineage(tracks, step_hours=step_hours, merge_km=settings.merge_km))


def pair_nearest(
    distance: Float[np.ndarray, "a b"], reach: Float[np.ndarray, "a b"]
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Pair rows with columns one to one so that the total distance, of whatever kind, is least.

    A pair out of reach is never made; leaving it out costs as much as the farthest reach, so a
    close pair is not broken up for two far ones.

    Returns:
        Row and column numbers of the pairs.
    """
    from scipy.optimize import linear_sum_assignment

    if distance.size == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    within = distance <= reach
    row, column = linear_sum_assignment(np.where(within, distance, reach.max()))
    made = within[row, column]
    return row[made], column[made]


def _follow(
    cyclones: pd.DataFrame, step_hours: float, settings: LinkSettings
) -> Int[np.ndarray, " n"]:
    """Number of the track of each cyclone, by assignment from time to time."""
    track = np.full(len(cyclones), -1, dtype=np.int64)
    fixes = _Fixes.of(cyclones, settings)
    newest = np.zeros(0, dtype=np.int64)  # the last row of every track that may go on
    motion = fixes.started(newest)
    tracks = 0
    for here in by_time(cyclones):
        elapsed = fixes.hours[here[0]] - fixes.hours[newest]
        recent = elapsed <= settings.max_gap_hours
        newest, motion, elapsed = newest[recent], motion.of(recent), elapsed[recent]
        ahead = MODEL.later(motion, elapsed)
        prospects = _Prospects.of(fixes, ahead, newest, here, settings)
        before, after = prospects.assigned(elapsed <= step_hours, settings.merge_km)
        track[here[after]] = track[newest[before]]
        fresh = here[track[here] < 0]
        track[fresh] = tracks + np.arange(len(fresh))
        tracks += len(fresh)
        unseen = np.delete(np.arange(len(newest)), before)
        continued = fixes.seen(ahead.of(before), here[after])
        motion = motion.of(unseen).joined(continued, fixes.started(fresh))
        newest = np.concatenate([newest[unseen], here[after], fresh])
    return track


class _Fixes(NamedTuple):
    """Merged cyclones as the motion model sees them."""

    hours: Float[np.ndarray, " n"]
    place: Float[np.ndarray, "n 3"]
    deviation: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, cyclones: pd.DataFrame, settings: LinkSettings) -> Self:
        """Errors count up to ``merge_km``, within which two centres are one in any case."""
        lon, lat, radius = (cyclones[c].to_numpy() for c in ("lon", "lat", "radius_95_km"))
        radius = np.fmin(np.maximum(radius, LABEL_ERROR_KM), settings.merge_km)
        return cls(_hours(cyclones), places_km(lon, lat), deviation_km(radius))

    def started(self, rows: Int[np.ndarray, " a"]) -> Motion:
        return MODEL.started(self.place[rows], self.deviation[rows])

    def seen(self, motion: Motion, rows: Int[np.ndarray, " a"]) -> Motion:
        return MODEL.seen(motion, self.place[rows], self.deviation[rows])


class _Prospects(NamedTuple):
    """Whether each of some tracks may go on with each of the cyclones of a time.

    Attributes:
        apart_km: from where the track leads to the cyclone.
        variance: that this distance is expected to have along one axis, km².
        doubtful_variance: the same if the errors of fixes should not last.
        possible: whether the track can have moved there from its last fix.
    """

    apart_km: Float[np.ndarray, "a b"]
    variance: Float[np.ndarray, "a b"]
    doubtful_variance: Float[np.ndarray, "a b"]
    possible: Bool[np.ndarray, "a b"]

    @classmethod
    def of(
        cls,
        fixes: _Fixes,
        ahead: Motion,
        before: Int[np.ndarray, " a"],
        after: Int[np.ndarray, " b"],
        settings: LinkSettings,
    ) -> Self:
        place, deviation = fixes.place[after], fixes.deviation[after]
        tracks = Motion(ahead.mean[:, None], ahead.covariance[:, None])
        error_95_km = RADIUS_PER_DEVIATION * np.hypot(fixes.deviation[before, None], deviation)
        elapsed = fixes.hours[after] - fixes.hours[before, None]
        reach_km = settings.max_speed_km_per_hour * elapsed
        reach_km += np.minimum(error_95_km, settings.merge_km)
        return cls(
            apart_km=_apart_km(MODEL.expected_fix(tracks, deviation), place),
            variance=MODEL.fix_variance(tracks, deviation),
            doubtful_variance=tracks.deviation_km**2 + deviation**2,
            possible=_apart_km(fixes.place[before, None], place) <= reach_km,
        )

    def assigned(
        self, just_seen: Bool[np.ndarray, " a"], merge_km: float
    ) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
        """Pairs of tracks and cyclones: those that the motion makes likely, then jumps.

        The centre of a weak cyclone is seen now in one cloud, now in another. One that is not where
        its track leads, in the very step in which another appears within ``merge_km`` of that
        place, is therefore the same. After a gap it is not.
        """
        breadth = 2 * np.log(self.variance / self.variance.min(initial=np.inf))
        misfit = self.apart_km**2 / self.variance + breadth  # -2 log likelihood, but for a constant
        limit = breadth - 2 * np.log1p(-BELIEVED) * self.doubtful_variance / self.variance
        likely = pair_nearest(np.where(self.possible, misfit, np.inf), limit)
        jumps = self.possible & just_seen[:, None]
        jumps[likely[0]], jumps[:, likely[1]] = False, False
        reach_km = np.full_like(misfit, merge_km)
        jumped = pair_nearest(np.where(jumps, self.apart_km, np.inf), reach_km)
        return np.r_[likely[0], jumped[0]], np.r_[likely[1], jumped[1]]


def _apart_km(
    here: Float[np.ndarray, "*a 3"], there: Float[np.ndarray, "*b 3"]
) -> Float[np.ndarray, "*c"]:
    """Kilometres on the sphere between points in space."""
    return np.asarray(great_circle_km(*lonlat_of(here), *lonlat_of(there)))


def _hours(cyclones: pd.DataFrame) -> Float[np.ndarray, " n"]:
    """Hours since the first time."""
    elapsed = cyclones["time"] - cyclones["time"].min()
    return elapsed.dt.total_seconds().to_numpy() / 3600


def _counts(cyclones: pd.DataFrame, settings: LinkSettings) -> Bool[np.ndarray, " n"]:
    """Whether each row belongs to a track that is likely and long enough."""
    label, hours = cyclones["track_id"].to_numpy(), _hours(cyclones)
    peak = np.zeros(len(cyclones))
    np.maximum.at(peak, label, cyclones["probability"].to_numpy())
    first, last = np.full_like(hours, np.inf), np.full_like(hours, -np.inf)
    np.minimum.at(first, label, hours)
    np.maximum.at(last, label, hours)
    counts = peak >= settings.start_probability
    return (counts & (last - first >= settings.min_duration_hours))[label]


def at_edge(tracks: pd.DataFrame, grid: Grid, edge_km: float) -> Bool[np.ndarray, " n"]:
    """Whether the border is within ``edge_km`` of the centre or within its 95 % radius."""
    x, y = grid.lonlat_to_pixel(tracks["lon"].to_numpy(), tracks["lat"].to_numpy())
    width_km, height_km = grid.pixel_size_km(x, y)
    across = np.minimum(x + 0.5, grid.width - 0.5 - x) * width_km
    down = np.minimum(y + 0.5, grid.height - 0.5 - y) * height_km
    limit = np.fmax(tracks["radius_95_km"].to_numpy(), edge_km)
    return ~(np.minimum(across, down) > limit)  # a centre off the projection is at its edge
