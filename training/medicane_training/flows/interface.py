"""What a training flow supplies and what carries it out: the seams of the training loop.

`loop.run` knows no flow and no backend: specialization, classification and tracking are three
`Flow`s, plain PyTorch (one process or DDP) and DeepSpeed two `Engine`s.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medicane_models.network.base import LoadReport, MedicaneModel
from medicane_training.clips.dataset import ClipBatch
from medicane_training.clips.parts import Clips
from medicane_training.recipes.kinds import Recipe

__all__ = ["Engine", "Flow", "Step", "Table"]

Forward = Callable[..., Any]
"""The model, or what an engine has wrapped it in; called as the model is."""

Columns = Mapping[str, np.ndarray]
"""Of each clip of a batch, in its order, what the model made of it; arrays (clips, …)."""

Table = pd.DataFrame
"""One row a clip: ``clip`` (row in the store's index) and the columns that `Flow.judge` gave."""

R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True, kw_only=True)
class Step:
    """Which part of which step a loss belongs to: all that its random draws may depend on.

    Attributes:
        number: optimiser steps taken before.
        part: of the step, when it is computed in several.
        seed: of the run.
        rank: of this process.
        world_size: number of processes.
    """

    number: int
    part: int
    seed: int
    rank: int
    world_size: int

    def generator(self) -> torch.Generator:
        """On the CPU, and the same on all ranks: draw for the batch of all, keep `own` rows."""
        state = np.random.SeedSequence((self.seed, self.number, self.part)).generate_state(1)
        return torch.Generator().manual_seed(int(state[0]))

    def own(self, drawn: Tensor, *, num_views: int) -> Tensor:
        """This rank's rows of what was drawn for the batches of all ranks, as the sampler deals.

        However many ranks there are, a clip then gets the same, if each computes its share of a
        step in as many parts.

        Args:
            drawn: ``world_size * len(batch)`` rows.
            num_views: of the batch, whose views of a clip lie side by side.
        """
        clips = drawn.unflatten(0, (-1, num_views))
        return clips[self.rank :: self.world_size].flatten(0, 1)


class Flow(ABC, Generic[R]):
    """One of the three flows. It holds no state that changes during training.

    Attributes:
        recipe: complete.
        clips: store, parts and loaders, see :class:`medicane_training.clips.parts.Clips`.
    """

    model_class: ClassVar[type[MedicaneModel]]

    def __init__(self, recipe: R, clips: Clips) -> None:
        self.recipe = recipe
        self.clips = clips

    @property
    @abstractmethod
    def selects(self) -> str:
        """Name of the validation score that chooses the checkpoint."""

    @property
    @abstractmethod
    def bigger_is_better(self) -> bool:
        """Which way."""

    @abstractmethod
    def make_model(self) -> tuple[MedicaneModel, LoadReport | None]:
        """The model to train with its processor, and what became of the initial one's tensors."""

    @abstractmethod
    def loss(self, forward: Forward, batch: ClipBatch, step: Step) -> Tensor:
        """Mean loss of a training batch that is on the model's device. Autocast is set."""

    @abstractmethod
    def judge(self, model: MedicaneModel, batch: ClipBatch) -> Columns:
        """What the model makes of clips without augmentation; ``loss`` is always a column.

        In evaluation mode, without gradients, autocast set; arrays are float32 on the CPU.
        """

    @abstractmethod
    def score(self, table: Table) -> dict[str, float]:
        """Scores of all judged clips, each exactly once, on rank 0; `selects` is among them."""

    def finish(self, model: MedicaneModel, validation: Table) -> tuple[MedicaneModel, Table]:
        """The chosen model as it is released, with what is fitted on validation, e.g. threshold.

        On rank 0. With it the table as the released model would have judged it.
        """
        return model, validation

    def draw(self, model: MedicaneModel, folder: Path, name: str) -> list[Path]:
        """Pictures ``name-….png`` of what the model does to validation clips; by default none.

        On rank 0. What follows ``name-`` is the same at every validation.
        """
        return []

    def kept(self, table: Table) -> Table:
        """What is written of a table of judged clips; by default all of it."""
        return table

    @abstractmethod
    def test(self, model: MedicaneModel, judged: Table) -> dict[str, Any]:
        """The report of the final test on rank 0, ready for JSON.

        Scores with counts, intervals, baselines; ``table`` is a list of rows to print.
        """

    def judge_test(self, model: MedicaneModel, batch: ClipBatch) -> Columns:
        """As `judge`, with the views that the final test averages; by default one."""
        return self.judge(model, batch)


@runtime_checkable
class Engine(Protocol):
    """Model, optimiser and precision on this rank's device, in one process or many.

    Attributes:
        model: the bare model.
        forward: the model as the training step calls it.
        device: of the model.
    """

    model: MedicaneModel
    forward: Forward
    device: torch.device

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of a forward pass."""
        ...

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add to the gradients; only the ``last`` part of a step exchanges them among ranks."""
        ...

    def gradient_norm(self) -> float:
        """Length of the gradient of all ranks before clipping; not finite where it overflowed."""
        ...

    def step(self, number: int) -> None:
        """Clip, update with the rates of step ``number`` (from 0), update the EMA, zero."""
        ...

    def skip(self) -> None:
        """Drop the gradients instead."""
        ...

    def rates(self) -> dict[str, float]:
        """Highest learning rate and weight decay in use."""
        ...

    def evaluated(self) -> AbstractContextManager[MedicaneModel]:
        """The model to judge with, in evaluation mode: the EMA's weights where there is one."""
        ...

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` (and ``ema.safetensors``) by rank 0; called on all ranks.

        Every rank writes its state for resuming.
        """
        ...

    def load(self, folder: Path) -> str | None:
        """Go on from :meth:`save`, bit for bit with as many ranks; else tell what changes.

        Called on all ranks; fails on all if it does on one, and has then changed nothing.
        """
        ...
