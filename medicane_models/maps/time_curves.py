"""Curves over time as SVG, all on one axis, with a mark of the time that is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from medicane_models.maps.canvas import round_length
from medicane_models.maps.elements import node
from medicane_models.maps.sheets import path_data
from medicane_models.maps.wording import span_years, tick_text
from medicane_models.times import utc

__all__ = ["Curve", "TimeAxis", "time_figure"]

WIDTH, HEIGHT = 560, 170
LEFT, RIGHT, TOP, BOTTOM = 50, 26, 8, 26
TICK_HOURS = (1, 2, 3, 6, 12, 24, 48, 96, 240, 720, 2160, 8760)
MOST_TICKS, LEVELS = 6, 4


@dataclass(frozen=True, kw_only=True)
class TimeAxis:
    """From one time to another, UTC; a moment is given half an hour on both sides."""

    first: pd.Timestamp
    last: pd.Timestamp

    @classmethod
    def of(cls, times: Sequence[pd.Timestamp]) -> "TimeAxis":
        """From the first of some times to the last."""
        first, last = min(times), max(times)
        margin = timedelta(minutes=30 if first == last else 0)
        return cls(first=utc(first - margin), last=utc(last + margin))

    def x(self, times: Sequence[pd.Timestamp] | pd.DatetimeIndex) -> Float[np.ndarray, " n"]:
        """Where times are drawn."""
        share = (pd.DatetimeIndex(times) - self.first) / (self.last - self.first)
        return LEFT + np.asarray(share, float) * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[tuple[str, float]]:
        """A few round times: the date at midnight, the time of day otherwise."""
        span = (self.last - self.first).total_seconds() / 3600
        hours = next((h for h in TICK_HOURS if span / h <= MOST_TICKS), TICK_HOURS[-1])
        step = f"{hours}h"
        times = pd.date_range(self.first.floor("D"), self.last, freq=step)
        times = times[times >= self.first]
        year = span_years([self.first, self.last])
        names = [tick_text(time, year=year) for time in times]
        return list(zip(names, self.x(times).tolist(), strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Values over time.

    Attributes:
        name: in the legend.
        kind: class of its line, and of its dots where ``dotted``.
        values: one a time; NaN where unknown.
        dotted: whether each value has a dot; one between unknown ones always has.
    """

    name: str
    kind: str
    values: Float[np.ndarray, " n"]
    dotted: bool = False


def time_figure(
    times: Sequence[pd.Timestamp],
    curves: Sequence[Curve],
    axis: TimeAxis,
    *,
    title: str,
    top: float | None = None,
    level: tuple[str, float] | None = None,
) -> ET.Element:
    """A figure of curves with a legend.

    Args:
        times: of the values.
        curves: those without any value are left out.
        axis: of time.
        title: what is shown, with its unit.
        top: the greatest value of the axis; default: a round one above all.
        level: a name and a value that a straight line marks.
    """
    curves = [curve for curve in curves if np.isfinite(curve.values).any()]
    top = top or _round_top(max((np.nanmax(c.values) for c in curves), default=1.0))
    drawn = [*_frame(axis, top), *([_level(level[1], top)] if level else [])]
    for curve in curves:
        line = np.column_stack([axis.x(times), _height(curve.values, top)])
        drawn.append(node("path", d=path_data([line]), class_=f"curve {curve.kind}"))
        known = np.isfinite(curve.values)
        dots = line[known if curve.dotted else _alone(known)]
        if len(dots):
            marks = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in dots)
            drawn.append(node("path", d=marks, class_=f"dots {curve.kind}"))
    cursor = node("path", d=f"M0 {TOP}V{HEIGHT - BOTTOM}", class_="cursor")
    svg = node("svg", *drawn, cursor, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)
    keys = [_key(curve.name, curve.kind) for curve in curves]
    keys += [_key(level[0], "level")] if level else []
    caption = node("figcaption", node("b", title), *keys)
    return node("figure", caption, svg, class_="curves")


def _alone(known: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Values that no line leads to, since those beside them are unknown."""
    beside = np.pad(known, 1)
    return known & ~beside[:-2] & ~beside[2:]


def _frame(axis: TimeAxis, top: float) -> list[ET.Element]:
    """Both axes with their ticks."""
    ground, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    levels = np.linspace(0, top, LEVELS + 1)
    heights = _height(levels, top)
    grid = "".join(f"M{LEFT} {y:.1f}H{right}" for y in heights)
    values = [
        node("text", f"{level:.4g}", x=LEFT, y=y, dx="-.4em", dy=".35em", class_="value")
        for level, y in zip(levels, heights.tolist(), strict=True)
    ]
    times = [node("text", name, x=x, y=ground, dy="1.3em") for name, x in axis.ticks()]
    marks = "".join(f"M{x:.1f} {ground}v4" for _, x in axis.ticks())
    return [node("path", d=grid + marks, class_="grid"), *values, *times]


def _level(value: float, top: float) -> ET.Element:
    y = float(_height(np.array([value]), top)[0])
    return node("path", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", class_="curve level")


def _key(name: str, kind: str) -> ET.Element:
    line = node("svg", node("path", d="M0 5H24", class_=f"curve {kind}"), viewBox="0 0 24 10")
    return node("span", line, name, class_="key")


def _height(values: Float[np.ndarray, " n"], top: float) -> Float[np.ndarray, " n"]:
    return HEIGHT - BOTTOM - values / top * (HEIGHT - TOP - BOTTOM)


def _round_top(greatest: float) -> float:
    """A value of the axis, not below the greatest, that its levels divide roundly."""
    least = LEVELS * round_length(max(greatest, 1e-9) / LEVELS)
    return next(top for factor in (1, 1.5, 2, 2.5) if (top := factor * least) >= greatest)
