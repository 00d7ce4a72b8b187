"""Hold detections or tracks against known storms: what ``medicane evaluate`` reports.

Every interval comes from drawing whole storms and calm weeks, never rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, Shaped

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.prediction.tracks import as_tracks, require_columns
from medicane_models.tables import read_table
from medicane_models.times import utc, utc_times
from medicane_models.verification.matching import (
    Blocks,
    distance_km,
    independent_blocks,
    match_tracks,
    read_truth,
    storms_at,
    storms_in_tiles,
)
from medicane_models.verification.scores import (
    Contingency,
    bootstrap,
    error_summary,
    probability_scores,
    reliability_table,
)

__all__ = ["EvaluationSettings", "evaluate"]

POSITION_SCORES = ("pod", "far", "csi", "frequency_bias")  # positions have no correct negatives
Section = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What counts as right, and where and when it is judged.

    Attributes:
        grid: the domain; a storm outside is not held against the predictions.
        tile_size: pixels along a side of the tiles that detections refer to.
        tolerance_minutes: a storm is where it was at the known time nearest to the prediction's,
            and absent if that is farther off than this.
        max_km: a position farther than this from every storm is a false alarm; a medicane is
            less than 300 km across.
        start: first time that is judged, UTC; None: the first of the predictions.
        end: last time that is judged; None: the last of the predictions.
        samples: resamples for the intervals.
        seed: of the resampling.
    """

    grid: Grid = MEDITERRANEAN
    tile_size: int = 224
    tolerance_minutes: float = 30.0
    max_km: float = 300.0
    start: datetime | str | None = None
    end: datetime | str | None = None
    samples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("tile_size", "tolerance_minutes", "max_km", "samples"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; give a number above 0")


def evaluate(
    predictions_path: str | Path,
    truth_path: str | Path,
    *,
    settings: EvaluationSettings | None = None,
) -> dict[str, Any]:
    """Score a table of detections or tracks against the positions of known storms.

    Detections are judged by tile and time, by time (is there a cyclone in any tile), as
    probabilities, and by the distance of their centres to the storm in their tile. Tracks are
    judged by position, paired one to one with the storms of each time, and by storm. Centres are
    compared with the tile's centre and with persistence, the true centre one hour before.

    Args:
        predictions_path: ``detections.csv`` or ``tracks.csv``.
        truth_path: what :func:`verification.matching.read_truth` reads; it must list every
            storm of the period, others count as absent. Give ``start`` and ``end`` for tracks:
            their own first and last time hide the storms missed before and after.
        settings: the defaults if None.

    Returns:
        ``kind, predictions, truth, start, end, storms, blocks, samples``; ``sections`` with
        ``counts`` and ``scores`` (each ``value, low, high``, NaN where undefined); ``by_storm``;
        for detections ``reliability``.

    Raises:
        SceneError: if a file cannot be read or lacks what is needed, naming file and column.
    """
    settings = settings or EvaluationSettings()
    table, truth = read_table(predictions_path), read_truth(truth_path)
    is_tracks = "track_id" in table.columns
    judge = _judge_tracks if is_tracks else _judge_detections
    return {
        "kind": "tracks" if is_tracks else "detections",
        "predictions": str(predictions_path),
        "truth": str(truth_path),
        "samples": settings.samples,
        **judge(table, truth, settings, source=str(predictions_path)),
    }


def _judge_detections(
    table: pd.DataFrame, truth: pd.DataFrame, settings: EvaluationSettings, *, source: str
) -> dict[str, Any]:
    rows = _detections(table, source)
    start, end = _period(rows, settings, source)
    rows = rows.loc[rows["time"].between(start, end)].reset_index(drop=True)
    times = pd.DatetimeIndex(rows["time"].unique()).sort_values()
    storms = storms_at(times, truth, tolerance_minutes=settings.tolerance_minutes)
    row, storm = storms_in_tiles(rows, storms, grid=settings.grid, tile_size=settings.tile_size)
    happened, detected = np.isin(np.arange(len(rows)), row), rows["detected"].to_numpy()
    blocks = independent_blocks(rows["time"].to_numpy(), storms)
    probability = rows["probability"].to_numpy()
    order = np.argsort(-probability)  # what is sorted before resampling is sorted faster after it
    centres = _centres_in_tiles(rows.iloc[row], storms.iloc[storm], settings)
    sections = {
        "tiles and times": _yes_no(happened, detected, blocks, settings),
        "any alarm while any storm": _any_tile(rows, happened, detected, blocks, settings),
        "probabilities": _section(
            {"tiles_and_times": len(rows)},
            lambda drawn: probability_scores(probability[order[drawn]], happened[order[drawn]]),
            blocks.take(order),
            settings,
        ),
        "centres": _centre_section(centres, storms, settings),
    }
    return {
        **_extent(start, end, storms.iloc[storm], blocks),
        "sections": sections,
        "by_storm": _by_storm(storms["storm"].to_numpy()[storm], detected[row], centres),
        "reliability": reliability_table(probability, happened).to_dict("records"),
    }


def _judge_tracks(
    table: pd.DataFrame, truth: pd.DataFrame, settings: EvaluationSettings, *, source: str
) -> dict[str, Any]:
    tracks = as_tracks(table, source=source)
    start, end = _period(tracks, settings, source)
    tracks = tracks.loc[tracks["time"].between(start, end)].reset_index(drop=True)
    truth = truth.loc[truth["time"].between(start, end) & _inside(truth, settings.grid)]
    times = _judged_times(tracks, truth, settings.tolerance_minutes)
    storms = storms_at(times, truth, tolerance_minutes=settings.tolerance_minutes)
    ours, theirs = match_tracks(tracks, storms, max_km=settings.max_km)
    hit, matched = np.isin(np.arange(len(storms)), theirs), np.isin(np.arange(len(tracks)), ours)
    false = tracks.loc[~matched]
    judged = np.append(storms["time"].to_numpy(), false["time"].to_numpy())
    blocks = independent_blocks(judged, storms)
    centres = _centres(tracks.iloc[ours], storms.iloc[theirs])
    by_storm = _by_storm(storms["storm"].to_numpy(), hit, centres)
    counts = {
        "storms": len(by_storm),
        "storms_found": sum(storm["pod"] > 0 for storm in by_storm),
        "tracks": tracks["track_id"].nunique(),
        "tracks_without_a_storm": tracks["track_id"].nunique() - centres["track_id"].nunique(),
        "pairs_of_track_and_storm": len(centres.drop_duplicates(["track_id", "storm"])),
    }
    happened = np.append(np.full(len(hit), True), np.full(len(false), False))
    forecast = np.append(hit, np.full(len(false), True))
    sections = {
        "positions": _yes_no(happened, forecast, blocks, settings, positions=True),
        "storms and tracks": {"counts": counts, "scores": {}},
        "centres": _centre_section(centres, storms, settings),
    }
    return {
        **_extent(start, end, storms, blocks),
        "sections": sections,
        "by_storm": by_storm,
    }


def _detections(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Sorted detections with checked times, tiles, probabilities and labels."""
    needed = ["time", "tile_x", "tile_y", "probability", "detected"]
    require_columns(table, needed, source=source)
    rows = table.reindex(columns=[*needed, "lon", "lat", "radius_50_km", "radius_95_km"])
    rows["time"] = utc_times(rows["time"], source=source)
    if not rows["probability"].between(0, 1).all() or rows["detected"].dtype != bool:
        raise SceneError(f"{source}: give probability from 0 to 1 and detected as True or False")
    twice = rows.duplicated(["time", "tile_x", "tile_y"])
    if twice.any():
        row = rows.loc[twice].iloc[0]
        raise SceneError(
            f"{source}: tile ({row.tile_x}, {row.tile_y}) occurs twice at {row.time}; keep the "
            "rows of one run"
        )
    return rows.sort_values(["time", "tile_y", "tile_x"], ignore_index=True)


def _period(
    table: pd.DataFrame, settings: EvaluationSettings, source: str
) -> tuple[pd.Timestamp, pd.Timestamp]:
    if table.empty and None in (settings.start, settings.end):
        raise SceneError(f"{source} holds no row; say with start and end which period it covers")
    own = utc_times(table["time"], source=source)
    start = own.min() if settings.start is None else settings.start
    end = own.max() if settings.end is None else settings.end
    return utc(start), utc(end)


def _judged_times(
    predicted: pd.DataFrame, known: pd.DataFrame, tolerance_minutes: float
) -> pd.DatetimeIndex:
    """Times of the predictions, and those of the truth that no prediction is near to."""
    ours, theirs = (np.unique(table["time"].to_numpy()) for table in (predicted, known))
    if ours.size:
        after = np.clip(np.searchsorted(ours, theirs), 0, ours.size - 1)
        nearest = np.minimum(
            abs(ours[after] - theirs), abs(ours[np.maximum(after - 1, 0)] - theirs)
        )
        theirs = theirs[nearest > np.timedelta64(round(tolerance_minutes * 60), "s")]
    return pd.DatetimeIndex(np.union1d(ours, theirs))


def _inside(truth: pd.DataFrame, grid: Grid) -> Bool[np.ndarray, " n"]:
    return grid.contains(*grid.lonlat_to_pixel(*_lonlat(truth).T))


def _extent(
    start: pd.Timestamp,
    end: pd.Timestamp,
    storms: pd.DataFrame,
    blocks: Blocks,
) -> dict[str, Any]:
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "storms": len(set(storms["storm"])),
        "blocks": len(set(blocks.label)),
    }


def _section(
    counts: dict[str, int],
    statistic: Callable[[Int[np.ndarray, " _"]], Mapping[str, float]],
    blocks: Blocks,
    settings: EvaluationSettings,
) -> Section:
    scores = bootstrap(
        statistic, blocks.label, strata=blocks.stormy, samples=settings.samples, seed=settings.seed
    )
    return {"counts": counts, "scores": {name: s._asdict() for name, s in scores.items()}}


def _yes_no(
    happened: Bool[np.ndarray, " n"],
    forecast: Bool[np.ndarray, " n"],
    blocks: Blocks,
    settings: EvaluationSettings,
    *,
    positions: bool = False,
) -> Section:
    """Contingency scores; for positions only those that need no correct negatives."""
    total = Contingency.from_labels(happened, forecast)
    counts = {"n": len(happened), **vars(total)}
    if positions:
        del counts["correct_negatives"]

    def statistic(drawn: Int[np.ndarray, " _"]) -> dict[str, float]:
        scores = Contingency.from_labels(happened[drawn], forecast[drawn]).scores()
        return {k: v for k, v in scores.items() if k in POSITION_SCORES or not positions}

    return _section(counts, statistic, blocks, settings)


def _any_tile(
    rows: pd.DataFrame,
    happened: Bool[np.ndarray, " n"],
    detected: Bool[np.ndarray, " n"],
    blocks: Blocks,
    settings: EvaluationSettings,
) -> Section:
    """The same by time: a cyclone in any tile, a detection in any tile."""
    _, first, number = np.unique(rows["time"].to_numpy(), return_index=True, return_inverse=True)
    any_happened, any_detected = (
        np.bincount(number, flag, minlength=len(first)) > 0 for flag in (happened, detected)
    )
    return _yes_no(any_happened, any_detected, blocks.take(first), settings)


def _centres(predicted: pd.DataFrame, storms: pd.DataFrame) -> pd.DataFrame:
    """Errors of predictions held against storms row by row, and those of persistence."""
    here, there = _lonlat(predicted), _lonlat(storms)
    centres = predicted.reset_index(drop=True)
    centres["storm"] = storms["storm"].to_numpy()
    centres["error_km"] = distance_km(here, there)
    centres["persistence_km"] = distance_km(_lonlat(storms, "_before"), there)
    return centres


def _centres_in_tiles(
    rows: pd.DataFrame, storms: pd.DataFrame, settings: EvaluationSettings
) -> pd.DataFrame:
    """The same for detections: each with the nearest storm of its tile, and the tile's centre."""
    centres = _centres(rows, storms)
    middle = (settings.tile_size - 1) / 2
    corner = centres.loc[:, ["tile_x", "tile_y"]].to_numpy(dtype=float)
    lonlat = np.stack(settings.grid.pixel_to_lonlat(*(corner + middle).T), axis=-1)
    centres["tile_centre_km"] = distance_km(lonlat, _lonlat(storms))
    centres = centres.dropna(subset="error_km").sort_values("error_km")
    return centres.drop_duplicates(["time", "tile_x", "tile_y"]).sort_index()


def _lonlat(table: pd.DataFrame, suffix: str = "") -> Any:
    return table.loc[:, ["lon" + suffix, "lat" + suffix]].to_numpy(dtype=float)


def _centre_section(
    centres: pd.DataFrame, storms: pd.DataFrame, settings: EvaluationSettings
) -> Section:
    """Errors, baselines and the share of true centres inside the radii."""
    columns = {
        name.removesuffix("error_km").removesuffix("km"): centres[name].to_numpy()
        for name in ("error_km", "tile_centre_km", "persistence_km")
        if name in centres
    }
    error = centres["error_km"].to_numpy()
    radii = {p: centres[f"radius_{p}_km"].to_numpy(float) for p in (50, 95)}

    def statistic(drawn: Int[np.ndarray, " _"]) -> dict[str, float]:
        errors = {
            prefix + name: value
            for prefix, column in columns.items()
            for name, value in error_summary(column[drawn]).items()
        }
        return errors | {
            f"within_radius_{p}": _share_within(error[drawn], radius[drawn])
            for p, radius in radii.items()
        }

    counts = {
        "centres": len(centres),
        "storms": len(set(centres["storm"])),
        "with_a_true_centre_an_hour_before": _known(centres["persistence_km"]),
        "with_radii": _known(centres["radius_95_km"]),
    }
    return _section(
        counts, statistic, independent_blocks(centres["time"].to_numpy(), storms), settings
    )


def _known(values: Any) -> int:
    return int(np.isfinite(values.to_numpy(float)).sum())


def _share_within(error: Any, radius: Any) -> float:
    known = ~np.isnan(radius)
    return float((error[known] <= radius[known]).mean()) if known.any() else float("nan")


def _by_storm(
    storm: Shaped[np.ndarray, " n"], hit: Bool[np.ndarray, " n"], centres: pd.DataFrame
) -> list[dict[str, Any]]:
    """For each storm how often it was there, the share found, and the centre error."""
    return [
        {
            "storm": name,
            "n": int((storm == name).sum()),
            "pod": float(hit[storm == name].mean()),
            "centres": int((centres["storm"] == name).sum()),
            **error_summary(centres.loc[centres["storm"] == name, "error_km"].to_numpy()),
        }
        for name in np.unique(storm.astype(str))
    ]
