"""Training of any flow on any engine: ``run_recipe → fit → train_step / judge_part``."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from medicane_models.errors import MedicaneError
from medicane_models.files import replacing
from medicane_models.signals import Interrupts
from medicane_training.clips.batches import ClipBatch
from medicane_training.engines.interface import Engine
from medicane_training.flows.choice import make_flow
from medicane_training.flows.interface import Flow, Step
from medicane_training.interrupts import InterruptedRunError
from medicane_training.ranks import Ranks, any_of, gathered, joined, mean, shared
from medicane_training.recipes.kinds import Recipe
from medicane_training.run.checkpoint import Best, newest_sound
from medicane_training.run.folder import RunFolder, on_main
from medicane_training.run.journal import Display
from medicane_training.run.judging import judge_part
from medicane_training.run.release import check_test, final_test, release_best, show_summary
from medicane_training.run.reporting import report_step, report_validation
from medicane_training.run.training import Training, wire

__all__ = ["NonFiniteError", "fit", "run_recipe", "train_step"]

MOST_ROLL_BACKS = 3
MOST_OVERFLOWS = 30
"""Steps of fp16 in a row whose gradient overflowed; each halves the scale, which starts at 2¹⁶."""


class NonFiniteError(MedicaneError):
    """A loss or gradient is infinite or not a number.

    Attributes:
        step: which.
        losses: ``clip, part, loss`` of this rank.
    """

    def __init__(self, step: int, taken: Mapping[str, float], losses: pd.DataFrame) -> None:
        self.step = step
        self.file = f"non_finite-step-{step}.csv"
        super().__init__(
            f"step {step} has loss {taken['loss']:g} and gradient norm {taken['gradient_norm']:g}; "
            f"its clips are in {self.file}: look at them, lower the learning rate, or set "
            "training.non_finite to roll_back"
        )
        self.losses = losses


class LeaveError(Exception):
    """A signal asks for the end of the run, which can be saved as it is."""


def run_recipe(
    recipe: Recipe,
    out: Path,
    *,
    resume: str = "auto",
    test: bool = False,
    command: Sequence[str] = (),
    make: Callable[[Any], Flow[Any]] | None = None,
) -> None:
    """Train by a recipe, or go on with it, and leave the chosen model in ``out``.

    Args:
        recipe: complete.
        out: folder of the run, see :mod:`medicane_training.run.folder`.
        resume: ``auto`` goes on if the folder holds a run of the same recipe, ``none`` refuses to;
            or the folder of another run, or one of its checkpoints, to go on from.
        test: judge the test part too, once the model is chosen.
        command: what was typed, for ``run.yaml``.
        make: opens the flow of the recipe, where it is not one of ours.

    Raises:
        InterruptedRunError: a signal came; the run is saved.
        NonFiniteError: a loss or gradient was not finite, and the recipe stops then.
        MedicaneError: the recipe, the data or the folder cannot be used.
    """
    with joined(recipe.engine) as ranks, ExitStack() as held, Interrupts() as interrupts:
        flow = (make or make_flow)(recipe)
        if test:
            check_test(flow)
        folder, display = RunFolder(out, recipe, ranks), Display(on=ranks.is_main)
        on_main(lambda: held.enter_context(folder.alone(test=test)), ranks)
        source = on_main(lambda: folder.source(resume, display.say), ranks)
        if not shared(folder.finished, ranks):
            training = wire(flow, folder, ranks, display, interrupts)
            with training.watched(source, command):
                fit(training)
            release_best(training)
        on_main(lambda: show_summary(folder), ranks)
        if test:
            final_test(flow, folder, ranks, display, interrupts)


def fit(training: Training) -> None:
    """Train to the last epoch, or to the end of patience."""
    while not training.is_through:
        try:
            since = time.perf_counter()
            for batch in training.loader:
                take(training, batch, since)
                pause(training)
                since = time.perf_counter()
            end_epoch(training)
        except NonFiniteError as error:
            roll_back(training, error)
        except LeaveError:
            raise InterruptedRunError(
                f"a signal came; step {training.progress.step} is saved in {training.save()}; "
                "start the same command again to go on",
                training.interrupts.caught,
            ) from None


def take(training: Training, batch: ClipBatch, since: float) -> None:
    """Train on a batch, unless it is to be left out, and keep account of it.

    Its time counts from ``since``, when it was asked for.
    """
    progress, ranks = training.progress, training.ranks
    if progress.step not in progress.left_out:
        taken = train_step(training.flow, training.engine, batch, progress.step, ranks)
        progress.add(taken, seconds=time.perf_counter() - since)
        if progress.overflows > MOST_OVERFLOWS:
            raise NonFiniteError(progress.step, taken, _losses([batch], [taken["loss"]]))
    progress.step += 1
    progress.loader = training.loader.state_dict()
    report_step(training)


def train_step(
    flow: Flow[Any], engine: Engine, batch: ClipBatch, number: int, ranks: Ranks
) -> dict[str, float]:
    """One step of the optimiser, in as many parts as the recipe says. Called on all ranks.

    What it draws at random depends on the step alone, not on what came before.

    Args:
        flow: gives the loss.
        engine: takes the step.
        batch: this rank's clips.
        number: of the step, from 0.
        ranks: of the run.

    Returns:
        ``loss``, the mean over all ranks; ``gradient_norm`` before clipping, which is not finite
        where fp16 overflowed, so that the engine left the weights alone and scaled down; and
        ``forced_views``, see `ClipBatch.forced_views`.

    Raises:
        NonFiniteError: before the weights change.
    """
    settings = flow.recipe.training
    parts = batch.split(settings.accumulation)
    losses = []
    for part, clips in enumerate(parts):
        step = Step(
            number=number,
            part=part,
            seed=settings.seed,
            rank=ranks.rank,
            world_size=ranks.world_size,
        )
        seed_global(step)
        with engine.autocast():
            loss = flow.loss(engine.forward, clips.to(engine.device, non_blocking=True), step)
        engine.backward(loss, last=part == len(parts) - 1)
        losses.append(loss.detach())
    own = torch.stack(losses).tolist()
    taken = mean({"loss": float(np.mean(own)), "forced_views": batch.forced_views}, ranks)
    taken["gradient_norm"] = engine.gradient_norm()
    scales = flow.recipe.engine.precision == "fp16"
    if not math.isfinite(taken["loss"] if scales else sum(taken.values())):
        engine.skip()
        raise NonFiniteError(number, taken, _losses(parts, own))
    engine.step(number)
    return taken


def seed_global(step: Step) -> None:
    """Seed what draws without asking the step, such as drop path; ranks draw differently."""
    state = np.random.SeedSequence((step.seed, step.number, step.part, step.rank))
    torch.manual_seed(int(state.generate_state(1)[0]))


def pause(training: Training) -> None:
    """Between two steps: leave if any rank is asked to, save if it is time by any one's clock."""
    flags = {
        "leave": float(training.interrupts.caught is not None),
        "save": float(training.folder.checkpoints.due(training.progress.step)),
    }
    agreed = mean(flags, training.ranks)
    if agreed["leave"]:
        raise LeaveError
    if agreed["save"]:
        training.save()


def end_epoch(training: Training) -> None:
    """Validate if the recipe says so now, and only then count the epoch as done."""
    progress, settings = training.progress, training.flow.recipe.training
    epoch = progress.epoch + 1
    due = epoch % settings.evaluate_every == 0 or epoch == settings.epochs
    scores = validate(training, epoch) if due else None
    progress.epoch, progress.loader = epoch, training.loader.state_dict()
    if scores is not None:
        report_validation(training, scores, better=choose(training, scores))
    progress.epoch_sums = {}
    if scores is not None:
        training.save()


def validate(training: Training, epoch: int) -> dict[str, float]:
    """Judge the validation part and draw; the run could leave before any of its batches."""
    flow, engine, ranks = training.flow, training.engine, training.ranks

    def leave_if_asked() -> None:
        if any_of(training.interrupts.caught is not None, ranks):
            raise LeaveError

    started = time.perf_counter()
    with engine.evaluated() as model:
        table = judge_part(
            flow,
            model,
            "validation",
            ranks=ranks,
            watch=training.display.counted,
            pause=leave_if_asked,
        )
        scores = shared(flow.score(table) if ranks.is_main else {}, ranks)
        if ranks.is_main:
            when = f"epoch-{epoch:04d}"
            for path in flow.draw(model, training.folder.pictures, when):
                name = path.stem.removeprefix(f"{when}-")
                training.journal.show(path, training.progress.step, name=name)
    training.progress.seconds += time.perf_counter() - started
    return scores


def choose(training: Training, scores: Mapping[str, float]) -> bool:
    """Whether the model is the best so far."""
    progress, flow = training.progress, training.flow
    score, best = scores[flow.selects], progress.best
    sign = 1 if flow.bigger_is_better else -1
    better = math.isfinite(score) and (best is None or sign * score > sign * best.score)
    if better:
        progress.best = Best(
            step=progress.step, epoch=progress.epoch, name=flow.selects, score=score
        )
    progress.waited = 0 if better else progress.waited + 1
    return better


def write_losses(training: Training, error: NonFiniteError) -> None:
    """Write down which clips the step was made of."""
    table = gathered(error.losses.assign(rank=training.ranks.rank), training.ranks)
    if table is not None:
        names = training.flow.clips.store.names(table["clip"].to_numpy())
        with replacing(training.folder.path / error.file) as temporary:
            table.assign(name=names).to_csv(temporary, index=False)


def roll_back(training: Training, error: NonFiniteError) -> None:
    """Go back to the newest checkpoint and past the step that failed, or stop."""
    progress, settings = training.progress, training.flow.recipe.training
    write_losses(training, error)
    left_out = [*progress.left_out, error.step]
    most = MOST_ROLL_BACKS if settings.roll_backs is None else settings.roll_backs
    folder = training.folder.checkpoints.folder
    checkpoint = on_main(lambda: newest_sound(folder, training.display.say), training.ranks)
    if settings.non_finite == "stop" or len(left_out) > most or checkpoint is None:
        raise error
    training.display.say(f"{error}; going on from {checkpoint} without this batch")
    training.restore(checkpoint)
    progress.left_out = left_out


def _losses(parts: Sequence[ClipBatch], losses: Sequence[float]) -> pd.DataFrame:
    tables = [
        pd.DataFrame({"clip": clips.clip.cpu().numpy(), "part": part, "loss": loss})
        for part, (clips, loss) in enumerate(zip(parts, losses, strict=True))
    ]
    return pd.concat(tables, ignore_index=True)
