"""Pictures of tiles with the true centre, the one found and its 95 % circle; needs matplotlib."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from medicane_models.domain import Grid
from medicane_models.files import replacing
from medicane_models.network.configuration import RadiusCalibration
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.scores.centres import radii_km
from medicane_training.store.clip_store import decode

__all__ = ["draw_centres"]

COLUMNS, TILE_INCHES = 3, 3.2
TRUTH, FOUND = "#FFE04D", "#FF66D0"
ANGLES = np.linspace(0, 2 * np.pi, 97)
NO_DATA = 0.5
PAIRS = (("tile_x", "tile_y"), ("x", "y"))
MOMENTS = ("variance_x", "covariance_xy", "covariance_xy", "variance_y")


def draw_centres(
    codes: UInt8[np.ndarray, "n C H W"],
    judged: pd.DataFrame,
    processor: MedicaneProcessor,
    grid: Grid,
    path: Path,
    *,
    calibration: RadiusCalibration | None = None,
) -> None:
    """Draw tiles side by side.

    Args:
        codes: last frame of each tile.
        judged: a row a tile, the columns of `medicane_training.flows.tracking.JUDGED_COLUMNS` and a
            ``title``.
        processor: of the clips.
        grid: where the pixels of stored frames lie.
        path: of the picture.
        calibration: of the circles, see `error_radii`.
    """
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(codes))
    rows = -(-len(codes) // columns)
    size = (TILE_INCHES * columns, (TILE_INCHES + 0.4) * rows)
    figure = Figure(figsize=size, layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, tile, row in zip(every, codes, judged.to_dict("records"), strict=False):
        axes.imshow(np.nan_to_num(processor.picture(decode(tile)), nan=NO_DATA))
        axes.plot(row["true_x"], row["true_y"], "+", color=TRUTH, markersize=12, label="truth")
        axes.plot(row["x"], row["y"], "x", color=FOUND, markersize=9, label="found")
        x, y = _circle(grid, row, calibration)
        axes.plot(x, y, "-", color=FOUND, linewidth=1, label="95 %")
        axes.set(xlim=(-0.5, tile.shape[-1] - 0.5), ylim=(tile.shape[-2] - 0.5, -0.5))
        axes.set_title(f"{row['title']}\n{row['error_km']:.0f} km", fontsize=8)
    for axes in every:
        axes.axis("off")
    every[0].legend(fontsize=7, loc="lower left")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format=path.suffix[1:])


def _circle(
    grid: Grid, row: Mapping[Any, Any], calibration: RadiusCalibration | None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Pixels of the tile on the circle that holds 95 % of the errors; NaN if never measured."""
    tile, found = (np.array([[row[name] for name in pair]]) for pair in PAIRS)
    moments = [row[name] for name in MOMENTS]
    covariance = np.array(moments).reshape(1, 2, 2)
    radius = radii_km(grid, tile, found, covariance, calibration)[0, -1]
    to_pixels = np.linalg.inv(np.asarray(grid.jacobian_km(*(tile + found)[0])))
    around = radius * to_pixels @ np.stack([np.cos(ANGLES), np.sin(ANGLES)])
    x, y = found[0][:, None] + around
    return x, y
