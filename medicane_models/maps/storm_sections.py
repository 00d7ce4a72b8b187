"""What a page tells of one cyclone: its pictures, its curves, its fixes."""

from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd

from medicane_models.maps.elements import node
from medicane_models.maps.storm_tracks import ShownTrack
from medicane_models.maps.storm_views import storm_viewer
from medicane_models.maps.time_curves import Curve, TimeAxis, time_figure
from medicane_models.maps.wording import (
    counted,
    fix_text,
    forecasts_text,
    known,
    moment_text,
    motion_text,
    period_text,
    place_text,
)

__all__ = ["storm_line", "storm_section"]

MOST_FIXES = 150  # in the table of a track
COLUMNS = {
    "probability": ("prob.", ".2f"),
    "radius_50_km": ("50 % km", ".0f"),
    "radius_95_km": ("95 % km", ".0f"),
    "speed_kt": ("kt", ".0f"),
    "heading": ("to °", ".0f"),
    "error_km": ("error km", ".0f"),
    "guess_distance_km": ("guess km", ".0f"),
}


def storm_line(storm: ShownTrack, newest: pd.Timestamp, threshold: float) -> ET.Element:
    """A sentence on where a cyclone is at the newest time, or was when it was last seen."""
    last = storm.fixes[-1]
    name = node("a", f"Track {storm.name}", href=f"#{storm.anchor}")
    when = "" if last["time"] == newest else f" was last seen at {moment_text(last['time'])}"
    motion = motion_text(last)
    text = fix_text(last, threshold=threshold) + (f" · {motion}" if motion else "")
    ahead = forecasts_text(storm.standing)
    then = node("div", f"{ahead}.", class_="quiet") if ahead else None
    return node("li", node("b", name), f"{when}: {text}.", then)


def storm_section(storm: ShownTrack, threshold: float) -> ET.Element:
    """Pictures beside curves, and the table below."""
    axis = TimeAxis.of(storm.times)
    seen = sum(picture is not None for picture in storm.pictures)
    counts = f"{counted(len(storm.fixes), 'position')}, {counted(seen, 'picture')}"
    about = f"{period_text(storm.times)}: {counts}. {_coverage(storm)}"
    curves = node(
        "div",
        _probability(storm, axis, threshold),
        _kilometres(storm, axis),
        _table(storm),
        class_="side",
    )
    return node(
        "section",
        node("h2", f"Track {storm.name}"),
        node("p", about, class_="quiet"),
        node("div", storm_viewer(storm, axis), curves, class_="columns"),
        class_="storm",
        id=storm.anchor,
    )


def _coverage(storm: ShownTrack) -> str:
    """At how many fixes the circles held the true centre, where that is known."""
    error = storm.values("error_km")
    if not np.isfinite(error).any():
        return ""
    shares = []
    for share in (50, 95):
        radius = storm.values(f"radius_{share}_km")
        known = np.isfinite(error) & np.isfinite(radius)
        inside = np.count_nonzero(error[known] <= radius[known])
        shares.append(f"the {share} % circle at {inside} of {np.count_nonzero(known)} fixes")
    return f"The true centre lies in {' and in '.join(shares)}."


def _probability(storm: ShownTrack, axis: TimeAxis, threshold: float) -> ET.Element:
    curve = Curve(
        name="of this cyclone",
        kind="probability",
        values=storm.values("probability"),
        dotted=True,
    )
    return time_figure(
        storm.times,
        [curve],
        axis,
        title="Probability",
        top=1.0,
        level=(f"threshold {threshold:.2f}", threshold),
    )


def _kilometres(storm: ShownTrack, axis: TimeAxis) -> ET.Element:
    """Radii, and where they are known distances from the truth and the first guess."""
    names = {
        "radius_50_km": "50 % radius",
        "radius_95_km": "95 % radius",
        "smooth_radius_95_km": "95 % radius, smoothed",
        "error_km": "from the true centre",
        "guess_distance_km": "from the first guess",
    }
    curves = [
        Curve(
            name=text,
            kind=name.removesuffix("_km").replace("_", "-"),
            values=storm.values(name),
            dotted="radius" not in name,
        )
        for name, text in names.items()
    ]
    return time_figure(storm.times, curves, axis, title="Centre, km")


def _table(storm: ShownTrack) -> ET.Element:
    """The fixes, the newest first; a star where a cyclone may reach beyond the scene."""
    fixes = storm.fixes[: -MOST_FIXES - 1 : -1]
    columns = {name: form for name, form in COLUMNS.items() if name in fixes[0]}
    titles = ["time UTC", "position", *(title for title, _ in columns.values())]
    head = node("tr", *(node("th", title, scope="col") for title in titles))
    body = [
        node(
            "tr",
            node("th", f"{fix['time']:%Y-%m-%d %H:%M}{'*' if fix['edge'] else ''}", scope="row"),
            node("td", place_text(fix["lat"], fix["lon"])),
            *(node("td", _cell(fix[name], form)) for name, (_, form) in columns.items()),
        )
        for fix in fixes
    ]
    table = node("table", node("thead", head), node("tbody", *body))
    label = f"Fixes of track {storm.name}"
    more = len(storm.fixes) - len(fixes)
    notes = [
        "* may reach beyond the scene" if storm.has_edges else None,
        f"{counted(more, 'earlier position')} in tracks.csv" if more else None,
    ]
    return node(
        "details",
        node("summary", "Fixes"),
        node("div", table, class_="wide", tabindex=0, role="region", aria_label=label),
        *(node("p", note, class_="quiet") for note in notes if note),
        open=True,
    )


def _cell(value: float, form: str) -> str:
    return format(value, form) if known(value) else "–"
