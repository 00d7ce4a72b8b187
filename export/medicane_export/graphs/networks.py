"""What is traced: a model with few, portable operators and its named inputs and outputs.

Shapes: b clips, t frames, c bands, k channels in kelvin, h rows, w columns, n tokens, v values of
a token, d features of a token.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from medicane_export.graphs.graph_tensors import (
    MISSING_FRAMES,
    PLACES,
    PLANE_CENTER,
    TILE_OFFSET,
    kelvin_of,
    outputs_of,
)
from medicane_export.graphs.ground import Ground, PlaneGround
from medicane_export.graphs.kelvin import KelvinFront
from medicane_models.errors import ConfigurationError
from medicane_models.network.averaging import average_classification, average_tracking
from medicane_models.network.base import MedicaneModel
from medicane_models.network.blocks import BiasedAttention
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import (
    MedicaneForTracking,
    MedicaneForVideoClassification,
    VideoModel,
)
from medicane_models.network.pretraining import MedicaneForPreTraining
from medicane_models.runtimes.onnx_metadata import GraphContents
from medicane_models.runtimes.tensors import TensorInfo, clips_of, mask_of
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = ["Graph", "PortableAttention", "kelvin_graph", "normalised_graph", "portable"]

HIDDEN = -1e9
"""A score whose weight is exactly 0, without the infinities that some runtimes dislike."""


class PortableAttention(nn.Module):
    """Attention as two matrix products and a softmax.

    The scale is in the query's weights and keys come out transposed, so that nothing is computed
    or copied that the products do not need.
    """

    def __init__(self, attention: BiasedAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        weights = attention.qkv.weight.detach().chunk(3)
        scale = attention.head_dim**-0.5
        self.query = _linear(weights[0] * scale, attention.q_bias.detach() * scale)
        self.key = _linear(weights[1], None)
        self.value = _linear(weights[2], attention.v_bias.detach())
        self.proj = attention.proj

    def forward(
        self, x: Float[Tensor, "b n d"], attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Float[Tensor, "b n d"]:
        """As `BiasedAttention`; a mask is added to the scores."""
        heads = (self.num_heads, -1)
        query = self.query(x).unflatten(2, heads).transpose(1, 2)  # (b, heads, n, f)
        key = self.key(x).unflatten(2, heads).permute(0, 2, 3, 1)  # (b, heads, f, n)
        value = self.value(x).unflatten(2, heads).transpose(1, 2)
        scores = query @ key
        if attn_mask is not None:
            scores = scores + attn_mask
        return self.proj((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))


def portable(model: MedicaneModel) -> MedicaneModel:
    """A copy of a model for tracing; it shares nothing with the original."""
    model = copy.deepcopy(model).eval().float().requires_grad_(False)
    for module in list(model.modules()):
        if isinstance(getattr(module, "attn", None), BiasedAttention):
            module.attn = PortableAttention(module.attn)  # pyright: ignore
    return model


class Graph(nn.Module):
    """A traced module with the names, shapes and units of what goes in and comes out."""

    def __init__(
        self,
        compute: nn.Module,
        inputs: tuple[TensorInfo, ...],
        outputs: tuple[TensorInfo, ...],
    ) -> None:
        super().__init__()
        self.compute = compute
        self.inputs = inputs
        self.outputs = outputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Outputs in the order of their names."""
        return self.compute(*tensors)


class _Head(nn.Module):
    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Float[Tensor, "b t c h w"]) -> tuple[Tensor, ...]:
        if isinstance(self.model, MedicaneForVideoClassification):
            classes = average_classification(self.model, pixel_values)
            return classes.logits, classes.probabilities
        assert isinstance(self.model, MedicaneForTracking)
        output = average_tracking(self.model, pixel_values)
        # a covariance measured once for all clips is still one a clip
        located = output.center, output.covariance + 0 * output.center[:, :, None]
        return located if output.heatmap is None else (*located, output.heatmap)


class _Embeddings(nn.Module):
    def __init__(self, model: MedicaneModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Float[Tensor, "b t c h w"]) -> tuple[Tensor, Tensor]:
        if isinstance(self.model, MedicaneForPreTraining):
            encoder = self.model.encoder
            tokens = encoder.norm(encoder.encode(encoder.embed(pixel_values)))
            return tokens.mean(1), tokens
        assert isinstance(self.model, VideoModel)
        tokens = self.model.forward_features(pixel_values)
        return self.model.fc_norm(tokens.mean(1)), tokens


class _Reconstruction(nn.Module):
    """All tokens stay, masked ones out of sight: any mask, as many tokens a clip as it likes."""

    def __init__(self, model: MedicaneForPreTraining) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, pixel_values: Float[Tensor, "b t c h w"], mask: Bool[Tensor, "b n"]
    ) -> tuple[Tensor]:
        model = self.model
        hidden = mask[:, None, None].float() * HIDDEN  # (b, 1, 1, n)
        embed = model.encoder.patch_embed
        if embed.stem is not None:
            pixel_values = embed.erased(pixel_values, mask)
        tokens = model.encoder.embed(pixel_values)
        for block in model.encoder.blocks:
            tokens = block(tokens, attn_mask=hidden)
        seen = model.encoder_to_decoder(model.encoder.norm(tokens))
        tokens = torch.where(mask[:, :, None], model.mask_token, seen) + model.positions
        for block in model.decoder.blocks:
            tokens = block(tokens)
        return (model.decoder.head(model.decoder.norm(tokens)),)


class _FromKelvin(nn.Module):
    """Preprocessing, a model, and NaN where too little was seen."""

    def __init__(
        self,
        compute: nn.Module,
        processor: MedicaneProcessor,
        ground: Ground | PlaneGround | None,
    ) -> None:
        super().__init__()
        self.front = KelvinFront(processor)
        self.compute = compute
        self.ground = ground

    def forward(
        self,
        kelvin: Float[Tensor, "b t k h w"],
        place: Shaped[Tensor, "b 2"] | None = None,
    ) -> tuple[Tensor, ...]:
        pixel_values, missing, refused = self.front(kelvin)
        outputs = self.compute(pixel_values)
        if self.ground is not None:
            outputs = (*outputs, *self.ground(*outputs[:2], place))
        return (*(_refuse(output, refused) for output in outputs), missing)


def normalised_graph(model: MedicaneModel, contents: GraphContents) -> Graph:
    """Normalised clips in, what ``contents`` names out.

    Args:
        model: in evaluation mode; it is copied.
        contents: "head", "embeddings" or "reconstruction".

    Raises:
        ConfigurationError: the model has no such output.
    """
    _check_contents(model, contents)
    parts: dict[str, Callable[[Any], nn.Module]] = {
        "head": _Head,
        "embeddings": _Embeddings,
        "reconstruction": _Reconstruction,
    }
    config = model.config
    masks = (mask_of(config, "mask"),) if contents == "reconstruction" else ()
    inputs = (clips_of(config), *masks)
    return Graph(parts[contents](portable(model)), inputs, outputs_of(config, contents)).eval()


def kelvin_graph(
    model: MedicaneModel, processor: MedicaneProcessor, contents: GraphContents
) -> Graph:
    """Brightness temperatures in, what ``contents`` names out, on the ground for a tracker.

    Raises:
        ConfigurationError: the model has no such output, or it is a reconstruction, whose
            values are normalised ones.
    """
    if contents == "reconstruction":
        raise ConfigurationError(
            "a reconstruction is compared with normalised pixels; export it with --input normalised"
        )
    plain = normalised_graph(model, contents)
    located = isinstance(model, MedicaneForTracking) and contents == "head"
    ground = _ground(processor, model.config) if located else None
    compute = _FromKelvin(plain.compute, processor, ground)
    place = PLANE_CENTER if processor.uses_planes else TILE_OFFSET
    inputs = (kelvin_of(processor), *((place,) if located else ()))
    outputs = (*plain.outputs, *(PLACES if located else ()), MISSING_FRAMES)
    return Graph(compute, inputs, outputs).eval()


def _ground(processor: MedicaneProcessor, config: MedicaneConfig) -> Ground | PlaneGround:
    if processor.uses_planes:
        return PlaneGround(processor, config.radius_calibration)
    # a centre may lie a patch outside the tile, and the tile at the grid's rim
    return Ground(processor, config.patch_size, config.radius_calibration)


def _check_contents(model: MedicaneModel, contents: GraphContents) -> None:
    pretraining = isinstance(model, MedicaneForPreTraining)
    if contents == "head" and pretraining:
        raise ConfigurationError(
            "a pretraining model has no head; export --what embeddings or --what reconstruction"
        )
    if contents == "reconstruction" and not pretraining:
        raise ConfigurationError(
            f"a {model.config.task} model reconstructs nothing; export --what head or embeddings"
        )


def _linear(weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None) -> nn.Linear:
    outputs, inputs = weight.shape
    with torch.device("meta"):
        layer = nn.Linear(inputs, outputs, bias=bias is not None)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer


def _refuse(output: Tensor, refused: Bool[Tensor, " b"]) -> Tensor:
    return output.masked_fill(refused.view(-1, *[1] * (output.ndim - 1)), float("nan"))
