"""Models from other code bases' checkpoints, and back to Hugging Face VideoMAE.

Read are VideoMAE and VideoMAEv2 (pretraining and fine-tuned, bare or wrapped by DeepSpeed,
torch.compile or mmaction), the research code's classifiers and trackers, Hugging Face VideoMAE,
and timm's ViT for pictures.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medicane_models.choices import WeightsChoice
from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.fields import json_object
from medicane_models.files import write_json
from medicane_models.hub import WEIGHTS_NAME, resolve_file
from medicane_models.network import layouts, videomae
from medicane_models.network.auto import model_class
from medicane_models.network.base import LoadReport, MedicaneModel, load_backbone, load_strictly
from medicane_models.network.checkpoints import (
    StateDict,
    check_values,
    read_file,
    read_folder,
)
from medicane_models.network.configuration import CONFIG_NAME, DataKind, MedicaneConfig, Task
from medicane_models.network.positions import position_table
from medicane_models.network.presets import PRESETS, UNTRAINED
from medicane_models.network.weights import write_weights

__all__ = ["ConversionReport", "export_transformers", "from_foreign"]

RESEARCH_HEAD = {"head": "regression", "center_mean_px": (0.0, 0.0), "center_scale_px": (1.0, 1.0)}
"""The research tracker gives tile pixels, without standardisation."""
REMEDY = "give a whole checkpoint of such a model, and the settings it was made with"


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """What a checkpoint was taken for and what became of its tensors.

    Attributes:
        layout: whose names it had: ``"transformers"``, ``"videomae"`` or ``"vit-2d"``.
        task: the task of the model made.
        tensors: what was loaded, dropped and started fresh.
        notes: which weights were taken of several, and what was assumed.
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
    dropped: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def from_foreign(
    source: str | Path,
    *,
    task: Task | None = None,
    id2label: Mapping[int, str] | None = None,
    in_channels: int | None = None,
    trained_on: str | None = None,
    data_kind: DataKind | None = None,
    weights: WeightsChoice | None = None,
    revision: str | None = None,
    **settings: Any,
) -> tuple[MedicaneModel, ConversionReport]:
    """Read a foreign checkpoint.

    Args:
        source: a ``.pth``, ``.pt``, ``.bin``, ``.ckpt`` or ``.safetensors`` file, or a folder or
            Hub id of a Hugging Face VideoMAE, in shards or not.
        task: model to make; None takes the checkpoint's own. Needed for the research code's older
            trackers, whose head looks like two classes. A task that the checkpoint has no head
            for gets its backbone and a fresh head.
        id2label: names of the classes.
        in_channels: number of channels to change the patch embedding to, and the pixels of a
            pretraining decoder.
        trained_on: one sentence on the data the weights were trained with.
        data_kind: of the scenes among them; None if nobody said.
        weights: ``"averaged"`` or ``"last"``, where a checkpoint holds weights averaged over
            steps beside the last step's; None takes the averaged ones where there are any.
        revision: branch, tag or commit on the Hub.
        settings: fields of the configuration that cannot be read off the tensors, such as
            ``image_size``, ``num_frames`` or ``num_heads``.

    Returns:
        The model in evaluation mode, and what was done.

    Raises:
        CheckpointError: the file cannot be read, holds code, lacks tensors, or has some that are
            no finite floating-point numbers or that no model here can keep.
        ConfigurationError: a setting contradicts the tensors or must be given.
    """
    _check_stem(str(source), "stem" in settings)
    found = _read(str(source), settings, task, weights, revision)
    target: Task = task or found.task or "classification"
    _check_expressible(found, target, str(source), id2label)
    if in_channels is not None:
        _known_from_shapes(found.weights)  # which are refused before they are changed
        found = replace(found, weights=layouts.with_channels(found.weights, in_channels))
    says = trained_on or f"Not stated; converted from {Path(source).name}."
    told = {"task": found.task or target, "trained_on": says, "data_kind": data_kind}
    config = _config(found, settings | told, id2label)
    _check_positions(found, config, str(source))
    if found.task == target:
        cls = model_class(target)
        model = load_strictly(cls, config, found.weights, str(source), remedy=REMEDY)
        tensors = LoadReport(loaded=tuple(found.weights), dropped=tuple(found.dropped), fresh=())
    else:
        labels = id2label or MedicaneConfig().id2label
        fresh = {**UNTRAINED, "task": target, "id2label": labels}
        model = model_class(target)(config.replace(**fresh)).eval()
        tensors = load_backbone(model, found.weights, str(source), remedy=REMEDY)
        tensors = replace(tensors, dropped=(*tensors.dropped, *found.dropped))
    return model, ConversionReport(
        layout=found.layout, task=target, tensors=tensors, notes=_notes(found, task, settings)
    )


def export_transformers(model: MedicaneModel, out: str | Path) -> None:
    """Write a folder that ``transformers`` loads as VideoMAE.

    Raises:
        ConfigurationError: Hugging Face's VideoMAE cannot express the model.
    """
    config = videomae.transformers_config(model.config)
    weights = layouts.for_transformers(model.state_dict())
    write_weights(Path(out) / WEIGHTS_NAME, weights)
    write_json(Path(out) / CONFIG_NAME, config)


def _check_stem(source: str, has_stem: bool) -> None:
    """Refuse what lies outside every foreign layout."""
    if has_stem:
        raise ConfigurationError(
            f"{source}: a model with a stem is this package's own and has nothing to be converted; "
            "leave stem out, or load the model with from_pretrained"
        )


def _read(
    source: str,
    settings: Mapping[str, Any],
    task: Task | None,
    choice: WeightsChoice | None,
    revision: str | None,
) -> _Source:
    path = Path(source)
    if path.is_file():
        state = read_file(path, choice)
        config = _config_beside(path) if layouts.is_transformers(state.weights) else {}
    else:
        config = json_object(resolve_file(source, CONFIG_NAME, revision=revision))
        if config.get("model_type") != "videomae":
            raise CheckpointError(
                f"{source} is a {config.get('model_type')} model; give a VideoMAE or a checkpoint "
                "file"
            )
        state = read_folder(source, choice, revision=revision)
    try:
        known = videomae.from_videomae_config(config, settings) if config else {}
    except (TypeError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{CONFIG_NAME} of {source}: {error}") from error
    return _recognise(source, state, known, settings.get("tubelet_size", 2), task)


def _config_beside(path: Path) -> dict[str, Any]:
    """What stands in the ``config.json`` of the folder that transformers wrote the weights to."""
    beside = path.with_name(CONFIG_NAME)
    config = json_object(beside) if beside.is_file() else {}
    return config if config.get("model_type") == "videomae" else {}


def _recognise(
    source: str, state: StateDict, known: dict[str, Any], tubelet_size: int, task: Task | None
) -> _Source:
    weights = layouts.strip_prefixes(state.weights)
    counters = {k: v for k, v in weights.items() if not (v.ndim or v.is_floating_point())}
    weights = {name: tensor for name, tensor in weights.items() if name not in counters}
    _check_stem(source, any(_plain(name).startswith("patch_embed.stem.") for name in weights))
    check_values(weights, source)
    layout, named, dropped = _named(weights, tubelet_size)
    if "patch_embed.proj.weight" not in map(_plain, named):
        raise CheckpointError(
            f"{source}: no patch embedding among {', '.join(list(weights)[:4])} …; this is not a "
            "video transformer that can be converted"
        )
    if task == "tracking" and layout == "videomae" and _outputs(named) == 2:
        named = layouts.legacy_regression_head(named)
    own = None if layout == "vit-2d" else _own_task(named)
    notes = (str(state),) if state.left else ()
    biased = layouts.without_attention_bias(named)
    if len(biased) > len(named) and not known.get("qkv_bias"):
        notes += ("queries and values have no biases; they are zeros",)
        named = biased
    return _Source(
        layout=layout,
        task=own,
        weights=named,
        known=known | (RESEARCH_HEAD if own == "tracking" else {}),
        dropped=counters | dropped,
        notes=notes,
    )


def _named(
    weights: dict[str, Tensor], tubelet_size: int
) -> tuple[str, dict[str, Tensor], dict[str, Tensor]]:
    """Layout, tensors under our names, and what is left out under its own."""
    if layouts.is_transformers(weights):
        return "transformers", layouts.from_transformers(weights), {}
    kernel = weights.get("patch_embed.proj.weight")
    if kernel is not None and kernel.ndim == 4:
        left = {k: v for k, v in weights.items() if not k.startswith(("patch_embed.", "blocks."))}
        return "vit-2d", layouts.from_2d_vit(weights, tubelet_size), left
    fixed = {name: tensor for name, tensor in weights.items() if _plain(name) in layouts.FIXED}
    return "videomae", layouts.from_videomae(weights), fixed


def _plain(name: str) -> str:
    return name.removeprefix("encoder.")


def _check_expressible(
    found: _Source, target: Task, source: str, id2label: Mapping[int, str] | None
) -> None:
    """Refuse heads that no model here has; the backbone under them can be had."""
    if id2label and target != "classification":
        raise ConfigurationError(f"classes are named for a {target} model; leave them out")
    misfit = _misfit(found) if found.task == target else None
    if misfit is not None:
        others = {"classification", "tracking", "pretraining"} - {target}
        raise CheckpointError(
            f"{source} cannot be kept whole: {misfit}; reuse its backbone with "
            f"task={' or task='.join(sorted(others))}"
        )


def _misfit(found: _Source) -> str | None:
    """Why no model here computes what this one does; None where one does."""
    weights, known = found.weights, found.known
    kind = known.get("problem_type") or "single_label_classification"
    if found.task == "pretraining" and "encoder.norm.weight" not in weights:
        return "its encoder ends without a norm (use_mean_pooling is true)"
    if found.task == "pretraining" and not known.get("norm_pix_loss", True):
        return "it gives pixels that are not normalised (norm_pix_loss is false)"
    if found.task == "classification" and "fc_norm.weight" not in weights:
        return "it classifies by its first token (use_mean_pooling is false)"
    if found.task == "classification" and _outputs(weights) == 1:
        return "its head has one output, which is no choice of classes"
    if found.task == "classification" and kind != "single_label_classification":
        return f"its problem_type is {kind!r}, and classes here exclude one another"
    return None


def _check_positions(found: _Source, config: MedicaneConfig, source: str) -> None:
    """Refuse stored positions that are not the sinusoids the model would add."""
    for name, stored in found.dropped.items():
        if found.layout != "videomae" or _plain(name) != "pos_embed":
            continue
        ours = position_table(
            config.position, config.token_grid, config.embed_dim, config.position_grid
        )
        if stored.numel() != ours.numel():
            raise CheckpointError(
                f"{source}: {name} is {tuple(stored.shape)}, the clips have {len(ours)} tokens; "
                "give its num_frames and image_size"
            )
        if not torch.allclose(stored.float().reshape(ours.shape), ours, atol=1e-2):
            raise CheckpointError(
                f"{source}: {name} was learned and is no sinusoid, as no model here has it; give a "
                "checkpoint of a model with sinusoids"
            )


def _own_task(weights: Mapping[str, Tensor]) -> Task | None:
    if _has(weights, "mask_token", "decoder."):
        return "pretraining"
    if _has(weights, "head.mlp."):
        return "tracking"
    return "classification" if _has(weights, "head.") else None


def _has(weights: Mapping[str, Tensor], *prefixes: str) -> bool:
    return any(name.startswith(prefixes) for name in weights)


def _outputs(weights: Mapping[str, Tensor]) -> int | None:
    """Outputs of a linear head."""
    head = weights.get("head.weight")
    return None if head is None or not head.ndim else len(head)


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
    known = {name: known[name] for name in known if name not in videomae.DECISIVE}
    if found.task == "classification":
        classes, _ = _shape(found.weights, "head.weight", "(classes, features)")
        known["id2label"] = _labels(classes, id2label, found.known)
    else:
        known.pop("id2label", None)
    try:
        return MedicaneConfig.from_dict(known)
    except (TypeError, AttributeError) as error:
        raise ConfigurationError(f"a setting has a value of the wrong kind: {error}") from error


def _known_from_shapes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the tensors' shapes say."""
    plain = {_plain(name): tensor for name, tensor in weights.items()}
    kernel = "(features, channels, frames, rows, columns)"
    dim, channels, tubelet, patch, columns = _shape(plain, "patch_embed.proj.weight", kernel)
    if patch != columns:
        raise CheckpointError(f"patches are {patch} × {columns} pixels; only squares are supported")
    known: dict[str, Any] = {
        "embed_dim": dim,
        "in_channels": channels,
        "tubelet_size": tubelet,
        "patch_size": patch,
        "depth": _depth(plain, "blocks"),
        "mlp_hidden_dim": _shape(plain, "blocks.0.mlp.fc1.bias", "(features,)")[0],
    }
    if _has(weights, "mask_token", "decoder."):
        hidden = _shape(weights, "decoder.blocks.0.mlp.fc1.bias", "(features,)")[0]
        known |= {
            "decoder_embed_dim": _shape(weights, "mask_token", "(1, 1, features)")[-1],
            "decoder_depth": _depth(weights, "decoder.blocks"),
            "decoder_mlp_hidden_dim": hidden,
        }
    if "blocks.0.ls1.gamma" in plain:
        known["layer_scale_init_value"] = 1.0
    return known


def _shape(weights: Mapping[str, Tensor], name: str, axes: str) -> torch.Size:
    if name not in weights:
        raise CheckpointError(f"the checkpoint does not fit any model: missing {name}; {REMEDY}")
    shape = weights[name].shape
    if len(shape) != len(re.findall(r"\w+", axes)) or not all(shape):
        raise CheckpointError(
            f"{name} is {tuple(shape)}, a video transformer's is {axes}; {REMEDY}"
        )
    return shape


def _heads_like_presets(dim: int) -> dict[str, Any]:
    names = ("num_heads", "decoder_num_heads", "decoder_embed_dim", "decoder_mlp_hidden_dim")
    for preset in PRESETS.values():
        if preset["embed_dim"] == dim and "stem" not in preset:
            return {name: preset[name] for name in names}
    return {}


def _depth(weights: Mapping[str, Tensor], stack: str) -> int:
    pattern = re.compile(rf"{re.escape(stack)}\.(\d+)\.")
    found = {int(match[1]) for name in weights if (match := pattern.match(name))}
    if found != set(range(len(found))) or not found:
        raise CheckpointError(
            f"{stack} has the indices {sorted(found)}, which do not count from 0; {REMEDY}"
        )
    return len(found)


def _labels(
    classes: int, given: Mapping[int, str] | None, known: Mapping[str, Any]
) -> dict[int, str]:
    default = MedicaneConfig().id2label
    labels = given or known.get("id2label") or (default if classes == len(default) else None)
    labels = dict(labels or {index: str(index) for index in range(classes)})
    if len(labels) != classes:
        raise ConfigurationError(f"id2label names {len(labels)} classes, the head has {classes}")
    return labels


def _notes(found: _Source, task: Task | None, settings: Mapping[str, Any]) -> tuple[str, ...]:
    notes = list(found.notes)
    if not found.known.get("num_frames") and "num_frames" not in settings:
        notes.append("16 frames were assumed; if wrong, give num_frames")
    if not found.known.get("image_size") and "image_size" not in settings:
        notes.append("224 × 224 pixels were assumed; if wrong, give image_size")
    if task is None and _outputs(found.weights) == 2:
        notes.append(
            "the head's 2 outputs were taken for classes; for a tracker give task=tracking"
        )
    return tuple(notes)
