"""The report of an evaluation as text, for a terminal or as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medicane_models.verification.fixes import score_lines
from medicane_models.verification.score_meanings import meaning

__all__ = [
    "about_lines",
    "by_kind",
    "format_report",
    "interval_text",
    "markdown_report",
    "number_text",
    "summary_lines",
]

FEW_BLOCKS = 10
NONE = "–"
LEFT_OUT = {
    "truth_outside_the_period": "{} positions of the truth outside the period",
    "truth_outside_the_domain": "{} positions of the truth outside the domain",
    "storms_left_out": "{} storms with all their positions",
    "predictions_outside_the_period": "{} rows of the predictions outside the period",
    "predictions_outside_the_domain": "{} rows of the predictions outside the domain",
}
TABLES = {"by_storm": "by storm", "false_tracks": "tracks without a storm"}

TextTable = Sequence[Sequence[str]]
"""Rows of a table, the names of its columns first."""


def format_report(report: Mapping[str, Any]) -> str:
    """What was found, in words, then plain tables; each score has its meaning beside it."""
    parts = ["\n".join(summary_lines(report))]
    for told in by_kind(report):
        parts.append("\n".join(about_lines(told)))
        for title, counts, cells in _tables(told):
            parts.append("\n".join([f"{title}: {counts}".removesuffix(" "), *_aligned(cells)]))
    return "\n\n".join(parts)


def markdown_report(report: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    parts = summary_lines(report)
    for told in by_kind(report):
        parts += [f"# {str(told['kind']).capitalize()}", *about_lines(told)]
        for title, counts, cells in _tables(told):
            head, *rows = cells
            lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
            parts += [f"## {title[0].upper()}{title[1:]}", *filter(None, [counts])]
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def by_kind(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is reported of tracks, then of detections, as far as there are both."""
    return [report["tracks"], report] if "tracks" in report else [report]


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """Storms and positions that were found, or storms and tiles without tracks, in words."""
    told = by_kind(report)[0]
    rows = told["by_storm"]  # of each run
    found = {row["storm"] for row in rows if "+" in row["found"]}
    storms = f"Storms: {len(found)} of {len({row['storm'] for row in rows})} found"
    if "false_tracks" in told:
        storms += f", tracks without a storm {len(told['false_tracks'])}"
    return [f"{storms}.", *score_lines(_main_scores(told["sections"]))]


def _main_scores(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of positions and their errors, or of tiles, as :func:`fixes.judge_run` has them."""
    if "positions" not in sections:
        return {"tiles": _without_n(sections["tiles and times"]["counts"])}
    centres = sections["centres"]["scores"].items()
    return {
        "positions": _without_n(sections["positions"]["counts"]),
        "centres": {name: score["value"] for name, score in centres},
    }


def _without_n(counts: Mapping[str, float]) -> dict[str, float]:
    return {name: count for name, count in counts.items() if name != "n"}


def number_text(value: Any) -> str:
    """Four digits of a number, – for NaN; text as it is."""
    if not isinstance(value, float):
        return str(value)
    return NONE if np.isnan(value) else f"{value:.4g}"


def interval_text(score: Mapping[str, float]) -> str:
    """Low … high, – where there is no interval."""
    low, high = score["low"], score["high"]
    return NONE if np.isnan([low, high]).any() else f"{number_text(low)} … {number_text(high)}"


def about_lines(report: Mapping[str, Any]) -> list[str]:
    """What was held against what, where and when, and what was left out."""
    left_out = [LEFT_OUT[name].format(n) for name, n in report["left_out"].items() if n]
    return [
        f"{report['predictions']} against {report['truth']}",
        f"{report['kind']} {report['start']} … {report['end']}, {report['storms']} storms within "
        + report["domain"],
        f"left out: {', '.join(left_out) or 'nothing'}",
        _about_intervals(report["blocks"], report["samples"]),
    ]


def _about_intervals(blocks: int, samples: int) -> str:
    if blocks < 2:
        return "no intervals: all rows are of one storm or calm week"
    rough = " (few: take them as rough)" if blocks < FEW_BLOCKS else ""
    return (
        f"95 % intervals: {samples} resamples of {blocks} storms and calm weeks{rough}, "
        f"{NONE} where a storm or a calm week is alone"
    )


def _tables(report: Mapping[str, Any]) -> Iterator[tuple[str, str, TextTable]]:
    """Title, counts and cells of every table, those of storms first."""
    for name, title in TABLES.items():
        if report.get(name):
            yield title, "", _record_cells(report[name])
    for title, section in report["sections"].items():
        yield title, _counts(section), _score_cells(section["scores"])
    for what, group in report["groups"].items():
        yield f"by {what}", "", _group_cells(what, group)
    for name, records in report.get("reliability", {}).items():
        if records:
            yield f"reliability of {name.replace('_', ' ')}", "", _record_cells(records)
    for compared in report.get("comparison", ()):
        about = "against {other} at {times} times from {start} to {end}".format(**compared)
        for title, section in compared["sections"].items():
            yield f"{compared['kind']}: {title}, {about}", "", _difference_cells(section)


def _counts(section: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{number_text(n)} {name.replace('_', ' ')}" for name, n in section["counts"].items()
    )


def _score_cells(scores: Mapping[str, Mapping[str, float]]) -> TextTable:
    """Name, value, interval where there is one, and meaning."""
    rows = [
        (name, number_text(score["value"]), interval_text(score), meaning(name))
        for name, score in scores.items()
    ]
    return [("score", "value", "95 %", "meaning"), *rows]


def _group_cells(what: str, group: Mapping[str, Any]) -> TextTable:
    """A row a score, a column a group, each value with its interval in brackets."""
    names = list(dict.fromkeys(name for section in group.values() for name in section["scores"]))
    sizes = ["n", *(_size(section["counts"]) for section in group.values())]
    rows = [
        [name, *(_with_interval(section["scores"].get(name)) for section in group.values())]
        for name in names
    ]
    return [[what, *group], sizes, *rows]


def _size(counts: Mapping[str, float]) -> str:
    return number_text(next(iter(counts.values())))


def _with_interval(score: Mapping[str, float] | None) -> str:
    if score is None:
        return NONE
    interval = interval_text(score)
    return number_text(score["value"]) + ("" if interval == NONE else f" ({interval})")


def _difference_cells(section: Mapping[str, Any]) -> TextTable:
    """Both scores, and what the first has more, with its paired interval."""
    rows = [
        (
            name,
            number_text(section["scores"][name]),
            number_text(section["other"][name]),
            number_text(difference["value"]),
            interval_text(difference),
        )
        for name, difference in section["difference"].items()
    ]
    return [("score", "this", "other", "difference", "95 %"), *rows]


def _record_cells(records: Sequence[Mapping[str, Any]]) -> TextTable:
    names = [name for name in records[0] if name != "found"]
    return [names, *([number_text(row[name]) for name in names] for row in records)]


def _aligned(cells: TextTable) -> list[str]:
    """Columns of one width; the last is as long as it is."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _row(cells: Sequence[str]) -> str:
    escaped = (str(cell).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
