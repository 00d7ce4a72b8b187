"""From the pixels of one grid to those of another: cropping, or bilinear interpolation."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy.sparse import csr_array

from medicane_models.domain import Grid
from medicane_models.errors import SceneError

__all__ = ["Placement", "bilinear_weights", "no_overlap", "overlaps", "place"]


@dataclass(frozen=True, eq=False)
class Crop:
    """Pixels that coincide with those of the target."""

    window: Grid
    target: Grid
    x: int
    y: int

    def __call__(
        self, pixels: Float32[np.ndarray, "layer y x"]
    ) -> Float32[np.ndarray, "layer height width"]:
        """Lay the window onto the target; NaN around it."""
        layers, height, width = pixels.shape
        if (height, width) == (self.target.height, self.target.width):
            return pixels
        placed = np.full((layers, self.target.height, self.target.width), np.nan, np.float32)
        placed[:, self.y : self.y + height, self.x : self.x + width] = pixels
        return placed


@dataclass(frozen=True, eq=False)
class Interpolation:
    """Weights of the up to four source pixels around each target pixel.

    A missing source pixel makes missing each target pixel that gives it any weight: zero weights
    are not stored, and NaN times any other weight is NaN.
    """

    window: Grid
    target: Grid
    weights: csr_array
    outside: Bool[np.ndarray, " pixels"]

    def __call__(
        self, pixels: Float32[np.ndarray, "layer y x"]
    ) -> Float32[np.ndarray, "layer height width"]:
        """Interpolate; NaN beyond half a pixel around the source's outer centres."""
        flat = pixels.reshape(len(pixels), -1)
        placed = np.stack([self.weights @ layer for layer in flat])  # (layer, height * width)
        placed[:, self.outside] = np.nan
        return placed.reshape(len(pixels), self.target.height, self.target.width)


Placement = Crop | Interpolation
"""How frames of a source grid come to lie on a target grid; ``window`` is what has to be read."""


def place(source: Grid, target: Grid) -> Placement:
    """Crop where the pixels of both grids coincide, interpolate bilinearly otherwise.

    Raises:
        SceneError: if they do not overlap.
    """
    offset = target.offset_in(source)
    if offset is None or (
        _may_meet_twice(source, target) and not _is_within(source, target, offset)
    ):
        return _interpolation(source, target)
    return _crop(source, target, offset)


def _is_within(source: Grid, target: Grid, offset: tuple[int, int]) -> bool:
    """Whether all columns of a target are columns of the source."""
    return 0 <= offset[0] <= source.width - target.width


def _may_meet_twice(source: Grid, target: Grid) -> bool:
    """Whether longitudes that are 360° apart may lie on both sides of a grid."""
    width = (source.width + target.width) * source.x_step
    return source.is_geographic and width > 360


def overlaps(source: Grid, target: Grid) -> bool:
    """Whether the target shows anything of the source, by the outlines and a mesh inside."""
    return any(
        one.contains(*one.lonlat_to_pixel(*other.pixel_to_lonlat(*other.outline()))).any()
        for one, other in ((source, target), (target, source))
    )


def _crop(source: Grid, target: Grid, offset: tuple[int, int]) -> Crop:
    left, top = (max(start, 0) for start in offset)
    right = min(offset[0] + target.width, source.width)
    bottom = min(offset[1] + target.height, source.height)
    if right <= left or bottom <= top:
        raise no_overlap(source, target)
    window = source.window(left, top, right - left, bottom - top)
    return Crop(window, target, left - offset[0], top - offset[1])


def _interpolation(source: Grid, target: Grid) -> Interpolation:
    columns, rows = np.meshgrid(np.arange(target.width), np.arange(target.height))
    x, y = source.lonlat_to_pixel(*target.pixel_to_lonlat(columns.ravel(), rows.ravel()))
    seen = source.contains(x, y)
    if not seen.any():
        raise no_overlap(source, target)
    # Rounded, so that pixels that coincide up to rounding errors need no neighbour.
    x = np.where(seen, x.round(6).clip(0, source.width - 1), np.nan)
    y = np.where(seen, y.round(6).clip(0, source.height - 1), np.nan)
    left, top = int(np.nanmin(x)), int(np.nanmin(y))
    right, bottom = int(np.ceil(np.nanmax(x))), int(np.ceil(np.nanmax(y)))
    window = source.window(left, top, right - left + 1, bottom - top + 1)
    weights = bilinear_weights(x - left, y - top, window.width, window.height)
    return Interpolation(window, target, weights, ~seen)


def bilinear_weights(
    x: Float[np.ndarray, " pixels"], y: Float[np.ndarray, " pixels"], width: int, height: int
) -> csr_array:
    """Shares of source pixels, (targets, height · width); rows of NaN positions are empty.

    Args:
        x: column in the source of each target, 0 … width - 1.
        y: row in the source of each target.
        width: columns of the source.
        height: rows of the source.
    """
    seen = np.isfinite(x)
    x, y = np.where(seen, x, 0), np.where(seen, y, 0)
    left, top = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    share_right, share_bottom = x - left, y - top
    indices = [row * width + column for row in (top, bottom) for column in (left, right)]
    shares = [
        vertical * horizontal * seen
        for vertical in (1 - share_bottom, share_bottom)
        for horizontal in (1 - share_right, share_right)
    ]
    weights = csr_array(
        (
            np.stack(shares, axis=-1).ravel().astype(np.float32),
            np.stack(indices, axis=-1).ravel(),
            np.arange(0, 4 * x.size + 1, 4, dtype=np.int32),
        ),
        shape=(x.size, width * height),
    )
    weights.eliminate_zeros()
    return weights


def no_overlap(source: Grid, target: Grid) -> SceneError:
    """What to raise where a target shows nothing of a source."""
    return SceneError(f"the domain ({target}) does not overlap the scene ({source})")
