"""What is drawn into pictures: found by colour, darkness or permanence, and filled or missing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Integer, Shaped
from scipy import ndimage

__all__ = ["bright_in_all", "coloured", "evenly", "without_overlay"]


def coloured(rgb: Integer[np.ndarray, "y x rgb"], by: int) -> Bool[np.ndarray, "y x"]:
    """Where channels differ by more than that."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    highest, lowest = (f(f(red, green), blue) for f in (np.maximum, np.minimum))
    return highest - lowest > by


def bright_in_all(
    pictures: Sequence[Shaped[np.ndarray, "y x"]], grey: int
) -> Bool[np.ndarray, "y x"]:
    """Where every picture is brighter than a grey: clouds go, lines stay."""
    return np.min(pictures, axis=0) > grey


def evenly(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many, from the first to the last."""
    places = np.linspace(0, len(paths) - 1, min(len(paths), most))
    return [paths[round(place)] for place in places]


def without_overlay(
    pixels: Float32[np.ndarray, "y x"], drawn: Bool[np.ndarray, "y x"], *, widest: int
) -> Float32[np.ndarray, "y x"]:
    """Fill thin lines from their neighbours, pixel ring by pixel ring; wider areas become NaN.

    Wide is what holds a square of ``widest`` + 1 pixels. Missing pixels neither fill nor are
    filled.
    """
    size = (widest + 1, widest + 1)
    wide = ndimage.grey_opening(drawn.astype(np.uint8), size, mode="constant") > 0
    thin = drawn & ~wide & np.isfinite(pixels)
    filled = np.where(drawn, np.float32(np.nan), pixels)
    for _ in range(widest):
        holes = thin & np.isnan(filled)
        if not holes.any():
            break
        filled[holes] = _means_of_neighbours(filled)[holes]
    return filled


def _means_of_neighbours(pixels: Float32[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
    """Mean of what is there among the eight pixels around each; NaN if nothing is."""
    there = np.isfinite(pixels)
    total = ndimage.uniform_filter(np.where(there, pixels, 0), 3, mode="constant")
    share = ndimage.uniform_filter(there.astype(np.float32), 3, mode="constant")
    is_any = share > 0.1  # of nine
    return np.where(is_any, total / np.where(is_any, share, 1), np.float32(np.nan))
