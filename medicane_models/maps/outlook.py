"""Where a cyclone is extrapolated to, drawn so that nobody takes it for a fix."""

from collections.abc import Sequence
from itertools import cycle
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Float

from medicane_models.maps.elements import node
from medicane_models.maps.sheets import Sheet
from medicane_models.maps.wording import Forecast

__all__ = ["lines_ahead"]

LABELS_DOWN = ("1.3em", "-.6em")  # below and above, so that neighbours do not touch


def lines_ahead(
    sheet: Sheet, start: Float[np.ndarray, " 2"], forecasts: Sequence[Forecast]
) -> ET.Element | None:
    """A dotted line from a point, in degrees, with the places ahead, their circles and hours."""
    if not forecasts:
        return None
    places = np.array([(ahead["lon"], ahead["lat"]) for ahead in forecasts])
    line = sheet.track(*np.vstack([start, places]).T, class_="line")
    marks = [
        mark
        for ahead, down in zip(forecasts, cycle(LABELS_DOWN), strict=False)
        for mark in _marks(sheet, ahead, down)
    ]
    return node("g", line, *marks, class_="ahead")


def _marks(sheet: Sheet, ahead: Forecast, down: str) -> list[ET.Element]:
    """Circle, place and lead of one; nothing of a place that the sheet cannot show."""
    lon, lat = ahead["lon"], ahead["lat"]
    x, y = sheet.points([lon], [lat])[0].tolist()
    if not np.isfinite([x, y]).all():
        return []
    hours = f"+{ahead['lead_hours']:g} h"
    return [
        sheet.circle(lon, lat, ahead["radius_95_km"], class_="r95"),
        sheet.dots([lon], [lat], class_="rim"),
        sheet.dots([lon], [lat], class_="place"),
        node("text", hours, x=x, y=y, dy=down, class_="lead"),
    ]
