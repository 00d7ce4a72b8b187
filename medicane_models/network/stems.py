"""Convolutions that read frames for the transformer, from timm's layers.

Shapes: b clips, t frames, f frames of all clips together, c channels, h rows, w columns.
"""

import torch
from jaxtyping import Float
from timm.layers.conv_bn_act import ConvNormAct
from timm.models.resnet import BasicBlock
from torch import Tensor, nn

from medicane_models.network.configuration import MedicaneConfig

__all__ = ["Stem"]


class Stem(nn.Module):
    """Halves frames stage by stage, down to one position a patch; every frame alone.

    In training the norms of its stages take the statistics of all frames that a process has.
    """

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__()
        self.widths = config.stem_widths
        inputs = (config.in_channels, *self.widths[:-1])
        self.stages = nn.ModuleList(
            # a block in the first stage would cost as much as all others together
            Stage(before, width, residual=config.stem == "residual" and index > 0)
            for index, (before, width) in enumerate(zip(inputs, self.widths, strict=True))
        )

    def forward(self, clip: Float[Tensor, "b t c h w"]) -> list[Float[Tensor, "b t _ _ _"]]:
        """Features of every stage, finest first."""
        dtype, length = next(self.parameters()).dtype, clip.shape[1]
        frames = clip.transpose(0, 1).flatten(0, 1).to(dtype)  # (f, c, h, w), the newest last
        frames = frames.contiguous(memory_format=torch.channels_last)
        views = []
        for stage in self.stages:
            frames = stage(frames, length)
            views.append(frames.unflatten(0, (length, -1)).transpose(0, 1))
        return views


class Stage(nn.Module):
    """A strided 3 × 3 convolution, batch norm and ReLU; perhaps a residual block.

    The block, three quarters of the cost, looks at the newest frame of a clip only.
    """

    def __init__(self, inputs: int, width: int, *, residual: bool) -> None:
        super().__init__()
        self.halving = ConvNormAct(inputs, width, kernel_size=3, stride=2)
        self.block = BasicBlock(width, width) if residual else None

    def forward(self, frames: Float[Tensor, "f c h w"], length: int) -> Float[Tensor, "f _ _ _"]:
        """Half as many rows and columns of frames, ``length`` a clip, the newest of all last."""
        frames = self.halving(frames)
        if self.block is None:
            return frames
        *older, newest = frames.unflatten(0, (length, -1))
        return torch.cat((*older, self.block(newest)))
