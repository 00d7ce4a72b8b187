"""Random views of a sample: which square of it becomes a local plane, turned, mirrored and scaled.

A sample is larger than a plane, so that the corners of a turned plane come from it. Points are (x,
y) in pixels. Letters: T frames, C bands, S rows and columns of a sample.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8

from medicane_models.domain import Tile
from medicane_training.clips.random_views import TRIES, any_matrix, same_side
from medicane_training.recipes.data_sections import Augmentation
from medicane_training.store.shards import MISSING

__all__ = ["PlaneView", "draw_plane", "fill_patches", "own_plane"]

MESH = 12
PATCH_PX = (3, 12)


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaneView:
    """Where the pixels of a sample go on a plane: middle + matrix·(p - middle) + shift.

    Attributes:
        matrix: about the middle of the sample.
        shift: pixels of the plane.
        sample_size: S.
        size: of the plane.
        forced: nothing that was drawn could be used, and this is the clip's own tile.
    """

    matrix: Float[np.ndarray, "2 2"]
    shift: Float[np.ndarray, " 2"]
    sample_size: int
    size: int
    forced: bool = False

    def depths(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """Pixels from points of the sample to the nearest side of the plane, negative outside."""
        from_middle = (points - (self.sample_size - 1) / 2) @ self.matrix.T + self.shift
        return self.size / 2 - abs(from_middle).max(axis=-1)

    def sources(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Where in the sample points lie that are counted from the middle of the plane."""
        inverse = np.linalg.inv(self.matrix)
        return (points - self.shift) @ inverse.T + (self.sample_size - 1) / 2

    def missing_share(self, frame: UInt8[np.ndarray, "C S S"]) -> float:
        """Share of the plane that lies outside the sample or where it is missing, by a mesh."""
        axis = ((np.arange(MESH) + 0.5) / MESH - 0.5) * self.size
        mesh = np.stack(np.meshgrid(axis, axis), axis=-1)  # (rows, columns, 2)
        x, y = np.rint(self.sources(mesh)).astype(int).reshape(-1, 2).T
        inside = (np.minimum(x, y) >= 0) & (np.maximum(x, y) < self.sample_size)
        return 1 - float((frame[0, y[inside], x[inside]] != MISSING).sum() / inside.size)


def own_plane(tile: Tile, *, sample_size: int, size: int) -> PlaneView:
    """The tile of the index as it is."""
    shift = (sample_size - size) / 2 - np.array(tile, float)
    return PlaneView(matrix=np.eye(2), shift=shift, sample_size=sample_size, size=size)


def draw_plane(
    augmentation: Augmentation,
    rng: np.random.Generator,
    newest: UInt8[np.ndarray, "C S S"],
    own: PlaneView,
    *,
    anchor: Float[np.ndarray, " 2"],
    storms: Float[np.ndarray, "n 2"],
) -> PlaneView:
    """A plane in which no storm enters or leaves and enough is seen; ``own`` where none is found.

    Args:
        augmentation: how far, and how much may be missing.
        rng: what draws.
        newest: frame of the sample.
        own: the clip's tile, whose label stays true.
        anchor: the point of the sample that comes to lie off the plane's middle by the shift.
        storms: points of the sample that must stay inside or outside.
    """
    before = own.depths(storms)
    for _ in range(TRIES):
        matrix = any_matrix(augmentation, rng)
        off = _displacement(augmentation, rng)
        shift = off - matrix @ (anchor - (own.sample_size - 1) / 2)
        view = PlaneView(matrix=matrix, shift=shift, sample_size=own.sample_size, size=own.size)
        keeps = same_side(before, view.depths(storms), augmentation.center_margin_px)
        if keeps and view.missing_share(newest) <= augmentation.most_missing:
            return view
    return replace(own, forced=True)


def _displacement(augmentation: Augmentation, rng: np.random.Generator) -> Float[np.ndarray, " 2"]:
    low, high = augmentation.shift_px or (0, 0)
    return rng.uniform(low, high, size=2) * rng.choice((-1, 1), size=2)


def fill_patches(
    augmentation: Augmentation,
    rng: np.random.Generator,
    codes: UInt8[np.ndarray, "T C S S"],
    view: PlaneView,
) -> None:
    """Fill small squares anywhere on the plane from left to right, in all frames, in place."""
    count = rng.integers(augmentation.patches, endpoint=True) if augmentation.patches else 0
    limit = view.sample_size - PATCH_PX[1] - 1
    for _ in range(count):
        width = int(rng.integers(*PATCH_PX, endpoint=True))
        x, y = np.rint(view.sources(rng.uniform(-0.5, 0.5, 2) * view.size)).astype(int)
        if min(x, y) >= 1 and max(x, y) <= limit:
            _bridge(codes[:, :, y : y + width, x - 1 : x + width + 1])


def _bridge(codes: UInt8[np.ndarray, "T C rows columns"]) -> None:
    """Lines from the first to the last column, in place; not in frames with missing pixels."""
    there = (codes != MISSING).all(axis=(1, 2, 3))
    first, last = (codes[there][..., [end]].astype(float) for end in (0, -1))
    way = np.linspace(0, 1, codes.shape[-1])
    codes[there] = np.rint(first + way * (last - first))
