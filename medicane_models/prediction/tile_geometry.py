"""Where the tiles of a table of detections lie on Earth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from medicane_models.domain import Grid
from medicane_models.domain.azimuthal import to_azimuthal
from medicane_models.domain.distances import Array

__all__ = ["TILE_COLUMNS", "TileGeometry"]

TILE_COLUMNS = ["tile_y", "tile_x", "tile_lat", "tile_lon"]
"""What tells a tile from the others of its time, in the order of the rows."""


@dataclass(frozen=True, kw_only=True)
class TileGeometry:
    """The tiles of one run: fixed offsets of its grid, or local planes.

    Attributes:
        grid: of the scene.
        size: pixels along a side of a tile.
        plane_km: kilometres of a pixel of local planes; None where tiles are fixed.
    """

    grid: Grid
    size: int
    plane_km: float | None = None

    def centres(self, rows: pd.DataFrame) -> Float[np.ndarray, "n 2"]:
        """Longitude and latitude of the middle of each row's tile."""
        if self.plane_km is not None:
            return rows.loc[:, ["tile_lon", "tile_lat"]].to_numpy(dtype=float)
        middle = rows.loc[:, ["tile_x", "tile_y"]].to_numpy(dtype=float) + (self.size - 1) / 2
        return np.stack(self.grid.pixel_to_lonlat(*middle.T), axis=-1)

    def hold(self, rows: pd.DataFrame) -> Bool[np.ndarray, " n"]:
        """Whether each row's tile holds the row's ``lon, lat``.

        A tile reaches from half a pixel before its first pixel's centre to half a pixel after its
        last one's, so that fixed tiles side by side share no point.
        """
        x, y = np.stack(self._pixels(rows))
        return (np.minimum(x, y) >= -0.5) & (np.maximum(x, y) < self.size - 0.5)

    def _pixels(self, rows: pd.DataFrame) -> tuple[Array, Array]:
        """Pixels (x, y) of positions, counted from their tile's first."""
        lon, lat = rows["lon"].to_numpy(float), rows["lat"].to_numpy(float)
        if self.plane_km is None:
            x, y = self.grid.lonlat_to_pixel(lon, lat)
            return x - rows["tile_x"].to_numpy(float), y - rows["tile_y"].to_numpy(float)
        east, north = to_azimuthal(tuple(self.centres(rows).T), lon, lat)
        first, step = (self.size - 1) / 2, 1000 * self.plane_km
        return first + east / step, first - north / step  # a mirrored plane holds the same
