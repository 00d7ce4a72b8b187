"""Convective cells of the infrared window: sharp where the wind comes from, an anvil downwind."""

from collections.abc import Sequence

import numpy as np

from medicane_models.simulation.cells import CellTable, Rows
from medicane_models.simulation.places import Window
from medicane_models.simulation.plane import ramp
from medicane_models.simulation.sky import Field

__all__ = ["all_cells", "draw_tops", "grown"]

ANVIL = 2.2  # sizes of a cell within which it is drawn


def all_cells(tables: Sequence[CellTable]) -> CellTable:
    """All cells of some tables."""
    return CellTable(*(np.concatenate(columns) for columns in zip(*tables, strict=True)))


def grown(cells: CellTable, hour: float) -> CellTable:
    """Those that are there at an hour: where, how wide and how high they are."""
    cells = cells.alive(hour)
    age = hour - cells.birth
    shares = (age / cells.life_h).tolist()
    width = [0.3 + 0.7 * ramp(share / 0.6) for share in shares]
    height = [ramp(share / 0.15) * ramp((1 - share) / 0.45) for share in shares]
    return cells._replace(
        x=cells.x + cells.east * age,
        y=cells.y + cells.north * age,
        radius_km=cells.radius_km * np.array(width),
        depth=cells.depth * np.array(height),
    )


def draw_tops(cells: CellTable, window: Window, warp: tuple[Field, Field]) -> Field:
    """Heights of the cells' tops, 0 … 1, on a window whose x and y have the cells' origin.

    Args:
        cells: as they are at the moment.
        window: where to draw.
        warp: km by which outlines are torn.
    """
    tops = np.zeros_like(window.x)
    columns = window.x.min(axis=0), window.x.max(axis=0)
    rows = window.y.min(axis=1), window.y.max(axis=1)
    for cell in zip(*cells[2:], strict=True):
        x, y, east, north, radius, depth = (np.float32(value) for value in cell)
        reach = ANVIL * radius
        inside = _near(rows, y, reach), _near(columns, x, reach)
        tear = min(radius / 60, 1.0) * 0.35
        dx = window.x[inside] - x + tear * warp[0][inside]
        dy = window.y[inside] - y + tear * warp[1][inside]
        np.maximum(tops[inside], depth * _anvil(dx, dy, radius, east, north), out=tops[inside])
    return tops


def _near(bounds: tuple[Rows, Rows], place: np.float32, reach: np.float32) -> slice:
    """The rows or columns, given the least and greatest place in each, that lie within reach."""
    near = np.flatnonzero((bounds[1] > place - reach) & (bounds[0] < place + reach))
    return slice(near[0], near[-1] + 1) if len(near) else slice(0, 0)


def _anvil(dx: Field, dy: Field, radius: np.float32, east: np.float32, north: np.float32) -> Field:
    """1 in the middle, 0 outside, stretched and faded along the wind."""
    speed = np.hypot(east, north) + np.float32(1e-3)
    along, across = (dx * east + dy * north) / speed, (dy * east - dx * north) / speed
    along = np.where(along > 0, along / (1 + min(speed / 50, np.float32(1.2))), 1.25 * along)
    return np.clip(1.35 * np.exp(-(along**2 + across**2) / radius**2) - 0.15, 0, 1)
