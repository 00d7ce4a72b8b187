"""What stands before a model inside a graph: from brightness temperatures to normalised clips.

Letters: b clips, t frames, k channels in kelvin, c bands, h rows, w columns.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.tiles import share_of_a_frame

__all__ = ["KelvinFront"]

NO_DATA_K = 250.0  # any finite value does: what stands there is not used


class KelvinFront(nn.Module):
    """What a processor and a clip reader do, from kelvin to normalised clips."""

    mean: Tensor
    std: Tensor
    far: Tensor

    def __init__(self, processor: MedicaneProcessor) -> None:
        super().__init__()
        self.bands = processor.bands
        self.places = {name: index for index, name in enumerate(processor.channels)}
        self.marks_missing = processor.marks_missing
        self.max_missing = processor.max_missing
        self.enough = math.ceil(share_of_a_frame(processor) * processor.tile_size**2)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(processor, name))[:, None, None])
        slots = torch.arange(processor.num_frames)
        apart = slots - slots[:, None]
        # of two frames as near the earlier is taken
        self.register_buffer("far", (2 * apart.abs() + (apart > 0)).float())

    def forward(
        self, kelvin: Float[Tensor, "b t k h w"]
    ) -> tuple[Float[Tensor, "b t c h w"], Int[Tensor, " b"], Bool[Tensor, " b"]]:
        """Normalised clips, how many of their frames were missing, and whether too many.

        Frames with too few pixels are filled from the nearest or, where missing pixels are marked,
        nothing but missing; missing pixels become the mean.
        """
        absent = torch.isnan(kelvin.sum(2, keepdim=True))  # (b, t, 1, h, w)
        image = torch.stack(self._stretched(kelvin.masked_fill(absent, NO_DATA_K)), 2)
        pixels = ((image - self.mean) / self.std).masked_fill(absent, 0.0)  # (b, t, c, h, w)
        present = (~absent).float().sum((2, 3, 4)) >= self.enough  # (b, t)
        missing = (~present).long().sum(1)
        refused = missing > self.max_missing
        if self.marks_missing:
            return self._marked(pixels, absent, present), missing, refused | ~present[:, -1]
        return self._filled(pixels, present), missing, refused

    def _stretched(self, kelvin: Float[Tensor, "b t k h w"]) -> list[Float[Tensor, "b t h w"]]:
        bands = []
        for band in self.bands:
            value = kelvin[:, :, self.places[band.channel]]
            if band.minus is not None:
                value = value - kelvin[:, :, self.places[band.minus]]
            bands.append(((value - band.low) / (band.high - band.low)).clamp(0, 1))
        return bands

    def _marked(
        self, pixels: Float[Tensor, "b t bands h w"], absent: Tensor, present: Tensor
    ) -> Float[Tensor, "b t c h w"]:
        unseen = absent | ~present[:, :, None, None, None]
        return torch.cat([pixels.masked_fill(unseen, 0.0), (~unseen).to(pixels.dtype)], 2)

    def _filled(
        self, pixels: Float[Tensor, "b t c h w"], present: Tensor
    ) -> Float[Tensor, "b t c h w"]:
        frames = len(self.far)
        cost = self.far + (~present).float()[:, None] * (3 * frames)  # (b, t, from)
        first = torch.arange(pixels.shape[0], device=pixels.device)[:, None] * frames
        source = (cost.argmin(2) + first).flatten()
        return pixels.flatten(0, 1)[source].unflatten(0, (-1, frames))
