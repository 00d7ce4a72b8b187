"""Random views of a clip: which window of the store to read, which frames, what to hide.

All draws happen on the CPU from one generator a view; what is left for the pixels themselves are a
linear map, a gain and an offset, see :mod:`medicane_training.clips.augmentation`.

Letters: T frames, C bands, H rows, W columns.
"""

import numpy as np
from jaxtyping import Float, UInt8

from medicane_models.domain import Grid, Tile
from medicane_models.scenes.clips import nearest_slots
from medicane_training.recipes.data_sections import Augmentation
from medicane_training.store.labels import CYCLONE, NO_CYCLONE
from medicane_training.store.shards import MISSING

__all__ = [
    "TRIES",
    "any_matrix",
    "depths",
    "draw_bend",
    "draw_borders",
    "draw_frames",
    "draw_matrix",
    "draw_photometry",
    "draw_tile",
    "dropped_frames",
    "hide_block",
    "same_side",
]

TRIES = 32
BORDERS = 2
NEAREST_BORDER = 0.4  # of half a side from the middle: at most a third of a tile is hidden by one
Point = Float[np.ndarray, " 2"]


def draw_tile(
    augmentation: Augmentation,
    rng: np.random.Generator,
    tile: Tile,
    *,
    label: int,
    storms: Float[np.ndarray, "n 2"],
    grid: Grid,
    size: int,
) -> Tile:
    """An offset nearby at which the clip keeps its label; the tile itself where none is found.

    Args:
        augmentation: how far.
        rng: what draws.
        tile: the clip's own offset.
        label: of the clip; one that is neither cyclone nor no cyclone moves only where no storm is.
        storms: pixels (x, y) of the grid where storms are at the clip's end.
        grid: windows stay inside it.
        size: of a tile.
    """
    movable = label in (CYCLONE, NO_CYCLONE) or not len(storms)
    if augmentation.shift_px is None or not movable:
        return tile
    low, high = augmentation.shift_px
    limit = (grid.width - size, grid.height - size)
    before = depths(storms, tile, size)
    for _ in range(TRIES):
        x, y = rng.integers(low, high, size=2, endpoint=True) * rng.choice((-1, 1), size=2)
        moved = Tile(int(tile.x + x), int(tile.y + y))
        inside = 0 <= moved.x <= limit[0] and 0 <= moved.y <= limit[1]
        if inside and same_side(before, depths(storms, moved, size), augmentation.center_margin_px):
            return moved
    return tile


def depths(storms: Float[np.ndarray, "n 2"], tile: Tile, size: int) -> Float[np.ndarray, " n"]:
    """Pixels from each storm to the nearest side of a tile, negative outside."""
    return size / 2 - abs(storms - np.array(tile) - (size - 1) / 2).max(axis=-1)


def same_side(
    before: Float[np.ndarray, " n"], after: Float[np.ndarray, " n"], margin: float
) -> bool:
    """Whether what was inside a tile by its depth still is, by a margin, and the same outside."""
    return bool(np.where(before >= 0, after >= margin, after <= -margin).all())


def draw_matrix(
    augmentation: Augmentation, rng: np.random.Generator, center: Point, size: int
) -> Float[np.ndarray, "2 2"]:
    """A linear map about the middle of the tile that keeps the centre inside; the identity if none.

    Args:
        augmentation: which maps.
        rng: what draws.
        center: pixel of the tile; NaN where there is no cyclone.
        size: of the tile.
    """
    middle = (size - 1) / 2
    limit = size / 2 - augmentation.center_margin_px
    for _ in range(TRIES):
        matrix = any_matrix(augmentation, rng)
        if not (abs(matrix @ (center - middle)) > limit).any():
            return matrix
    return np.eye(2)


def any_matrix(augmentation: Augmentation, rng: np.random.Generator) -> Float[np.ndarray, "2 2"]:
    """A turn, a magnification and perhaps a mirror."""
    turns = rng.integers(4) if augmentation.quarter_turns else 0
    most = augmentation.angle_degrees
    angle = np.radians(90.0 * turns + rng.uniform(-most, most))
    scale = np.exp(rng.uniform(*np.log(augmentation.scale)))
    flip = np.diag([-1.0, 1.0]) if rng.random() < augmentation.mirror else np.eye(2)
    sine, cosine = np.sin(angle), np.cos(angle)
    return scale * np.array([[cosine, -sine], [sine, cosine]]) @ flip


def draw_photometry(
    augmentation: Augmentation, rng: np.random.Generator, bands: int
) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Gain and offset of each band."""
    gain = 1 + rng.uniform(-augmentation.gain, augmentation.gain, bands)
    return gain, rng.uniform(-augmentation.offset, augmentation.offset, bands)


def draw_bend(augmentation: Augmentation, rng: np.random.Generator) -> Float[np.ndarray, " 2"]:
    """Coefficients of :func:`medicane_training.clips.augmentation.bend`."""
    first = rng.uniform(-augmentation.curve, augmentation.curve)
    rest = augmentation.curve - abs(first)
    return np.array([first, rng.uniform(-rest, rest)])


def draw_borders(
    augmentation: Augmentation, rng: np.random.Generator, size: int
) -> Float[np.ndarray, "lines 3"]:
    """Lines of :func:`medicane_training.clips.augmentation.hide_beyond`; some hide nothing."""
    angle = rng.uniform(0, 2 * np.pi, BORDERS)
    distance = rng.uniform(NEAREST_BORDER, 1.0, BORDERS) * size / 2
    is_there = np.logical_and.accumulate(rng.random(BORDERS) < augmentation.border)
    return np.stack([np.cos(angle), np.sin(angle), np.where(is_there, distance, np.inf)], axis=-1)


def draw_frames(
    augmentation: Augmentation, rng: np.random.Generator, count: int, most: int
) -> list[int]:
    """For each frame the one to show: itself, or the nearest where it is dropped."""
    dropped = np.flatnonzero(rng.random(count) < augmentation.drop_frames)
    dropped = set(rng.permutation(dropped)[:most].tolist())
    return nearest_slots([slot for slot in range(count) if slot not in dropped], count)


def dropped_frames(
    augmentation: Augmentation, rng: np.random.Generator, count: int, most: int
) -> list[int]:
    """The frames to take away where the model is told which are missing; never the newest."""
    older = count - 1
    alone = rng.random() < augmentation.single_frame
    dropped = np.flatnonzero(rng.random(older) < (1.0 if alone else augmentation.drop_frames))
    return sorted(rng.permutation(dropped)[:most].tolist())


def hide_block(
    augmentation: Augmentation, rng: np.random.Generator, codes: UInt8[np.ndarray, "T C H W"]
) -> None:
    """Make a rectangle of some frames missing, in place."""
    if rng.random() >= augmentation.block:
        return
    frames = slice(*np.sort(rng.integers(0, len(codes), size=2, endpoint=True)))
    rows, columns = (_stretch_of(rng, length) for length in codes.shape[2:])
    codes[frames, :, rows, columns] = MISSING


def _stretch_of(rng: np.random.Generator, length: int) -> slice:
    extent = rng.integers(1, max(length // 2, 1), endpoint=True)
    start = rng.integers(0, length - extent, endpoint=True)
    return slice(start, start + extent)
