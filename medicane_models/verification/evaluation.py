"""Hold detections or tracks against known storms: what ``medicane evaluate`` reports.

Every interval comes from drawing whole storms and calm weeks, never rows.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, Shaped

from medicane_models.prediction.tile_geometry import TILE_COLUMNS
from medicane_models.times import TIME_FORMAT
from medicane_models.verification.cases import (
    Case,
    EvaluationSettings,
    domain_text,
    inside_domain,
    open_case,
)
from medicane_models.verification.matching import (
    Blocks,
    distance_km,
    independent_blocks,
    match_tracks,
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
BEFORE = "true_centre_1h_before_"
Section = dict[str, dict[str, Any]]


def evaluate(
    predictions_path: str | Path,
    truth_path: str | Path | Sequence[str | Path],
    *,
    settings: EvaluationSettings | None = None,
) -> dict[str, Any]:
    """Score detections or tracks against the positions of known storms.

    Detections are judged by tile and time, by time (is there a cyclone in any tile), as
    probabilities, and by the distance of their centres to the storm in their tile. Tracks are
    judged by position, paired one to one with the storms of each time, and by storm. Centres are
    compared with the tile's centre and with the true centre one hour before.

    Args:
        predictions_path: ``detections.csv``, ``detections.json``, their folder (its detections), or
            tracks in any form of :func:`best_tracks.read_tracks`.
        truth_path: what :func:`matching.read_truth` reads; it must list every storm of the
            period, others count as absent. Give ``start`` and ``end`` for tracks
            without ``detections.csv`` beside them: their own first and last time hide the storms
            missed before and after.
        settings: the defaults if None.

    Returns:
        ``kind, predictions, truth, start, end, domain, storms, blocks, samples``; ``left_out``,
        the positions of the truth and the rows of the predictions that were not judged;
        ``sections`` with ``counts`` and ``scores`` (each ``value, low, high``, NaN where
        undefined); ``by_storm``; for detections ``reliability``.

    Raises:
        SceneError: if a file cannot be read or lacks what is needed, naming file and column; if
            the truth has no time in common with the predictions, or no storm where and when they
            are judged, unless ``start`` and ``end`` say that a calm period is meant.
    """
    case = open_case(predictions_path, truth_path, settings or EvaluationSettings())
    return {
        "kind": case.kind,
        "predictions": case.source,
        "truth": case.truth_source,
        "domain": domain_text(case.settings.domain),
        "samples": case.settings.samples,
        **(_judge_tracks if case.kind == "tracks" else _judge_detections)(case),
    }


def _judge_detections(case: Case) -> dict[str, Any]:
    rows, settings = case.rows, case.settings
    assert settings.grid is not None
    times = pd.DatetimeIndex(rows["time"].unique()).sort_values()
    storms = storms_at(times, case.near, tolerance_minutes=settings.tolerance_minutes)
    row, storm = storms_in_tiles(rows, storms, settings.geometry)
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
        **_extent(case, storms.iloc[storm], blocks),
        "sections": sections,
        "by_storm": _by_storm(storms["storm"].to_numpy()[storm], detected[row], centres),
        "reliability": reliability_table(probability, happened).to_dict("records"),
    }


def _judge_tracks(case: Case) -> dict[str, Any]:
    """A track may follow a storm across the domain's border: what is paired is no false alarm."""
    settings, tracks = case.settings, case.rows
    times = _judged_times(tracks, case.near.loc[case.counted], settings.tolerance_minutes)
    storms = storms_at(times, case.near, tolerance_minutes=settings.tolerance_minutes)
    ours, theirs = match_tracks(tracks, storms, max_km=settings.max_km)
    inside = inside_domain(storms, settings.domain)
    unpaired = ~np.isin(np.arange(len(tracks)), ours)
    false = tracks.loc[unpaired & inside_domain(tracks, settings.domain)]
    hit = np.isin(np.arange(len(storms)), theirs)[inside]
    ours, theirs = ours[inside[theirs]], theirs[inside[theirs]]
    outside = {"predictions_outside_the_domain": len(tracks) - len(ours) - len(false)}
    centres, storms = _centres(tracks.iloc[ours], storms.iloc[theirs]), storms.loc[inside]
    blocks = independent_blocks(
        np.append(storms["time"].to_numpy(), false["time"].to_numpy()), storms
    )
    by_storm = _by_storm(storms["storm"].to_numpy(), hit, centres)
    judged = len({*centres["track_id"], *false["track_id"]})
    counts = {
        "storms": len(by_storm),
        "storms_found": sum(storm["pod"] > 0 for storm in by_storm),
        "tracks": judged,
        "tracks_without_a_storm": judged - centres["track_id"].nunique(),
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
        **_extent(case, storms, blocks),
        "left_out": case.left_out | outside,
        "sections": sections,
        "by_storm": by_storm,
    }


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


def _extent(case: Case, storms: pd.DataFrame, blocks: Blocks) -> dict[str, Any]:
    return {
        "start": f"{case.start:{TIME_FORMAT}}",
        "end": f"{case.end:{TIME_FORMAT}}",
        "storms": len(set(storms["storm"])),
        "blocks": len(set(blocks.label)),
        "left_out": case.left_out,
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
    """Errors of predictions held against storms row by row, and of the centre an hour before."""
    here, there = _lonlat(predicted), _lonlat(storms)
    centres = predicted.reset_index(drop=True)
    centres["storm"] = storms["storm"].to_numpy()
    centres["error_km"] = distance_km(here, there)
    centres[BEFORE + "km"] = distance_km(_lonlat(storms, "_before"), there)
    return centres


def _centres_in_tiles(
    rows: pd.DataFrame, storms: pd.DataFrame, settings: EvaluationSettings
) -> pd.DataFrame:
    """The same for detections: each with the nearest storm of its tile, and the tile's centre."""
    centres = _centres(rows, storms)
    centres["tile_centre_km"] = distance_km(settings.geometry.centres(centres), _lonlat(storms))
    centres = centres.dropna(subset="error_km").sort_values("error_km")
    return centres.drop_duplicates(["time", *TILE_COLUMNS]).sort_index()


def _lonlat(table: pd.DataFrame, suffix: str = "") -> Any:
    return table.loc[:, ["lon" + suffix, "lat" + suffix]].to_numpy(dtype=float)


def _centre_section(
    centres: pd.DataFrame, storms: pd.DataFrame, settings: EvaluationSettings
) -> Section:
    """Errors, baselines and the share of true centres inside the radii."""
    columns = {
        name.removesuffix("error_km").removesuffix("km"): centres[name].to_numpy()
        for name in ("error_km", "tile_centre_km", BEFORE + "km")
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
        "with_a_true_centre_an_hour_before": _known(centres[BEFORE + "km"]),
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
