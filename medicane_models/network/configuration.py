"""What a model is: sizes, positions, heads and calibration, saved as ``config.json`` beside it."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Unpack

from medicane_models.errors import ConfigurationError
from medicane_models.fields import (
    Count,
    Positive,
    Probability,
    Range,
    Rate,
    check_fields,
    from_mapping,
    json_object,
)
from medicane_models.files import write_json
from medicane_models.hub import HubOptions, resolve_file
from medicane_models.network.presets import PRESETS

__all__ = [
    "CONFIG_NAME",
    "SIMULATED",
    "DataKind",
    "MedicaneConfig",
    "Task",
    "TokenGrid",
]

CONFIG_NAME = "config.json"
MODEL_TYPE = "medicane"
IMAGENET_STD = (0.229, 0.224, 0.225)
MOST_TOKENS = 1 << 20  # of a clip
SIMULATED = "simulated"
"""The kind of data, and the platform of scenes, that no satellite has seen."""

Features = Annotated[int, Range(least=1, most=65536)]
Depth = Annotated[int, Range(least=1, most=1000)]
Epsilon = Annotated[float, Range(above=0, most=0.01)]
Scale = Annotated[float, Range(least=0, most=10)]
Slope = Annotated[float, Range(least=-10, most=10)]
Temperature = Annotated[float, Range(above=0, most=1000)]
Task = Literal["pretraining", "classification", "tracking"]
DataKind = Literal["real", "simulated", "mixed"]
"""What scenes are: as satellites saw them, simulated, or some of each."""

TokenGrid = tuple[Count, Count, Count]
"""Tokens along time, rows and columns."""

RadiusCalibration = tuple[tuple[Positive, Positive], tuple[Positive, Positive]]
Covariance = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class MedicaneConfig:
    """Everything that decides what a model computes from a clip of shape (B, T, C, H, W).

    Attributes:
        task: which model the weights belong to.
        image_size: pixels, one side of a square or (height, width).
        patch_size: pixels along each side of a patch.
        num_frames: frames in a clip, oldest first.
        tubelet_size: frames merged into one token.
        newest_only: the older frames of a clip are taken for missing, in training, too; where
            channels mark what is missing.
        stem: what makes patches of pixels: ``"patch"``, one linear map of each tubelet, as in
            VideoMAE; ``"convolutional"``, strided convolutions on every frame; ``"residual"``, the
            same with a residual block a stage for the newest frame.
        stem_width: channels of a stem's first stage, which halves frames once; they double from
            stage to stage, up to ``embed_dim``.
        in_channels: channels of a frame.
        embed_dim: features of a token.
        depth: number of blocks.
        num_heads: attention heads of a block.
        mlp_hidden_dim: hidden features of a block's MLP.
        position: ``"sinusoid"`` over the flattened token index, as in VideoMAE, or
            ``"sinusoid_3d"``, a sinusoid for each of time, row and column.
        position_grid: token grid (t, h, w) the positions were trained on when it is not the
            model's own; they are interpolated from it. Set by `resized`.
        norm_eps: epsilon of every LayerNorm but the regression head's.
        output_norm_eps: that of the norm before a head and of the decoder's last one, where it
            differs from ``norm_eps``, as in transformers; None where not.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        proj_drop_rate: dropout after the attention projection and inside the MLP.
        attn_drop_rate: dropout of the attention weights.
        head_drop_rate: dropout before the head.
        layer_scale_init_value: initial LayerScale, or None for no LayerScale.
        pixel_std: standard deviations the processor divided the channels by, so that pretraining
            targets are normalised in pixel units; None means ImageNet's for three channels, else 1.
        decoder_embed_dim: features of a token in the pretraining decoder.
        decoder_depth: blocks of the pretraining decoder.
        decoder_num_heads: attention heads of the pretraining decoder.
        decoder_mlp_hidden_dim: hidden features of the pretraining decoder's MLPs.
        id2label: class names of a classifier.
        temperature: logits are divided by it before probabilities are taken.
        threshold: probability of a cyclone from which on a tile counts as a detection.
        head: tracking head, ``"regression"`` or ``"heatmap"``.
        center_mean_px: what a regression output of (0, 0) means, (x, y); None is the tile centre.
        center_scale_px: pixels of one unit of regression output, (x, y); None is the standard
            deviation of a uniform position in the tile.
        error_covariance_px: covariance of a regression head's error measured on validation storms,
            px², ((xx, xy), (xy, yy)); None means it was never measured.
        radius_calibration: (factor, power) of the circles that hold 50 % and 95 % of the errors:
            in km, factor · r^power, where r is that of a normal error of the model's covariance.
            Measured on validation storms; None means never.
        heatmap_stride: pixels along each side of a heatmap cell.
        heatmap_center: ``"mode"``, the mean of the distribution around its peak, or ``"mean"``.
        heatmap_features: the heatmap is also made of what the stem sees in the newest frame.
        heatmap_offset: every cell says where in its neighbourhood a centre would be.
        views: of each tile, that prediction averages: ``"one"``, itself; ``"flips"``, mirrored too;
            ``"eight"``, mirrored and turned.
        guess_power: of the heatmap's exponent where it is multiplied with a first guess, as
            `prediction.refinement.HeatMapTrust` has it.
        guess_slope: likewise.
        trained_on: on the data, for people, newest training first; None means never trained.
        data_kind: of the newest training's scenes, "simulated" also where its cyclones alone were;
            None means that nobody said.
    """

    task: Task = "classification"
    image_size: Count | tuple[Count, Count] = 224
    patch_size: Count = 16
    num_frames: Count = 16
    tubelet_size: Count = 2
    newest_only: bool = False
    stem: Literal["patch", "convolutional", "residual"] = "patch"
    stem_width: Features = 16
    in_channels: Count = 3
    embed_dim: Features = 768
    depth: Depth = 12
    num_heads: Features = 12
    mlp_hidden_dim: Features = 3072
    position: Literal["sinusoid", "sinusoid_3d"] = "sinusoid"
    position_grid: TokenGrid | None = None
    norm_eps: Epsilon = 1e-6
    output_norm_eps: Epsilon | None = None
    drop_path_rate: Rate = 0.0
    proj_drop_rate: Rate = 0.0
    attn_drop_rate: Rate = 0.0
    head_drop_rate: Rate = 0.0
    layer_scale_init_value: Scale | None = None
    pixel_std: tuple[Probability, ...] | None = None
    decoder_embed_dim: Features = 384
    decoder_depth: Depth = 4
    decoder_num_heads: Features = 6
    decoder_mlp_hidden_dim: Features = 1536
    id2label: dict[int, str] = field(default_factory=lambda: {0: "no_cyclone", 1: "cyclone"})
    temperature: Temperature = 1.0
    threshold: Probability = 0.5
    head: Literal["regression", "heatmap"] = "heatmap"
    center_mean_px: tuple[float, float] | None = None
    center_scale_px: tuple[Positive, Positive] | None = None
    error_covariance_px: Covariance | None = None
    radius_calibration: RadiusCalibration | None = None
    heatmap_stride: Count = 4
    heatmap_center: Literal["mode", "mean"] = "mode"
    heatmap_features: bool = False
    heatmap_offset: bool = False
    views: Literal["one", "flips", "eight"] = "one"
    guess_power: Positive = 1.0
    guess_slope: Slope = 0.0
    trained_on: str | None = None
    data_kind: DataKind | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        _check_divisions(self)
        _check_stem(self)
        _check_tokens(self)
        _check_channels(self)
        _check_labels(self)
        _check_covariance(self)
        _check_views(self)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else size

    @property
    def token_grid(self) -> TokenGrid:
        """Tokens along time, rows and columns; a clip's tokens come in this order."""
        height, width = self.frame_size
        frames = self.num_frames // self.tubelet_size
        return frames, height // self.patch_size, width // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Tokens of a clip."""
        frames, rows, columns = self.token_grid
        return frames * rows * columns

    @property
    def token_values(self) -> int:
        """Pixel values of one token."""
        return self.tubelet_size * self.patch_size**2 * self.in_channels

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Channels of the stages of a stem, finest first; none without one."""
        stages = 0 if self.stem == "patch" else self.patch_size.bit_length() - 1
        return tuple(min(self.stem_width << stage, self.embed_dim) for stage in range(stages))

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Shape of one clip, (T, C, H, W)."""
        return self.num_frames, self.in_channels, *self.frame_size

    @property
    def heatmap_cells(self) -> tuple[int, int]:
        """Rows and columns of a heatmap, which reaches one patch beyond the tile."""
        height, width = (
            (size + 2 * self.patch_size) // self.heatmap_stride for size in self.frame_size
        )
        return height, width

    @property
    def heatmap_first_px(self) -> float:
        """Tile pixel, x and y alike, of the middle of a heatmap's first cell."""
        return (self.heatmap_stride - 1) / 2 - self.patch_size

    @property
    def channel_std(self) -> tuple[float, ...]:
        """`pixel_std`, or what stands in for it."""
        if self.pixel_std is not None:
            return self.pixel_std
        return IMAGENET_STD if self.in_channels == 3 else (1.0,) * self.in_channels

    @property
    def label2id(self) -> dict[str, int]:
        """Class index by name."""
        return {label: index for index, label in self.id2label.items()}

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """A named size with any field changed.

        Args:
            name: of `PRESETS`.
            overrides: fields that differ from the preset.

        Raises:
            ConfigurationError: the name or a field is unknown, or a value is impossible.
        """
        if name not in PRESETS:
            raise ConfigurationError(
                f"preset {name!r} is unknown; choose one of {', '.join(PRESETS)}"
            )
        return cls.from_dict(dict(PRESETS[name]) | overrides)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; unknown names are refused."""
        return type(self).from_dict(_fields(self) | changes)

    def resized(self, **changes: Any) -> Self:
        """A copy for clips of another shape, whose positions are interpolated from this one's.

        Args:
            changes: usually ``image_size`` or ``num_frames``.
        """
        other = self.replace(**changes)
        if other.token_grid == self.token_grid:
            return other
        return other.replace(position_grid=self.position_grid or self.token_grid)

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {"model_type": MODEL_TYPE} | _fields(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; what is absent has its default.

        Raises:
            ConfigurationError: a key is unknown, a value impossible, or the dictionary describes
                another kind of model.
        """
        return from_mapping(cls, _of_our_type(values), partial=True)

    def save_pretrained(self, directory: str | Path) -> Path:
        """Write ``config.json`` into ``directory`` and return its path."""
        path = Path(directory) / CONFIG_NAME
        write_json(path, self.to_dict())
        return path

    @classmethod
    def from_pretrained(cls, id_or_dir: str | Path, **hub_options: Unpack[HubOptions]) -> Self:
        """Read ``config.json`` of a folder, an embedded model or a Hub repository.

        Args:
            id_or_dir: local folder, short name of an embedded model, or Hub id.
            **hub_options: where to look.

        Raises:
            CheckpointError: there is no such file, or it is damaged.
            ConfigurationError: it is not valid, or lacks a field.
        """
        path = resolve_file(id_or_dir, CONFIG_NAME, **hub_options)
        try:
            return from_mapping(cls, _of_our_type({"model_type": None} | json_object(path)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from error


def _fields(config: MedicaneConfig) -> dict[str, Any]:
    return {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}


def _of_our_type(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, without the name of the kind of model."""
    model_type = values.get("model_type", MODEL_TYPE)
    if model_type != MODEL_TYPE:
        raise ConfigurationError(
            f"model_type is {model_type!r}, not {MODEL_TYPE!r}; run `medicane convert` on it"
        )
    return {name: value for name, value in values.items() if name != "model_type"}


def _check_divisions(config: MedicaneConfig) -> None:
    height, width = config.frame_size
    for whole, value, part in (
        ("image height", height, "patch_size"),
        ("image width", width, "patch_size"),
        ("num_frames", config.num_frames, "tubelet_size"),
        ("patch_size", config.patch_size, "heatmap_stride"),
        ("embed_dim", config.embed_dim, "num_heads"),
        ("decoder_embed_dim", config.decoder_embed_dim, "decoder_num_heads"),
    ):
        divisor = getattr(config, part)
        uses_heatmap = config.task == "tracking" and config.head == "heatmap"
        if part == "heatmap_stride" and not uses_heatmap:
            continue
        if value < 1 or value % divisor:
            raise ConfigurationError(
                f"{whole} {value} is not a multiple of {part} {divisor}; change one of the two"
            )
    if config.embed_dim % 2 or config.decoder_embed_dim % 2:
        raise ConfigurationError("embed_dim and decoder_embed_dim must be even: sine and cosine")


def _check_stem(config: MedicaneConfig) -> None:
    if config.stem != "patch" and (config.patch_size < 2 or config.patch_size.bit_count() > 1):
        raise ConfigurationError(
            f"patch_size is {config.patch_size}, and a {config.stem} stem halves frames down to "
            "patches; give a power of two, or set stem to patch"
        )
    if not config.heatmap_features:
        return
    if config.stem == "patch":
        raise ConfigurationError(
            "heatmap_features are those of a stem, and stem is patch; set stem to convolutional or "
            "residual, or heatmap_features to false"
        )
    if config.heatmap_stride < 2:
        raise ConfigurationError(
            "heatmap_stride is 1, and a stem's finest heatmap_features have 2 pixels; set it to 2"
        )


def _check_channels(config: MedicaneConfig) -> None:
    if len(config.channel_std) != config.in_channels:
        raise ConfigurationError(
            f"pixel_std has {len(config.channel_std)} values for {config.in_channels} channels; "
            "give one a channel"
        )


def _check_tokens(config: MedicaneConfig) -> None:
    if config.num_tokens > MOST_TOKENS:
        raise ConfigurationError(
            f"a clip of {config.num_frames} frames of {config.image_size} pixels has "
            f"{config.num_tokens:,} tokens, more than {MOST_TOKENS:,}; make it smaller"
        )


def _check_labels(config: MedicaneConfig) -> None:
    labels = config.id2label
    if len(labels) == 1 or sorted(labels) != list(range(len(labels))):
        raise ConfigurationError(
            f"id2label has the keys {sorted(labels)}; name two classes or more, counted from 0, or "
            "none for a model without a head"
        )
    if len(set(labels.values())) < len(labels):
        raise ConfigurationError(f"id2label has a name twice: {list(labels.values())}")


def _check_views(config: MedicaneConfig) -> None:
    height, width = config.frame_size
    if config.views == "eight" and height != width:
        raise ConfigurationError(
            f"views is 'eight', and a tile of {height} × {width} cannot be turned; set it to "
            "'flips' or 'one'"
        )


def _check_covariance(config: MedicaneConfig) -> None:
    if config.error_covariance_px is None:
        return
    (xx, xy), (yx, yy) = config.error_covariance_px
    rounding = 1e-6 * max(abs(value) for value in (xx, xy, yx, yy))
    smallest = (xx + yy) / 2 - math.hypot((xx - yy) / 2, xy)  # eigenvalue
    if abs(xy - yx) > rounding or smallest < -rounding:
        raise ConfigurationError(
            f"error_covariance_px is {config.error_covariance_px}, which is the covariance of no "
            "errors; give ((xx, xy), (xy, yy)) in px²"
        )
