"""Pictures of what models say of clips: centres and radii, errors, precision and recall.

They need matplotlib.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8

from medicane_models.domain import Grid
from medicane_models.files import replacing
from medicane_models.prediction.uncertainty import RADIUS_SHARES
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.scores.centres import RADIUS_COLUMNS
from medicane_training.store.clip_store import decode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_calibration", "draw_centres", "draw_errors", "draw_precision_recall"]

COLUMNS, TILE_INCHES = 3, 3.2
TRUTH, FOUND = "#FFE04D", "#FF66D0"
ANGLES = np.linspace(0, 2 * np.pi, 97)
STYLES = (":", "-")
QUARTERS = (0.25, 0.5, 0.75)
NO_DATA = 0.5
NARROW = 11  # letters of a name under an axis
PAIRS = (("tile_x", "tile_y"), ("x", "y"))


def draw_centres(
    codes: UInt8[np.ndarray, "n C H W"],
    judged: pd.DataFrame,
    processor: MedicaneProcessor,
    grid: Grid,
    path: Path,
) -> None:
    """Draw tiles side by side.

    Args:
        codes: last frame of each tile.
        judged: a row a tile, the columns of `medicane_training.flows.tracking.JUDGED_COLUMNS` and a
            ``title``.
        processor: of the clips.
        grid: where the pixels of stored frames lie.
        path: of the picture.
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
        for share, name, style in zip(RADIUS_SHARES, RADIUS_COLUMNS, STYLES, strict=True):
            x, y = _circle(grid, row, row[name])
            axes.plot(x, y, style, color=FOUND, linewidth=1, label=f"{share:.0%}")
        axes.set(xlim=(-0.5, tile.shape[-1] - 0.5), ylim=(tile.shape[-2] - 0.5, -0.5))
        axes.set_title(f"{row['title']}\n{row['error_km']:.0f} km", fontsize=8)
    for axes in every:
        axes.axis("off")
    every[0].legend(fontsize=7, loc="lower left")
    _save(figure, path)


def _circle(
    grid: Grid, row: Mapping[Any, Any], radius_km: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Pixels of the tile on the circle around the centre; NaN if the radius is."""
    tile, found = (np.array([row[name] for name in pair], float) for pair in PAIRS)
    to_pixels = np.linalg.inv(np.asarray(grid.jacobian_km(*(tile + found))))
    around = radius_km * to_pixels @ np.stack([np.cos(ANGLES), np.sin(ANGLES)])
    x, y = found[:, None] + around
    return x, y


def draw_calibration(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Which share of the errors lies inside the circles, class by class.

    Args:
        rows: as `coverage_by_group` returns them.
        path: of the picture.
    """
    figure, axes = _figure("share of the errors inside the circles, 95 % intervals by storm")
    names = [f"{fill(next(iter(row.values())), NARROW)}\n{row['clips']} clips" for row in rows]
    for share, marker in zip(RADIUS_SHARES, "os", strict=True):
        scores = [row[f"coverage_{100 * share:.0f}"] for row in rows]
        value, low, high = ([score[of] for score in scores] for of in ("value", "low", "high"))
        sides = np.abs(np.array([low, high]) - value)
        axes.errorbar(names, value, sides, fmt=marker, capsize=4, label=f"{share:.0%} circle")
        axes.axhline(share, linestyle=":", color="grey")
    axes.set(ylim=(0, 1.02))
    axes.legend()
    _save(figure, path)


def draw_errors(
    wind_kt: Float[np.ndarray, " n"],
    errors: Mapping[str, Float[np.ndarray, " n"]],
    path: Path,
    *,
    width_kt: float = 20.0,
) -> None:
    """Medians and middle halves of errors by wind.

    Args:
        wind_kt: of clips, NaN if unknown.
        errors: by method, km.
        path: of the picture.
        width_kt: of the classes.
    """
    figure, axes = _figure("error of the centre: median, and the middle half of the first")
    number = wind_kt // width_kt
    for index, (name, error) in enumerate(errors.items()):
        known = np.isfinite(number) & np.isfinite(error)
        classes = np.unique(number[known])
        quarters = [np.quantile(error[known & (number == one)], QUARTERS) for one in classes]
        low, middle, high = np.array(quarters).reshape(-1, 3).T
        middles = (classes + 0.5) * width_kt
        axes.plot(middles, middle, "o-", label=name)
        if index == 0:
            axes.fill_between(middles, low, high, alpha=0.2)
    axes.set(xlabel="wind, kt", ylabel="km", ylim=(0, None))
    axes.legend(fontsize=7, ncols=2)
    _save(figure, path)


def draw_precision_recall(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    threshold: float,
    path: Path,
) -> None:
    """Precision and recall at every threshold, and at that of the model.

    Args:
        probability: of a cyclone.
        truth: whether there was one.
        threshold: of the model.
        path: of the picture.
    """
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(truth[order])
    precision, recall = hits / np.arange(1, len(order) + 1), hits / max(hits[-1], 1)
    figure, axes = _figure(f"{truth.sum()} of {len(truth)} hold a storm")
    axes.step(recall, precision, where="post")
    above = int((probability >= threshold).sum())
    if above:
        place = recall[above - 1], precision[above - 1]
        axes.plot(*place, "o", label=f"threshold {threshold:.2f}")
        axes.legend()
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    _save(figure, path)


def _figure(title: str) -> tuple["Figure", Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=9)
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format=path.suffix[1:])
