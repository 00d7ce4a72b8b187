"""What a run writes down of its steps and validations."""

from collections.abc import Mapping
from typing import Any

from medicane_training.run.curves import CAN_DRAW, draw_curves
from medicane_training.run.journal import peak_memory
from medicane_training.run.training import Training

__all__ = ["report_step", "report_validation"]

LINES_PER_EPOCH, MOST_STEPS_PER_LINE = 20, 50


def report_step(training: Training) -> None:
    """Show the step that was taken, and now and then write a line for those since the last."""
    progress, sums = training.progress, training.progress.line_sums
    if not sums:
        return
    rate = sums["steps"] * training.flow.recipe.training.global_batch / sums["seconds"]
    training.display.step(progress.step, sums["loss"] / sums["steps"], rate)
    if progress.step % _interval(training.steps_per_epoch):
        return
    line = {
        "kind": "step",
        "step": progress.step,
        "epoch": progress.step / training.steps_per_epoch,
        "loss": sums["loss"] / sums["steps"],
        "gradient_norm": sums["gradient_norm"] / sums["steps"],
        "forced_views": sums.get("forced_views", 0.0) / sums["steps"],
        **training.engine.rates(),
        "clips_per_second": rate,
        "seconds": progress.seconds,
        "memory_mb": peak_memory(),
    }
    _write(training, line)
    progress.line_sums = {}


def report_validation(training: Training, scores: Mapping[str, float], *, better: bool) -> None:
    """Write the scores down, say them, redraw the curves."""
    progress, selects = training.progress, training.flow.selects
    sums = progress.epoch_sums
    line = {
        "kind": "validation",
        "step": progress.step,
        "epoch": progress.epoch,
        "train_loss": sums["loss"] / sums["steps"] if sums else None,
        **scores,
        "best": better,
        "seconds": progress.seconds,
    }
    _write(training, line)
    told = ", ".join(f"{name} {scores[name]:.4g}" for name in dict.fromkeys((selects, "loss")))
    training.display.say(
        f"epoch {progress.epoch}, step {progress.step}: {told}{' · best so far' if better else ''}"
    )
    if training.ranks.is_main and CAN_DRAW:
        path = training.folder.path / "curves.png"
        draw_curves(training.journal.lines(), path, selects=selects)


def _write(training: Training, line: Mapping[str, Any]) -> None:
    training.journal.write(line)
    training.progress.lines += 1


def _interval(steps_per_epoch: int) -> int:
    return min(max(steps_per_epoch // LINES_PER_EPOCH, 1), MOST_STEPS_PER_LINE)
