"""Pictures around a cyclone, one a fix, that a slider leads through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import pandas as pd

from medicane_models.domain import Grid
from medicane_models.maps.elements import node
from medicane_models.maps.sheets import Sheet
from medicane_models.maps.time_curves import TimeAxis
from medicane_models.maps.wording import Fix, fix_text, known, moment_text

__all__ = ["StormPicture", "storm_viewer"]

WIDTH = 320  # units of a drawing
MOST_COAST_POINTS = 500
GAP, ARM, RING = 3, 7, 4  # of the marks of centres


@dataclass(frozen=True, kw_only=True, eq=False)
class StormPicture:
    """A picture around a fix.

    Attributes:
        taken: when.
        content: WebP.
        plane: the grid of its pixels, the first row the northernmost.
    """

    taken: pd.Timestamp
    content: bytes
    plane: Grid


def storm_viewer(name: str, seen: Sequence[tuple[Fix, StormPicture]], axis: TimeAxis) -> ET.Element:
    """Pictures of one track, the newest shown, with a slider and buttons.

    Args:
        name: of the track.
        seen: fixes with their pictures, sorted by time.
        axis: of the curves that follow the slider.
    """
    last = len(seen) - 1
    frames = [
        _frame(fix, picture, axis, hidden=number < last)
        for number, (fix, picture) in enumerate(seen)
    ]
    controls = node("div", *_controls(name, last), class_="controls") if last else None
    return node("div", *frames, controls, class_="viewer")


def _controls(name: str, last: int) -> list[ET.Element]:
    slider: dict[str, Any] = {"type": "range", "min": 0, "max": last, "value": last, "step": 1}
    return [
        node("input", **slider, aria_label=f"Time of the picture of track {name}"),
        node("button", "‹", type="button", data_step=-1, aria_label="Earlier picture"),
        node("button", "Play", type="button", class_="play", aria_pressed="false"),
        node("button", "›", type="button", data_step=1, aria_label="Later picture"),
    ]


def _frame(fix: Fix, picture: StormPicture, axis: TimeAxis, *, hidden: bool) -> ET.Element:
    time, text = moment_text(fix["time"]), fix_text(fix)
    late = f" · picture of {picture.taken:%H:%M}" if picture.taken != fix["time"] else None
    drawing = _drawing(fix, picture, f"Satellite picture of {moment_text(picture.taken)}: {text}")
    caption = node("figcaption", node("b", time), late, node("br"), text)
    at = float(axis.x([fix["time"]])[0])
    return node(
        "figure", drawing, caption, class_="frame", data_time=time, data_x=at, hidden=hidden
    )


def _drawing(fix: Fix, picture: StormPicture, label: str) -> ET.Element:
    sheet = Sheet(grid=picture.plane, width=WIDTH, most_points=MOST_COAST_POINTS)
    x, y = sheet.points([fix["lon"]], [fix["lat"]])[0].tolist()
    unit_km = picture.plane.x_step / 1000 * picture.plane.width / WIDTH
    circles = [
        node("circle", cx=x, cy=y, r=float(radius_km / unit_km), class_=f"r{share}")
        for share in (95, 50)
        if known(radius_km := fix[f"radius_{share}_km"])
    ]
    return sheet.drawing(
        sheet.picture(picture.content, class_="ir"),
        sheet.coasts(),
        sheet.graticule(),
        node("g", *circles, _cross(x, y), _truth(sheet, fix), class_="marks"),
        sheet.scale_bar(),
        node("text", moment_text(picture.taken), x=8, y=18, class_="time"),
        label=label,
    )


def _truth(sheet: Sheet, fix: Fix) -> ET.Element | None:
    """A ring at the true centre, where that is known."""
    if not known(fix.get("true_lon")):
        return None
    x, y = sheet.points([fix["true_lon"]], [fix["true_lat"]])[0].tolist()
    return node("circle", cx=x, cy=y, r=RING, class_="truth")


def _cross(x: float, y: float) -> ET.Element:
    """A cross that is open in the middle, so that the eye under it is seen."""
    arms = [
        f"M{x + right * GAP:.1f} {y + down * GAP:.1f}l{right * ARM} {down * ARM}"
        for right, down in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    return node("path", d="".join(arms), class_="centre")
