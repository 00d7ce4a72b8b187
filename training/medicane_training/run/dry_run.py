"""A run tried for one step: what it would train on, hold in memory and take in time."""

import time
from collections.abc import Callable
from typing import Any

import torch

from medicane_training.engines.interface import Engine
from medicane_training.flows.choice import make_flow
from medicane_training.flows.interface import Flow
from medicane_training.ranks import Ranks, joined
from medicane_training.recipes.kinds import Recipe
from medicane_training.run.folder import on_main
from medicane_training.run.journal import Display, peak_memory, show_table
from medicane_training.run.loop import train_step
from medicane_training.run.training import engine_and_loader

__all__ = ["rehearse"]


def rehearse(recipe: Recipe) -> list[dict[str, str]]:
    """Build everything, train on one batch and judge another, print what was measured.

    Nothing is written. The batch is trained on twice, since the first time includes what a run does
    only once; the second is timed.

    Returns:
        The rows that were printed.
    """
    with joined(recipe.engine) as ranks:
        flow = make_flow(recipe)
        engine, loader = engine_and_loader(flow, ranks, Display(on=ranks.is_main))
        steps = len(loader)
        reading, batch = timed(lambda: next(iter(loader)))
        training = [timed(lambda n=n: train_step(flow, engine, batch, n, ranks))[0] for n in (0, 1)]
        judging = timed(lambda: judge_one(flow, engine, ranks))[0]
        seconds = step_seconds(reading, training[1], recipe.data.workers)
        rows = expected(flow, ranks, steps, seconds, judging)
        on_main(lambda: show_table(rows, title="dry run: nothing was written"), ranks)
    return rows


def judge_one(flow: Flow[Any], engine: Engine, ranks: Ranks) -> None:
    """Judge this rank's first batch of validation, if it has one."""
    loader = flow.clips.evaluation("validation", rank=ranks.rank, world_size=ranks.world_size)
    with engine.evaluated() as model, torch.no_grad(), engine.autocast():
        if (batch := next(iter(loader), None)) is not None:
            flow.judge(model, batch.to(engine.device))


def step_seconds(reading: float, training: float, workers: int) -> float:
    """Of a step with its batch; workers read a batch each while the steps before it compute."""
    return max(reading / workers, training) if workers else reading + training


def expected(
    flow: Flow[Any], ranks: Ranks, steps: int, a_step: float, judging_seconds: float
) -> list[dict[str, str]]:
    """What a run would take, by the seconds of a training step and of a batch of evaluation."""
    recipe = flow.recipe
    clips = len(flow.clips.rows("validation"))
    batches = -(-clips // (recipe.data.evaluation_batch * ranks.world_size))
    validation = batches * judging_seconds
    epochs = recipe.training.epochs
    validations = -(-epochs // recipe.training.evaluate_every)
    whole = epochs * steps * a_step + (validations + 1) * validation
    times = {
        "a step": a_step,
        f"an epoch of {steps} steps": steps * a_step,
        f"a validation of {clips} clips": validation,
        f"{epochs} epochs with {validations} validations": whole,
    }
    return [
        {"": "peak memory of a process", "measured or expected": f"{peak_memory():.0f} MB"},
        *({"": name, "measured or expected": _duration(value)} for name, value in times.items()),
    ]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that work took, the GPU's included, and its result."""
    started = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started, result


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
