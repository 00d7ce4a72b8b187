"""What the pretraining decoder is to reconstruct: pixels normalised in each token and channel.

Shapes: b clips, m tokens, p pixels of a token (frame, row, column), c channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Targets", "make_targets", "masked_mean_square"]

EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Normalised pixels and what they were normalised with: pixels = values · scale + mean."""

    values: Float[Tensor, "b m p c"]
    mean: Float[Tensor, "b m 1 c"]
    scale: Float[Tensor, "b m 1 c"]


def make_targets(
    tubelets: Float[Tensor, "b m c frames rows columns"],
    channel_std: Sequence[float],
    valid: Bool[Tensor, "b m p 1"] | None = None,
) -> Targets:
    """(v − mean) / (√(unbiased variance) + 1e-6) of each token and channel, v in 0 … 1.

    Args:
        tubelets: pixels as the model gets them, that is (v − channel mean) / channel_std.
        channel_std: what the pixels were divided by; only the epsilon depends on it.
        valid: pixels that hold data, where not all do.
    """
    pixels = tubelets.float().flatten(3).transpose(2, 3)  # (b, m, p, c)
    if valid is None:
        variance, mean = torch.var_mean(pixels, 2, keepdim=True)
    else:
        variance, mean = _masked_var_mean(pixels, valid)
    scale = variance.sqrt() + EPS / pixels.new_tensor(channel_std)
    return Targets(values=(pixels - mean) / scale, mean=mean, scale=scale)


def masked_mean_square(
    prediction: Float[Tensor, "b m values"],
    targets: Targets,
    scored: Bool[Tensor, "b m"],
    valid: Bool[Tensor, "b m p 1"] | None = None,
) -> Float[Tensor, ""]:
    """Mean squared error over the values of scored tokens that hold data."""
    error = prediction.float().view_as(targets.values) - targets.values
    counted = scored[:, :, None, None]
    if valid is not None:
        counted = counted & valid  # (b, m, p, 1)
        return (error.square() * counted).sum() / (counted.sum() * error.shape[3]).clamp_min(1)
    by_token = error.square().flatten(2).mean(2)  # (b, m)
    return (by_token * scored).sum() / scored.sum()


def _masked_var_mean(
    pixels: Float[Tensor, "b m p c"], valid: Bool[Tensor, "b m p 1"]
) -> tuple[Float[Tensor, "b m 1 c"], Float[Tensor, "b m 1 c"]]:
    count = valid.sum(2, keepdim=True)
    mean = (pixels * valid).sum(2, keepdim=True) / count.clamp_min(1)
    squares = ((pixels - mean).square() * valid).sum(2, keepdim=True)
    return squares / (count - 1).clamp_min(1), mean
