"""Two predictions on the same hours: the difference of their scores, with paired intervals."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from medicane_models.errors import SceneError
from medicane_models.times import TIME_FORMAT
from medicane_models.verification.block_bootstrap import Measure
from medicane_models.verification.cases import Case, EvaluationSettings, domain_text
from medicane_models.verification.evaluation import opened
from medicane_models.verification.judged_detections import (
    JudgedDetections,
    judge_detections,
    pooled_detections,
)
from medicane_models.verification.judged_tracks import JudgedTracks, judge_tracks, pooled_tracks
from medicane_models.verification.score_sections import detection_sections, track_sections

__all__ = ["compare_predictions"]

BY_TILE = ("tiles and times", "probabilities")


def compare_predictions(
    predictions: str | Path,
    other: str | Path,
    truth: str | Path | Sequence[str | Path],
    *,
    settings: EvaluationSettings | None = None,
) -> list[dict[str, Any]]:
    """Score two predictions at the times that both judged, and what the first scores more.

    Tiles are compared only where both have the same, and centres and forecasts only of storms and
    times that both have. Both draw the same storms and calm weeks.

    Args:
        predictions: as :func:`evaluation.evaluate` takes them, but one.
        other: the same.
        truth: of both.
        settings: the defaults if None.

    Returns:
        For detections and for tracks, as far as both have them: ``kind, predictions, other, start,
        end``, ``times``, how many, and ``sections`` with ``scores``, ``other``, both at these
        times, and ``difference``, each with ``value, low, high``.

    Raises:
        SceneError: if both have no kind, time or domain in common, or a file is wrong.
    """
    settings = settings or EvaluationSettings()
    ours, theirs = (
        {cases[0].kind: cases[0] for cases in opened(path, truth, settings)}
        for path in (predictions, other)
    )
    kinds = [kind for kind in ours if kind in theirs]
    if not kinds:
        raise SceneError(
            f"{predictions} holds {' and '.join(ours)}, {other} {' and '.join(theirs)}; compare "
            "detections with detections or tracks with tracks"
        )
    return [_compared(*_same_times(ours[kind], theirs[kind])) for kind in kinds]


def _compared(ours: Case, theirs: Case) -> dict[str, Any]:
    sections = _track_sections if ours.kind == "tracks" else _detection_sections
    one, two = sections(ours, theirs)
    return {
        "kind": ours.kind,
        "predictions": ours.source,
        "other": theirs.source,
        "start": f"{ours.start:{TIME_FORMAT}}",
        "end": f"{ours.end:{TIME_FORMAT}}",
        "times": len(ours.times),
        "sections": {
            title: _difference(one[title], two[title], ours.settings)
            for title in one
            if title in two
        },
    }


def _same_times(ours: Case, theirs: Case) -> tuple[Case, Case]:
    """Both cut to the times that both looked at, or to the period of both where that is unknown."""
    domains = [domain_text(case.settings.domain) for case in (ours, theirs)]
    if domains[0] != domains[1]:
        raise SceneError(
            f"{ours.source} is judged within {domains[0]}, {theirs.source} within {domains[1]}; "
            "give a domain that lies in both"
        )
    if ours.looked and theirs.looked:
        times = ours.times.intersection(theirs.times)
    else:
        times = pd.DatetimeIndex(ours.times.union(theirs.times))
        start, end = max(ours.start, theirs.start), min(ours.end, theirs.end)
        times = times[(times >= start) & (times <= end)]
    if times.empty:
        raise SceneError(
            f"{ours.source} and {theirs.source} have no time in common; give two of one period"
        )
    common = pd.DatetimeIndex(times)
    step = max(ours.step_hours, theirs.step_hours)  # what a common time stands for, in both
    one, two = (replace(case.at(common), step_hours=step) for case in (ours, theirs))
    return one, two


def _detection_sections(ours: Case, theirs: Case) -> tuple[dict[str, Measure], dict[str, Measure]]:
    one, two = (pooled_detections([judge_detections(case)]) for case in (ours, theirs))
    names = ["time", "tile_x", "tile_y", "tile_lon", "tile_lat"]
    same = one.tiles.reindex(columns=names).equals(two.tiles.reindex(columns=names))

    def sections(judged: JudgedDetections, other: JudgedDetections) -> dict[str, Measure]:
        judged = replace(judged, tiles=_common(judged.tiles, other.tiles))
        measures = detection_sections(judged)
        return {title: m for title, m in measures.items() if same or title not in BY_TILE}

    return sections(one, two), sections(two, one)


def _track_sections(ours: Case, theirs: Case) -> tuple[dict[str, Measure], dict[str, Measure]]:
    one, two = (pooled_tracks([judge_tracks(case)]) for case in (ours, theirs))

    def sections(judged: JudgedTracks, other: JudgedTracks) -> dict[str, Measure]:
        positions = _common(judged.positions, other.positions)
        forecasts = _common(judged.forecasts, other.forecasts, "lead_hours")
        return track_sections(replace(judged, positions=positions, forecasts=forecasts))

    return sections(one, two), sections(two, one)


def _common(table: pd.DataFrame, other: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The table with errors only where the other knows that of the same storm and time."""
    if table.empty or other.empty:
        return table.iloc[:0] if names else table
    keys = ["storm", "time", *names]
    known = other.loc[other["error_km"].notna()].set_index(keys).index
    same = table.set_index(keys).index.isin(known)
    errors = table.filter(regex="error_km$|along_km$|across_km$")
    return table.assign(**{name: errors[name].where(same) for name in errors})


def _difference(one: Measure, two: Measure, settings: EvaluationSettings) -> dict[str, Any]:
    """Both scores, and the first less the second, NaN where one is unknown."""
    difference = one.minus(two).scored(samples=settings.samples, seed=settings.seed)
    return {
        "scores": one.values(),
        "other": two.values(),
        "difference": {name: interval._asdict() for name, interval in difference.items()},
    }
