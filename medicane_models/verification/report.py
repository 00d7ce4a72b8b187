"""The report of an evaluation as text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["format_report", "meaning"]

FEW_BLOCKS = 10
MEANINGS = {
    "pod": "probability of detection: hits / (hits + misses)",
    "far": "false alarm ratio: false alarms / (hits + false alarms)",
    "csi": "critical success index: hits / (hits + false alarms + misses)",
    "hss": "Heidke skill score: share right beyond chance; 0 is chance, 1 perfect",
    "ets": "equitable threat score: csi without the hits of chance; 0 is chance, 1 perfect",
    "balanced_accuracy": "mean of the shares right with and without a cyclone; 0.5 is chance",
    "accuracy": "share of cases that are right",
    "frequency_bias": "alarms for each cyclone; above 1 there are too many",
    "pofd": "probability of false detection: share of the cases without a cyclone that alarm",
    "base_rate": "share of cases with a cyclone",
    "alarm_rate": "share of cases with an alarm",
    "brier": "Brier score: mean squared error of the probability; 0 is best",
    "brier_skill": "by how much it beats the base rate; 1 is perfect, below 0 it is worse",
    "reliability": "part of brier: how far frequencies are from probabilities; 0 is best",
    "resolution": "part of brier: how much frequencies differ from the base rate; high is best",
    "uncertainty": "part of brier: base rate × (1 - base rate), given by nature",
    "within_bins": "part of brier: spread of the probabilities inside the ten bins",
    "ece": "expected calibration error: mean gap of frequency and probability; 0 is best",
    "roc_area": "chance that a case with a cyclone has the higher probability; 0.5 is chance",
    "pr_area": "average precision over all thresholds; the base rate is chance",
    "mean_km": "mean distance to the true centre",
    "median_km": "half of the distances are smaller",
    "p90_km": "nine in ten distances are smaller",
    "within_radius_50": "share of true centres inside the 50 % circle; 0.5 is honest",
    "within_radius_95": "share of true centres inside the 95 % circle; 0.95 is honest",
}
BASELINES = {
    "tile_centre_": "of the tile's centre",
    "true_centre_1h_before_": "of the true centre 1 h before, which no forecaster knows",
}
LEFT_OUT = {
    "truth_outside_the_period": "{} positions of the truth outside the period",
    "truth_outside_the_domain": "{} positions of the truth outside the domain",
    "storms_left_out": "{} storms with all their positions",
    "predictions_outside_the_period": "{} rows of the predictions outside the period",
    "predictions_outside_the_domain": "{} rows of the predictions outside the domain",
}


def format_report(report: Mapping[str, Any]) -> str:
    """The report as a plain table for a terminal; each score has its meaning beside it."""
    left_out = [LEFT_OUT[name].format(n) for name, n in report["left_out"].items() if n]
    lines = [
        f"{report['predictions']} against {report['truth']}",
        f"{report['kind']} {report['start']} … {report['end']}, {report['storms']} storms within "
        + report["domain"],
        f"left out: {', '.join(left_out) or 'nothing'}",
        _about_intervals(report["blocks"], report["samples"]),
    ]
    for title, section in report["sections"].items():
        counts = [f"{n} {name.replace('_', ' ')}" for name, n in section["counts"].items()]
        lines += ["", f"{title}: {', '.join(counts)}"]
        lines += _score_lines(section["scores"])
    for title in ("by_storm", "reliability"):
        if report.get(title):
            lines += ["", title.replace("_", " ") + ":", *_table_lines(report[title])]
    return "\n".join(lines)


def meaning(score: str) -> str:
    """What a score says, in one line."""
    for prefix, baseline in BASELINES.items():
        if score.startswith(prefix):
            return f"{MEANINGS[score.removeprefix(prefix)]}, {baseline}"
    return MEANINGS[score]


def _about_intervals(blocks: int, samples: int) -> str:
    if blocks < 2:
        return "no intervals: all rows are of one storm or calm week"
    rough = " (few: take them as rough)" if blocks < FEW_BLOCKS else ""
    return f"95 % intervals: {samples} resamples of {blocks} storms and calm weeks{rough}"


def _score_lines(scores: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Name, value, interval where there is one, and meaning, in columns."""
    rows = [(name, _number(score["value"]), _interval(score)) for name, score in scores.items()]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"  {name:<{wide[0]}}  {value:>{wide[1]}}  {interval:<{wide[2]}}  {meaning(name)}"
        for name, value, interval in rows
    ]


def _interval(score: Mapping[str, float]) -> str:
    low, high = score["low"], score["high"]
    return "" if np.isnan([low, high]).any() else f"{_number(low)} … {_number(high)}"


def _table_lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    table = [list(records[0]), *([_number(value) for value in row.values()] for row in records)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    ]


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "–" if np.isnan(value) else f"{value:.4g}"
