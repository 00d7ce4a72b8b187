"""Pictures around a cyclone, one a fix, that a slider leads through."""

from typing import Any
from xml.etree import ElementTree as ET

import pandas as pd

from medicane_models.maps.elements import node
from medicane_models.maps.outlook import lines_ahead
from medicane_models.maps.sheets import Sheet
from medicane_models.maps.storm_tracks import ShownTrack, StormPicture
from medicane_models.maps.time_curves import TimeAxis
from medicane_models.maps.wording import Fix, fix_text, known, moment_text, motion_text

__all__ = ["storm_viewer"]

WIDTH = 320  # units of a drawing
MOST_COAST_POINTS = 800
PAST_HOURS = 24  # of the track, before a picture
GAP, ARM, RING = 3, 7, 4  # of the marks of centres


def storm_viewer(storm: ShownTrack, axis: TimeAxis) -> ET.Element:
    """Pictures of a track, the newest shown, with a slider and buttons.

    Args:
        storm: the track.
        axis: of the curves that follow the slider.
    """
    seen = [number for number, picture in enumerate(storm.pictures) if picture is not None]
    frames = [_frame(storm, number, axis, hidden=number != seen[-1]) for number in seen]
    last = len(seen) - 1
    controls = node("div", *_controls(storm.name, last), class_="controls") if last > 0 else None
    return node("div", *frames, controls, class_="viewer")


def _controls(name: str, last: int) -> list[ET.Element]:
    slider: dict[str, Any] = {"type": "range", "min": 0, "max": last, "value": last, "step": 1}
    return [
        node("input", **slider, aria_label=f"Time of the picture of track {name}"),
        node("button", "‹", type="button", data_step=-1, aria_label="Earlier picture"),
        node("button", "Play", type="button", class_="play", aria_pressed="false"),
        node("button", "›", type="button", data_step=1, aria_label="Later picture"),
    ]


def _frame(storm: ShownTrack, number: int, axis: TimeAxis, *, hidden: bool) -> ET.Element:
    fix, picture = storm.fixes[number], storm.pictures[number]
    assert picture is not None  # or it would have no frame
    time, text = moment_text(fix["time"]), fix_text(fix)
    late = f" · picture of {picture.taken:%H:%M}" if picture.taken != fix["time"] else None
    label = f"Satellite picture of {moment_text(picture.taken)}: {text}"
    motion = motion_text(fix)
    caption = node(
        "figcaption",
        *(node("b", time), late, node("br"), text, f" · {motion}" if motion else None),
    )
    at = float(axis.x([fix["time"]])[0])
    return node(
        "figure",
        _drawing(storm, number, picture, label),
        caption,
        class_="frame",
        data_time=time,
        data_x=at,
        hidden=hidden,
    )


def _drawing(storm: ShownTrack, number: int, picture: StormPicture, label: str) -> ET.Element:
    sheet = Sheet(grid=picture.plane, width=WIDTH, most_points=MOST_COAST_POINTS)
    fix = storm.fixes[number]
    x, y = sheet.points([fix["lon"]], [fix["lat"]])[0].tolist()
    unit_km = picture.plane.x_step / 1000 * picture.plane.width / WIDTH
    circles = [
        node("circle", cx=x, cy=y, r=float(radius_km / unit_km), class_=f"r{share}")
        for share in (95, 50)
        if known(radius_km := fix[f"radius_{share}_km"])
    ]
    marks = [*_past(sheet, storm, number), *circles, _cross(x, y), _truth(sheet, fix)]
    ahead = lines_ahead(sheet, storm.way[:, number], storm.forecasts.get(fix["time"], ()))
    return sheet.drawing(
        sheet.picture(picture.content, class_="ir"),
        sheet.coasts(),
        sheet.graticule(),
        node("g", ahead, *marks, class_="marks"),
        sheet.scale_bar(),
        node("text", moment_text(picture.taken), x=8, y=18, class_="time"),
        label=label,
    )


def _past(sheet: Sheet, storm: ShownTrack, number: int) -> list[ET.Element]:
    """The smoothed track of the last hours and the fixes beside it."""
    since = storm.times[number] - pd.Timedelta(hours=PAST_HOURS)
    first = next(row for row, time in enumerate(storm.times) if time >= since)
    recent = slice(first, number + 1)
    return [
        sheet.track(*storm.way[:, recent], class_="way"),
        sheet.dots(*storm.lonlat[:, recent], class_="fixes"),
    ]


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
