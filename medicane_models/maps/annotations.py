"""Labels of a map, each at the first place near its mark where it covers nothing.

Lengths are in points, boxes in dots of the figure: (left, bottom, right, top).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from medicane_models.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LabelPlace", "Labels", "bold", "halo", "places_around"]

SIDES = ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))  # right and up
DISTANCES = (9, 18, 30, 46, 66)
LEADER_FROM = DISTANCES[1]  # a label this far from its mark has a line to it
OUTSIDE = 1000  # as bad as covering so many others
MARGIN = 1  # around labels

Box = Float[np.ndarray, " 4"]


class LabelPlace(NamedTuple):
    """Where a label may stand: beside a pixel, that far to its right and above it (or left, below).

    With 0 it is centred on the pixel.
    """

    x: float
    y: float
    right: float
    up: float


def places_around(x: float, y: float, rings: int = len(DISTANCES)) -> list[LabelPlace]:
    """The eight places around a pixel, then those farther from it."""
    return [
        LabelPlace(x, y, right * distance, up * distance)
        for distance in DISTANCES[:rings]
        for right, up in SIDES
    ]


def halo(width: float, color: str = "black") -> list[Any]:
    """An outline that keeps a mark legible on any background."""
    stroke = require("matplotlib.patheffects", "plots").withStroke
    return [stroke(linewidth=width, foreground=color)]


class Labels:
    """Writes labels on a map, in the order of their importance.

    Args:
        axes: the map, with its limits set.
    """

    def __init__(self, axes: "Axes") -> None:
        self.axes = axes
        self.taken: list[Box] = []

    def keep_off(self, x: Any, y: Any, radius: float) -> None:
        """Let no label cover marks of a radius at pixels."""
        middle = self.axes.transData.transform(np.column_stack([np.ravel(x), np.ravel(y)]))
        reach = self._dots(radius)
        seen = middle[np.isfinite(middle).all(axis=1)]
        self.taken += list(np.hstack([seen - reach, seen + reach]))

    def keep_off_arrow(self, x: float, y: float, right: float, up: float) -> None:
        """Let no label cover an arrow from a pixel to so many points to its right and above it."""
        start = self.axes.transData.transform((x, y))
        along = np.linspace(0, 1, 5)[:, None] * [self._dots(right), self._dots(up)]
        reach = self._dots(4)
        self.taken += list(np.hstack([start + along - reach, start + along + reach]))

    def keep_clear(self, artist: Any) -> None:
        """Let no label cover a text or a frame."""
        self.taken.append(np.asarray(artist.get_window_extent(self._renderer).extents))

    def write(
        self, text: str, places: Sequence[LabelPlace], *, needed: bool = True, **style: Any
    ) -> None:
        """Write at the first place that is free and on the map.

        Where none is, a needed label is written where it covers least, another one left out.
        """
        first = places[0]
        style = {"zorder": 8, "textcoords": "offset points", **style}
        note = self.axes.annotate(text, first[:2], first[2:], **style)
        size = self._size_of(note)
        boxes = [self._box(place, size) for place in places]
        costs = _until_free(self._covered(box) for box in boxes)
        best = int(np.argmin(costs))
        if costs[best] and not needed:
            note.remove()
            return
        self.taken.append(boxes[best])
        place = places[best]
        note.xy, note.xyann = place[:2], place[2:]
        note.set(ha=_side(place.right, "left", "right"), va=_side(place.up, "bottom", "top"))
        if max(map(abs, place[2:])) >= LEADER_FROM:
            self._draw_leader(place, note.get_color())

    @property
    def _renderer(self) -> Any:
        return self.axes.figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]

    def _dots(self, points: float) -> float:
        return points * self.axes.get_figure(root=True).dpi / 72  # pyright: ignore

    def _size_of(self, note: Any) -> Float[np.ndarray, " 2"]:
        box = require("matplotlib.text", "plots").Text.get_window_extent(note, self._renderer)
        return np.array([box.width, box.height])

    def _box(self, place: LabelPlace, size: Float[np.ndarray, " 2"]) -> Box:
        offset = np.array([self._dots(place.right), self._dots(place.up)])
        corner = (
            self.axes.transData.transform(place[:2]) + offset + (np.sign(offset) - 1) / 2 * size
        )
        return np.concatenate([corner - MARGIN, corner + size + MARGIN])

    def _covered(self, box: Box) -> int:
        """How much a box covers; 0 if it is free."""
        frame = np.asarray(self.axes.bbox.extents)
        inside = (box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all()
        taken = np.array(self.taken).reshape(-1, 4)
        meets = (box[:2] < taken[:, 2:]).all(axis=1) & (box[2:] > taken[:, :2]).all(axis=1)
        return int(meets.sum()) + (0 if inside else OUTSIDE)

    def _draw_leader(self, place: LabelPlace, color: Any) -> None:
        line = {"arrowstyle": "-", "color": color, "linewidth": 1, "shrinkA": 0, "shrinkB": 3}
        self.axes.annotate(
            "", place[:2], place[2:], textcoords="offset points", arrowprops=line, zorder=7
        )


def _until_free(costs: Iterable[int]) -> list[int]:
    """The costs up to the first that is 0."""
    seen: list[int] = []
    for cost in costs:
        seen.append(cost)
        if not cost:
            break
    return seen


def _side(offset: float, positive: str, negative: str) -> str:
    return positive if offset > 0 else negative if offset < 0 else "center"


def bold(outline: str) -> dict[str, Any]:
    """How names are written."""
    return {"size": 9, "weight": "bold", "path_effects": halo(2.5, outline)}
