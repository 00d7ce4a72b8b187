"""One page on a prediction that opens offline: summary, map, storms, what was skipped, provenance.

It is a function of its content: the same content gives the same bytes. It asks nobody for anything,
which its policy holds browsers to, and it is bounded whatever its content is.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd

from medicane_models.maps.colour_tables import (
    COLOUR_TABLES,
    TICKS_CELSIUS,
    ZERO_CELSIUS,
    infrared_colours,
)
from medicane_models.maps.elements import markup, node
from medicane_models.maps.overview import overview_map
from medicane_models.maps.page_content import PageContent, storms_of
from medicane_models.maps.storm_sections import storm_line, storm_section
from medicane_models.maps.storm_tracks import ShownTrack
from medicane_models.maps.time_curves import Curve, TimeAxis, time_figure
from medicane_models.maps.wording import GUESSED, counted, moment_text, period_text

__all__ = ["report_page"]

NOT_FOR_WARNINGS = "Research software: not for warnings or decisions on safety."
MOST_REASONS = 50
FOLDER = Path(__file__).parent
TABLE_NAMES = {"enhanced": "enhanced", "dvorak": "Dvorak BD", "grey": "grey"}
KELVIN_STEP = 1.0  # between colours of a filter


def report_page(content: PageContent) -> str:
    """The page as HTML."""
    storms = storms_of(content)
    script, style = _packaged("page.js"), _packaged("page.css")
    title = f"{content.scene} · {period_text(content.highest)}"
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("title", f"Cyclones · {title}"),
        node("style", style),
    )
    body = node(
        "body",
        *(_filters(content.kelvin) if content.kelvin else []),
        _summary(content, storms, title),
        node("main", *_parts(content, storms)),
        node("script", script),
    )
    return "<!doctype html>\n" + markup(node("html", head, body, lang="en")) + "\n"


def _packaged(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def _policy(script: str) -> str:
    """Nothing from anywhere, and no script but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _summary(content: PageContent, storms: Sequence[ShownTrack], title: str) -> ET.Element:
    """What a forecaster reads first."""
    newest, tracks = max(content.highest), len(set(content.tracks["track_id"]))
    now = [storm for storm in storms if storm.times[-1] == newest]
    threshold = content.provenance["settings"]["threshold"]
    fired = sum(probability >= threshold for probability in content.highest.values())
    judged = f"{counted(len(content.highest), 'clip')} judged, {fired} with a detection"
    found = f"{judged}; {counted(tracks, 'cyclone track')}"
    if tracks > len(storms):
        found += f", the {len(storms)} seen last shown here and all of them in tracks.csv"
    if content.provenance["tracker"] is None:
        found = f"{judged}; without a tracker there are no centres"
    here = f"{counted(len(now), 'cyclone track')} at the newest time, {moment_text(newest)}"
    incomplete = None if content.provenance["complete"] else "The run was interrupted."
    return node(
        "header",
        node("h1", title),
        node("p", _sentence(found), _sentence(here) if tracks else None, incomplete),
        *_lines(storms, newest, threshold),
        node("p", _sentence(content.caution), NOT_FOR_WARNINGS, class_="warning"),
        node("p", _sentence(content.models), class_="quiet"),
    )


def _lines(
    storms: Sequence[ShownTrack], newest: pd.Timestamp, threshold: float
) -> Iterator[ET.Element]:
    """Where the cyclones are now, and folded up where others were last seen."""
    lines = [(storm.times[-1], storm_line(storm, newest, threshold)) for storm in storms]
    now = [line for last, line in lines if last == newest]
    gone = [line for last, line in lines if last != newest]
    if now:
        yield node("ul", *now)
    if gone:
        seen = node("summary", f"{counted(len(gone), 'earlier track')}")
        yield node("details", seen, node("ul", *gone), open=not now)


def _sentence(text: str | None) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}. " if text else ""


def _parts(content: PageContent, storms: Sequence[ShownTrack]) -> Iterator[ET.Element]:
    if content.overview:
        yield _choices(content.kelvin, content.provenance["scene"].get("calibration"))
        yield overview_map(content.overview, storms, content.truth, max(content.highest))
    for storm in storms:
        yield storm_section(storm, content.provenance["settings"]["threshold"])
    if more := len(set(content.tracks["track_id"])) - len(storms):
        yield node("p", f"{counted(more, 'earlier track')} in tracks.csv.")
    yield node("section", node("h2", "Whole scene"), _highest(content), _skipped(content.skipped))
    yield node("section", node("h2", "Provenance"), _facts(content.provenance))


def _highest(content: PageContent) -> ET.Element:
    """The highest probability anywhere, clip by clip."""
    times, values = list(content.highest), np.array(list(content.highest.values()))
    threshold = content.provenance["settings"]["threshold"]
    return time_figure(
        times,
        [Curve(name="of all tiles", kind="probability", values=values, dotted=True)],
        TimeAxis.of(times),
        title="Highest probability",
        top=1.0,
        level=(f"threshold {threshold:.2f}", threshold),
    )


def _skipped(skipped: Mapping[str, Sequence[pd.Timestamp]]) -> ET.Element:
    """What was not judged, by reason."""
    if not skipped:
        return node("p", "Nothing was skipped.")
    rows = [
        node("li", f"{period_text(times)}: {reason} ({counted(len(times), 'time')})")
        for reason, times in skipped.items()
    ]
    if (more := len(rows) - MOST_REASONS) > 0:
        rows[MOST_REASONS:] = [node("li", f"{counted(more, 'further reason')} in detections.json")]
    return node("div", node("h3", "Skipped"), node("ul", *rows))


def _facts(provenance: Mapping[str, Any]) -> ET.Element:
    rows = [
        node("tr", node("th", name, scope="row"), node("td", value))
        for name, value in _flat(provenance)
    ]
    return node(
        "details",
        node("summary", "Scene, models, settings and software"),
        node("table", node("tbody", *rows), class_="facts"),
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} · ")
        elif value is not None:
            yield prefix + name.replace("_", " "), str(value)


def _choices(kelvin: tuple[float, float] | None, calibration: str | None) -> ET.Element:
    """How pictures around storms are shown: their colours, with the scale, and their marks."""
    marks = node("label", node("input", type="checkbox", id="use-marks", checked=True), "marks")
    if kelvin is None:
        return node("fieldset", node("legend", "Pictures"), marks, class_="choices")
    tables = [
        node(
            "label",
            node("input", type="radio", name="colours", id=f"use-{name}", checked=not number),
            TABLE_NAMES[name],
        )
        for number, name in enumerate(COLOUR_TABLES)
    ]
    legend = node("legend", "Infrared pictures")
    guess = node("span", _sentence(GUESSED), class_="quiet") if calibration == "grey" else None
    return node("fieldset", legend, *tables, marks, _scale(kelvin), guess, class_="choices")


def _scale(kelvin: tuple[float, float]) -> ET.Element:
    """A bar from warm to cold, coloured by the filter of the pictures."""
    warm, cold = (value - ZERO_CELSIUS for value in kelvin)
    stops = [node("stop", offset=at, stop_color=color) for at, color in ((0, "#000"), (1, "#fff"))]
    ticks = [
        node("text", f"{celsius}", x=10 + 300 * (celsius - warm) / (cold - warm), y=26)
        for celsius in TICKS_CELSIUS
        if min(warm, cold) < celsius < max(warm, cold)
    ]
    return node(
        "svg",
        node("defs", node("linearGradient", *stops, id="ramp")),
        node("rect", x=10, y=2, width=300, height=12, fill="url(#ramp)", class_="ir"),
        *ticks,
        node("text", "°C", x=330, y=26),
        viewBox="0 0 345 30",
        role="img",
        aria_label="Brightness temperatures in °C",
        class_="bar",
    )


def _filters(kelvin: tuple[float, float]) -> list[ET.Element]:
    """What colours the grey pictures in the browser, a filter a table."""
    values = np.linspace(*kelvin, round(abs(kelvin[1] - kelvin[0]) / KELVIN_STEP) + 1)
    return [
        node(
            "svg",
            node(
                "filter",
                node("feComponentTransfer", *_functions(infrared_colours(values, name))),
                id=name,
                color_interpolation_filters="sRGB",
            ),
            class_="filters",
            aria_hidden="true",
        )
        for name in COLOUR_TABLES
    ]


def _functions(colours: np.ndarray) -> list[ET.Element]:
    return [
        node(f"feFunc{band}", type="table", tableValues=" ".join(f"{v:.3g}" for v in values))
        for band, values in zip("RGB", colours.T, strict=True)
    ]
