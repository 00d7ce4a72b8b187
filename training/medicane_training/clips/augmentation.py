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

__all__ = [
    "add_noise",
    "adjust",
    "bend",
    "blur",
    "hide_beyond",
    "move_points",
    "normalised",
    "stretched",
    "warp",
]

LEAST_SEEN = 0.5  # share of a pixel's bilinear weights that must fall on pixels that are there


def stretched(codes: UInt8[Tensor, "B T C H W"]) -> Float[Tensor, "B T C H W"]:
    """Values 0 … 1 of codes; NaN for missing pixels."""
    return torch.where(codes == MISSING, torch.nan, codes.float() / LEVELS)


def normalised(
    values: Float[Tensor, "B T bands H W"], processor: MedicaneProcessor
) -> Float[Tensor, "B T C H W"]:
    """As :meth:`MedicaneProcessor.normalise`: missing pixels become 0, the mean, or are marked."""
    mean, std = (values.new_tensor(v)[:, None, None] for v in (processor.mean, processor.std))
    bands = torch.nan_to_num((values - mean) / std, nan=0.0)
    if not processor.marks_missing:
        return bands
    seen = values.isfinite().all(dim=2, keepdim=True)
    return torch.cat([bands, seen.to(bands.dtype)], dim=2)


def adjust(
    values: Float[Tensor, "B T C H W"], gain: Float[Tensor, "B C"], offset: Float[Tensor, "B C"]
) -> Float[Tensor, "B T C H W"]:
    """(v - ½)·gain + ½ + offset, kept in 0 … 1, the same in all frames of a clip."""
    gain, offset = (v[:, None, :, None, None] for v in (gain, offset))
    return ((values - 0.5) * gain + (0.5 + offset)).clamp(0, 1)


def bend(
    values: Float[Tensor, "B T C H W"], curve: Float[Tensor, "B 2"]
) -> Float[Tensor, "B T C H W"]:
    """Grey levels v + v·(1 - v)·(a + b·(1 - 2v)), which rise everywhere while |a| + |b| < 1.

    Args:
        values: 0 … 1, whose ends stay.
        curve: a and b of each view.
    """
    first, second = (v[:, None, None, None, None] for v in curve.unbind(1))
    return values + values * (1 - values) * (first + second * (1 - 2 * values))


def blur(
    values: Float[Tensor, "B T C H W"], share: Float[Tensor, " B"]
) -> Float[Tensor, "B T C H W"]:
    """Move each pixel towards the mean of the 3 × 3 around it; missing ones neither take nor give.

    Args:
        values: of views.
        share: of the way, 0 … 1, for each view.
    """
    there = ~values.isnan()
    total, weight = _box_sum(values.nan_to_num(0.0)), _box_sum(there.to(values.dtype))
    return torch.lerp(values, total / weight, share[:, None, None, None, None])


def _box_sum(values: Float[Tensor, "*n H W"]) -> Float[Tensor, "*n H W"]:
    """Sums over 3 × 3 pixels; nothing lies outside."""
    padded = nn.pad(values, (1, 1, 1, 1))
    rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]


def add_noise(
    values: Float[Tensor, "B T C H W"], deviation: Float[Tensor, " B"]
) -> Float[Tensor, "B T C H W"]:
    """Normal noise, new in each pixel, from the device's own generator, which each step seeds."""
    return values + deviation[:, None, None, None, None] * torch.randn_like(values)


def hide_beyond(
    values: Float[Tensor, "B T C H W"], borders: Float[Tensor, "B lines 3"]
) -> Float[Tensor, "B T C H W"]:
    """Make pixels missing where a·x + b·y > c for any of the lines (a, b, c) about the middle."""
    pixels = _pixels(borders, values.shape[-1])
    beyond = torch.einsum("bla,hwa->blhw", borders[..., :2], pixels) > borders[..., 2, None, None]
    return values.masked_fill(beyond.any(1)[:, None, None], torch.nan)


def warp(
    codes: UInt8[Tensor, "B T C H W"],
    matrix: Float[Tensor, "B 2 2"],
    shift: Float[Tensor, "B 2"] | None = None,
    size: int | None = None,
) -> Float[Tensor, "B T C h w"]:
    """Move what is at pixel p to middle' + matrix·(p - middle) + shift, in all frames alike.

    Pixels are interpolated bilinearly. One is missing where less than half its weight falls on
    pixels that are there; others are the mean of those.

    Args:
        codes: of square frames, see `stretched`.
        matrix: about their middle.
        shift: pixels of the result; None is 0.
        size: of the result, whose middle is middle'; None is that of the frames.
    """
    grid = _sources(matrix, shift, size or codes.shape[-1]) * (2 / codes.shape[-1])
    missing = codes == MISSING
    known = codes.masked_fill(missing, 0).float().div_(LEVELS)
    seen = (~missing[:, :, :1]).float()  # a pixel is missing in every band
    total, weight = (
        nn.grid_sample(
            part.flatten(1, 2), grid, padding_mode="zeros", align_corners=False
        ).unflatten(1, part.shape[1:3])
        for part in (known, seen)
    )
    return (total / weight).masked_fill(weight < LEAST_SEEN, torch.nan)


def _sources(
    matrix: Float[Tensor, "B 2 2"], shift: Float[Tensor, "B 2"] | None, size: int
) -> Float[Tensor, "B h w 2"]:
    """Where each pixel of the result comes from, (x, y) in pixels from the frames' middle."""
    inverse = torch.linalg.inv(matrix)
    sources = torch.einsum("bij,hwj->bhwi", inverse, _pixels(matrix, size))
    if shift is None:
        return sources
    return sources - torch.einsum("bij,bj->bi", inverse, shift)[:, None, None]


def _pixels(like: Tensor, size: int) -> Float[Tensor, "h w 2"]:
    """(x, y) of the pixels of a square, counted from its middle."""
    axis = torch.arange(size, device=like.device, dtype=like.dtype) - (size - 1) / 2
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)


def move_points(
    points: Float[Tensor, "B 2"],
    matrix: Float[Tensor, "B 2 2"],
    size: int,
    shift: Float[Tensor, "B 2"] | None = None,
    new_size: int | None = None,
) -> Float[Tensor, "B 2"]:
    """Where :func:`warp` takes pixels (x, y) of a frame of ``size`` pixels."""
    moved = torch.einsum("bij,bj->bi", matrix, points - (size - 1) / 2)
    moved = moved if shift is None else moved + shift
    return moved + ((new_size or size) - 1) / 2
