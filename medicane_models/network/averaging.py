"""Averaging over several views of a clip: flips, rotations and shifted tiles.

A forecast averaged over the eight ways to turn and mirror a square tile errs less than that of
one. Mirrored cyclones turn the other way round, so a model gains only if it was trained so too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medicane_models.errors import ConfigurationError
from medicane_models.network.heads import HeatmapHead
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.outputs import ClassificationOutput, TrackingOutput

__all__ = ["EIGHT_WAYS", "FLIPS", "VIEWS", "View", "average_classification", "average_tracking"]


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

    def undo_raw(self, raw: Float[Tensor, "b *three i j"]) -> Float[Tensor, "b *three i j"]:
        """A heatmap head's outputs for the view, for the tile."""
        axes = [axis for axis, flip in ((-1, self.flip_x), (-2, self.flip_y)) if flip]
        turned = raw.flip(axes)
        turned = turned.transpose(-1, -2) if self.transpose else turned
        if raw.ndim == 3:
            return turned
        logits, x, y = turned.unbind(1)
        x, y = -x if self.flip_x else x, -y if self.flip_y else y
        return torch.stack((logits, *((y, x) if self.transpose else (x, y))), 1)

    def undo_covariance(self, covariance: Float[Tensor, "b 2 2"]) -> Float[Tensor, "b 2 2"]:
        """A covariance found in the view, along the frame's axes."""
        signs = covariance.new_tensor(
            [-1.0 if flip else 1.0 for flip in (self.flip_x, self.flip_y)]
        )
        plain = covariance * signs[:, None] * signs
        return plain.flip(1, 2) if self.transpose else plain


FLIPS = tuple(View(flip_x=x, flip_y=y) for x in (False, True) for y in (False, True))
"""The tile, mirrored in x, in y, and in both, which is half a turn."""

EIGHT_WAYS = (*FLIPS, *(View(transpose=True, flip_x=v.flip_x, flip_y=v.flip_y) for v in FLIPS))
"""All mirrorings and quarter turns of a square tile."""


VIEWS: Mapping[str, tuple[View, ...]] = {
    "one": (View(),),
    "flips": FLIPS,
    "eight": EIGHT_WAYS,
}
"""What the configuration's ``views`` name."""


def average_classification(
    model: MedicaneForVideoClassification,
    frames: Float[Tensor, "b t c rows columns"],
    views: Sequence[View] | None = None,
) -> ClassificationOutput:
    """Classes by the mean over views of softmax(logits), calibrated thereafter.

    Args:
        model: in evaluation mode.
        frames: normalised, of the model's tile size or, with offsets, larger.
        views: at least one; None takes the model's own.

    Raises:
        ConfigurationError: a view does not fit the frames.
    """
    views = VIEWS[model.config.views] if views is None else views
    seen = torch.cat([view.apply(frames, model.config.frame_size) for view in views])
    output = model(seen)
    if len(views) == 1:
        return output
    likely = output.logits.float().softmax(-1).unflatten(0, (len(views), -1)).mean(0)
    logits = likely.log()
    return ClassificationOutput(
        logits=logits, probabilities=(logits / model.config.temperature).softmax(-1)
    )


def average_tracking(
    model: MedicaneForTracking,
    frames: Float[Tensor, "b t c rows columns"],
    views: Sequence[View] | None = None,
) -> TrackingOutput:
    """Centres by several views, in pixels of the frames.

    Heatmaps of one tile are averaged, so that a peak that few views see does not count. Where
    there are none, or views show different tiles, it is the mean of the centres; then the
    covariance is the mean one and the spread of the centres, and there is no heatmap.

    Args:
        model: in evaluation mode.
        frames: normalised, of the model's tile size or, with offsets, larger.
        views: at least one; None takes the model's own.

    Raises:
        ConfigurationError: a view does not fit the frames.
    """
    views = VIEWS[model.config.views] if views is None else views
    size, head = model.config.frame_size, model.head
    seen = torch.cat([view.apply(frames, size) for view in views])
    raw = model.forward_raw(seen).unflatten(0, (len(views), -1)).unbind()
    pairs = list(zip(views, raw, strict=True))
    if isinstance(head, HeatmapHead) and {view.offset for view in views} == {(0, 0)}:
        return head.decode(head.mean([view.undo_raw(values) for view, values in pairs]))
    return _mean_centre([_undone(view, head.decode(values), size) for view, values in pairs])


def _undone(view: View, output: TrackingOutput, size: tuple[int, int]) -> TrackingOutput:
    return TrackingOutput(
        center=view.undo(output.center, size), covariance=view.undo_covariance(output.covariance)
    )


def _mean_centre(outputs: Sequence[TrackingOutput]) -> TrackingOutput:
    centers = torch.stack([output.center for output in outputs])  # (views, b, 2)
    center = centers.mean(0)
    apart = centers - center
    spread = torch.einsum("vbi,vbj->vbij", apart, apart)
    within = torch.stack([output.covariance for output in outputs])
    return TrackingOutput(center=center, covariance=(within + spread).mean(0))
