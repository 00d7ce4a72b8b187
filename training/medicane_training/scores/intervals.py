"""Scores of a final test with intervals by whole storms and calm weeks, ready for JSON."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int

from medicane_models.verification.block_bootstrap import bootstrap
from medicane_models.verification.matching import Blocks, independent_blocks
from medicane_training.store.clip_store import ClipStore

__all__ = ["SAMPLES", "printable", "score_text", "weather_blocks", "with_intervals"]

SAMPLES = 1000

Score = Mapping[str, float]
"""``value, low, high``."""


def weather_blocks(store: ClipStore, clips: pd.DataFrame) -> Blocks:
    """The storm or calm week of each clip: of clips at the time of a storm, near it or not, its.

    Of local planes, which lie all over the Earth, only clips that show a storm are its.

    Args:
        store: all of whose storms count.
        clips: rows of its index.
    """
    if store.processor.uses_planes:
        calm = clips["end"].to_numpy().astype("datetime64[W]").astype(str)
        storms = clips["storm"].to_numpy(str)
        return Blocks(np.where(storms == "", calm, storms), storms != "")
    index = store.clips
    stormy = index.loc[index["storm"] != "", ["storm", "end"]]
    return independent_blocks(clips["end"].to_numpy(), stormy.rename(columns={"end": "time"}))


def with_intervals(
    statistic: Callable[[Int[np.ndarray, " _"]], Mapping[str, float]],
    blocks: Blocks,
    *,
    samples: int = SAMPLES,
) -> dict[str, dict[str, float]]:
    """Scores with the 95 % intervals of `medicane_models.verification.block_bootstrap`."""
    scores = bootstrap(statistic, blocks.label, strata=blocks.stormy, samples=samples)
    return {name: score._asdict() for name, score in scores.items()}


def printable(
    columns: Mapping[str, Mapping[str, Score]], *, only: Sequence[str] | None = None
) -> list[dict[str, str]]:
    """Rows of a table: a row a score, a column a forecast, each as "value (low … high)".

    Args:
        columns: scores by forecast, such as the model and a baseline.
        only: scores to show, in this order; None shows all that any forecast has.
    """
    names = only or list(dict.fromkeys(name for scores in columns.values() for name in scores))
    return [
        {
            "score": name,
            **{title: score_text(scores.get(name)) for title, scores in columns.items()},
        }
        for name in names
    ]


def score_text(score: Score | None, form: str = ".3g") -> str:
    """A score as ``value (low … high)``, numbers in this form; "" if there is none."""
    if score is None:
        return ""
    value, low, high = (score[name] for name in ("value", "low", "high"))
    if np.isnan(value):
        return "–"
    interval = "" if np.isnan(low) else f" ({low:{form}} … {high:{form}})"
    return f"{value:{form}}{interval}"
