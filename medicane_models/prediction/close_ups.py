"""What is seen around each cyclone of a clip, as finely as its scene shows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from medicane_models.domain import Grid, local_plane
from medicane_models.maps.web_pictures import eight_bits
from medicane_models.prediction.captions import COLOURS
from medicane_models.prediction.merging import merge_detections

__all__ = ["CloseUp", "close_ups_of"]

WIDTH_KM = 960.0
FINEST_KM, COARSEST_KM = 2.0, 3.0  # of a pixel: finer ones would fill a page
MOST_AT_A_TIME = 8  # cyclones of a clip, the most probable
KM_PER_DEGREE = 111.195

Look = Callable[[Sequence[Grid]], Float[np.ndarray, "planes C S S"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class CloseUp:
    """A picture around a fix.

    Attributes:
        lon: of its middle, degrees.
        lat: likewise.
        km: of a pixel.
        pixels: at eight bits, as `web_pictures.eight_bits` makes them; the north on top.
    """

    lon: float
    lat: float
    km: float
    pixels: UInt8[np.ndarray, "S S bands"]

    @property
    def plane(self) -> Grid:
        """The grid of its pixels."""
        return _plane_around(self.lon, self.lat, size=len(self.pixels), km=self.km)


def close_ups_of(
    table: pd.DataFrame, grid: Grid, look: Look, *, merge_km: float
) -> tuple[CloseUp, ...]:
    """Pictures around the cyclones of a clip.

    Args:
        table: the rows of the clip, the columns ``detections.DETECTION_COLUMNS``.
        grid: of the scene.
        look: samples its newest frame onto planes, 0…1 with NaN for missing.
        merge_km: centres this close to a more probable one are the same cyclone.
    """
    cyclones = merge_detections(table, merge_km=merge_km, min_probability=0.0)
    cyclones = cyclones.nlargest(MOST_AT_A_TIME, "probability")
    if cyclones.empty:
        return ()
    km = _pixel_km(grid)
    centres = cyclones[["lon", "lat"]].to_numpy(float).tolist()
    size = round(WIDTH_KM / km)
    seen = look([_plane_around(lon, lat, size=size, km=km) for lon, lat in centres])
    shown = seen if seen.shape[1] == COLOURS else seen[:, :1]
    return tuple(
        CloseUp(lon=lon, lat=lat, km=km, pixels=eight_bits(np.moveaxis(picture, 0, -1)))
        for (lon, lat), picture in zip(centres, shown, strict=True)
    )


def _plane_around(lon: float, lat: float, *, size: int, km: float) -> Grid:
    """The plane around a point, the north on top on both hemispheres."""
    plane = local_plane(lon, lat, size=size, km=km)
    if plane.y_step < 0:
        return plane
    return replace(plane, y_origin=-plane.y_origin, y_step=-plane.y_step)


def _pixel_km(grid: Grid) -> float:
    """As fine as the scene, within bounds."""
    step_km = abs(grid.y_step) * (KM_PER_DEGREE if grid.is_geographic else 1e-3)
    return float(np.clip(step_km, FINEST_KM, COARSEST_KM))
