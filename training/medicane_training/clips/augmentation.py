"""What is done to the pixels of a view, on any device, and to its target with them.

Letters: B clips, T frames, C bands, H rows, W columns.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as nn

from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.clip_store import LEVELS
from medicane_training.store.shards import MISSING

__all__ = ["adjust", "move_points", "normalised", "stretched", "warp"]

LEAST_SEEN = 0.5  # share of a pixel's bilinear weights that must fall on pixels that are there


def stretched(codes: UInt8[Tensor, "B T C H W"]) -> Float[Tensor, "B T C H W"]:
    """Values 0 … 1 of codes; NaN for missing pixels."""
    return torch.where(codes == MISSING, torch.nan, codes.float() / LEVELS)


def normalised(
    values: Float[Tensor, "B T C H W"], processor: MedicaneProcessor
) -> Float[Tensor, "B T C H W"]:
    """As :meth:`MedicaneProcessor.normalise`: missing pixels become 0, the mean."""
    mean, std = (values.new_tensor(v)[:, None, None] for v in (processor.mean, processor.std))
    return torch.nan_to_num((values - mean) / std, nan=0.0)


def adjust(
    values: Float[Tensor, "B T C H W"], gain: Float[Tensor, "B C"], offset: Float[Tensor, "B C"]
) -> Float[Tensor, "B T C H W"]:
    """(v - ½)·gain + ½ + offset, kept in 0 … 1, the same in all frames of a clip."""
    gain, offset = (v[:, None, :, None, None] for v in (gain, offset))
    return ((values - 0.5) * gain + (0.5 + offset)).clamp(0, 1)


def warp(
    values: Float[Tensor, "B T C H W"], matrix: Float[Tensor, "B 2 2"]
) -> Float[Tensor, "B T C H W"]:
    """Move what is at pixel p to middle + matrix·(p - middle), bilinearly, in all frames alike.

    A pixel is missing where less than half its weight falls on pixels that are there; others are
    the mean of those.
    """
    size = values.shape[-1]
    flat = values.flatten(1, 2)  # (B, T·C, H, W)
    grid = _sources(matrix, size).to(flat.dtype)
    there = ~flat.isnan()
    total, weight = (
        nn.grid_sample(part, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        for part in (torch.where(there, flat, 0), there.to(flat.dtype))
    )
    moved = torch.where(weight >= LEAST_SEEN, total / weight, torch.nan)
    return moved.view_as(values)


def _sources(matrix: Float[Tensor, "B 2 2"], size: int) -> Float[Tensor, "B H W 2"]:
    """Where each pixel comes from, (x, y) in units of half a tile from its middle."""
    axis = torch.arange(size, device=matrix.device, dtype=matrix.dtype) - (size - 1) / 2
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)  # (H, W, 2)
    return torch.einsum("bij,hwj->bhwi", torch.linalg.inv(matrix), pixels) * (2 / size)


def move_points(
    points: Float[Tensor, "B 2"], matrix: Float[Tensor, "B 2 2"], size: int
) -> Float[Tensor, "B 2"]:
    """Where :func:`warp` takes pixels (x, y) of the tile."""
    middle = (size - 1) / 2
    return torch.einsum("bij,bj->bi", matrix, points - middle) + middle
