"""The model family: patch embedding → blocks → encoder → heads, and the pretraining decoder.

Shapes: b clips, t frames, c channels, h rows, w columns, n tokens, d features of a token.
Parameter names are those of VideoMAEv2 and of the research code built on it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from timm.models import checkpoint_seq
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medicane_models.errors import ConfigurationError
from medicane_models.network.base import MedicaneModel
from medicane_models.network.blocks import (
    Initialiser,
    PatchEmbed,
    draw_normal,
    initialise,
    make_blocks,
)
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.heads import HeatmapHead, RegressionHead, make_tracking_head
from medicane_models.network.outputs import ClassificationOutput, TrackingOutput
from medicane_models.network.positions import position_table
from medicane_models.network.presets import UNTRAINED

__all__ = [
    "MedicaneForTracking",
    "MedicaneForVideoClassification",
    "VideoModel",
    "VideoTransformer",
]

HEAD_INIT_SCALE = 0.001


class VideoTransformer(nn.Module):
    """Clips to tokens: patch embedding, positions and blocks; nothing after the last block."""

    positions: Tensor

    def __init__(self, config: MedicaneConfig, *, draw: Initialiser = draw_normal) -> None:
        super().__init__()
        self.clip_shape = config.clip_shape
        self.grad_checkpointing = False
        self.patch_embed = PatchEmbed(config)
        positions = position_table(
            config.position, config.token_grid, config.embed_dim, config.position_grid
        )
        self.register_buffer("positions", positions, persistent=False)
        self.blocks = make_blocks(
            config.embed_dim,
            config.depth,
            config.num_heads,
            config.mlp_hidden_dim,
            norm_eps=config.norm_eps,
            drop_path=config.drop_path_rate,
            proj_drop=config.proj_drop_rate,
            attn_drop=config.attn_drop_rate,
            layer_scale=config.layer_scale_init_value,
            draw=draw,
        )

    def embed(
        self, pixel_values: Float[Tensor, "b t c h w"], kept: Int[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Tokens with their positions, all of them or the ``kept`` ones.

        Raises:
            ConfigurationError: the clip has another shape than the model's.
        """
        self.check_shape(pixel_values)
        positions = self.positions if kept is None else self.positions[kept]
        return self.patch_embed(pixel_values, kept) + positions

    def check_shape(self, pixel_values: Tensor) -> None:
        """Refuse clips of another shape than the model's."""
        if tuple(pixel_values.shape[1:]) != self.clip_shape:
            raise ConfigurationError(
                f"pixel_values hold clips of shape {tuple(pixel_values.shape[1:])} (T, C, H, W), "
                f"the model takes {self.clip_shape}; crop or resample them, or load the model "
                "with from_pretrained(…, num_frames=…, image_size=…)"
            )

    def encode(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Tokens after the last block."""
        if self.grad_checkpointing and self.training:
            return checkpoint_seq(self.blocks, tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def encode_mean(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """Mean over tokens after the last block; cheaper than `encode`, without dropout."""
        *first, final = self.blocks
        for block in first:
            tokens = block(tokens)
        return final(tokens, mean=True)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade time for memory in training: keep only the inputs of blocks."""
        self.grad_checkpointing = enable


class VideoModel(VideoTransformer, MedicaneModel):
    """What the classifier and the tracker share; behaves as a timm model does."""

    head: Any

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__(config)
        self.config = config.replace(task=self.task)  # which names the class when it is saved
        self.num_features = config.embed_dim
        eps = config.output_norm_eps or config.norm_eps
        self.fc_norm = nn.LayerNorm(config.embed_dim, eps=eps)
        self.head_drop = nn.Dropout(config.head_drop_rate)

    def forward_features(self, pixel_values: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b n d"]:
        """Tokens after the last block, in (t, h, w) order."""
        return self.encode(self.embed(pixel_values))

    def get_classifier(self) -> nn.Module:
        """The head."""
        return self.head

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Layers for layer-wise learning rates: patch embedding, each block, norm and head."""
        return {"stem": r"^patch_embed", "blocks": r"^blocks" if coarse else r"^blocks\.(\d+)"}

    def no_weight_decay(self) -> set[str]:
        """Parameters without weight decay besides those with one dimension."""
        return set()


class MedicaneForVideoClassification(VideoModel):
    """Which class each clip belongs to: is there a cyclone's centre in the tile?"""

    task = "classification"

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__(config)
        self.head = _classifier(self.config)
        self.head.apply(initialise)
        _shrink(self.head)

    def forward_head(
        self, tokens: Float[Tensor, "b n d"], pre_logits: bool = False
    ) -> Float[Tensor, "b features"]:
        """Logits, or the normalised mean of the tokens."""
        return self._classify(tokens.mean(1), pre_logits)

    def forward(
        self,
        pixel_values: Float[Tensor, "b t c h w"],
        labels: Int[Tensor, " b"] | Float[Tensor, "b classes"] | None = None,
    ) -> ClassificationOutput:
        """Classify normalised clips.

        Args:
            pixel_values: oldest frame first, as the model's processor makes them.
            labels: class indices, or a distribution over the classes.

        Raises:
            ConfigurationError: the clips have another shape than the model's.
        """
        tokens = self.embed(pixel_values)
        pooled = self.encode(tokens).mean(1) if self.training else self.encode_mean(tokens)
        logits = self._classify(pooled)
        return ClassificationOutput(
            loss=None if labels is None else F.cross_entropy(logits.float(), labels),
            logits=logits,
            probabilities=(logits.float() / self.config.temperature).softmax(-1),
        )

    def _classify(
        self, pooled: Float[Tensor, "b d"], pre_logits: bool = False
    ) -> Float[Tensor, "b features"]:
        features = self.head_drop(self.fc_norm(pooled))
        return features if pre_logits else self.head(features)

    def reset_classifier(self, num_classes: int, id2label: dict[int, str] | None = None) -> None:
        """Replace the head by a fresh one.

        Args:
            num_classes: 0 leaves the pooled features.
            id2label: names of the classes, else their numbers.
        """
        names = id2label or {index: str(index) for index in range(num_classes)}
        if len(names) != num_classes:
            raise ConfigurationError(f"id2label names {len(names)} of {num_classes} classes")
        self.config = self.config.replace(**UNTRAINED, id2label=names)
        reference = self.fc_norm.weight
        self.head = _classifier(self.config).to(reference.device, reference.dtype)
        self.head.apply(initialise)
        _shrink(self.head)


class MedicaneForTracking(VideoModel):
    """Where the cyclone's centre is in the last frame of each clip, and how surely."""

    task = "tracking"
    head: RegressionHead | HeatmapHead

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__(config)
        self.head = make_tracking_head(self.config)
        self.head.apply(initialise)
        for layer in self.head.last_layers:
            _shrink(layer)

    def forward_head(
        self,
        tokens: Float[Tensor, "b n d"],
        pre_logits: bool = False,
        *,
        newest: Sequence[Float[Tensor, "b _ _ _"]] = (),
    ) -> Float[Tensor, "b *features"]:
        """The head's raw outputs, or the normalised features it takes.

        Args:
            tokens: after the last block.
            pre_logits: leave out the head.
            newest: the stem's features of the newest frame, finest first, where
                ``heatmap_features`` is set.
        """
        pooled = self.head_drop(self.fc_norm(self.head.pool(tokens)))
        return pooled if pre_logits else self.head(pooled, newest)

    def forward_raw(self, pixel_values: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b *features"]:
        """The head's raw outputs for normalised clips, for its ``loss`` and ``decode``."""
        self.check_shape(pixel_values)
        views = self.patch_embed.views(pixel_values)
        tokens = self.encode(self.patch_embed.tokens(views[-1]) + self.positions)
        return self.forward_head(tokens, newest=[view[:, -1] for view in views])

    def forward(
        self,
        pixel_values: Float[Tensor, "b t c h w"],
        labels: Float[Tensor, "b 2"] | None = None,
        *,
        label_sigma: Float[Tensor, " b"] | None = None,
        label_weight: Float[Tensor, " b"] | None = None,
    ) -> TrackingOutput:
        """Locate the cyclone in normalised clips that hold one.

        Args:
            pixel_values: oldest frame first, as the model's processor makes them.
            labels: centres (x, y) in tile pixels.
            label_sigma: how sure each is: the standard deviation of the true centre about it along
                each axis, px, heatmap head only; None takes the labels for the truth.
            label_weight: how much each counts in the loss, 1 on average; None is 1 for all.

        Raises:
            ConfigurationError: the clips have another shape than the model's, or the head has no
                use for ``label_sigma``.
        """
        raw = self.forward_raw(pixel_values)
        if labels is None:
            return self.head.decode(raw)
        return self.head.decode(raw, self.head.loss(raw, labels, label_sigma, label_weight))


def _classifier(config: MedicaneConfig) -> nn.Module:
    classes = len(config.id2label)
    return nn.Linear(config.embed_dim, classes) if classes else nn.Identity()


def _shrink(head: nn.Module) -> None:
    """Start from nearly equal outputs for all clips."""
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(HEAD_INIT_SCALE) if parameter.ndim > 1 else None
