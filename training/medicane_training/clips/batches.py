"""A batch of clips, and what is still to be done to its views.

Letters: B clips (views counted), T frames, C bands, H rows, W columns, S side of what was read.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from medicane_models.errors import ConfigurationError
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.clips.augmentation import (
    add_noise,
    adjust,
    bend,
    blur,
    hide_beyond,
    move_points,
    normalised,
    stretched,
    warp,
)

__all__ = ["ClipBatch", "ViewTransforms"]


@dataclass(frozen=True, kw_only=True)
class ViewTransforms:
    """What is still to be done to the pixels of each view, in the order of the attributes.

    Attributes:
        matrix: of the map from the frames that were read to the tile, see `warp`.
        shift: of this map, pixels of the tile.
        blur: see `blur`; None for none, as below.
        noise: standard deviation.
        curve: see `bend`.
        gain: see `adjust`.
        offset: see `adjust`.
        borders: see `hide_beyond`.
        forced: no draw could be used, and the clip's own tile is shown.
    """

    matrix: Float[Tensor, "B 2 2"]
    shift: Float[Tensor, "B 2"]
    blur: Float[Tensor, " B"] | None
    noise: Float[Tensor, " B"] | None
    curve: Float[Tensor, "B 2"] | None
    gain: Float[Tensor, "B C"]
    offset: Float[Tensor, "B C"]
    borders: Float[Tensor, "B lines 3"] | None
    forced: Bool[Tensor, " B"]

    @property
    def scale(self) -> Float[Tensor, " B"]:
        """How much each view is magnified."""
        return torch.linalg.det(self.matrix).abs().sqrt()

    def shown(self, codes: UInt8[Tensor, "B T C S S"], size: int) -> Float[Tensor, "B T C H W"]:
        """Tiles of ``size`` pixels, stretched, of what was read."""
        values = warp(codes, self.matrix, self.shift, size)
        if self.blur is not None:
            values = blur(values, self.blur)
        if self.noise is not None:
            values = add_noise(values, self.noise)
        if self.curve is not None:
            values = bend(values.clamp(0, 1), self.curve)
        values = adjust(values, self.gain, self.offset)
        return values if self.borders is None else hide_beyond(values, self.borders)

    def changed(self, change: Callable[[Tensor], Tensor]) -> "ViewTransforms":
        """With every tensor changed alike."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(self, **{name: change(value) for name, value in given.items()})


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """Clips as the store keeps them, a quarter of the bytes of what a model reads.

    Attributes:
        codes: 0 … 254 for 0 … 1, 255 where missing; of views of local planes the whole samples.
        clip: row in the store's index.
        label: 0 no cyclone, 1 cyclone, 2 beside one, -1 unknown.
        center: pixel (x, y) of the codes where the centre is in the last frame; NaN without one.
        views: what augmentation has left to do; None after it, or without any.
        num_views: of each clip, one after the other.
    """

    codes: UInt8[Tensor, "B T C H W"]
    clip: Int64[Tensor, " B"]
    label: Int64[Tensor, " B"]
    center: Float[Tensor, "B 2"]
    views: ViewTransforms | None = None
    num_views: int = 1

    def __len__(self) -> int:
        """Views of all clips."""
        return len(self.codes)

    @property
    def forced_views(self) -> float:
        """Share of the views for which no draw could be used, see `ViewTransforms.forced`."""
        return 0.0 if self.views is None else float(self.views.forced.float().mean())

    def split(self, parts: int) -> "list[ClipBatch]":
        """The batch in equal contiguous parts; the views of a clip stay together.

        Raises:
            ConfigurationError: if the number of clips is no multiple of ``parts``.
        """
        clips = len(self) // self.num_views
        if clips % parts:
            raise ConfigurationError(
                f"{clips} clips of a process in a step cannot be computed in {parts} equal parts; "
                "make training.global_batch a multiple of training.accumulation and the number of "
                "processes"
            )
        size = len(self) // parts
        slices = [slice(first, first + size) for first in range(0, len(self), size)]
        return [self._map(operator.itemgetter(rows)) for rows in slices]

    def to(self, device: str | torch.device, *, non_blocking: bool = False) -> "ClipBatch":
        """The batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "ClipBatch":
        """The batch in page-locked memory, as DataLoader asks for it."""
        return self._map(torch.Tensor.pin_memory)

    def pixel_values(
        self, processor: MedicaneProcessor
    ) -> tuple[Float[Tensor, "B T C H W"], Float[Tensor, "B 2"]]:
        """What a model reads, and the centres in it, with the views' transforms done."""
        values, center = self.stretched(processor.tile_size)
        return normalised(values, processor), center

    def stretched(self, size: int) -> tuple[Float[Tensor, "B T C H W"], Float[Tensor, "B 2"]]:
        """The same before it is normalised: values 0 … 1, NaN where pixels are missing.

        Args:
            size: of a tile.
        """
        views = self.views
        if views is None:
            return stretched(self.codes), self.center
        whole = self.codes.shape[-1]
        center = move_points(self.center, views.matrix, whole, views.shift, size)
        return views.shown(self.codes, size), center

    def _map(self, change: Callable[[Tensor], Tensor]) -> "ClipBatch":
        tensors = {
            name: change(getattr(self, name)) for name in ("codes", "clip", "label", "center")
        }
        views = self.views and self.views.changed(change)
        return replace(self, **tensors, views=views)
