"""From detections to tracks: merge what several tiles saw of one cyclone, then follow it in time.

Three steps. (1) At each time, the most probable centres that are farther than ``merge_km`` from one
another are cyclones, and every other centre belongs to the nearest of them, so that a weak one
between two cyclones does not join them. (2) From time to time, cyclones are paired by optimal
assignment of distances, never farther than they can move. (3) A track counts if it once reached the
probability to start one and lasted long enough. Nothing depends on the order of the rows.
"""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from medicane_models.domain import Grid, great_circle_km
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.prediction.tracks import as_tracks, require_columns, valid_positions
from medicane_models.times import utc_times

__all__ = ["LinkSettings", "at_edge", "link_detections", "merge_detections", "pair_nearest"]

LABEL_ERROR_KM = 11.0  # best-track noise: a smaller radius than that tells one centre from no other
_COLUMNS = ["time", "lon", "lat", "probability", "radius_50_km", "radius_95_km"]


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
        max_speed_km_per_hour: 99.7 % of the hourly steps of the reference tracks are slower, the
            median is 21 km/h. The error of both positions comes on top of it.
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
        A track table (:data:`prediction.tracks.TRACK_COLUMNS`); ``track_id`` counts from 1
        in the order of the first times.

    Raises:
        SceneError: if a column, time, position or probability is missing or impossible.
    """
    settings = settings or LinkSettings()
    cyclones = merge_detections(
        detections, merge_km=settings.merge_km, min_probability=settings.continue_probability
    )
    cyclones["track_id"] = _follow(cyclones, settings)
    tracks = cyclones.loc[_counts(cyclones, settings)].copy()
    tracks["track_id"] = pd.factorize(tracks["track_id"])[0] + 1
    tracks["edge"] = at_edge(tracks, grid, settings.edge_km)
    return as_tracks(tracks)


def merge_detections(
    detections: pd.DataFrame, *, merge_km: float, min_probability: float
) -> pd.DataFrame:
    """One row a time and cyclone, from one row a time and tile.

    The centre is the mean of unit vectors on the sphere with weights probability / radius_50²
    (probability alone where a radius is unknown); the probability is the largest. Tiles see the
    same cloud, so their errors are not independent and the radii do not shrink: they are those
    of the mixture, r² = Σ w (r_i² - ln(1 - p) d_i²) with d_i the distance of a centre to the mean,
    from the second moment of isotropic normal distributions.

    Returns:
        Columns ``time, lon, lat, probability, radius_50_km, radius_95_km``, sorted by them.
    """
    rows = _usable(detections, min_probability)
    label = _cyclones(rows, merge_km)
    weight = _weights(rows, label)
    lon, lat = _spherical_mean(rows, label, weight)
    radius_50, radius_95 = rows["radius_50_km"].to_numpy(), rows["radius_95_km"].to_numpy()
    here = rows["lon"].to_numpy(), rows["lat"].to_numpy()
    away = np.asarray(great_circle_km(*here, lon[label], lat[label]))
    merged = pd.DataFrame(
        {
            "time": rows["time"].groupby(label).first(),
            "lon": lon,
            "lat": lat,
            "probability": rows["probability"].groupby(label).max(),
            "radius_50_km": _mixture_radius(radius_50, away, label, weight, 0.5),
            "radius_95_km": _mixture_radius(radius_95, away, label, weight, 0.95),
        }
    )
    return merged.sort_values(_COLUMNS, ignore_index=True)


def pair_nearest(
    distance_km: Float[np.ndarray, "a b"], reach_km: Float[np.ndarray, "a b"]
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Pair rows with columns one to one so that the total distance is least.

    A pair out of reach is never made; leaving it out costs as much as the farthest reach, so a
    close pair is not broken up for two far ones.

    Returns:
        Row and column numbers of the pairs.
    """
    from scipy.optimize import linear_sum_assignment

    if distance_km.size == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    within = distance_km <= reach_km
    row, column = linear_sum_assignment(np.where(within, distance_km, reach_km.max()))
    made = within[row, column]
    return row[made], column[made]


def _usable(detections: pd.DataFrame, min_probability: float) -> pd.DataFrame:
    """Rows with a centre that are likely enough, sorted, without exact repetitions."""
    source = "the detections"
    require_columns(detections, _COLUMNS, source=source)
    rows = detections.loc[:, _COLUMNS].copy()
    rows["time"] = utc_times(rows["time"], source=source)
    for name in _COLUMNS[1:]:
        rows[name] = rows[name].astype(float)
    likely = rows["probability"].between(0, 1)
    if not likely.all():
        bad = rows["probability"].to_numpy()[~likely][0]
        raise SceneError(f"{source} hold the probability {bad}; give numbers from 0 to 1")
    if (rows["radius_50_km"] < 0).any() or (rows["radius_95_km"] < 0).any():
        raise SceneError(f"{source} hold a negative radius; give kilometres, or NaN if unknown")
    centred = rows["lon"].notna() & rows["lat"].notna()
    rows = rows.loc[centred & (rows["probability"] >= min_probability)]
    rows = valid_positions(rows, source=source)
    return rows.drop_duplicates().sort_values(_COLUMNS, ignore_index=True)


def _cyclones(rows: pd.DataFrame, merge_km: float) -> Int[np.ndarray, " n"]:
    """Number of the cyclone that each row belongs to, 0 … cyclones - 1."""
    label = np.zeros(len(rows), dtype=np.int64)
    lon, lat, probability = (rows[c].to_numpy() for c in ("lon", "lat", "probability"))
    count = 0
    for members in _by_time(rows):
        here, there = (lon[members, None], lat[members, None]), (lon[members], lat[members])
        apart = np.asarray(great_circle_km(*here, *there))
        heads = _heads(apart, probability[members], merge_km)
        label[members] = count + np.argmin(apart[:, heads], axis=1)
        count += len(heads)
    return label


def _heads(
    apart_km: Float[np.ndarray, "n n"], probability: Float[np.ndarray, " n"], merge_km: float
) -> list[int]:
    """The rows, from the most probable on, that are farther than ``merge_km`` from one another."""
    heads: list[int] = []
    for row in np.argsort(-probability, kind="stable").tolist():
        if (apart_km[row, heads] > merge_km).all():
            heads.append(row)
    return heads


def _by_time(rows: pd.DataFrame) -> list[Int[np.ndarray, " _"]]:
    """Positions of the rows of each time; the rows are sorted by time."""
    if rows.empty:
        return []
    times = rows["time"].to_numpy()
    return np.split(np.arange(len(rows)), np.flatnonzero(times[1:] != times[:-1]) + 1)


def _weights(rows: pd.DataFrame, label: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Weights of the rows within their cyclone; they add up to 1."""
    radius = rows["radius_50_km"].to_numpy()
    all_known = np.bincount(label, np.isnan(radius))[label] == 0
    variance = np.where(all_known, np.maximum(radius, LABEL_ERROR_KM) ** 2, 1.0)
    weight = rows["probability"].to_numpy() / variance
    return weight / np.bincount(label, weight)[label]


def _spherical_mean(
    rows: pd.DataFrame, label: Int[np.ndarray, " n"], weight: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " cyclones"], Float[np.ndarray, " cyclones"]]:
    lon, lat = np.radians(rows["lon"].to_numpy()), np.radians(rows["lat"].to_numpy())
    vectors = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    x, y, z = (np.bincount(label, weight * v) for v in vectors)
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))


def _mixture_radius(
    radius_km: Float[np.ndarray, " n"],
    away_km: Float[np.ndarray, " n"],
    label: Int[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    probability: float,
) -> Float[np.ndarray, " cyclones"]:
    """Radius of each cyclone's mixture, over the rows whose radius is known; NaN if none is."""
    squared = radius_km**2 - np.log1p(-probability) * away_km**2
    known = np.where(np.isnan(squared), 0.0, weight)
    total = np.bincount(label, known).astype(float)
    sums = np.bincount(label, known * np.nan_to_num(squared))
    return np.sqrt(np.divide(sums, total, out=np.full_like(total, np.nan), where=total > 0))


def _follow(cyclones: pd.DataFrame, settings: LinkSettings) -> Int[np.ndarray, " n"]:
    """Number of the track of each cyclone, by assignment from time to time."""
    track = np.full(len(cyclones), -1, dtype=np.int64)
    newest = np.zeros(0, dtype=np.int64)  # the last row of every track that may go on
    hours = _hours(cyclones)
    tracks = 0
    for here in _by_time(cyclones):
        newest = newest[hours[here[0]] - hours[newest] <= settings.max_gap_hours]
        distance, reach = _distance_and_reach(cyclones, hours, newest, here, settings)
        before, after = pair_nearest(distance, reach)
        track[here[after]] = track[newest[before]]
        fresh = here[track[here] < 0]
        track[fresh] = tracks + np.arange(len(fresh))
        tracks += len(fresh)
        newest = np.concatenate([np.delete(newest, before), here])
    return track


def _hours(cyclones: pd.DataFrame) -> Float[np.ndarray, " n"]:
    """Hours since the first time."""
    elapsed = cyclones["time"] - cyclones["time"].min()
    return elapsed.dt.total_seconds().to_numpy() / 3600


def _distance_and_reach(
    cyclones: pd.DataFrame,
    hours: Float[np.ndarray, " n"],
    before: Int[np.ndarray, " a"],
    after: Int[np.ndarray, " b"],
    settings: LinkSettings,
) -> tuple[Float[np.ndarray, "a b"], Float[np.ndarray, "a b"]]:
    """Kilometres between cyclones, and the most that movement and position errors explain.

    The error of a difference of two positions has the 95 % radius √(r² + r'²); it counts up to
    ``merge_km``, within which two centres are one cyclone in any case.
    """
    lon, lat, radius = (cyclones[c].to_numpy() for c in ("lon", "lat", "radius_95_km"))
    distance = np.asarray(
        great_circle_km(lon[before, None], lat[before, None], lon[None, after], lat[None, after])
    )
    error = np.fmin(np.hypot(radius[before, None], radius[None, after]), settings.merge_km)
    elapsed = hours[None, after] - hours[before, None]
    return distance, settings.max_speed_km_per_hour * elapsed + error


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
