"""Steps carried out by plain PyTorch, in one process or with DDP."""

import inspect
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medicane_models.hub import WEIGHTS_NAME
from medicane_models.network.base import MedicaneModel
from medicane_training.engines.interface import Engine
from medicane_training.engines.optim import Rates
from medicane_training.engines.state import (
    check_groups,
    read_state,
    read_tensors,
    restore_random,
    seed_random,
    together,
    write_state,
)
from medicane_training.ranks import Ranks
from medicane_training.recipes.kinds import Recipe

__all__ = ["PlainEngine"]


class PlainEngine(Engine):
    """One process, or several that average their gradients (DDP)."""

    def __init__(self, model: MedicaneModel, recipe: Recipe, ranks: Ranks, rates: Rates) -> None:
        super().__init__(model, recipe, ranks, rates)
        self._trained = [value for value in model.parameters() if value.requires_grad]
        self._scaler = torch.amp.GradScaler(
            self.device.type, enabled=recipe.engine.precision == "fp16"
        )
        self._module: Any = model.compiled() if recipe.engine.compile else model
        if ranks.world_size > 1:
            self._module = _in_parallel(self._module, self.device)
        self._norm: Tensor | None = None
        self._begin()

    def forward(self, *args: Any, **options: Any) -> Any:
        """The model, perhaps compiled and wrapped by DDP."""
        with self._exchange():
            return self._module(*args, **options)

    def _add_gradients(self, loss: Tensor) -> None:
        with self._exchange():
            self._scaler.scale(loss / self._recipe.training.accumulation).backward()

    def gradient_norm(self) -> float:
        """Of all ranks; the scaler mends where fp16 overflowed.

        `step` then leaves the weights alone and scales the next losses less.
        """
        return self._measured_norm().item()

    def _update(self) -> None:
        norm = self._measured_norm()
        if (longest := self._recipe.optimizer.clip_norm) is not None:
            nn.utils.clip_grads_with_norm_(self._trained, longest, norm)
        self._scaler.step(self._optimizer)
        self.skip()

    def skip(self) -> None:
        """Drop the gradients."""
        if self._norm is not None:  # the scaler has looked for overflows
            self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self._parts, self._norm = 0, None

    def save(self, folder: Path) -> None:
        """Write model, EMA and optimiser by rank 0, and random numbers by every rank."""
        state: dict[str, Any] = {}
        if self._ranks.is_main:
            self._save_weights(folder, self.model)
            state["optimizer"] = self._optimizer.state_dict()
            state["scaler"] = self._scaler.state_dict()
        write_state(folder, state, steps=self._steps, ranks=self._ranks, device=self.device)

    def load(self, folder: Path) -> str | None:
        """Go on with any number of ranks."""
        with together(self._ranks, folder):
            weights = read_tensors(folder / WEIGHTS_NAME, self.model)
            ema = self._read_ema(folder)
            state = read_state(folder, 0)
            check_groups(folder, state, self._optimizer)
            same = state["world_size"] == self._ranks.world_size
            own = read_state(folder, self._ranks.rank) if same else None
        self.skip()
        self.model.load_state_dict(weights)
        self._load_ema(ema)
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self._steps = state["steps"]
        return self._go_on(folder, state, own)

    def _go_on(self, folder: Path, state: dict[str, Any], own: dict[str, Any] | None) -> str | None:
        if own is not None:
            restore_random(own["random"], self.device)
            return None
        seed_random(self._recipe.training.seed, self._steps, self._ranks.rank)
        return (
            f"{folder} was written by {state['world_size']} processes and {self._ranks.world_size} "
            "go on: weights, optimiser and schedule stay; the random numbers of dropout and the "
            "like start afresh, and sums are rounded differently"
        )

    def _measured_norm(self) -> Tensor:
        if self._norm is None:
            self._scaler.unscale_(self._optimizer)
            gradients = [value.grad for value in self._trained if value.grad is not None]
            self._norm = nn.utils.get_total_norm(gradients)
        return self._norm

    def _exchange(self) -> AbstractContextManager[Any]:
        """Whether DDP averages gradients, at the last part; it decides in the forward pass."""
        if self._at_last_part or not isinstance(self._module, DistributedDataParallel):
            return nullcontext()
        return self._module.no_sync()


def _in_parallel(module: nn.Module, device: torch.device) -> DistributedDataParallel:
    known = inspect.signature(DistributedDataParallel).parameters
    # newer versions of torch warn of the former name
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {name: False}  # positions, which are the same everywhere
    device_ids = None if device.type == "cpu" else [device]
    return DistributedDataParallel(
        module, device_ids=device_ids, gradient_as_bucket_view=True, **options
    )
