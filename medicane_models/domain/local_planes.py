"""Local planes: square grids of their own around any point on Earth."""

import numpy as np

from medicane_models.domain.azimuthal import plane_crs
from medicane_models.domain.grid import Grid
from medicane_models.domain.projections import nearest_turn
from medicane_models.errors import ConfigurationError

__all__ = ["local_plane"]


def local_plane(lon: float, lat: float, *, size: int, km: float) -> Grid:
    """The azimuthal equidistant plane of ``size``² pixels of ``km`` around a point in degrees.

    The point is pixel ((size - 1) / 2, (size - 1) / 2). North of the equator and on it the first
    row is the northernmost; south of it the southernmost, so that cyclones turn one way in all.

    Raises:
        ConfigurationError: if there is no such point, or no such plane.
    """
    if not (np.isfinite(lon) and abs(lat) <= 90):
        raise ConfigurationError(f"a plane's centre is {lon}°E {lat}°N; give a point on Earth")
    if not km > 0:
        raise ConfigurationError(f"the pixels of a plane are {km} km; give a positive size")
    lon, lat = nearest_turn(round(float(lon), 6)), round(float(lat), 6)
    step, border = km * 1000.0, (size - 1) / 2 * km * 1000.0
    northwards = 1 if lat < 0 else -1
    return Grid(
        crs=plane_crs(lon, lat),
        width=size,
        height=size,
        x_origin=-border,
        y_origin=-northwards * border,
        x_step=step,
        y_step=northwards * step,
    )
