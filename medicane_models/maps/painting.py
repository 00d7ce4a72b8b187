"""Marks drawn onto a picture, for animations: each with a dark outline, legible on any cloud."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from medicane_models.maps.sheets import Sheet

__all__ = ["Painting"]

OUTLINE = "black"
COAST = "#E8E8E8"
GRATICULE = "#A0A0A0"
NAMES_ABOVE = 36  # pixels from the lower border, where other words are
DASH = 8  # points of a line that are drawn, and then left out


class Painting:
    """A picture on which what lies on a sheet is drawn.

    Args:
        picture: of the sheet's size.
        sheet: in pixels of the picture.
    """

    def __init__(self, picture: Image.Image, sheet: Sheet) -> None:
        self.picture = picture
        self.sheet = sheet
        self._draw = ImageDraw.Draw(picture)

    def lines(self, lines: Sequence[Float[np.ndarray, "_ 2"]], color: str, width: int = 2) -> None:
        """Draw polylines."""
        for stroke, wide in ((OUTLINE, width + 2), (color, width)):
            for line in lines:
                self._draw.line(line.ravel().tolist(), fill=stroke, width=wide, joint="curve")

    def dashes(self, lines: Sequence[Float[np.ndarray, "_ 2"]], color: str) -> None:
        """Draw polylines of many points as dashes."""
        starts = [(line, at) for line in lines for at in range(0, len(line) - 1, 2 * DASH)]
        self.lines([line[at : at + DASH] for line, at in starts], color)

    def cross(self, x: float, y: float, color: str) -> None:
        """Draw a cross that is open in the middle."""
        ways = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
        self.lines([np.outer((4, 13), way) + np.array([x, y]) for way in ways], color)

    def ring(self, x: float, y: float, color: str, radius: float = 6) -> None:
        """Draw a small circle."""
        for stroke, wide in ((OUTLINE, 4), (color, 2)):
            self._draw.circle((x, y), radius + wide / 2 - 1, outline=stroke, width=wide)

    def text(
        self, x: float, y: float, text: str, *, size: int, color: str = "white", anchor: str = "la"
    ) -> None:
        """Write beside a pixel; the anchor is Pillow's."""
        style = {"font": ImageFont.load_default(size), "anchor": anchor}
        style |= {"stroke_width": 2, "stroke_fill": OUTLINE}
        self._draw.text((x, y), text, fill=color, **style)

    def coasts(self) -> None:
        """Draw all coast lines."""
        self.lines(self.sheet.coast(), COAST, width=1)

    def graticule(self, size: int) -> None:
        """Draw meridians and parallels, named beside the lower and the left border."""
        lines, across, down = self.sheet.degrees()
        for line in lines:
            self._draw.line(line.ravel().tolist(), fill=GRATICULE, width=1)
        for name, x in across:
            self.text(x, self.sheet.height - NAMES_ABOVE, name, size=size, anchor="ms")
        for name, y in down:
            self.text(12, y - 4, name, size=size, anchor="ls")

    def scale(self, size: int) -> None:
        """Draw the scale bar with its length, if there is one."""
        if (bar := self.sheet.bar()) is None:
            return
        name, line = bar
        self.lines([line], "white", width=3)
        x, y = line.mean(axis=0).tolist()
        self.text(x, y - 6, name, size=size, anchor="ms")

    def pixels(self) -> UInt8[np.ndarray, "y x 3"]:
        """What it looks like now."""
        return np.asarray(self.picture.convert("RGB"))
