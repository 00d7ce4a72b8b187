"""What carries out the steps of a run: the seam between the training loop and its backends.

`run.loop` knows no backend: plain PyTorch (one process or DDP) and DeepSpeed are two `Engine`s.
Precision is that of autocast: parameters, gradients and optimiser stay float32.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from medicane_models.network.base import MedicaneModel
from medicane_models.network.weights import write_weights
from medicane_training.engines.optim import Rates, apply, make_optimizer
from medicane_training.engines.state import read_tensors, seed_random
from medicane_training.ranks import Ranks, average, own_device
from medicane_training.recipes.kinds import Recipe
from medicane_training.recipes.sections import EngineSettings

__all__ = ["EMA_NAME", "Engine", "Forward", "autocast", "evaluating"]

EMA_NAME = "ema.safetensors"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Forward = Callable[..., Any]
"""The model, or what an engine has wrapped it in; called as the model is."""


class Engine(ABC):
    """Model, optimiser and precision on this rank's device, in one process or many.

    Args:
        model: the same on all ranks, in training mode; rank 0's weights are taken.
        recipe: complete.
        ranks: as :func:`medicane_training.ranks.joined` gives them.
        rates: of every step.

    Attributes:
        model: the bare model.
        device: of the model.
    """

    model: MedicaneModel
    device: torch.device

    def __init__(self, model: MedicaneModel, recipe: Recipe, ranks: Ranks, rates: Rates) -> None:
        self.device = own_device(recipe.engine, ranks)
        self.model = _prepared(model, recipe.engine, self.device)
        self._recipe, self._ranks, self._rates = recipe, ranks, rates
        self._optimizer: Any = make_optimizer(
            model, recipe.optimizer, recipe.optimizer.highest_lr(recipe.training.global_batch)
        )
        self._ema: ModelEmaV3 | None = None
        self._parts = 0  # of the step, whose gradients are there
        self._steps = 0

    def _begin(self) -> None:
        """Once the ranks' weights are equal: start their running mean and the random numbers.

        The mean forgets the weights it starts from in a short run too.
        """
        training = self._recipe.training
        if training.ema_decay is not None:
            self._ema = ModelEmaV3(self.model, decay=training.ema_decay, use_warmup=True)
        seed_random(training.seed, 0, self._ranks.rank)

    @abstractmethod
    def forward(self, *args: Any, **options: Any) -> Any:
        """The model as the training step calls it."""

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of a forward pass."""
        return autocast(self.device, self._recipe.engine)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the part's share of the mean over all parts to the gradients.

        Args:
            loss: mean over the part's clips; parts are equally long.
            last: whether it is the last of ``training.accumulation`` parts, which alone exchanges
                gradients among ranks.
        """
        if last != self._at_last_part:
            raise RuntimeError(f"part {self._parts} of a step is {'' if last else 'not '}its last")
        self._add_gradients(loss)
        self._parts += 1

    @property
    def _at_last_part(self) -> bool:
        return self._parts == self._recipe.training.accumulation - 1

    @abstractmethod
    def _add_gradients(self, loss: Tensor) -> None:
        """Of a part's loss, divided by the number of parts."""

    @abstractmethod
    def gradient_norm(self) -> float:
        """Length of the gradient of all ranks before clipping; not finite where it overflowed."""

    def step(self, number: int) -> None:
        """Clip, update with the rates of step ``number`` (from 0), update the EMA, zero."""
        apply(self._optimizer, self._rates, number)
        self._update()
        share_statistics(self.model, self._ranks)
        if self._ema:
            self._ema.update(self.model, step=number + 1)
        self._steps, self._parts = number + 1, 0

    @abstractmethod
    def _update(self) -> None:
        """Clip, update, zero."""

    @abstractmethod
    def skip(self) -> None:
        """Drop the gradients instead."""

    def rates(self) -> dict[str, float]:
        """Highest learning rate and weight decay in use."""
        groups = self._optimizer.param_groups
        return {name: max(group[name] for group in groups) for name in ("lr", "weight_decay")}

    @contextmanager
    def evaluated(self) -> Iterator[MedicaneModel]:
        """The model to judge with, in evaluation mode: the EMA's weights where there is one.

        Nothing is compiled for it, as batches of evaluation have other sizes.
        """
        model = self._ema.module if self._ema else self.model
        with evaluating(model), torch.compiler.set_stance("force_eager"):
            yield model

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` (and ``ema.safetensors``) by rank 0; called on all ranks.

        Every rank writes its state for resuming.
        """

    @abstractmethod
    def load(self, folder: Path) -> str | None:
        """Go on from :meth:`save`, bit for bit with as many ranks; else tell what changes.

        Called on all ranks; fails on all if it does on one, and has then changed nothing.

        Raises:
            CheckpointError: a file is missing or damaged on some rank, or does not fit.
        """

    def _save_weights(self, folder: Path, model: MedicaneModel) -> None:
        model.save_pretrained(folder)
        if self._ema:
            write_weights(folder / EMA_NAME, self._ema.module.state_dict())

    def _read_ema(self, folder: Path) -> dict[str, Tensor]:
        return read_tensors(folder / EMA_NAME, self._ema.module) if self._ema else {}

    def _load_ema(self, weights: dict[str, Tensor]) -> None:
        if self._ema:
            self._ema.module.load_state_dict(weights)


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


def share_statistics(model: nn.Module, ranks: Ranks) -> None:
    """Let all ranks go on with the mean of the running statistics of their batch norms.

    In a step every rank normalises by its own clips. The statistics of frozen norms stay.
    """
    norms = [norm for norm in model.modules() if isinstance(norm, nn.BatchNorm2d) and norm.training]
    running = [(norm.running_mean, norm.running_var) for norm in norms]
    average([tensor for pair in running for tensor in pair if tensor is not None], ranks)


def _prepared(
    model: MedicaneModel, settings: EngineSettings, device: torch.device
) -> MedicaneModel:
    """The model on its device, checkpointing if asked; what is frozen whole is evaluated only."""
    if settings.gradient_checkpointing:
        cast("Any", model).set_grad_checkpointing(True)
    for module in model.modules():
        frozen = [not parameter.requires_grad for parameter in module.parameters()]
        if frozen and all(frozen):
            module.eval()
    return model.to(device)
