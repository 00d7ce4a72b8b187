"""What a training flow supplies: the seam between the training loop and its three flows.

`run.loop` knows no flow: specialization, classification and tracking are three `Flow`s.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from medicane_models.network.base import LoadReport, MedicaneModel
from medicane_training.clips.batches import ClipBatch
from medicane_training.clips.parts import Clips
from medicane_training.engines.interface import Forward
from medicane_training.recipes.kinds import Recipe
from medicane_training.store.clip_store import ClipStore

__all__ = ["Columns", "Flow", "Step", "Table"]

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

    @classmethod
    def open(cls, recipe: R) -> Self:
        """The flow on the recipe's store, cut into parts.

        Raises:
            ConfigurationError: the split leaks, or leaves nothing to train or validate on.
        """
        store = ClipStore(recipe.data.store)
        eligible = cls.eligible(store.clips)
        return cls(recipe, Clips(store, recipe.data, seed=recipe.training.seed, eligible=eligible))

    @staticmethod
    def eligible(clips: pd.DataFrame) -> Bool[np.ndarray, " clips"] | None:
        """The rows of a store's index that may be trained on or judged; None for all."""
        return None

    @property
    def selects(self) -> str:
        """Name of the validation score that chooses the checkpoint."""
        return "loss"

    @property
    def bigger_is_better(self) -> bool:
        """Which way it chooses; losses and errors are to be small."""
        return False

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

    def pictured(self, most: int) -> Int[np.ndarray, " n"]:
        """Rows of validation clips to draw, far apart."""
        rows = self.clips.rows("validation")
        return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]

    def kept(self, table: Table) -> Table:
        """What is written of a table of judged clips; by default all of it."""
        return table

    @abstractmethod
    def report(self, model: MedicaneModel, judged: Table) -> dict[str, Any]:
        """What a released model's judgements of a part are worth, on rank 0, ready for JSON.

        Scores with counts, intervals, baselines; ``table`` is a list of rows to print, with the
        settings of the model that they depend on.
        """

    def judge_released(self, model: MedicaneModel, batch: ClipBatch) -> Columns:
        """As `judge`, with the views that prediction averages."""
        return self.judge(model, batch)
