"""Masked video modelling: an encoder on visible tokens, a small decoder on the rest.

Shapes: b clips, t frames, c channels, h rows, w columns, n tokens, m tokens that are
reconstructed, v values of a token, d features of a token.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from timm.models import checkpoint_seq
from torch import Tensor, nn

from medicane_models.network.base import MedicaneModel
from medicane_models.network.blocks import (
    INIT_STD,
    TargetBlock,
    compile_blocks,
    initialise,
    make_blocks,
    take_tubelets,
    token_places,
)
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.kernels import linear
from medicane_models.network.masking import TokenPlan, make_targets, masked_mean_square, plan_tokens
from medicane_models.network.modeling import VideoTransformer
from medicane_models.network.outputs import PreTrainingOutput
from medicane_models.network.positions import position_table

__all__ = ["MedicaneForPreTraining"]


class Encoder(VideoTransformer):
    """Visible tokens through the blocks and a norm."""

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__(config, draw=nn.init.xavier_uniform_)
        self.norm = nn.LayerNorm(config.embed_dim, eps=config.norm_eps)

    def forward(
        self, pixel_values: Float[Tensor, "b t c h w"], visible: Int[Tensor, "b n"]
    ) -> Float[Tensor, "b n d"]:
        """Features of the ``visible`` tokens."""
        return self.norm(self.encode(self.embed(pixel_values, visible)))


class Decoder(nn.Module):
    """Blocks, of which the last computes only what is asked for, then pixels."""

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__()
        dim = config.decoder_embed_dim
        self.grad_checkpointing = False
        self.blocks = make_blocks(
            dim,
            config.decoder_depth,
            config.decoder_num_heads,
            config.decoder_mlp_hidden_dim,
            norm_eps=config.norm_eps,
            draw=nn.init.xavier_uniform_,
        )
        self.norm = nn.LayerNorm(dim, eps=config.output_norm_eps or config.norm_eps)
        self.head = nn.Linear(dim, config.token_values)

    def forward(self, tokens: Float[Tensor, "b n d"], count: int) -> Float[Tensor, "b m v"]:
        """Pixels of the last ``count`` tokens."""
        *first, final = cast(Iterable[TargetBlock], self.blocks)
        if self.grad_checkpointing and self.training:
            tokens = checkpoint_seq(first, tokens)
        else:
            for block in first:
                tokens = block(tokens)
        return linear(self.norm(final.last_tokens(tokens, count)), self.head.weight, self.head.bias)


class MedicaneForPreTraining(MedicaneModel):
    """Masked autoencoder with masks for encoder and decoder (VideoMAEv2, arXiv:2303.16727)."""

    task = "pretraining"
    positions: Tensor

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__()
        self.config = config.replace(task=self.task)
        self.encoder = Encoder(config)
        self.encoder_to_decoder = nn.Linear(config.embed_dim, config.decoder_embed_dim, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.decoder_embed_dim))
        self.decoder = Decoder(config)
        positions = position_table(
            config.position, config.token_grid, config.decoder_embed_dim, config.position_grid
        )
        self.register_buffer("positions", positions, persistent=False)
        for linear_map in (self.encoder_to_decoder, self.decoder.head):
            initialise(linear_map, draw=nn.init.xavier_uniform_)
        nn.init.normal_(self.mask_token, std=INIT_STD)

    def forward(
        self,
        pixel_values: Float[Tensor, "b t c h w"],
        bool_masked_pos: Bool[Tensor, "b tokens"],
        decode_masked_pos: Bool[Tensor, "b tokens"] | None = None,
        no_data: Bool[Tensor, "b t h w"] | None = None,
    ) -> PreTrainingOutput:
        """One step's loss.

        Args:
            pixel_values: normalised clips, oldest frame first.
            bool_masked_pos: True where the encoder does not see a token; the same number in
                each clip. Masks may stay on the CPU, which saves waiting for the GPU.
            decode_masked_pos: True where the decoder is not asked for a token; None asks for
                what the encoder does not see.
            no_data: True where a pixel holds no data; it counts neither in targets nor loss.

        Raises:
            ConfigurationError: clips or masks do not fit the model or each other.
        """
        plan = plan_tokens(bool_masked_pos, decode_masked_pos).to(pixel_values.device)
        return self.forward_plan(pixel_values, plan, no_data)

    def forward_plan(
        self,
        pixel_values: Float[Tensor, "b t c h w"],
        plan: TokenPlan,
        no_data: Bool[Tensor, "b t h w"] | None = None,
    ) -> PreTrainingOutput:
        """As `forward`, from indices; nothing here depends on values, so it compiles whole."""
        tubelets = self.encoder.patch_embed.tubelets(pixel_values)
        with torch.no_grad():
            valid = None if no_data is None else self._valid(no_data, plan.targets)
            pixels = take_tubelets(tubelets, plan.targets)
            targets = make_targets(pixels, self.config.channel_std, valid)
        prediction = self._predict(pixel_values, plan)  # (b, m, v)
        return PreTrainingOutput(
            loss=masked_mean_square(prediction, targets, plan.scored, valid),
            reconstruction=prediction,
            tokens=plan.targets,
            scored=plan.scored,
        )

    @torch.no_grad()
    def reconstruct(
        self, pixel_values: Float[Tensor, "b t c h w"], bool_masked_pos: Bool[Tensor, "b tokens"]
    ) -> Float[Tensor, "b t c h w"]:
        """The clips with masked tokens replaced by what the model makes of them, for pictures.

        The model predicts normalised tokens; their true mean and deviation are put back, so that
        pictures show structure, not skill in brightness. Units are those of ``pixel_values``.
        """
        plan = plan_tokens(bool_masked_pos).to(pixel_values.device)
        frames = pixel_values.clone()
        tubelets = self.encoder.patch_embed.tubelets(frames)  # a view: it writes to the frames
        places = token_places(tubelets, plan.targets)
        pixels = tubelets[places]  # (b, m, c, frames, rows, columns)
        targets = make_targets(pixels, self.config.channel_std)
        prediction = self._predict(pixel_values, plan).float().view_as(targets.values)
        filled = prediction * targets.scale + targets.mean  # (b, m, p, c)
        tubelets[places] = filled.transpose(2, 3).reshape(pixels.shape).to(frames.dtype)
        return frames

    def compiled(self, **options: Any) -> nn.Module:
        """This model with its blocks compiled, for one size of batches at a time.

        How many tokens are asked for changes from batch to batch, so all else stays as it is.
        """
        compile_blocks(self, **{"dynamic": False, **options})
        return self

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade time for memory in training: keep only the inputs of blocks."""
        self.encoder.set_grad_checkpointing(enable)
        self.decoder.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Layers for layer-wise learning rates: the encoder's, then all of the decoder."""
        blocks = r"^encoder\.blocks" if coarse else r"^encoder\.blocks\.(\d+)"
        return {"stem": r"^encoder\.patch_embed", "blocks": blocks}

    def no_weight_decay(self) -> set[str]:
        """Parameters without weight decay besides those with one dimension."""
        return {"mask_token"}

    def _predict(
        self, pixel_values: Float[Tensor, "b t c h w"], plan: TokenPlan
    ) -> Float[Tensor, "b m v"]:
        seen = self.encoder_to_decoder(self.encoder(pixel_values, plan.visible))
        asked = self.mask_token + self.positions[plan.decoded]  # (b, decoded, d)
        tokens = torch.cat((seen + self.positions[plan.visible], asked.to(seen.dtype)), dim=1)
        return self.decoder(tokens, plan.scored.shape[1])

    def _valid(
        self, no_data: Bool[Tensor, "b t h w"], index: Int[Tensor, "b m"]
    ) -> Bool[Tensor, "b m p 1"]:
        tubelets = self.encoder.patch_embed.tubelets(no_data[:, :, None])
        return ~take_tubelets(tubelets, index).flatten(3).transpose(2, 3)
