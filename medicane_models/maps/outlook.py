"""Where a cyclone is extrapolated to, drawn so that nobody takes it for a fix."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Float

from medicane_models.maps.elements import node
from medicane_models.maps.sheets import Sheet
from medicane_models.maps.wording import Forecast

__all__ = ["lines_ahead"]

BELOW, ABOVE = {"dy": "1.3em"}, {"dy": "-.6em"}
BESIDE = {"dx": "-.7em", "dy": ".35em", "style": "text-anchor:end"}


def lines_ahead(
    sheet: Sheet, start: Float[np.ndarray, " 2"], forecasts: Sequence[Forecast]
) -> ET.Element | None:
    """A dotted line from a point, in degrees, with the places ahead, their circles and hours."""
    if not forecasts:
        return None
    lonlat = np.array([start, *((ahead["lon"], ahead["lat"]) for ahead in forecasts)]).T
    right, down = abs(np.diff(sheet.points(*lonlat)[[0, -1]], axis=0)[0])
    sides = (BELOW, ABOVE) if right > down else (BESIDE, BESIDE)  # where labels clear the line
    marks = [
        mark
        for number, ahead in enumerate(forecasts)
        for mark in _marks(sheet, ahead, sides[number % 2])
    ]
    return node("g", sheet.track(*lonlat, class_="line"), *marks, class_="ahead")


def _marks(sheet: Sheet, ahead: Forecast, side: dict[str, Any]) -> list[ET.Element]:
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
        node("text", hours, x=x, y=y, class_="lead", **side),
    ]
