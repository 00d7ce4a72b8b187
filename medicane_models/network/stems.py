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
    """Halves a frame stage by stage, down to one position a patch; every frame alone.

    A stage is a strided 3 × 3 convolution, batch norm and ReLU; in a residual stem, one residual
    block more, but in the first stage, where it would cost as much as all others together. In
    training the norms take the statistics of all frames of a batch and of a process.
    """

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__()
        self.widths = config.stem_widths
        inputs = (config.in_channels, *self.widths)
        self.stages = nn.ModuleList(
            _stage(before, width, residual=config.stem == "residual" and index > 0)
            for index, (before, width) in enumerate(zip(inputs, self.widths, strict=False))
        )

    def forward(self, clip: Float[Tensor, "b t c h w"]) -> list[Float[Tensor, "b t _ _ _"]]:
        """Features of every stage, finest first."""
        weight = next(self.parameters())
        frames = clip.flatten(0, 1).to(weight.dtype)  # (f, c, h, w)
        frames = frames.contiguous(memory_format=torch.channels_last)
        features = []
        for stage in self.stages:
            frames = stage(frames)
            features.append(frames.unflatten(0, clip.shape[:2]))
        return features


def _stage(inputs: int, width: int, *, residual: bool) -> nn.Module:
    halving = ConvNormAct(inputs, width, kernel_size=3, stride=2)
    return nn.Sequential(halving, BasicBlock(width, width)) if residual else halving
