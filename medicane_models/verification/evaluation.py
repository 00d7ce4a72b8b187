"""Hold detections and tracks against known storms: what ``medicane evaluate`` reports.

Every interval comes from drawing whole storms and calm weeks, never rows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medicane_models.times import TIME_FORMAT
from medicane_models.verification.block_bootstrap import Measure
from medicane_models.verification.cases import (
    Case,
    EvaluationSettings,
    domain_text,
    open_case,
    paths_text,
    tables_of,
)
from medicane_models.verification.events import found_text
from medicane_models.verification.judged_detections import (
    JudgedDetections,
    judge_detections,
    pooled_detections,
)
from medicane_models.verification.judged_tracks import JudgedTracks, judge_tracks, pooled_tracks
from medicane_models.verification.matching import read_truth
from medicane_models.verification.score_sections import (
    blocks_of,
    detection_groups,
    detection_sections,
    of_each_time,
    track_groups,
    track_sections,
)
from medicane_models.verification.scores import error_summary, reliability_table

__all__ = ["EvaluationSettings", "evaluate", "opened", "scored"]

Paths = str | Path | Sequence[str | Path]
Section = dict[str, dict[str, Any]]


def evaluate(
    predictions: Paths, truth: Paths, *, settings: EvaluationSettings | None = None
) -> dict[str, Any]:
    """Score detections and tracks against the positions of known storms.

    Detections are judged by tile and time, by time (is there a cyclone in any tile), as
    probabilities, and by the distance of their centres to the storm in their tile. Tracks are
    judged by position, paired one to one with the storms of each time, by storm, by the smoothed
    centres and the forecasts beside them. Centres are compared with the tile's centre, with the
    own fix and with the true centre one hour before, forecasts with the fix they start from.

    Args:
        predictions: ``detections.csv``, ``detections.json``, tracks in any form of
            :func:`best_tracks.read_tracks`, or a folder with both; several are scored together.
        truth: what :func:`matching.read_truth` reads; it must list every storm of the
            period, others count as absent. Give ``start`` and ``end`` for tracks
            without ``detections.csv`` beside them: their own first and last time hide the storms
            missed before and after.
        settings: the defaults if None.

    Returns:
        ``kind, predictions, truth, start, end, domain, storms, blocks, samples``; ``left_out``,
        the positions of the truth and the rows of the predictions that were not judged;
        ``sections`` with ``counts`` and ``scores`` (each ``value, low, high``, NaN where
        undefined); ``groups`` of such sections by intensity and by sensor; ``by_storm``; for
        detections ``reliability`` of tiles and of times; for tracks ``false_tracks``. Of a folder
        with both, what is reported of its tracks is under ``tracks``.

    Raises:
        SceneError: if a file cannot be read or lacks what is needed, naming file and column; if
            the truth has no time in common with the predictions, or no storm where and when they
            are judged, unless ``start`` and ``end`` say that a calm period is meant.
    """
    reports = [
        _about(cases) | (_judge_tracks if cases[0].kind == "tracks" else _judge_detections)(cases)
        for cases in opened(predictions, truth, settings or EvaluationSettings())
    ]
    report = reports[0]
    return report | {"tracks": reports[1]} if len(reports) > 1 else report


def opened(predictions: Paths, truth: Paths, settings: EvaluationSettings) -> list[list[Case]]:
    """The cases of detections and those of tracks, as far as there are any."""
    known, source = read_truth(truth), paths_text(truth)
    given = [predictions] if isinstance(predictions, str | Path) else predictions
    cases = []
    for path in given:
        tables = (
            open_case(table, known, settings, truth_source=source)
            for table in tables_of(Path(path))
        )
        cases += {case.kind: case for case in tables}.values()  # a refined guess is tracks twice
    kinds = ("detections", "tracks")
    return [same for kind in kinds if (same := [case for case in cases if case.kind == kind])]


def scored(measure: Measure, settings: EvaluationSettings) -> Section:
    """Counts, and scores with their intervals."""
    scores = measure.scored(samples=settings.samples, seed=settings.seed)
    return {
        "counts": dict(measure.counts),
        "scores": {name: score._asdict() for name, score in scores.items()},
    }


def _about(cases: Sequence[Case]) -> dict[str, Any]:
    first = cases[0]
    domains = dict.fromkeys(domain_text(case.settings.domain) for case in cases)
    return {
        "kind": first.kind,
        "predictions": ", ".join(case.source for case in cases),
        "sensors": ", ".join(sorted({case.sensor for case in cases})),
        "truth": first.truth_source,
        "domain": "; ".join(domains),
        "samples": first.settings.samples,
        "start": f"{min(case.start for case in cases):{TIME_FORMAT}}",
        "end": f"{max(case.end for case in cases):{TIME_FORMAT}}",
        "left_out": {name: sum(case.left_out[name] for case in cases) for name in first.left_out},
    }


def _judge_detections(cases: Sequence[Case]) -> dict[str, Any]:
    settings = cases[0].settings
    judged = pooled_detections([judge_detections(case) for case in cases])
    times = of_each_time(judged.tiles)
    tables = {"tiles_and_times": judged.tiles, "highest_of_each_time": times}
    return {
        **_extent(judged, judged.tiles),
        "sections": _all_scored(detection_sections(judged), settings),
        "groups": _groups(detection_groups(judged), settings),
        "by_storm": _by_storm(judged),
        "reliability": {
            name: reliability_table(
                table["probability"].to_numpy(float), table["happened"].to_numpy(bool)
            ).to_dict("records")
            for name, table in tables.items()
        },
    }


def _judge_tracks(cases: Sequence[Case]) -> dict[str, Any]:
    settings = cases[0].settings
    judged = pooled_tracks([judge_tracks(case) for case in cases])
    left_out = {name: sum(case.left_out[name] for case in cases) for name in cases[0].left_out} | {
        "predictions_outside_the_domain": judged.outside
    }
    return {
        **_extent(judged, judged.positions),
        "left_out": left_out,
        "sections": _all_scored(track_sections(judged), settings),
        "groups": _groups(track_groups(judged), settings),
        "by_storm": _records(judged.events),
        "false_tracks": _records(judged.false),
    }


def _extent(judged: JudgedDetections | JudgedTracks, rows: pd.DataFrame) -> dict[str, int]:
    return {
        "storms": len(set(judged.storms["storm"])),
        "blocks": len(set(blocks_of(rows, judged.storms).label)),
    }


def _all_scored(measures: Mapping[str, Measure], settings: EvaluationSettings) -> dict[str, Any]:
    return {title: scored(measure, settings) for title, measure in measures.items()}


def _groups(
    groups: Mapping[str, Mapping[str, Measure]], settings: EvaluationSettings
) -> dict[str, Any]:
    return {name: _all_scored(group, settings) for name, group in groups.items() if group}


def _by_storm(judged: JudgedDetections) -> list[dict[str, Any]]:
    """For each storm at how many times it was in any tile, the share found, the centre error."""
    storms, errors = (judged.centres[name].to_numpy() for name in ("storm", "error_km"))
    at_times = judged.storms.groupby(["storm", "time"])["detected"].any()
    return [
        {
            "storm": name,
            "n": len(found),
            "pod": float(found.to_numpy(float).mean()),
            "centres": int((storms == name).sum()),
            **error_summary(errors[storms == name]),
            "found": found_text(found),
        }
        for name, found in at_times.groupby("storm")
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with times as text; the number of their predictions where there are several."""
    if len(set(table["run"])) < 2:
        table = table.drop(columns="run")
    for name in ("first", "last"):
        table[name] = [f"{time:{TIME_FORMAT}}" for time in table[name]]
    return table.to_dict("records")
