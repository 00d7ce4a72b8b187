"""Ground position and radii as tables, so that a graph needs no projection library.

Letters: R and K rows and columns of a mesh, P probabilities, S steps of a quantile.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from medicane_models.domain import Grid
from medicane_models.prediction.uncertainty import normal_radius

__all__ = ["MESH_PX", "RADIUS_SHARES", "Mesh", "ground_mesh", "radius_quantiles"]

MESH_PX = 8
"""Pixels between the points of the mesh; on the Mediterranean grid linear interpolation between
them puts a pixel at most 60 m off and is right to 0.01 % about its size."""

RADIUS_SHARES = (0.5, 0.95)
QUANTILE_STEPS = 257


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Position and size of pixels on a coarse mesh that reaches beyond the grid.

    Attributes:
        values: at each point: degrees east of ``longitude``, latitude, and the kilometres that a
            pixel spans, (east per x, east per y, north per x, north per y).
        origin: pixel (x, y) of the first point.
        longitude: of the grid's middle, so that no value jumps at the date line.
    """

    values: Float[np.ndarray, "R K 6"]
    origin: tuple[int, int]
    longitude: float


def ground_mesh(grid: Grid, margin: int) -> Mesh:
    """The mesh of a grid and ``margin`` pixels around it.

    Points that the satellite does not see are NaN.
    """
    columns, rows = (
        np.arange(-margin, size + margin + MESH_PX, MESH_PX) for size in (grid.width, grid.height)
    )
    x, y = np.meshgrid(columns, rows)
    middle = float(grid.pixel_to_lonlat((grid.width - 1) / 2, (grid.height - 1) / 2)[0])
    lon, lat = (np.asarray(values) for values in grid.pixel_to_lonlat(x, y))
    jacobian = np.asarray(grid.jacobian_km(x, y)).reshape(*x.shape, 4)
    east = (lon - middle + 180) % 360 - 180
    values = np.concatenate((np.stack((east, lat), -1), jacobian), -1).astype(np.float32)
    return Mesh(values=values, origin=(-margin, -margin), longitude=middle)


def radius_quantiles() -> Float[np.ndarray, "P S"]:
    """Radii that hold RADIUS_SHARES of a normal whose larger deviation is 1.

    By the ratio of its deviations, from 0 to 1 in equal steps. The radius of any normal is its
    larger deviation times this; linear interpolation is right to 1e-5.
    """
    ratio = np.linspace(0, 1, QUANTILE_STEPS)
    covariance = np.zeros((QUANTILE_STEPS, 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = 1, ratio**2
    return np.stack([normal_radius(covariance, share) for share in RADIUS_SHARES]).astype(
        np.float32
    )
