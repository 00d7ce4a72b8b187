"""Fixed sinusoid positions of tokens, and their interpolation to other token grids."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medicane_models.network.configuration import TokenGrid

__all__ = ["position_table"]


def position_table(
    kind: str, grid: TokenGrid, dim: int, trained_grid: TokenGrid | None = None
) -> Float[Tensor, "tokens dim"]:
    """Positions of all tokens in (t, h, w) order.

    Args:
        kind: ``"sinusoid"`` over the flattened index (Vaswani et al. 2017, as in VideoMAE), or
            ``"sinusoid_3d"``: about a third of the features for each of t, h and w.
        grid: tokens along (t, h, w).
        dim: features of a token, even.
        trained_grid: grid to interpolate from, if it is another one.
    """
    source = trained_grid or grid
    table = (_flattened if kind == "sinusoid" else _factorised)(source, dim)
    positions = torch.from_numpy(table.astype(np.float32))
    if source != grid:
        positions = _interpolate(positions, source, grid)
    # a model built on the meta device still has its positions
    device = torch.get_default_device()
    return positions if device.type == "meta" else positions.to(device)


def _sinusoid(index: Float[np.ndarray, " n"], dim: int) -> Float[np.ndarray, "n {dim}"]:
    """Entry (pos, j) is sin or cos of pos / 10000^(2⌊j/2⌋/dim), sine at even j."""
    feature = np.arange(dim)
    angle = index[:, None] / 10000 ** (2 * (feature // 2) / dim)  # (n, dim)
    return np.where(feature % 2 == 0, np.sin(angle), np.cos(angle))


def _flattened(grid: TokenGrid, dim: int) -> Float[np.ndarray, "tokens {dim}"]:
    return _sinusoid(np.arange(np.prod(grid), dtype=np.float64), dim)


def _factorised(grid: TokenGrid, dim: int) -> Float[np.ndarray, "tokens {dim}"]:
    across = 2 * (dim // 6)
    axes = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in grid), indexing="ij")
    widths = (dim - 2 * across, across, across)
    parts = [_sinusoid(axis.ravel(), width) for axis, width in zip(axes, widths, strict=True)]
    return np.concatenate(parts, axis=1)


def _interpolate(
    positions: Float[Tensor, "old dim"], source: TokenGrid, grid: TokenGrid
) -> Float[Tensor, "new dim"]:
    volume = positions.T.unflatten(1, source)[None]  # (1, dim, t, h, w)
    resized = F.interpolate(volume, size=grid, mode="trilinear", align_corners=False)
    return resized[0].flatten(1).T.contiguous()  # (tokens, dim)
