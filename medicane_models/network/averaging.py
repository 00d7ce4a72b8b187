"""Averaging over several views of a clip: flips, rotations and shifted tiles.

A forecast averaged over the eight ways to turn and mirror a square tile errs less than that of
one. Mirrored cyclones turn the other way round, so a model gains only if it was trained so too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medicane_models.errors import ConfigurationError
from medicane_models.network.heads import HeatmapHead
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.outputs import ClassificationOutput, TrackingOutput

__all__ = [
    "EIGHT_WAYS",
    "FLIPS",
    "View",
    "average_classification",
    "average_heatmaps",
    "average_tracking",
]


@dataclass(frozen=True, kw_only=True)
class View:
    """One way to cut and turn a tile out of a frame.

    The tile at ``offset`` is cut, then mirrored along its diagonal, then in x, then in y.

    Attributes:
        offset: (x, y) of the tile's first pixel in the frame.
        transpose: swap rows and columns; needs a square tile.
        flip_x: mirror left and right.
        flip_y: mirror up and down.
    """

    offset: tuple[int, int] = (0, 0)
    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(
        self, frames: Float[Tensor, "b t c rows columns"], size: tuple[int, int]
    ) -> Float[Tensor, "b t c h w"]:
        """The view of tiles of ``size`` (height, width).

        Raises:
            ConfigurationError: the tile reaches out of the frame, or is to be transposed without
                being square.
        """
        (x, y), (height, width) = self.offset, size
        rows, columns = frames.shape[3:]
        if not (0 <= x <= columns - width and 0 <= y <= rows - height):
            raise ConfigurationError(
                f"a tile of {height} × {width} at offset {self.offset} (x, y) leaves the frame of "
                f"{rows} × {columns}; give larger frames or smaller offsets"
            )
        if self.transpose and height != width:
            raise ConfigurationError(
                f"a tile of {height} × {width} cannot be transposed; use FLIPS"
            )
        tile = frames[..., y : y + height, x : x + width]
        tile = tile.transpose(3, 4) if self.transpose else tile
        axes = [axis for axis, flip in ((4, self.flip_x), (3, self.flip_y)) if flip]
        return tile.flip(axes)

    def undo(self, center: Float[Tensor, "b 2"], size: tuple[int, int]) -> Float[Tensor, "b 2"]:
        """A centre (x, y) found in the view, in pixels of the frame."""
        height, width = size
        x, y = center.unbind(1)
        y = height - 1 - y if self.flip_y else y
        x = width - 1 - x if self.flip_x else x
        plain = torch.stack((y, x) if self.transpose else (x, y), 1)
        return plain + plain.new_tensor(self.offset)

    def undo_covariance(self, covariance: Float[Tensor, "b 2 2"]) -> Float[Tensor, "b 2 2"]:
        """A covariance found in the view, along the frame's axes."""
        signs = covariance.new_tensor(
            [-1.0 if flip else 1.0 for flip in (self.flip_x, self.flip_y)]
        )
        plain = covariance * signs[:, None] * signs
        return plain.flip(1, 2) if self.transpose else plain

    def undo_map(self, values: Float[Tensor, "b i j"]) -> Float[Tensor, "b i j"]:
        """A map over the tile found in the view, as the tile lies in the frame."""
        axes = [axis for axis, flip in ((2, self.flip_x), (1, self.flip_y)) if flip]
        plain = values.flip(axes)
        return plain.transpose(1, 2) if self.transpose else plain


FLIPS = tuple(View(flip_x=x, flip_y=y) for x in (False, True) for y in (False, True))
"""The tile, mirrored in x, in y, and in both, which is half a turn."""

EIGHT_WAYS = (*FLIPS, *(View(transpose=True, flip_x=v.flip_x, flip_y=v.flip_y) for v in FLIPS))
"""All mirrorings and quarter turns of a square tile."""


def average_classification(
    model: MedicaneForVideoClassification,
    frames: Float[Tensor, "b t c rows columns"],
    views: Sequence[View] = FLIPS,
) -> ClassificationOutput:
    """Classes by the mean of the calibrated probabilities over views.

    Args:
        model: in evaluation mode.
        frames: normalised, of the model's tile size or, with offsets, larger.
        views: at least one.

    Raises:
        ConfigurationError: a view does not fit the frames.
    """
    outputs = [model(view.apply(frames, model.config.frame_size)) for view in views]
    probabilities = torch.stack([output.probabilities for output in outputs]).mean(0)
    # such logits as give these probabilities at the model's temperature
    logits = probabilities.log() * model.config.temperature
    return ClassificationOutput(logits=logits, probabilities=probabilities)


def average_tracking(
    model: MedicaneForTracking,
    frames: Float[Tensor, "b t c rows columns"],
    views: Sequence[View] = FLIPS,
) -> TrackingOutput:
    """Centres by the mean over views, in pixels of the frames.

    The covariance is that of the mixture of the views' distributions about its mean: the mean
    covariance and the spread of the centres. It holds no heatmap, which views may not share.

    Args:
        model: in evaluation mode.
        frames: normalised, of the model's tile size or, with offsets, larger.
        views: at least one.

    Raises:
        ConfigurationError: a view does not fit the frames.
    """
    size = model.config.frame_size
    outputs = [model(view.apply(frames, size)) for view in views]
    pairs = list(zip(views, outputs, strict=True))
    centers = torch.stack([view.undo(out.center, size) for view, out in pairs])  # (views, b, 2)
    within = torch.stack([view.undo_covariance(out.covariance) for view, out in pairs])
    center = centers.mean(0)
    apart = centers - center
    spread = torch.einsum("vbi,vbj->vbij", apart, apart)
    return TrackingOutput(center=center, covariance=(within + spread).mean(0))


def average_heatmaps(
    model: MedicaneForTracking,
    frames: Float[Tensor, "b t c rows columns"],
    views: Sequence[View] = FLIPS,
) -> TrackingOutput:
    """The mean over views of the distribution of the centre, and its centre and covariance.

    Where views disagree the map has several peaks, of which the head takes the highest, or their
    mean, as it does with that of one view.

    Args:
        model: with a heatmap head, in evaluation mode.
        frames: normalised, of the model's tile size.
        views: at least one, without offsets.

    Raises:
        ConfigurationError: the model has no heatmap, or a view has an offset.
    """
    if not isinstance(model.head, HeatmapHead) or model.head.offset:
        raise ConfigurationError(
            "heat maps of views can be averaged of a heatmap head without heatmap_offset; take "
            "average_tracking"
        )
    if any(any(view.offset) for view in views):
        raise ConfigurationError(
            "heat maps of tiles at several offsets are not of one tile; leave the offsets out"
        )
    maps = [_heatmap(model, view, frames) for view in views]
    return model.head.centered(torch.stack(maps).mean(0))


def _heatmap(
    model: MedicaneForTracking, view: View, frames: Float[Tensor, "b t c h w"]
) -> Float[Tensor, "b i j"]:
    heatmap = model(view.apply(frames, model.config.frame_size)).heatmap
    assert heatmap is not None  # the head is one of heat maps
    return view.undo_map(heatmap)
