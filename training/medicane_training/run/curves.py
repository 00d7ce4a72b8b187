"""One picture of a run: losses, rates and the score that chooses."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medicane_models.files import replacing

__all__ = ["CAN_DRAW", "draw_curves"]

CAN_DRAW = find_spec("matplotlib") is not None


def draw_curves(lines: Sequence[Mapping[str, Any]], path: Path, *, selects: str) -> None:
    """Draw what ``metrics.jsonl`` tells; needs matplotlib.

    Args:
        lines: of it.
        path: of the picture.
        selects: name of the validation score that chooses the checkpoint.
    """
    from matplotlib.figure import Figure

    steps = [line for line in lines if line["kind"] == "step"]
    validations = [line for line in lines if line["kind"] == "validation"]
    figure = Figure(figsize=(8, 9))
    spaces = {"left": 0.14, "right": 0.97, "bottom": 0.07, "top": 0.97, "hspace": 0.08}
    losses, rates, scores = figure.subplots(3, 1, sharex=True, gridspec_kw=spaces)
    _plot(losses, steps, "loss", label="training")
    _plot(losses, validations, "loss", label="validation", marker="o")
    losses.set_ylabel("loss")
    losses.legend()
    _plot(rates, steps, "lr")
    rates.set_ylabel("learning rate")
    _plot(scores, validations, selects, marker="o")
    for line in validations:
        if line["best"]:
            scores.axvline(line["step"], color="0.85", zorder=0)
    scores.set_ylabel(f"validation {selects}")
    scores.set_xlabel("step (grey: a new best)")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _plot(axes: Any, lines: Sequence[Mapping[str, Any]], name: str, **style: Any) -> None:
    shown = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    if shown:
        axes.plot(*zip(*shown, strict=True), **style)
