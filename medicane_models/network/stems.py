"""Convolutions that read frames for the transformer, from timm's layers.

Shapes: b clips, t frames, f frames of all clips together, c channels, h rows, w columns.
"""

import copy
from typing import TypeVar

import torch
from jaxtyping import Float
from timm.layers.conv_bn_act import ConvNormAct
from timm.models.resnet import BasicBlock
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from medicane_models.network.configuration import MedicaneConfig

__all__ = ["Stem", "with_folded_norms"]

M = TypeVar("M", bound=nn.Module)
FrameCount = int | torch.SymInt
"""A number of frames, which is a symbol where a model is exported for any number of clips."""


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
        length = clip.shape[1]
        frames = clip.transpose(0, 1).flatten(0, 1)  # (f, c, h, w), the newest last
        views = self._views(frames, older=(length - 1) * clip.shape[0])
        return [view.unflatten(0, (length, -1)).transpose(0, 1) for view in views]

    def newest(self, clip: Float[Tensor, "b t c h w"]) -> list[Float[Tensor, "b _ _ _ _"]]:
        """The same of clips all whose older frames are taken for missing, 0 in all channels.

        Those look alike and are seen once. Features of the finer stages are of the newest alone.
        """
        frames = torch.cat((clip.new_zeros(1, *clip.shape[2:]), clip[:, -1]))  # (1 + b, c, h, w)
        views = self._views(frames, older=1)
        *finer, newest = (view[1:, None] for view in views)
        older = views[-1][:1, None].expand(clip.shape[0], clip.shape[1] - 1, -1, -1, -1)
        return [*finer, torch.cat((older, newest), 1)]

    def _views(
        self, frames: Float[Tensor, "f c h w"], *, older: FrameCount
    ) -> list[Float[Tensor, "f _ _ _"]]:
        frames = frames.to(next(self.parameters()).dtype)
        frames = frames.contiguous(memory_format=torch.channels_last)
        views = []
        for stage in self.stages:
            frames = stage(frames, older)
            views.append(frames)
        return views


class Stage(nn.Module):
    """A strided 3 × 3 convolution, batch norm and ReLU; perhaps a residual block.

    The block, three quarters of the cost, looks at the newest frame of a clip only.
    """

    def __init__(self, inputs: int, width: int, *, residual: bool) -> None:
        super().__init__()
        self.halving = ConvNormAct(inputs, width, kernel_size=3, stride=2)
        self.block = BasicBlock(width, width) if residual else None

    def forward(
        self, frames: Float[Tensor, "f c h w"], older: FrameCount
    ) -> Float[Tensor, "f _ _ _"]:
        """Half as many rows and columns of frames, the first ``older`` not the newest of clips."""
        frames = self.halving(frames)
        if self.block is None:
            return frames
        return torch.cat((frames[:older], self.block(frames[older:])))

    def fold(self) -> None:
        """Let the convolutions do what the norms do in evaluation mode, once and for all."""
        halving, block = self.halving, self.block
        halving.conv, halving.bn = _folded(halving.conv, halving.bn), halving.bn.act
        if block is not None:
            block.conv1, block.bn1 = _folded(block.conv1, block.bn1), nn.Identity()
            block.conv2, block.bn2 = _folded(block.conv2, block.bn2), nn.Identity()


def with_folded_norms(model: M) -> M:
    """A copy of a model in evaluation mode, for inference: its stem has no norms of its own.

    The weights of all but the stem are those of the model itself, not copies.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    folded = copy.deepcopy(model, shared)
    for module in folded.modules():
        if isinstance(module, Stage):
            module.fold()
    return folded


def _folded(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d:
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(convolution, norm)
