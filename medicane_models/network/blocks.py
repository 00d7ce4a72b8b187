"""The parts of the transformer: patch embedding and blocks, on timm's.

Shapes: b clips, t frames, c channels, h rows, w columns, n tokens, d features of a token.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from timm.layers.attention import Attention
from timm.layers.drop import DropPath
from timm.layers.layer_scale import LayerScale
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.kernels import linear, linear_gelu
from medicane_models.network.stems import Stem

__all__ = [
    "INIT_STD",
    "BiasedAttention",
    "Initialiser",
    "PatchEmbed",
    "TargetBlock",
    "compile_blocks",
    "draw_normal",
    "initialise",
    "make_blocks",
    "take_tubelets",
    "token_places",
]

INIT_STD = 0.02


Initialiser = Callable[[Tensor], object]
"""Fills the weight of a linear map with its start values."""


def draw_normal(weight: Tensor) -> None:
    """From a normal distribution.

    VideoMAE cuts it off at ± 2, which is a hundred of its deviations.
    """
    nn.init.normal_(weight, std=INIT_STD)


class PatchEmbed(nn.Module):
    """Tubelets of pixels, or of what a stem makes of them, to tokens.

    The weights are those of a 3-D convolution whose stride is its kernel, which is a matrix
    product over tubelets and runs as one: tokens that are not asked for cost nothing.
    """

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__()
        self.tubelet = (config.tubelet_size, config.patch_size, config.patch_size)
        self.newest_only = config.newest_only
        self.stem = None if config.stem == "patch" else Stem(config)
        channels, kernel = config.in_channels, self.tubelet
        if self.stem is not None:
            channels, kernel = self.stem.widths[-1], (config.tubelet_size, 1, 1)
        self.proj = nn.Conv3d(channels, config.embed_dim, kernel_size=kernel, stride=kernel)

    def tubelets(
        self, clip: Shaped[Tensor, "b t c h w"]
    ) -> Shaped[Tensor, "b tt hh ww c ft ph pw"]:
        """A view of clips, of any number of channels, as a grid of tubelets of pixels."""
        return _tubelets(clip, self.tubelet)

    def forward(
        self, clip: Float[Tensor, "b t c h w"], kept: Int[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Tokens in (t, h, w) order, or only the ``kept`` ones in the order given.

        A stem, whose positions see beyond their patches, gets the others' pixels erased.
        """
        if kept is not None and self.stem is not None:
            tokens = self.tubelets(clip).shape[1:4].numel()
            hidden = torch.ones(len(clip), tokens, dtype=torch.bool, device=clip.device)
            clip = self.erased(clip, hidden.scatter(1, kept, False))
        return self.tokens(self.views(clip)[-1], kept)

    def views(self, clip: Float[Tensor, "b t c h w"]) -> list[Float[Tensor, "b _ _ _ _"]]:
        """Features of the stem's stages, finest first; the pixels where there is no stem."""
        if self.newest_only and self.stem is not None and not self.training:
            return self.stem.newest(clip)
        if self.newest_only:  # missing frames are 0 in all channels
            clip = torch.cat((torch.zeros_like(clip[:, :-1]), clip[:, -1:]), 1)
        return [clip] if self.stem is None else self.stem(clip)

    def tokens(
        self, features: Float[Tensor, "b t c h w"], kept: Int[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Tokens of the coarsest of the `views`."""
        tubelets = _tubelets(features, self.proj.kernel_size)
        if kept is None:
            values = tubelets.flatten(4).flatten(1, 3)  # (b, n, c · frames · rows · columns)
        else:
            values = take_tubelets(tubelets, kept).flatten(2)
        weight = self.proj.weight.flatten(1)
        return linear(values.to(weight.dtype), weight, self.proj.bias)  # (b, n, d)

    def erased(
        self, clip: Float[Tensor, "b t c h w"], hidden: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b t c h w"]:
        """Clips whose ``hidden`` tubelets are 0 in all channels, the mean of normalised values."""
        tubelets = self.tubelets(clip)
        places = hidden.view(*tubelets.shape[:4], 1, 1, 1, 1)
        shown = tubelets.masked_fill(places, 0).permute(0, 1, 5, 4, 2, 6, 3, 7)
        return shown.reshape(clip.shape)


def _tubelets(
    clip: Shaped[Tensor, "b t c h w"], size: Sequence[int]
) -> Shaped[Tensor, "b tt hh ww c ft ph pw"]:
    frames, rows, columns = size
    grid = clip.unflatten(1, (-1, frames)).unflatten(4, (-1, rows)).unflatten(6, (-1, columns))
    return grid.permute(0, 1, 4, 6, 3, 2, 5, 7)  # (b, t', h', w', c, frames, rows, columns)


def token_places(
    tubelets: Shaped[Tensor, "b tt hh ww *values"], index: Int[Tensor, "b n"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Clip, frame, row and column of flat (t, h, w) indices."""
    rows, columns = tubelets.shape[2:4]
    clip = torch.arange(len(index), device=index.device)[:, None]
    return clip, index // (rows * columns), index // columns % rows, index % columns


def take_tubelets(
    tubelets: Shaped[Tensor, "b tt hh ww *values"], index: Int[Tensor, "b n"]
) -> Shaped[Tensor, "b n *values"]:
    """The tubelets at flat (t, h, w) indices, without copying the others."""
    return tubelets[token_places(tubelets, index)]


class BiasedAttention(Attention):
    """timm's fused attention with biases for queries and values but none for keys.

    A key bias would add the same number to all scores of a query, which the softmax removes.
    """

    def __init__(self, dim: int, num_heads: int, **options: Any) -> None:
        options["qkv_bias"] = False
        super().__init__(dim, num_heads=num_heads, **options)
        self.q_bias = nn.Parameter(torch.empty(dim))
        self.v_bias = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start from biases of 0."""
        nn.init.zeros_(self.q_bias)
        nn.init.zeros_(self.v_bias)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Float[Tensor, "b n d"]:
        """Self-attention of all tokens."""
        if x.device.type == "cpu" and not (
            torch.is_grad_enabled() or torch.compiler.is_compiling()
        ):
            query, key, value = self._separately(x)
        else:
            bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
            qkv = linear(x, self.qkv.weight, bias)  # (b, n, 3 d)
            query, key, value = qkv.unflatten(2, (3, self.num_heads, -1)).unbind(2)
        return self._attend(query, key, value, attn_mask=attn_mask, is_causal=is_causal)

    def _separately(self, x: Float[Tensor, "b n d"]) -> list[Float[Tensor, "b n heads f"]]:
        # attention reads rows of d features a tenth faster on CPUs than rows of 3 d
        biases = (self.q_bias, None, self.v_bias)
        return [
            linear(x, weight, bias).unflatten(2, (self.num_heads, -1))
            for weight, bias in zip(self.qkv.weight.chunk(3), biases, strict=True)
        ]

    def attend_from(
        self, targets: Float[Tensor, "b m d"], x: Float[Tensor, "b n d"]
    ) -> Float[Tensor, "b m d"]:
        """Attention of some tokens to all of ``x``."""
        dim = self.q_bias.numel()
        bias = torch.cat((torch.zeros_like(self.v_bias), self.v_bias))
        query = linear(targets, self.qkv.weight[:dim], self.q_bias)  # (b, m, d)
        key, value = linear(x, self.qkv.weight[dim:], bias).unflatten(2, (2, -1)).unbind(2)
        heads = (self.num_heads, -1)
        return self._attend(
            query.unflatten(2, heads), key.unflatten(2, heads), value.unflatten(2, heads)
        )

    def _attend(
        self,
        query: Float[Tensor, "b m heads f"],
        key: Float[Tensor, "b n heads f"],
        value: Float[Tensor, "b n heads f"],
        **options: Any,
    ) -> Float[Tensor, "b m d"]:
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2),  # (b, heads, m, f)
            key.transpose(1, 2),
            value.transpose(1, 2),
            dropout_p=self.attn_drop.p if self.training else 0.0,
            **options,
        )
        joined = attended.transpose(1, 2).flatten(2)  # (b, m, d)
        return self.proj_drop(linear(joined, self.proj.weight, self.proj.bias))


class FusedMlp(Mlp):
    """timm's MLP with its GELU applied on the way out of the first linear map."""

    fc1: nn.Linear
    fc2: nn.Linear

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Linear, GELU, linear."""
        return self.project(self.expand(x))

    def expand(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n hidden"]:
        """Linear and GELU."""
        return self.drop1(linear_gelu(x, self.fc1.weight, self.fc1.bias))

    def project(self, hidden: Float[Tensor, "b *n hidden"]) -> Float[Tensor, "b *n d"]:
        """The second linear map."""
        return self.drop2(linear(hidden, self.fc2.weight, self.fc2.bias))


class TargetBlock(Block):
    """timm's block, that can leave out what nobody asks for."""

    attn: BiasedAttention
    mlp: FusedMlp

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        *,
        mean: bool = False,
    ) -> Float[Tensor, "b *n d"]:
        """All tokens, or their mean.

        Args:
            x: tokens.
            attn_mask: as timm's.
            is_causal: as timm's.
            mean: give the mean over tokens. The second linear map of the MLP commutes with it.
        """
        attended = self.attn(self.norm1(x), attn_mask=attn_mask, is_causal=is_causal)
        return self._after_attention(x, attended, mean=mean)

    def last_tokens(self, x: Float[Tensor, "b n d"], count: int) -> Float[Tensor, "b m d"]:
        """Only the last ``count`` tokens; the others are just keys and values.

        It is never compiled, as `count` changes from batch to batch.
        """
        normed = self.norm1(x)
        attended = self.attn.attend_from(normed[:, -count:], normed)
        return self._after_attention(x[:, -count:], attended, mean=False)

    def _after_attention(
        self, x: Float[Tensor, "b n d"], attended: Float[Tensor, "b n d"], *, mean: bool
    ) -> Float[Tensor, "b *n d"]:
        x = x + self.drop_path1(self.ls1(attended))
        hidden = self.mlp.expand(self.norm2(x))
        if mean:
            x, hidden = x.mean(1), hidden.mean(1)  # (b, d), (b, hidden)
        return x + self.drop_path2(self.ls2(self.mlp.project(hidden)))


def make_blocks(
    dim: int,
    depth: int,
    heads: int,
    mlp_hidden: int,
    *,
    norm_eps: float,
    drop_path: float = 0.0,
    proj_drop: float = 0.0,
    attn_drop: float = 0.0,
    layer_scale: float | None = None,
    draw: Initialiser = draw_normal,
) -> nn.ModuleList:
    """Pre-norm blocks whose stochastic depth rises linearly from 0 to ``drop_path``.

    Built without memory first, so that every weight is drawn once, where the model will live.
    """
    device = torch.get_default_device()
    with torch.device("meta"):
        blocks = nn.ModuleList(
            TargetBlock(
                dim,
                heads,
                # timm truncates dim · ratio, which would lose one for 6144 / 1408
                mlp_ratio=(mlp_hidden + 0.5) / dim,
                proj_drop=proj_drop,
                attn_drop=attn_drop,
                init_values=layer_scale,
                drop_path=drop_path * index / max(depth - 1, 1),
                norm_layer=cast(Any, partial(nn.LayerNorm, eps=norm_eps)),
                attn_layer=BiasedAttention,
                mlp_layer=FusedMlp,
            )
            for index in range(depth)
        )
    return blocks.to_empty(device=device).apply(partial(initialise, draw=draw))


class EagerDropPath(DropPath):
    """timm's, never compiled: every block has a rate of its own, which would be compiled each."""

    forward: Any = torch.compiler.disable(DropPath.forward)


def compile_blocks(model: nn.Module, **options: Any) -> None:
    """Compile the blocks of a model in place, all alike at once; its weights keep their names.

    Args:
        model: any with `TargetBlock`.
        **options: of `torch.compile`.
    """
    for module in model.modules():
        if isinstance(module, TargetBlock):
            module.compile(**options)
        elif isinstance(module, DropPath):
            module.__class__ = EagerDropPath


def initialise(module: nn.Module, draw: Initialiser = draw_normal) -> None:
    """Start values of one of a model's parts, whose linear maps are drawn."""
    if isinstance(module, nn.Linear):
        draw(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.LayerNorm, LayerScale, BiasedAttention)):
        module.reset_parameters()
