"""Maps as SVG: what lies on a grid, drawn on a sheet with units of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from medicane_models.domain import Grid
from medicane_models.maps.canvas import round_length
from medicane_models.maps.coastlines import (
    DegreeLine,
    circle_lines,
    coast_lines,
    cut_line,
    graticule,
)
from medicane_models.maps.elements import node
from medicane_models.maps.web_pictures import data_url

__all__ = ["Sheet", "path_data"]

FINEST = 0.5  # units of a sheet that a coast is drawn to
CIRCLE_STEP, GRATICULE_STEP = 2.0, 30.0  # units between points of lines
MOST_POINTS = 20_000  # of the coasts of a sheet; with more they are drawn more coarsely
WIDEST_BAR = 0.25  # of a sheet's width
BAR_END = (0.96, 0.965)  # of a sheet's width and height
NEAREST_LABEL = 0.1  # of a sheet's width, from its corners

BESIDE_BAR = 0.05  # of a sheet's width, that a scale bar is kept clear of names
COARSER = 1.25  # from one try to draw a coast to the next

Lines = Sequence[Float[np.ndarray, "_ 2"]]
Names = list[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A grid as it is drawn, so many units wide.

    Attributes:
        grid: of the picture; its first row is the northernmost.
        width: in units of the drawing.
        most_points: of the coasts.
    """

    grid: Grid
    width: float
    most_points: int = MOST_POINTS

    @property
    def height(self) -> float:
        """In units of the drawing."""
        return self.width * self.grid.height / self.grid.width

    def points(self, lon: ArrayLike, lat: ArrayLike) -> Float[np.ndarray, "n 2"]:
        """Where points in degrees are; NaN where the grid cannot show them."""
        return self._placed(np.stack(self.grid.lonlat_to_pixel(lon, lat), axis=-1))

    def drawing(self, *content: ET.Element | None, label: str) -> ET.Element:
        """An SVG of what lies on the sheet, with a label for those who do not see it."""
        box = f"0 0 {self.width:g} {self.height:.1f}"
        return node("svg", *content, viewBox=box, role="img", aria_label=label)

    def coast(self) -> Lines:
        """All coast lines, as fine as the drawing needs them."""
        lines, finest = [self._placed(line) for line in coast_lines(self.grid)], FINEST
        lines = _coarsened(lines, finest)
        while sum(map(len, lines)) > self.most_points and finest < self.width:
            finest *= COARSER
            lines = _coarsened(lines, finest)
        return lines

    def way(self, lon: ArrayLike, lat: ArrayLike) -> Lines:
        """The line from point to point, cut where a world map is."""
        line = cut_line(self.grid, *np.stack(self.grid.lonlat_to_pixel(lon, lat)))
        return _seen(self._placed(line.T))

    def around(self, lon: float, lat: float, radius_km: float) -> Lines:
        """A circle on the sphere; nothing of an unknown radius."""
        if not radius_km > 0:
            return []
        return [self._placed(line) for line in circle_lines(self.grid, lon, lat, radius_km)]

    def bar(self) -> tuple[str, Float[np.ndarray, "2 2"]] | None:
        """A round number of km in the sheet's middle, and a line of that length at its lower right.

        None if the middle is off the disk.
        """
        middle = (self.grid.width - 1) / 2, (self.grid.height - 1) / 2
        across_km = float(self.grid.pixel_size_km(*middle)[0]) * self.grid.width
        if not across_km > 0:
            return None
        length_km = round_length(WIDEST_BAR * across_km)
        end, y = BAR_END[0] * self.width, BAR_END[1] * self.height
        start = end - length_km / across_km * self.width
        return f"{length_km:g} km", np.array([[start, y], [end, y]])

    def picture(self, content: bytes, **attributes: str) -> ET.Element:
        """A picture of the grid, WebP."""
        size = {"width": self.width, "height": self.height}
        return node(
            "image", href=data_url(content), preserveAspectRatio="none", **size, **attributes
        )

    def coasts(self) -> ET.Element:
        """All coast lines."""
        return node("path", d=path_data(self.coast()), class_="coast")

    def degrees(self) -> tuple[Lines, Names, Names]:
        """Meridians and parallels; what these are called, and where they cross two borders.

        Returns:
            Lines; names of meridians at the lower border, none under the scale bar, and of
            parallels at the left one.
        """
        meridians, parallels = graticule(self.grid)
        drawn = [line for each in (*meridians, *parallels) for line in each.lines]
        lines = [part for line in drawn for part in _seen(self._placed(line))]
        across, down = self._names(meridians, self.width), self._names(parallels, self.height)
        if bar := self.bar():
            (start, _), (end, _) = bar[1] + np.outer((-1, 1), (BESIDE_BAR * self.width, 0))
            across = [(name, at) for name, at in across if not start < at < end]
        return lines, across, down

    def graticule(self) -> ET.Element:
        """Meridians and parallels, named at the lower and the left border."""
        lines, across, down = self.degrees()
        path = node("path", d=path_data(_coarsened(lines, GRATICULE_STEP)))
        names = [
            *(
                node("text", name, x=at, y=self.height, dy="-.4em", class_="meridian")
                for name, at in across
            ),
            *(node("text", name, x=0, y=at, dx=".3em", dy="-.3em") for name, at in down),
        ]
        return node("g", path, *names, class_="graticule")

    def track(self, lon: ArrayLike, lat: ArrayLike, **attributes: str) -> ET.Element:
        """A line from point to point."""
        return node("path", d=path_data(self.way(lon, lat)), **attributes)

    def dots(self, lon: ArrayLike, lat: ArrayLike, **attributes: str) -> ET.Element:
        """A dot a point, as wide as its stroke."""
        placed = self.points(lon, lat)
        shown = placed[np.isfinite(placed).all(axis=1)]
        return node("path", d="".join(f"M{x:.1f} {y:.1f}h0" for x, y in shown), **attributes)

    def circle(self, lon: float, lat: float, radius_km: float, **attributes: str) -> ET.Element:
        """A circle on the sphere around a point."""
        line = _coarsened(self.around(lon, lat, radius_km), CIRCLE_STEP)
        return node("path", d=path_data(line), **attributes)

    def scale_bar(self) -> ET.Element | None:
        """A bar of a round number of km; None if there is none."""
        if (bar := self.bar()) is None:
            return None
        name, ((start, y), (end, _)) = bar
        path = node("path", d=f"M{start:.1f} {y - 4:.1f}v4H{end:.1f}v-4")
        text = node("text", name, x=(start + end) / 2, y=y, dy="-.5em")
        return node("g", path, text, class_="scale")

    def _names(self, lines: Sequence[DegreeLine], length: float) -> Names:
        """What lines are called, and where they cross their border; none near the corners."""
        unit, margin = self.width / self.grid.width, NEAREST_LABEL * self.width
        places = [(line.label, (tick + 0.5) * unit) for line in lines for tick in line.ticks]
        return [(name, at) for name, at in places if margin < at < length - margin]

    def _placed(self, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        return (pixels + 0.5) * (self.width / self.grid.width)


def path_data(lines: Lines) -> str:
    """Polylines as an SVG path has them, to a tenth of a unit; broken where they are NaN."""
    return "".join(_path(part) for line in lines for part in _seen(line))


def _seen(line: Float[np.ndarray, "n 2"]) -> Lines:
    """The parts of a line between NaN."""
    there = np.isfinite(line).all(axis=1)
    edges = np.flatnonzero(np.diff(there, prepend=False, append=False))
    return [line[first:last] for first, last in edges.reshape(-1, 2)]


def _path(line: Float[np.ndarray, "n 2"]) -> str:
    tenths = np.rint(10 * line).astype(int)
    steps = np.diff(tenths, axis=0)
    moves = "".join(f"l{x / 10:g} {y / 10:g}" for x, y in steps[steps.any(axis=1)].tolist())
    x, y = tenths[0].tolist()
    return f"M{x / 10:g} {y / 10:g}{moves}"


def _coarsened(lines: Lines, step: float) -> list[Float[np.ndarray, "_ 2"]]:
    """Lines without points that share a square of this size with the one before."""
    kept = []
    for line in lines:
        squares = np.floor(line / step)
        moved = (np.diff(squares, axis=0) != 0).any(axis=1)
        moved = np.concatenate([[True], moved])
        moved[-1] = True
        if moved.sum() > 2 or len(line) == 2:
            kept.append(line[moved])
    return kept
