"""When each row of a scene was seen, beside the nominal times of its frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Shaped
from numpy.typing import ArrayLike, NDArray

from medicane_models.domain import Grid
from medicane_models.domain.projections import same_crs
from medicane_models.scenes.readers.recording import SCAN_TIMES, Frame

__all__ = ["pixel_time", "scan_coordinates"]


Moments = Shaped[np.ndarray, "..."]
"""Of datetime64[ns]."""


def scan_coordinates(frames: Sequence[Frame], source: Grid, target: Grid) -> dict[str, Any]:
    """When the outer rows of the target grid were seen, along time; NaT where that is not known.

    Args:
        frames: with times of the source's outer rows.
        source: the grid they are on.
        target: of the scene. On another projection its outer rows stand for the mean row of the
            source that they cross.
    """
    shares = _outer_rows(source, target) / max(source.height - 1, 1)
    known = [(np.datetime64("NaT", "ns"),) * 2 if f.scan is None else f.scan for f in frames]
    north, south = np.array(known, "datetime64[ns]").reshape(-1, 2).T
    return {
        name: (("time",), _between(north, south, share), {"long_name": f"when the {row} was seen"})
        for name, share, row in zip(
            SCAN_TIMES, shares, ("northernmost row", "southernmost row"), strict=True
        )
    }


def pixel_time(scene: xr.Dataset, row_of_time: ArrayLike, y: ArrayLike) -> Moments:
    """When pixels were seen, UTC to the nanosecond; NaT where the files do not tell.

    Args:
        scene: as ``open_scene`` returns it, with all its rows.
        row_of_time: numbers of frames.
        y: rows of the scene's grid, 0 the northernmost; fractions lie between.
    """
    frames = np.asarray(row_of_time)
    told = (scene[name].to_numpy().astype("datetime64[ns]") for name in SCAN_TIMES)
    north, south = (np.asarray(times[frames]) for times in told)
    return _between(north, south, np.asarray(y, float) / max(scene.sizes["y"] - 1, 1))


def _between(north: Moments, south: Moments, share: ArrayLike) -> Moments:
    """Linear, ``share`` of the way from north to south; NaT where a share is not finite."""
    share = np.asarray(share, float)
    lasted = (south - north).astype("timedelta64[ns]").astype(float)
    seen = np.isfinite(share) & ~np.isnat(north) & ~np.isnat(south)
    later = np.where(seen, lasted * share, 0.0).round().astype("timedelta64[ns]")
    return np.where(seen, north + later, np.datetime64("NaT", "ns"))


def _outer_rows(source: Grid, target: Grid) -> NDArray[np.floating]:
    """Rows of the source under the target's first and last; NaN where no pixel of one is on it."""
    outer = np.array([0, target.height - 1])
    if same_crs(source.crs, target.crs):
        return (target.y[outer] - source.y_origin) / source.y_step
    columns, rows = np.meshgrid(np.arange(target.width), outer)
    _, y = source.lonlat_to_pixel(*target.pixel_to_lonlat(columns, rows))
    seen = np.isfinite(y)
    counts = seen.sum(axis=1)
    return np.where(counts, np.where(seen, y, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)
