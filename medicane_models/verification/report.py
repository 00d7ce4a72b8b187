"""The report of an evaluation as text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["format_report"]

FEW_BLOCKS = 10


def format_report(report: Mapping[str, Any]) -> str:
    """The report as a plain table for a terminal."""
    lines = [
        f"{report['predictions']} against {report['truth']}",
        f"{report['kind']} {report['start']} … {report['end']} UTC, {report['storms']} storms",
        f"95 % intervals: {report['samples']} resamples of {report['blocks']} storms and calm weeks"
        + (" (few: take them as rough)" if report["blocks"] < FEW_BLOCKS else ""),
    ]
    for title, section in report["sections"].items():
        counts = [f"{n} {name.replace('_', ' ')}" for name, n in section["counts"].items()]
        lines += ["", f"{title}: {', '.join(counts)}"]
        lines += [_score_line(name, score) for name, score in section["scores"].items()]
    for title in ("by_storm", "reliability"):
        if report.get(title):
            lines += ["", title.replace("_", " ") + ":", *_table_lines(report[title])]
    return "\n".join(lines)


def _score_line(name: str, score: Mapping[str, float]) -> str:
    low, high = _number(score["low"]), _number(score["high"])
    return f"  {name:<24}{_number(score['value']):>9}   {low} … {high}"


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
