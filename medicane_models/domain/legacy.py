"""Pixels as the research code wrote them."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medicane_models.domain.grid import MEDITERRANEAN, Grid

__all__ = ["legacy_pixel"]


def legacy_pixel(
    lon: ArrayLike, lat: ArrayLike, grid: Grid | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole pixels as the research code wrote them into its track files.

    It took the grid point nearest in degrees and counted the row from one too many, so that its
    rows lie one pixel (4.4 km) south of :meth:`Grid.lonlat_to_pixel`. Only for reading its files.
    """
    grid = MEDITERRANEAN if grid is None else grid
    points = np.stack(np.broadcast_arrays(lon, lat), axis=-1)
    _, nearest = _degree_tree(grid).query(points)
    row, column = np.divmod(nearest, grid.width)
    return column, row + 1


@cache
def _degree_tree(grid: Grid) -> Any:
    from scipy.spatial import KDTree

    columns, rows = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    lon, lat = grid.pixel_to_lonlat(columns.ravel(), rows.ravel())
    return KDTree(np.stack([lon, lat], axis=-1))
