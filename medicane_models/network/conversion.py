"""Models from other code bases' checkpoints, and back to Hugging Face VideoMAE.

Read are VideoMAE and VideoMAEv2 (pretraining and fine-tuned, bare or wrapped by DeepSpeed,
torch.compile or mmaction), the research code's classifiers and trackers, Hugging Face VideoMAE,
and timm's ViT for pictures. Pickles are read with ``weights_only=True``: code in them never runs.
"""

import argparse
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from timm.models import adapt_input_conv
from torch import Tensor

from medicane_models.errors import CheckpointError, ConfigurationError, MedicaneError
from medicane_models.files import write_json
from medicane_models.hub import WEIGHTS_NAME, resolve_file
from medicane_models.network import layouts
from medicane_models.network.auto import model_class
from medicane_models.network.base import LoadReport, MedicaneModel, load_backbone, load_strictly
from medicane_models.network.configuration import CONFIG_NAME, PRESETS, MedicaneConfig, Task
from medicane_models.network.weights import read_weights, write_weights

__all__ = ["ConversionReport", "export_transformers", "from_foreign"]

PICKLES = (".pth", ".pt", ".bin", ".ckpt")
HUGGING_FACE_FILES = (WEIGHTS_NAME, "pytorch_model.bin")
RESEARCH_HEAD = {"head": "regression", "center_mean_px": (0.0, 0.0), "center_scale_px": (1.0, 1.0)}
"""The research tracker gives tile pixels, without standardisation."""


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """What a checkpoint was taken for and what became of its tensors.

    Attributes:
        layout: whose names it had: ``"transformers"``, ``"videomae"`` or ``"vit-2d"``.
        task: the task of the model made.
        tensors: what was loaded, dropped and started fresh.
        notes: what was assumed.
    """

    layout: str
    task: Task
    tensors: LoadReport
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join((f"{self.layout} → {self.task}: {self.tensors}", *self.notes))


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Tensors under our names and what their configuration is known to be."""

    layout: str
    task: Task | None
    weights: dict[str, Tensor]
    known: dict[str, Any]
    dropped: tuple[str, ...] = ()


def from_foreign(
    source: str | Path,
    *,
    task: Task | None = None,
    id2label: Mapping[int, str] | None = None,
    in_channels: int | None = None,
    trained_on: str | None = None,
    revision: str | None = None,
    **settings: Any,
) -> tuple[MedicaneModel, ConversionReport]:
    """Read a foreign checkpoint.

    Args:
        source: a ``.pth``, ``.pt``, ``.bin``, ``.ckpt`` or ``.safetensors`` file, or a folder or
            Hub id of a Hugging Face VideoMAE.
        task: model to make; None takes the checkpoint's own. Needed for the research code's older
            trackers, whose head looks like two classes. A task that the checkpoint has no head
            for gets its backbone and a fresh head.
        id2label: names of the classes.
        in_channels: number of channels to change the patch embedding to.
        trained_on: one sentence on the data the weights were trained with.
        revision: branch, tag or commit on the Hub.
        settings: fields of the configuration that cannot be read off the tensors, such as
            ``image_size``, ``num_frames`` or ``num_heads``.

    Returns:
        The model in evaluation mode, and what was done.

    Raises:
        CheckpointError: the file cannot be read, holds code, or lacks tensors.
        ConfigurationError: a setting contradicts the tensors or must be given.
    """
    found = _read(str(source), settings.get("tubelet_size", 2), task, revision)
    if in_channels is not None:
        found = replace(found, weights=found.weights | _adapted(found.weights, in_channels))
    target: Task = task or found.task or "classification"
    says = trained_on or f"Converted from {Path(source).name}, whose own card says on what."
    config = _config(found, settings | {"task": found.task or target, "trained_on": says}, id2label)
    if found.task == target:
        model = load_strictly(model_class(target), config, found.weights, str(source))
        tensors = LoadReport(loaded=tuple(found.weights), dropped=found.dropped, fresh=())
    else:
        fresh = {"task": target, "trained_on": None, "id2label": id2label or config.id2label}
        model = model_class(target)(config.replace(**fresh)).eval()
        tensors = load_backbone(model, found.weights, str(source))
    return model, ConversionReport(
        layout=found.layout, task=target, tensors=tensors, notes=_notes(found, task, settings)
    )


def export_transformers(model: MedicaneModel, out: str | Path) -> None:
    """Write a folder that ``transformers`` loads as VideoMAE.

    Raises:
        ConfigurationError: Hugging Face's VideoMAE cannot express the model.
    """
    config = transformers_config(model.config)
    weights = layouts.for_transformers(model.state_dict())
    write_weights(Path(out) / WEIGHTS_NAME, weights)
    write_json(Path(out) / CONFIG_NAME, config)


def transformers_config(config: MedicaneConfig) -> dict[str, Any]:
    """The ``config.json`` of a Hugging Face VideoMAE.

    Raises:
        ConfigurationError: it cannot express the model.
    """
    own = ("tracking", "sinusoid_3d")
    for name in ("task", "position", "position_grid", "layer_scale_init_value"):
        value = getattr(config, name)
        if value in own or (name in ("position_grid", "layer_scale_init_value") and value):
            raise ConfigurationError(f"Hugging Face's VideoMAE has no {name} {value!r}; keep ours")
    pretraining = config.task == "pretraining"
    kind = "ForPreTraining" if pretraining else "ForVideoClassification"
    return {theirs: getattr(config, ours) for ours, theirs in _HUGGING_FACE.items()} | {
        "architectures": [f"VideoMAE{kind}"],
        "model_type": "videomae",
        "image_size": config.image_size,
        "hidden_act": "gelu",
        "qkv_bias": True,
        "use_mean_pooling": not pretraining,
        "norm_pix_loss": True,
        "id2label": config.id2label,
        "label2id": config.label2id,
    }


_HUGGING_FACE = {
    "patch_size": "patch_size",
    "num_frames": "num_frames",
    "tubelet_size": "tubelet_size",
    "in_channels": "num_channels",
    "embed_dim": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "mlp_hidden_dim": "intermediate_size",
    "norm_eps": "layer_norm_eps",
    "decoder_embed_dim": "decoder_hidden_size",
    "decoder_depth": "decoder_num_hidden_layers",
    "decoder_num_heads": "decoder_num_attention_heads",
    "decoder_mlp_hidden_dim": "decoder_intermediate_size",
}

_HUGGING_FACE_DEFAULTS = {
    "num_frames": 16,
    "image_size": 224,
    "num_heads": 12,
    "decoder_num_heads": 6,
    "norm_eps": 1e-12,
}
"""What its ``config.json`` leaves out and no tensor tells."""


def _read(source: str, tubelet_size: int, task: Task | None, revision: str | None) -> _Source:
    path = Path(source)
    if path.is_file():
        if revision is not None:
            raise ConfigurationError(f"revision is {revision!r} and {path} a file; leave it out")
        return _recognise(_read_tensors(path), {}, tubelet_size, task)
    config = json.loads(resolve_file(source, CONFIG_NAME, revision=revision).read_text("utf-8"))
    if config.get("model_type") != "videomae":
        raise CheckpointError(
            f"{source} is a {config.get('model_type')} model; give a VideoMAE or a checkpoint file"
        )
    weights = _read_tensors(_first_file(source, revision))
    return _recognise(weights, _known_to_transformers(config), tubelet_size, task)


def _first_file(source: str, revision: str | None) -> Path:
    *first, last = HUGGING_FACE_FILES
    for name in first:
        try:
            return resolve_file(source, name, revision=revision)
        except CheckpointError:
            continue
    return resolve_file(source, last, revision=revision)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return read_weights(path)
    if path.suffix not in PICKLES:
        raise CheckpointError(f"{path} is neither .safetensors nor one of {', '.join(PICKLES)}")
    try:
        # training scripts store their arguments; a Namespace holds data only
        with torch.serialization.safe_globals([argparse.Namespace]):
            return layouts.unwrap(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and is not loaded, since it could run code: "
            f"{_first_line(error)}; save its state_dict alone where it came from"
        ) from error
    except MedicaneError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (RuntimeError, OSError, EOFError) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint: {error}") from error


def _first_line(error: Exception) -> str:
    unsupported = re.search(r"Unsupported \w+: \S+ \S+", str(error))
    return unsupported[0] if unsupported else str(error).partition("\n")[0]


def _recognise(
    weights: dict[str, Tensor], known: dict[str, Any], tubelet_size: int, task: Task | None
) -> _Source:
    weights = layouts.strip_prefixes(weights)
    if any(name.startswith("videomae.") for name in weights):
        return _source("transformers", weights, layouts.from_transformers(weights), known, task)
    kernel = weights.get("patch_embed.proj.weight")
    if kernel is not None and kernel.ndim == 4:
        named = layouts.from_2d_vit(weights, tubelet_size)
        dropped = tuple(name for name in weights if not name.startswith(("patch_embed", "blocks")))
        return _Source(layout="vit-2d", task=None, weights=named, known=known, dropped=dropped)
    return _source("videomae", weights, layouts.from_videomae(weights), known, task)


def _source(
    layout: str,
    weights: dict[str, Tensor],
    named: dict[str, Tensor],
    known: dict[str, Any],
    task: Task | None,
) -> _Source:
    if not any(name.endswith("patch_embed.proj.weight") for name in named):
        raise CheckpointError(
            f"no patch embedding among {', '.join(list(weights)[:4])} …; this is not a video "
            "transformer that can be converted"
        )
    if task == "tracking" and "head.weight" in named and len(named["head.weight"]) == 2:
        named = layouts.legacy_regression_head(named)
    dropped = tuple(name for name in weights if name.removeprefix("encoder.") in layouts.FIXED)
    own = _own_task(named)
    extra = RESEARCH_HEAD if own == "tracking" else {}
    return _Source(layout=layout, task=own, weights=named, known=known | extra, dropped=dropped)


def _own_task(weights: Mapping[str, Tensor]) -> Task | None:
    if "mask_token" in weights:
        return "pretraining"
    if "head.mlp.1.weight" in weights:
        return "tracking"
    return "classification" if "head.weight" in weights else None


def _config(
    found: _Source, settings: dict[str, Any], id2label: Mapping[int, str] | None
) -> MedicaneConfig:
    """Presets of that width, then what the source says, its tensors' shapes, the caller."""
    shapes = _known_from_shapes(found.weights)
    known = _heads_like_presets(shapes["embed_dim"]) | found.known | shapes | settings
    if "num_heads" not in known:
        raise ConfigurationError(
            f"the number of heads of a model with {shapes['embed_dim']} features cannot be read "
            "off its tensors; give num_heads"
        )
    if found.task == "classification":
        known["id2label"] = _labels(len(found.weights["head.bias"]), id2label, found.known)
    return MedicaneConfig.from_dict(known)


def _known_to_transformers(config: Mapping[str, Any]) -> dict[str, Any]:
    for name, needed in (("hidden_act", "gelu"), ("qkv_bias", True), ("norm_pix_loss", True)):
        if config.get(name, needed) != needed:
            raise ConfigurationError(f"{name} is {config[name]!r}; only {needed!r} is supported")
    known = _HUGGING_FACE_DEFAULTS | {
        ours: config[theirs] for ours, theirs in _HUGGING_FACE.items() if theirs in config
    }
    known |= {name: config[name] for name in ("image_size", "id2label") if name in config}
    return known


def _known_from_shapes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the tensors' shapes say."""
    plain = {name.removeprefix("encoder."): tensor for name, tensor in weights.items()}
    dim, channels, tubelet, patch, _ = plain["patch_embed.proj.weight"].shape
    known: dict[str, Any] = {
        "embed_dim": dim,
        "in_channels": channels,
        "tubelet_size": tubelet,
        "patch_size": patch,
        "depth": _depth(plain, "blocks"),
        "mlp_hidden_dim": len(plain["blocks.0.mlp.fc1.bias"]),
    }
    if "mask_token" in weights:
        known |= {
            "decoder_embed_dim": weights["mask_token"].shape[-1],
            "decoder_depth": _depth(weights, "decoder.blocks"),
            "decoder_mlp_hidden_dim": len(weights["decoder.blocks.0.mlp.fc1.bias"]),
        }
    if "blocks.0.ls1.gamma" in plain:
        known["layer_scale_init_value"] = 1.0
    return known


def _heads_like_presets(dim: int) -> dict[str, Any]:
    names = ("num_heads", "decoder_num_heads", "decoder_embed_dim", "decoder_mlp_hidden_dim")
    for preset in PRESETS.values():
        if preset["embed_dim"] == dim:
            return {name: preset[name] for name in names}
    return {}


def _depth(weights: Mapping[str, Tensor], stack: str) -> int:
    pattern = re.compile(rf"{re.escape(stack)}\.(\d+)\.")
    return 1 + max(int(match[1]) for name in weights if (match := pattern.match(name)))


def _labels(
    classes: int, given: Mapping[int, str] | None, known: Mapping[str, Any]
) -> dict[int, str]:
    default = MedicaneConfig().id2label
    labels = given or known.get("id2label") or (default if classes == len(default) else None)
    labels = dict(labels or {index: str(index) for index in range(classes)})
    if len(labels) != classes:
        raise ConfigurationError(f"id2label names {len(labels)} classes, the head has {classes}")
    return labels


def _adapted(weights: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    name = next(name for name in weights if name.endswith("patch_embed.proj.weight"))
    kernel = weights[name]  # (d, c, frames, p, p)
    flat = adapt_input_conv(channels, kernel.flatten(2, 3))  # (d, channels, frames · p, p)
    return {name: flat.unflatten(2, kernel.shape[2:4])}


def _notes(found: _Source, task: Task | None, settings: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    if not found.known.get("num_frames") and "num_frames" not in settings:
        notes.append("16 frames were assumed; if wrong, give num_frames")
    if not found.known.get("image_size") and "image_size" not in settings:
        notes.append("224 × 224 pixels were assumed; if wrong, give image_size")
    head = found.weights.get("head.weight")
    if task is None and head is not None and len(head) == 2:
        notes.append(
            "the head's 2 outputs were taken for classes; for a tracker give task=tracking"
        )
    return tuple(notes)
