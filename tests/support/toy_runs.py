"""A flow that learns next to nothing, fast, for tests of what surrounds it."""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_training.clips.parts import Clips
from medicane_training.flows.interface import Flow, Step
from medicane_training.interrupts import InterruptedRunError
from medicane_training.recipes.data_sections import DataSettings, SplitSettings
from medicane_training.recipes.kinds import ClassificationRecipe
from medicane_training.recipes.sections import (
    EngineSettings,
    ModelSettings,
    OptimizerSettings,
    TrainingSettings,
)
from medicane_training.run import loop, reporting
from medicane_training.run.journal import TIMES
from medicane_training.store.clip_store import ClipStore

SPLIT = SplitSettings(
    by="dates",
    validation_from="2020-09-17 12:00",
    test_from="2020-09-17 20:00",
    guard_hours=1.0,
)
STEPS_PER_EPOCH, EPOCHS = 4, 3


class ToyFlow(Flow[ClassificationRecipe]):
    """Is the number of the clip odd?

    ``events`` says what happens at which step: ``nan``, or a signal to this process; ``judged``
    the same for batches of evaluation, counted over the run.
    """

    model_class = MedicaneForVideoClassification
    selects = "loss"
    bigger_is_better = False

    def __init__(
        self,
        recipe: ClassificationRecipe,
        events: Mapping[int, str | signal.Signals] | None = None,
        judged: Mapping[int, signal.Signals] | None = None,
        *,
        to_group: bool = False,
    ) -> None:
        store = ClipStore(recipe.data.store)
        super().__init__(recipe, Clips(store, recipe.data, seed=recipe.training.seed))
        self.events = dict(events or {})
        self.judged = dict(judged or {})
        self.batches = 0
        self.to_group = to_group

    def make_model(self) -> tuple[MedicaneForVideoClassification, None]:
        processor = self.clips.processor
        config = MedicaneConfig(
            task="classification",
            image_size=processor.tile_size,
            patch_size=16,
            num_frames=processor.num_frames,
            tubelet_size=4,
            in_channels=len(processor.bands),
            pixel_std=processor.std,
            embed_dim=16,
            depth=2,
            num_heads=2,
            mlp_hidden_dim=32,
            **self.recipe.model.changes,
        )
        model = MedicaneForVideoClassification(config).train()
        model.processor = processor
        return model, None

    def loss(self, forward: Any, batch: Any, step: Step) -> Tensor:
        event = self.events.get(step.number)
        if isinstance(event, signal.Signals):
            os.kill(0 if self.to_group else os.getpid(), event)
        values, _ = batch.pixel_values(self.clips.processor)
        loss = forward(values, labels=batch.clip % 2).loss
        return loss * float("nan") if event == "nan" else loss

    def judge(self, model: Any, batch: Any) -> dict[str, np.ndarray]:
        if (number := self.judged.pop(self.batches, None)) is not None:
            os.kill(os.getpid(), number)
        self.batches += 1
        values, _ = batch.pixel_values(self.clips.processor)
        logits = model(values).logits
        losses = functional.cross_entropy(logits, batch.clip % 2, reduction="none")
        return {"loss": losses.cpu().numpy(), "logits": logits.cpu().numpy()}

    def score(self, table: pd.DataFrame) -> dict[str, float]:
        return {"loss": float(table["loss"].mean()), "count": float(len(table))}

    def report(self, model: Any, judged: pd.DataFrame) -> dict[str, Any]:
        return {"scores": {"count": len(judged)}, "table": [{"clips": len(judged)}]}


def toy_recipe(store: Path, *, changes: Mapping[str, Any] | None = None, **training: Any) -> Any:
    return ClassificationRecipe(
        model=ModelSettings(changes={"drop_path_rate": 0.5} if changes is None else changes),
        data=DataSettings(store=str(store), split=SPLIT, order="balanced", samples=32),
        optimizer=OptimizerSettings(lr=1e-2, warmup_epochs=1.0, clip_norm=1.0),
        training=TrainingSettings(
            **{
                "epochs": EPOCHS,
                "global_batch": 8,
                "save_every_minutes": None,
                "save_every_steps": 2,
                "keep": 2,
            }
            | training
        ),
        engine=EngineSettings(device="cpu"),
    )


def toy_run(
    recipe: Any, out: Path, *, flow: ToyFlow | None = None, curves: bool = False, **options: Any
) -> ToyFlow:
    """Run a toy flow, which the loop asks for by recipe; curves take longer than training."""
    flow = flow or ToyFlow(recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "make_flow", lambda recipe: flow)
        if not curves:
            patch.setattr(reporting, "draw_curves", lambda *args, **options: None)
        loop.run_recipe(recipe, out, **options)
    return flow


def killed_run(store: str, out: str) -> None:
    """For a process that is killed from outside; slow enough to be hit in a step."""
    torch.set_num_threads(1)
    toy_run(toy_recipe(Path(store), ema_decay=0.9), Path(out))


def signalled_group(store: str, out: str) -> None:
    """For a process of its own: a signal reaches it and its data loader's in the fourth step."""
    torch.set_num_threads(1)
    os.setpgrp()
    recipe = toy_recipe(Path(store))
    recipe = replace(recipe, data=replace(recipe.data, workers=1))
    flow = ToyFlow(recipe, events={3: signal.SIGTERM}, to_group=True)
    try:
        toy_run(recipe, Path(out), flow=flow)
    except InterruptedRunError as error:
        sys.exit(error.exit_code)


def lines(out: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what two runs differ in."""
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in found]


def same_weights(a: Path, b: Path) -> bool:
    return (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()


def lengthened(recipe: Any, epochs: int) -> Any:
    return replace(recipe, training=replace(recipe.training, epochs=epochs))


def names(folder: Path, pattern: str = "*") -> Sequence[str]:
    return sorted(path.name for path in folder.glob(pattern))
