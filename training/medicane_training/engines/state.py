"""What a run needs besides weights to go on where it stopped: files, and random numbers."""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medicane_models.errors import CheckpointError, shown
from medicane_models.files import as_os_error, replacing, require_regular
from medicane_models.network.weights import check_names, check_shapes, read_weights
from medicane_training.ranks import Ranks, any_of

__all__ = [
    "check_groups",
    "read_state",
    "read_tensors",
    "restore_random",
    "seed_random",
    "state_name",
    "together",
    "torch_writing",
    "write_state",
]


def state_name(rank: int) -> str:
    """Of the file that a rank writes."""
    return f"state-rank{rank}.pt"


def write_state(
    folder: Path, state: dict[str, Any], *, steps: int, ranks: Ranks, device: torch.device
) -> None:
    """Write a rank's ``state`` with its random numbers.

    Args:
        folder: of the checkpoint.
        state: tensors, numbers, text, and lists, tuples and dictionaries of them.
        steps: taken so far.
        ranks: this one's number and how many there are.
        device: of the model.

    Raises:
        OutputError: if the file cannot be written.
    """
    common = {"steps": steps, "world_size": ranks.world_size, "random": _random(device)}
    with replacing(folder / state_name(ranks.rank)) as temporary, torch_writing():
        torch.save(common | state, temporary)


def torch_writing() -> AbstractContextManager[None]:
    """Where torch.save cannot write, an OSError; errors of the device stay RuntimeErrors."""
    return as_os_error(RuntimeError, "iostream error|inline_container")


def read_state(folder: Path, rank: int) -> dict[str, Any]:
    """What `write_state` has written, on the CPU; nothing but plain values is unpickled.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = folder / state_name(rank)
    try:
        require_regular(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle fails in any way
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path} is not a readable state of a run ({reason}); resume from another checkpoint"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path} holds {shown(state)}, no state of a run; resume from another checkpoint"
        )
    return state


def read_tensors(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """Tensors that fit ``model`` exactly.

    Raises:
        CheckpointError: the file is missing or damaged, or does not fit.
    """
    weights = read_weights(path)
    check_names(model.state_dict(), weights, str(path))
    check_shapes(model.state_dict(), weights, str(path))
    return weights


def check_groups(folder: Path, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Refuse the optimiser's state of other parameters.

    Raises:
        CheckpointError: parameter groups differ in number or length, or DeepSpeed keeps them.
    """
    if "optimizer" not in state:
        raise CheckpointError(
            f"{folder} was written by DeepSpeed; resume with engine.backend deepspeed, or begin a "
            "new run from its weights with model.init"
        )
    saved = [len(group["params"]) for group in state["optimizer"]["param_groups"]]
    present = [len(group["params"]) for group in optimizer.param_groups]
    if saved != present:
        raise CheckpointError(
            f"{folder} holds an optimiser for groups of {saved} parameters, and the recipe makes "
            f"groups of {present}; resume with the recipe in run.yaml"
        )


@contextmanager
def together(ranks: Ranks, folder: Path) -> Iterator[None]:
    """Let reading fail on all ranks if it does on one, so that none waits for another.

    Raises:
        CheckpointError: this rank's, or that another one has failed.
    """
    failure: CheckpointError | None = None
    try:
        yield
    except CheckpointError as error:
        failure = error
    if any_of(failure is not None, ranks):
        raise failure or CheckpointError(f"{folder} cannot be read by another rank")


def seed_random(seed: int, steps: int, rank: int) -> None:
    """Start all generators of this process from these three numbers."""
    words = np.random.SeedSequence((seed, steps, rank)).generate_state(3)
    torch.manual_seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002 - libraries may draw from it
    random.seed(int(words[2]))


def _random(device: torch.device) -> dict[str, Any]:
    """The generators' states in terms that torch.load takes without unpickling objects."""
    name, words, *rest = np.random.get_state()  # noqa: NPY002 - libraries may draw from it
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [str(name), np.asarray(words).tolist(), *rest],
        "python": list(random.getstate()),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random(state: dict[str, Any], device: torch.device) -> None:
    """Go on with the random numbers of a saved state."""
    torch.set_rng_state(state["torch"])
    name, words, *rest = state["numpy"]
    np.random.set_state((name, np.array(words, np.uint32), *rest))  # noqa: NPY002
    version, inner, gauss = state["python"]
    random.setstate((version, tuple(inner), gauss))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
