"""Tensors by name in safetensors files, and whether they fit a model.

`network.conversion` reads other formats.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from medicane_models.errors import CheckpointError
from medicane_models.files import as_os_error, replacing, require_regular

__all__ = [
    "CONVERT",
    "as_type",
    "check_finite",
    "check_names",
    "check_shapes",
    "enumerated",
    "read_weights",
    "write_weights",
]

CONVERT = "to convert a foreign checkpoint run `medicane convert`"


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file by name.

    Raises:
        CheckpointError: the file is not a complete safetensors file.
    """
    try:
        require_regular(path)
        return load_file(path)
    except (SafetensorError, OSError, MemoryError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors by name to a safetensors file, whole or not at all.

    Raises:
        OutputError: if the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        with as_os_error(SafetensorError):
            save_file(dict(weights), temporary, metadata={"format": "pt"})
        temporary.chmod(mode)  # safetensors makes files that only their owner may read


def check_names(
    expected: Collection[str], given: Collection[str], source: str, remedy: str = CONVERT
) -> None:
    """Refuse weights whose names are not exactly the ``expected`` ones."""
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    if missing or unexpected:
        raise CheckpointError(
            f"{source} does not fit the model: missing {enumerated(missing) or 'none'}; "
            f"unexpected {enumerated(unexpected) or 'none'}; {remedy}"
        )


def check_shapes(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights of other shapes than ``expected``."""
    wrong = [
        f"{name} is {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
        for name, tensor in given.items()
        if tensor.shape != expected[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{source} does not fit the model: {enumerated(wrong)}; make the configuration agree"
        )


def check_finite(weights: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that hold NaN or infinity."""
    if wrong := [name for name, tensor in weights.items() if not _is_finite(tensor)]:
        dtype = str(weights[wrong[0]].dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{source} holds NaN or infinity in {enumerated(wrong)}, as {dtype}; give weights from "
            "before training failed, or a wider dtype"
        )


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.numel() or not tensor.is_floating_point():
        return True
    return bool(torch.stack(tensor.aminmax()).isfinite().all())  # both are NaN where one value is


def as_type(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A tensor in another floating-point type; counts stay whole numbers, None changes nothing."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def enumerated(names: Iterable[str], limit: int = 4) -> str:
    """The first of some names and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
