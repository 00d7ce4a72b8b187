"""What each model returns."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["ClassificationOutput", "PreTrainingOutput", "TrackingOutput"]


@dataclass(frozen=True, kw_only=True)
class ClassificationOutput:
    """Classes of clips.

    Attributes:
        loss: cross-entropy in nats, if labels were given.
        logits: as the head gives them.
        probabilities: softmax(logits / temperature), calibrated if the temperature was fitted.
    """

    loss: Float[Tensor, ""] | None = None
    logits: Float[Tensor, "b classes"]
    probabilities: Float[Tensor, "b classes"]


@dataclass(frozen=True, kw_only=True)
class TrackingOutput:
    """Cyclone centres in the last frame of clips.

    Pixel centres are at whole numbers, so a tile of width W spans −0.5 … W − 0.5.

    Attributes:
        loss: what the head minimises, if labels were given.
        center: (x, y) in tile pixels, x to the right and y down.
        covariance: of the error of `center`, px²; NaN where it was never measured.
        heatmap: probability of each cell, heatmap head only. The cells start one patch outside the
            tile on every side; `cell_px` and `origin_px` place them.
        cell_px: pixels along each side of a heatmap cell.
        origin_px: (x, y) of the middle of the first heatmap cell in tile pixels.
    """

    loss: Float[Tensor, ""] | None = None
    center: Float[Tensor, "b 2"]
    covariance: Float[Tensor, "b 2 2"]
    heatmap: Float[Tensor, "b rows columns"] | None = None
    cell_px: int | None = None
    origin_px: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class PreTrainingOutput:
    """One step of masked video modelling.

    Attributes:
        loss: squared error of the normalised pixels, averaged over a token's values and then over
            the tokens that the encoder did not see and the decoder was asked for.
        reconstruction: normalised pixels of the reconstructed tokens, the values of a token in
            the order (frame, row, column, channel).
        tokens: indices of those tokens in (t, h, w) order.
        scored: whether each counts in the loss.
    """

    loss: Float[Tensor, ""]
    reconstruction: Float[Tensor, "b tokens values"]
    tokens: Int[Tensor, "b tokens"]
    scored: Bool[Tensor, "b tokens"]


for _output in (ClassificationOutput, TrackingOutput, PreTrainingOutput):
    torch.export.register_dataclass(_output)
