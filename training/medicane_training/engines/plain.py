"""What carries out the steps: plain PyTorch, in one process or with DDP, or DeepSpeed.

Precision is that of autocast: parameters, gradients and optimiser stay float32.
"""

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medicane_models.hub import WEIGHTS_NAME
from medicane_models.network.base import MedicaneModel
from medicane_models.network.weights import write_weights
from medicane_training.engines.optim import Rates, apply, make_optimizer
from medicane_training.engines.state import (
    check_groups,
    read_state,
    read_tensors,
    restore_random,
    seed_random,
    together,
    write_state,
)
from medicane_training.flows.interface import Engine
from medicane_training.ranks import Ranks, own_device
from medicane_training.recipes.kinds import Recipe
from medicane_training.recipes.sections import EngineSettings

__all__ = [
    "EMA_NAME",
    "PlainEngine",
    "autocast",
    "evaluating",
    "make_ema",
    "make_engine",
    "prepared",
]

EMA_NAME = "ema.safetensors"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def make_engine(model: MedicaneModel, recipe: Recipe, ranks: Ranks, rates: Rates) -> Engine:
    """What trains ``model`` as the recipe says, with random numbers of the seed and the rank.

    Args:
        model: the same on all ranks, in training mode; rank 0's weights are taken.
        recipe: complete.
        ranks: as :func:`medicane_training.ranks.joined` gives them.
        rates: of every step.

    Raises:
        ConfigurationError: a setting cannot be kept here.
        MissingExtraError: DeepSpeed is asked for and not installed.
    """
    if recipe.engine.backend == "deepspeed":
        from medicane_training.engines.deepspeed import DeepSpeedEngine

        return DeepSpeedEngine(model, recipe, ranks, rates)
    return PlainEngine(model, recipe, ranks, rates)


class PlainEngine:
    """One process, or several that average their gradients (DDP).

    Attributes:
        model: the bare model.
        forward: the model as the training step calls it.
        device: of the model.
    """

    def __init__(self, model: MedicaneModel, recipe: Recipe, ranks: Ranks, rates: Rates) -> None:
        self.device = own_device(recipe.engine, ranks)
        self.model = prepared(model, recipe.engine, self.device)
        self._recipe, self._ranks, self._rates = recipe, ranks, rates
        self._optimizer = make_optimizer(
            model, recipe.optimizer, recipe.optimizer.highest_lr(recipe.training.global_batch)
        )
        self._trained = [value for value in model.parameters() if value.requires_grad]
        self._scaler = torch.amp.GradScaler(
            self.device.type, enabled=recipe.engine.precision == "fp16"
        )
        self._module: Any = torch.compile(model) if recipe.engine.compile else model
        if ranks.world_size > 1:
            self._module = _in_parallel(self._module, self.device)
        self._ema = make_ema(model, recipe)  # after DDP has made the ranks' weights equal
        self._parts = 0  # of the step, whose gradients are there
        self._steps = 0
        self._norm: Tensor | None = None
        seed_random(recipe.training.seed, 0, ranks.rank)

    def forward(self, *args: Any, **options: Any) -> Any:
        """The model as the training step calls it."""
        with self._exchange(last=self._parts == self._recipe.training.accumulation - 1):
            return self._module(*args, **options)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of a forward pass."""
        return autocast(self.device, self._recipe.engine)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the part's share of the mean over all parts to the gradients.

        Args:
            loss: mean over the part's clips; parts are equally long.
            last: whether it is the last of ``training.accumulation`` parts.
        """
        if last != (self._parts == self._recipe.training.accumulation - 1):
            raise RuntimeError(f"part {self._parts} of a step is {'' if last else 'not '}its last")
        with self._exchange(last=last):
            self._scaler.scale(loss / self._recipe.training.accumulation).backward()
        self._parts += 1

    def gradient_norm(self) -> float:
        """Length of the gradient of all ranks before clipping; not finite where it overflowed.

        With fp16 an overflow is the scaler's to mend: `step` then leaves the weights alone and
        scales the next losses less.
        """
        return self._measured_norm().item()

    def step(self, number: int) -> None:
        """Clip, update with the rates of step ``number`` (from 0), update the EMA, zero."""
        apply(self._optimizer, self._rates, number)
        norm = self._measured_norm()
        if (longest := self._recipe.optimizer.clip_norm) is not None:
            nn.utils.clip_grads_with_norm_(self._trained, longest, norm)
        self._scaler.step(self._optimizer)
        if self._ema is not None:
            self._ema.update(self.model, step=number + 1)
        self._steps = number + 1
        self.skip()

    def skip(self) -> None:
        """Drop the gradients instead."""
        if self._norm is not None:  # the scaler has looked for overflows
            self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self._parts, self._norm = 0, None

    def rates(self) -> dict[str, float]:
        """Highest learning rate and weight decay in use."""
        groups = self._optimizer.param_groups
        return {name: max(group[name] for group in groups) for name in ("lr", "weight_decay")}

    @contextmanager
    def evaluated(self) -> Iterator[MedicaneModel]:
        """The model to judge with, in evaluation mode: the EMA's weights where there is one."""
        model = self.model if self._ema is None else self._ema.module
        with evaluating(model):
            yield model

    def save(self, folder: Path) -> None:
        """Write model, EMA and optimiser by rank 0, and random numbers by every rank."""
        state: dict[str, Any] = {}
        if self._ranks.is_main:
            self.model.save_pretrained(folder)
            state["optimizer"] = self._optimizer.state_dict()
            state["scaler"] = self._scaler.state_dict()
            if self._ema is not None:
                write_weights(folder / EMA_NAME, self._ema.module.state_dict())
        write_state(folder, state, steps=self._steps, ranks=self._ranks, device=self.device)

    def load(self, folder: Path) -> str | None:
        """Go on from :meth:`save`, bit for bit with as many ranks; else tell what changes.

        Raises:
            CheckpointError: a file is missing or damaged on some rank; all of them raise, and
                nothing has changed.
        """
        with together(self._ranks, folder):
            weights = read_tensors(folder / WEIGHTS_NAME, self.model)
            ema = self._ema and read_tensors(folder / EMA_NAME, self._ema.module)
            state = read_state(folder, 0)
            check_groups(folder, state, self._optimizer)
            same = state["world_size"] == self._ranks.world_size
            own = read_state(folder, self._ranks.rank) if same else None
        self.skip()
        self.model.load_state_dict(weights)
        if self._ema is not None and ema is not None:
            self._ema.module.load_state_dict(ema)
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

    def _exchange(self, *, last: bool) -> AbstractContextManager[Any]:
        """Whether DDP averages gradients; it decides in the forward pass."""
        if last or not isinstance(self._module, DistributedDataParallel):
            return nullcontext()
        return self._module.no_sync()


def prepared(model: MedicaneModel, settings: EngineSettings, device: torch.device) -> MedicaneModel:
    """The model on its device, checkpointing if asked; what is frozen whole is evaluated only."""
    if settings.gradient_checkpointing:
        cast("Any", model).set_grad_checkpointing(True)
    for module in model.modules():
        frozen = [not parameter.requires_grad for parameter in module.parameters()]
        if frozen and all(frozen):
            module.eval()
    return model.to(device)


def autocast(device: torch.device, settings: EngineSettings) -> AbstractContextManager[Any]:
    """The precision of a forward pass."""
    dtype = DTYPES[settings.precision]
    return torch.autocast(device.type, dtype, enabled=settings.precision != "fp32")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards each module's own mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def make_ema(model: MedicaneModel, recipe: Recipe) -> ModelEmaV3 | None:
    """The running mean of the weights, which in a short run too forgets those it starts from."""
    decay = recipe.training.ema_decay
    return None if decay is None else ModelEmaV3(model, decay=decay, use_warmup=True)


def _in_parallel(module: nn.Module, device: torch.device) -> DistributedDataParallel:
    known = inspect.signature(DistributedDataParallel).parameters
    # newer versions of torch warn of the former name
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {name: False}  # positions, which are the same everywhere
    device_ids = None if device.type == "cpu" else [device]
    return DistributedDataParallel(
        module, device_ids=device_ids, gradient_as_bucket_view=True, **options
    )
