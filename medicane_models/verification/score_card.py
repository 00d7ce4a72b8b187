"""The score card: one self-contained page on every storm and every false track."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import groupby
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd

from medicane_models.maps.elements import markup, node
from medicane_models.verification.report import (
    about_lines,
    by_kind,
    interval_text,
    number_text,
    summary_lines,
)
from medicane_models.verification.score_meanings import meaning

__all__ = ["score_card_page"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MOST_STORMS = 60  # in the figure
HEADLINES = {
    "positions": ("pod", "far", "csi"),
    "any alarm while any storm": ("pod", "far", "csi", "hss"),
    "any track while any storm": ("hss",),
    "highest probability of each time": ("pr_area", "brier_skill"),
    "storms and tracks": ("storm_pod", "false_tracks_per_100_h", "onset_mean_h", "decay_mean_h"),
    "centres": (
        *("median_km", "smooth_median_km", "along_mean_km", "across_mean_km"),
        *("within_radius_50", "within_radius_95"),
    ),
    "forecasts of 6 h": ("median_km", "last_fix_median_km", "within_radius_95"),
    "forecasts of 12 h": ("median_km", "last_fix_median_km", "within_radius_95"),
}
EVENTS = {
    "run": "predictions",
    "storm": "storm",
    "track_id": "track",
    "first": "first",
    "last": "last",
    "n": "times",
    "pod": "found",
    "centres": "centres",
    "tracks": "tracks",
    "onset_error_h": "onset late by h",
    "decay_error_h": "decay late by h",
    "mean_km": "mean km",
    "median_km": "median km",
    "p90_km": "90 % km",
    "lat": "lat",
    "lon": "lon",
    "probability": "probability",
}
STYLE = """
.wide { max-height: none; } .strips { margin: 1rem 0; }
.scores td:last-child, .scores th:last-child { text-align: left; padding-left: 1rem; }
.hit { fill: var(--accent); } .miss { fill: var(--line); }
.strips text { font-size: 12px; } .strips .value { text-anchor: end; }
"""
NAME, WIDTH, ROW, BAR = 180, 720, 20, 12  # pixels


def score_card_page(report: Mapping[str, Any]) -> str:
    """The page as HTML, from what :func:`evaluation.evaluate` returns."""
    style = (resources.files("medicane_models.maps") / "page.css").read_text("utf-8") + STYLE
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", http_equiv="Content-Security-Policy", content=POLICY),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("title", f"Score card · {report['start']} – {report['end']}"),
        node("style", style),
    )
    found = (node("p", line) for line in summary_lines(report))
    parts = [part for told in by_kind(report) for part in _parts(told)]
    body = node("body", node("h1", "Score card"), *found, node("main", *parts))
    return "<!doctype html>\n" + markup(node("html", head, body, lang="en")) + "\n"


def _parts(report: Mapping[str, Any]) -> Iterator[ET.Element]:
    yield node("h2", str(report["kind"]).capitalize())
    for line in about_lines(report):
        yield node("p", line, class_="quiet")
    scores = _table(("score", "value", "95 %", "meaning"), list(_headlines(report)))
    yield node("div", scores, class_="scores")
    for key, title in (("by_storm", "Storms"), ("false_tracks", "Tracks without a storm")):
        if key in report:
            yield node("h3", title)
            yield _events(report[key]) if report[key] else node("p", "None.")
            if key == "by_storm" and report[key]:
                yield _strips(report[key])


def _headlines(report: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """The scores that are looked at first."""
    for title, names in HEADLINES.items():
        scores = report["sections"].get(title, {}).get("scores", {})
        for name in names:
            if name in scores:
                score = scores[name]
                value, interval = number_text(score["value"]), interval_text(score)
                yield f"{title}: {name}", value, interval, meaning(name)


def _events(records: Sequence[Mapping[str, Any]]) -> ET.Element:
    names = [name for name in EVENTS if name in records[0]]
    rows = [[_cell(name, record[name]) for name in names] for record in records]
    return _table([EVENTS[name] for name in names], rows)


def _cell(name: str, value: Any) -> str:
    """Times to the minute, the share found in per cent, other numbers to one decimal."""
    if name in ("first", "last"):
        return f"{pd.Timestamp(value):%Y-%m-%d %H:%M}"
    if not isinstance(value, float):
        return str(value)
    if np.isnan(value):
        return "–"
    return f"{value:.0%}" if name == "pod" else f"{value:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> ET.Element:
    top = node("tr", *(node("th", name, scope="col") for name in head))
    lines = [
        node("tr", node("th", first, scope="row"), *(node("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    table = node("table", node("thead", top), node("tbody", *lines))
    return node("div", table, class_="wide", tabindex=0)


def _strips(events: Sequence[Mapping[str, Any]]) -> ET.Element:
    """When each storm was found: a row a storm, a cell a time, from its first on."""
    storms = events[:MOST_STORMS]
    longest = max(len(storm["found"]) for storm in storms)
    step = (WIDTH - NAME) / longest
    rows = [
        node(
            "g",
            node("text", str(storm["storm"]), x=NAME - 8, y=BAR - 2, class_="value"),
            *_cells(storm["found"], step),
            transform=f"translate(0 {ROW * number})",
        )
        for number, storm in enumerate(storms)
    ]
    title = "When each storm was found, from its first time on"
    more = len(events) - len(storms)
    caption = f"{title}: blue where it was, grey where not" + (
        f"; {more} further storms in the table." if more else "."
    )
    box = f"0 0 {WIDTH} {ROW * len(storms)}"
    svg = node("svg", *rows, viewBox=box, role="img", aria_label=title)
    return node("figure", svg, node("figcaption", caption), class_="strips")


def _cells(found: str, step: float) -> Iterator[ET.Element]:
    """Runs of times that were alike, as bars."""
    start = 0
    for mark, run in groupby(found):
        length = len(list(run))
        x, width = NAME + start * step, length * step
        kind = "hit" if mark == "+" else "miss"
        yield node("rect", x=x, y=0, width=width, height=BAR, class_=kind)
        start += length
