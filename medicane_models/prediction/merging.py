"""Detections of one time to cyclones of that time: what several tiles saw of one is one fix.

The most probable centres that are farther than ``merge_km`` from one another are cyclones, and
every other centre belongs to the nearest of them, so that a weak one between two cyclones does not
join them. Nothing depends on the order of the rows.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from medicane_models.domain import great_circle_km, lonlat_of, unit_vectors
from medicane_models.errors import SceneError
from medicane_models.prediction.tracks import known_sights, require_columns, valid_positions
from medicane_models.times import iso_times, utc_times

__all__ = ["LABEL_ERROR_KM", "by_time", "merge_detections"]

LABEL_ERROR_KM = 11.0  # best-track noise: a smaller radius than that tells one centre from no other
_COLUMNS = ["time", "lon", "lat", "probability", "radius_50_km", "radius_95_km"]


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
        Columns ``time, lon, lat, probability, radius_50_km, radius_95_km``, sorted by them, and
        ``missing_frames``, the most of any tile, NaN where the detections do not tell; of
        SIGHT_COLUMNS those that they tell of any fix: the latest time that a tile's was seen, and
        the shift with the weights of the centre.
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
            "missing_frames": rows["missing_frames"].groupby(label).max(),
        }
    )
    for name in known_sights(rows):
        merged[name] = _merged_sight(pd.Series(rows[name]), label, weight)
    return merged.sort_values(_COLUMNS, ignore_index=True)


def by_time(rows: pd.DataFrame) -> list[Int[np.ndarray, " _"]]:
    """Positions of the rows of each time; the rows are sorted by time."""
    if rows.empty:
        return []
    times = rows["time"].to_numpy()
    return np.split(np.arange(len(rows)), np.flatnonzero(times[1:] != times[:-1]) + 1)


def _usable(detections: pd.DataFrame, min_probability: float) -> pd.DataFrame:
    """Rows with a centre that are likely enough, sorted, without exact repetitions."""
    source = "the detections"
    require_columns(detections, _COLUMNS, source=source)
    columns = [*_COLUMNS, "missing_frames", *known_sights(detections)]
    rows = pd.DataFrame(detections, columns=columns)
    rows["time"] = utc_times(rows["time"], source=source)
    for name in rows.columns.difference(["time"]):
        rows[name] = iso_times(rows[name]) if name == "observed" else rows[name].astype(float)
    likely = rows["probability"].between(0, 1)
    if not likely.all():
        bad = rows["probability"].to_numpy()[~likely][0]
        raise SceneError(f"{source} hold the probability {bad}; give numbers from 0 to 1")
    if (rows[["radius_50_km", "radius_95_km"]].to_numpy() < 0).any():
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
    for members in by_time(rows):
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
    vectors = unit_vectors(rows["lon"].to_numpy(), rows["lat"].to_numpy())
    means = [np.bincount(label, weight * along) for along in vectors.T]
    return lonlat_of(np.stack(means, axis=-1).astype(float))


def _merged_sight(
    values: pd.Series, label: Int[np.ndarray, " n"], weight: Float[np.ndarray, " n"]
) -> Shaped[np.ndarray, " cyclones"]:
    """Latest time or mean shift of each cyclone, over the rows that tell it."""
    if values.name == "observed":
        return pd.Series(values.groupby(label).max()).to_numpy()
    return _known_mean(values.to_numpy(float), label, weight)


def _mixture_radius(
    radius_km: Float[np.ndarray, " n"],
    away_km: Float[np.ndarray, " n"],
    label: Int[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    probability: float,
) -> Float[np.ndarray, " cyclones"]:
    """Radius of each cyclone's mixture, over the rows whose radius is known; NaN if none is."""
    squared = radius_km**2 - np.log1p(-probability) * away_km**2
    return np.sqrt(_known_mean(squared, label, weight))


def _known_mean(
    values: Float[np.ndarray, " n"],
    label: Int[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " cyclones"]:
    """Mean of each cyclone over the rows whose value is known; NaN if none is."""
    known = np.where(np.isnan(values), 0.0, weight)
    total = np.bincount(label, known).astype(float)
    sums = np.bincount(label, known * np.nan_to_num(values))
    return np.divide(sums, total, out=np.full_like(total, np.nan), where=total > 0)
