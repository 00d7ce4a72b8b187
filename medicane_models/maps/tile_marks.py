"""Marks of tiles on a map: their frames, and how probable a cyclone is in each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from medicane_models.domain import Grid
from medicane_models.maps.annotations import LabelPlace, Labels, halo
from medicane_models.maps.canvas import short_way
from medicane_models.maps.coastlines import cut_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TileMark", "draw_tiles", "fixed_tiles", "plane_tiles", "write_probabilities"]

DETECTED = "#7CFF6B"  # which the colours of infrared pictures lack; told apart by shape too
QUIET = "white"
MOST_QUIET_PLANES = 20
SIDE = 24  # points along a side of a plane's outline


@dataclass(frozen=True, kw_only=True, eq=False)
class TileMark:
    """A tile on a map.

    Attributes:
        probability: of a cyclone in it; NaN if unknown.
        detected: whether that counts.
        outline: pixels (x, y) of the picture around it, NaN beyond what the picture can show.
        places: where the probability may be written.
    """

    probability: float
    detected: bool
    outline: Float[np.ndarray, "2 n"]
    places: Sequence[LabelPlace]


def draw_tiles(axes: "Axes", tiles: Sequence[TileMark], threshold: float, *, clip_on: bool) -> None:
    """Frames around tiles: the detected ones thick, bright and on top."""
    quiet = {"color": QUIET, "linewidth": 0.8, "label": f"tile, probability below {threshold:.2g}"}
    found = {"color": DETECTED, "linewidth": 2.4, "label": f"detection, {threshold:.2g} or more"}
    for tile in tiles:
        outline = halo(1.4 + 2 * tile.detected)
        style = found if tile.detected else quiet
        style |= {"clip_on": clip_on, "zorder": 4 + tile.detected, "path_effects": outline}
        axes.plot(*tile.outline, **style)


def write_probabilities(labels: Labels, tiles: Sequence[TileMark]) -> None:
    """Write each probability into a corner of its tile."""
    for tile in tiles:
        labels.write(
            "–" if np.isnan(tile.probability) else f"{tile.probability:.2f}",
            tile.places,
            color=DETECTED if tile.detected else QUIET,
            size=11 if tile.detected else 9,
            weight="bold" if tile.detected else "normal",
            path_effects=halo(2),
        )


def fixed_tiles(detections: pd.DataFrame, size: int) -> list[TileMark]:
    """Marks of tiles at fixed offsets, from the rows of detections."""
    x, is_right = _label_sides(detections["tile_x"].to_numpy(), size)
    y, is_low = _label_sides(detections["tile_y"].to_numpy(), size)
    marks = []
    for i, row in enumerate(detections.to_dict("records")):
        left, top = row["tile_x"] - 0.5, row["tile_y"] - 0.5
        right, bottom = left + size, top + size
        first = LabelPlace(x[i], y[i], -4 if is_right[i] else 4, 4 if is_low[i] else -4)
        marks.append(
            TileMark(
                probability=float(row["probability"]),
                detected=bool(row["detected"]),
                outline=np.array(
                    [[left, right, right, left, left], [top, top, bottom, bottom, top]]
                ),
                places=[first, *_corners(row["tile_x"], row["tile_y"], size)],
            )
        )
    return marks


def plane_tiles(detections: pd.DataFrame, planes: Sequence[Grid], grid: Grid) -> list[TileMark]:
    """Planes as they lie on a picture: curved, each with its probability at its corners."""
    marks = []
    for plane, row in zip(planes, detections.to_dict("records"), strict=True):
        if len(planes) > MOST_QUIET_PLANES and not row["detected"]:
            continue  # there are too many to be told apart
        outline = np.stack(grid.lonlat_to_pixel(*plane.pixel_to_lonlat(*_border(plane))))
        marks.append(
            TileMark(
                probability=float(row["probability"]),
                detected=bool(row["detected"]),
                outline=cut_line(grid, *outline),
                places=_places_in(plane, grid, outline[:, :-1:SIDE]),
            )
        )
    return marks


def _places_in(plane: Grid, grid: Grid, corners: Float[np.ndarray, "2 n"]) -> list[LabelPlace]:
    """Places at the corners that can be seen, each towards the middle, and last that."""
    half = (plane.width - 1) / 2
    middle = np.stack(grid.lonlat_to_pixel(*plane.pixel_to_lonlat(half, half)))
    x, y = corners[:, np.isfinite(corners[0])]
    right, up = np.sign(short_way(grid, middle[0] - x)), np.sign(y - middle[1])
    places = np.column_stack([x, y, 4 * right, 4 * up])
    return [LabelPlace(*place) for place in [*places.tolist(), [*middle.tolist(), 0, 0]]]


def _border(plane: Grid) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Pixels around a plane from its first corner on, SIDE steps a side."""
    low, high = -0.5, plane.width - 0.5
    there, still = np.linspace(low, high, SIDE, endpoint=False), np.full(SIDE, low)
    back, beyond = there[::-1] + (high - low) / SIDE, np.full(SIDE, high)
    x = np.concatenate([there, beyond, back, still, [low]])
    y = np.concatenate([still, there, beyond, back, [low]])
    return x, y


def _corners(x: float, y: float, size: int) -> list[LabelPlace]:
    """Places in the corners and at the middles of the sides of a tile."""
    middle, far = (size - 1) / 2, size - 1
    across = ((0, 4), (far, -4), (middle, 0))
    down = ((0, -4), (far, 4), (middle, 0))
    return [
        LabelPlace(x + right, y + low, dx, dy)
        for low, dy in down
        for right, dx in across
        if dx or dy
    ]


def _label_sides(
    offsets: np.ndarray, size: int
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Where labels of tiles start along an axis, and whether at the far side of their tile.

    Behind the strip shared with the tile before, or, where that is most of a tile, at the near
    side of the first tiles and the far side of the last ones.
    """
    distinct = np.unique(offsets)
    shared = max(size - np.diff(distinct).min(initial=size), 0)
    if shared <= size / 2:
        start = offsets + shared * (offsets > distinct[:1])
        return start.astype(float), np.zeros(len(offsets), dtype=bool)
    far = offsets > distinct.mean()
    return (offsets + (size - 1) * far).astype(float), far
