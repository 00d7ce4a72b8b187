"""The centre of a spiral by its gradients, without learning, in the spirit of ARCHER.

Bands of cloud around a cyclone lie along logarithmic spirals, so that brightness temperature
changes across them: about the right centre gradients point along the normals of the spirals
(the spiral score of Wimmers and Velden 2010, doi 10.1175/2010JAMC2490.1). The share of a gradient
of direction θ along a normal of direction ν is cos²(θ - ν) = ½ + ½ cos 2(θ - ν); its varying part
is Re(exp 2iθ · exp -2iν), so that the scores of all trial centres are one correlation of complex
numbers, done by FFT.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float
from scipy import ndimage

__all__ = ["SpiralSettings", "spiral_gradient", "spiral_score"]

LEAST_SEEN = 0.5


class SpiralSettings(NamedTuple):
    """What a spiral looks like; 5° and the logarithm of gradients are ARCHER's.

    Attributes:
        radius_km: gradients farther than this from a trial centre do not count.
        inflow_degrees: angle between a spiral and the circles that it crosses inwards.
        falloff: gradients count by distance to the power of its negative.
        step_km: pixels are first averaged to at least this size.
        smoothing_px: standard deviation of a Gaussian over the averaged pixels.
    """

    radius_km: float = 400.0
    inflow_degrees: float = 5.0
    falloff: float = 0.5
    step_km: float = 10.0
    smoothing_px: float = 1.0


ARCHER_LIKE = SpiralSettings()


def spiral_gradient(
    kelvin: Float[np.ndarray, "H W"],
    to_km: Float[np.ndarray, "2 2"],
    *,
    southern: bool = False,
    settings: SpiralSettings = ARCHER_LIKE,
) -> Float[np.ndarray, " 2"]:
    """The pixel (x, y) with the best :func:`spiral_score`; the middle of a tile without gradients.

    Args:
        kelvin: brightness temperature, NaN where missing.
        to_km: kilometres (east, north) by pixel (right, down), as `Grid.jacobian_km` returns it.
        southern: cyclones turn clockwise.
        settings: of the spiral.
    """
    score, block = spiral_score(kelvin, to_km, southern=southern, settings=settings)
    if not score.any():
        return (np.array(kelvin.shape[::-1]) - 1) / 2
    row, column = np.unravel_index(np.argmax(score), score.shape)
    return np.array([column, row]) * block + (block - 1) / 2


def spiral_score(
    kelvin: Float[np.ndarray, "H W"],
    to_km: Float[np.ndarray, "2 2"],
    *,
    southern: bool = False,
    settings: SpiralSettings = ARCHER_LIKE,
) -> tuple[Float[np.ndarray, "h w"], int]:
    """How well gradients stand across a spiral about each trial centre.

    Gradients count by the logarithm of their size, missing pixels and what lies outside for
    nothing, so that centres near the border, of whose surroundings less is seen, score less.

    Returns:
        The score, and how many pixels along each side a trial centre stands for.
    """
    block = max(round(settings.step_km / float(np.linalg.norm(to_km, axis=0).max())), 1)
    coarse, to_km = _averaged(kelvin, block), to_km * block
    directed = _directed_gradients(coarse, to_km, settings)
    kernel = _kernel(coarse.shape, to_km, settings, turn=-1.0 if southern else 1.0)
    rows, columns = coarse.shape
    whole = (2 * rows, 2 * columns)  # what wraps around is cut off below
    product = np.fft.fft2(directed, whole) * np.fft.fft2(kernel[::-1, ::-1], whole)
    score = np.fft.ifft2(product)[rows - 1 : 2 * rows - 1, columns - 1 : 2 * columns - 1]
    return score.real, block


def _averaged(kelvin: Float[np.ndarray, "H W"], block: int) -> Float[np.ndarray, "h w"]:
    """Means over whole blocks, NaN where half a block is missing."""
    rows, columns = (length // block for length in kelvin.shape)
    blocks = kelvin[: rows * block, : columns * block].reshape(rows, block, columns, block)
    there = ~np.isnan(blocks)
    share = there.mean(axis=(1, 3))
    total = np.where(there, blocks, 0.0).mean(axis=(1, 3))
    return np.where(share >= LEAST_SEEN, total / np.maximum(share, LEAST_SEEN), np.nan)


def _directed_gradients(
    kelvin: Float[np.ndarray, "h w"], to_km: Float[np.ndarray, "2 2"], settings: SpiralSettings
) -> Complex[np.ndarray, "h w"]:
    """log(1 + |g|)·exp 2iθ of gradients g of direction θ from east, 0 beside missing pixels.

    |g| is in kelvin by ``step_km``.
    """
    there = ~np.isnan(kelvin)
    total, weight = (
        ndimage.gaussian_filter(values, settings.smoothing_px)
        for values in (np.where(there, kelvin, 0.0), there.astype(float))
    )
    smooth = np.where(there, total / np.where(there, weight, 1.0), 0.0)
    by_xy = np.array([np.gradient(smooth, axis=axis) for axis in (1, 0)])
    east, north = np.einsum("ji,jhw->ihw", np.linalg.inv(to_km), by_xy)
    size = np.log1p(np.hypot(east, north) * settings.step_km)
    counts = ndimage.binary_erosion(there, np.ones((3, 3)))
    return np.where(counts, size * np.exp(2j * np.arctan2(north, east)), 0)


def _kernel(
    shape: tuple[int, ...],
    to_km: Float[np.ndarray, "2 2"],
    settings: SpiralSettings,
    *,
    turn: float,
) -> Complex[np.ndarray, "rows columns"]:
    """Weight·exp -2iν at every displacement from a trial centre, ν the normal of the spiral."""
    rows, columns = shape
    y, x = np.mgrid[1 - rows : rows, 1 - columns : columns]
    east, north = np.einsum("ij,jhw->ihw", to_km, np.stack([x, y]))
    distance = np.hypot(east, north)
    normal = np.arctan2(north, east) + turn * np.radians(settings.inflow_degrees)
    near = np.maximum(distance, settings.step_km) / settings.step_km
    weight = np.where(distance <= settings.radius_km, near**-settings.falloff, 0.0)
    return weight * np.exp(-2j * normal)
