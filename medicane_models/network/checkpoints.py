"""Tensors in the files of other code bases: one file or shards, one set of weights or several.

Pickles are read with ``weights_only=True``: code in them never runs.
"""

import argparse
import pickle
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medicane_models.choices import WeightsChoice
from medicane_models.errors import CheckpointError, ConfigurationError, MissingFileError
from medicane_models.fields import json_object
from medicane_models.hub import no_pointer, resolve_file
from medicane_models.network.layouts import Weights
from medicane_models.network.weights import check_finite, read_weights

__all__ = ["StateDict", "check_values", "read_file", "read_folder", "unwrap"]


PICKLES = (".pth", ".pt", ".bin", ".ckpt")
FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
LAST = ("model", "module", "state_dict", "model_state_dict")
AVERAGED = (
    "model_ema", "state_dict_ema", "ema_state_dict", "ema", "ema_model", "model_ema_state_dict",
)  # fmt: skip
DEEPEST = 8
"""Wrappers in one another; a pickle may hold itself."""


@dataclass(frozen=True, kw_only=True)
class StateDict:
    """One set of weights of a checkpoint.

    Attributes:
        weights: tensors by name.
        taken: the keys they lay under, outermost first.
        averaged: whether one of these says that the weights are averaged over steps.
        left: keys of the sets that were not taken.
    """

    weights: Weights
    taken: tuple[str, ...] = ()
    averaged: bool = False
    left: tuple[str, ...] = ()

    def __str__(self) -> str:
        kind = "averaged" if self.averaged else "last"
        return f"the {kind} weights were taken, {'.'.join(self.taken)}, not {', '.join(self.left)}"


def read_folder(source: str, choice: WeightsChoice | None = None, **place: Any) -> StateDict:
    """Weights of a folder or Hub repository that ``transformers`` wrote, in shards or not.

    Args:
        source: folder or Hub id.
        choice: as `unwrap` takes it.
        place: as `medicane_models.hub.resolve_file` takes it.

    Raises:
        CheckpointError: there are none, a shard is missing, or as `read_file`.
    """
    for name in FOLDER_FILES:
        with suppress(MissingFileError):
            return read_file(resolve_file(source, name, **place), choice)
        with suppress(MissingFileError):
            index = resolve_file(source, f"{name}.index.json", **place)
            return unwrap(_read_shards(source, index, place), choice)
    raise MissingFileError(
        f"{source} holds none of {', '.join(FOLDER_FILES)}, whole or in shards; give the file of "
        "its weights itself"
    )


def read_file(path: Path, choice: WeightsChoice | None = None) -> StateDict:
    """Weights of a safetensors file or pickle.

    Raises:
        CheckpointError: it cannot be read, holds code, or no tensors.
        ConfigurationError: it holds no set of weights of that kind.
    """
    try:
        return unwrap(_load(no_pointer(path)), choice)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _read_shards(source: str, index: Path, place: Mapping[str, Any]) -> Weights:
    places = json_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index} has no weight_map; get it again from where it came")
    weights = {}
    for name in sorted({str(name) for name in places.values()}):
        if "/" in name or "\\" in name:
            raise CheckpointError(f"{index} names the shard {name!r} outside of its folder")
        try:
            weights |= read_file(resolve_file(source, name, **place)).weights
        except MissingFileError as error:
            raise CheckpointError(f"{error}, which {index.name} names; get all shards") from error
    if missing := sorted(places.keys() - weights.keys()):
        raise CheckpointError(
            f"{index} names {missing[0]}, which {places[missing[0]]} lacks; get the shards again"
        )
    return weights


def _load(path: Path) -> object:
    if path.suffix == ".safetensors":
        return read_weights(path)
    if path.suffix not in PICKLES:
        raise CheckpointError(f"{path} is neither .safetensors nor one of {', '.join(PICKLES)}")
    try:
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle fails in any way
        code = re.search(r"GLOBAL (\S+)|but got (<class \S+>)", str(error))
        if code and isinstance(error, pickle.UnpicklingError):
            raise CheckpointError(
                f"{path} holds more than tensors and is not loaded, since it could run code: "
                f"{code[1] or code[2]}; save its state_dict alone where it came from"
            ) from error
        raise CheckpointError(
            f"{path} is not a readable checkpoint ({type(error).__name__}); if it was cut short, "
            "get it again from where it came"
        ) from error


def _harmless() -> list[Any]:
    """What training scripts store beside the weights and holds data only."""
    numbers = [type(np.dtype(code)) for code in np.typecodes["All"] if code != "O"]
    makers: list[Any] = [np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]]
    names = [
        (maker, f"numpy.{core}.multiarray.{maker.__name__}")  # numpy 1's and 2's
        for maker in makers
        for core in ("core", "_core")
    ]
    return [argparse.Namespace, np.dtype, np.ndarray, *numbers, *names]


def unwrap(checkpoint: object, choice: WeightsChoice | None = None) -> StateDict:
    """The dictionary of tensors inside a training checkpoint.

    Args:
        checkpoint: what a training script saved.
        choice: which set of weights, of those averaged over steps and the last step's; None takes
            the averaged ones where there are any.

    Raises:
        CheckpointError: there are no tensors.
        ConfigurationError: there is no set of that kind.
    """
    taken, left, averaged = [], [], False
    while (sets := _sets(checkpoint)) and len(taken) < DEEPEST:
        kind = choice or "averaged"
        key = next((key for key, is_of in sets.items() if is_of == kind), next(iter(sets)))
        taken.append(key)
        left += [other for other in sets if other != key]
        averaged |= sets[key] == "averaged"
        checkpoint = checkpoint[key]  # pyright: ignore[reportIndexIssue]
    if choice is not None and averaged != (choice == "averaged"):
        raise ConfigurationError(f"it holds no {choice} weights; leave out weights={choice}")
    weights = _tensors(checkpoint, taken)
    return StateDict(
        weights=weights, taken=tuple(taken), averaged=averaged, left=tuple(dict.fromkeys(left))
    )


def _sets(checkpoint: object) -> dict[str, WeightsChoice]:
    """Keys of sets of weights, and the kind of each."""
    if not isinstance(checkpoint, Mapping):
        return {}
    kinds: dict[str, WeightsChoice] = dict.fromkeys(LAST, "last")
    kinds |= dict.fromkeys(AVERAGED, "averaged")
    meta = checkpoint.get("meta")
    if isinstance(meta, Mapping) and "mmengine_version" in meta and "ema_state_dict" in checkpoint:
        # its EMAHook exchanges the two when it saves
        kinds |= {"state_dict": "averaged", "ema_state_dict": "last"}
    return {key: kind for key, kind in kinds.items() if _is_set(checkpoint.get(key), kind)}


def _is_set(value: object, kind: WeightsChoice) -> bool:
    if kind == "averaged" and isinstance(value, list | tuple):
        return True  # refused later: parameters without names
    return isinstance(value, Mapping) and (
        kind == "averaged" or any(isinstance(item, Tensor | Mapping) for item in value.values())
    )


def _tensors(checkpoint: object, taken: list[str]) -> Weights:
    held = checkpoint if isinstance(checkpoint, Mapping) else {}
    tensors = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        where = f" by name under {'.'.join(taken)}" if taken else ""
        keys = ", ".join(str(key) for key in list(held)[:6]) or "nothing by name"
        raise CheckpointError(
            f"the checkpoint holds no tensors{where}, only {keys}; give a state_dict, bare or "
            f"under {', '.join(LAST)}, or choose another set with weights=last"
        )
    return tensors


def check_values(weights: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are no finite floating-point numbers.

    Raises:
        CheckpointError: names the first one.
    """
    for name, tensor in weights.items():
        if tensor.layout != torch.strided or tensor.is_meta or not tensor.is_floating_point():
            kind = f"{tensor.dtype} {tensor.layout} on {tensor.device}".replace("torch.", "")
            raise CheckpointError(
                f"{source}: {name} is {kind}, not floating point; give weights that are not "
                "quantised"
            )
    check_finite(weights, source)
