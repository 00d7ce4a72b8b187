"""Scores of yes/no forecasts of cyclones, in the sample of clips and at the deployment rate.

A store holds cyclones and what is like them more often than the weather does. Scores named plainly
describe the clips as they are; ``deployed_`` ones weigh each clip by how many of all weather it
stands for, and say what a user would meet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from medicane_models.errors import ConfigurationError
from medicane_models.verification.matching import Blocks
from medicane_models.verification.scores import (
    Contingency,
    brier_score,
    expected_calibration_error,
    precision_recall_area,
    reliability_table,
    roc_area,
)
from medicane_training.scores.baselines import coldest_means
from medicane_training.scores.intervals import printable, with_intervals
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.cloud_bands import CloudBand

__all__ = [
    "NOT_COLD",
    "JudgedForecasts",
    "coldness",
    "confusion",
    "detection_report",
    "detection_scores",
]

SAMPLE_SCORES = ("pod", "far", "csi", "hss", "balanced_accuracy", "accuracy")
DEPLOYED_SCORES = ("far", "csi", "hss", "base_rate", "alarm_rate")
NOT_COLD = -1e9
PRINTED = (
    "pod", "far", "csi", "hss", "balanced_accuracy", "roc_area", "pr_area", "deployed_far",
    "deployed_csi", "deployed_alarm_rate", "deployed_pr_area", "deployed_brier", "deployed_ece",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JudgedForecasts:
    """What was forecast for clips, and what happened.

    Attributes:
        truth: whether there was a cyclone.
        weight: of each clip at the deployment rate.
        forecast: whether one was forecast.
        ranking: the more of it, the likelier a cyclone.
        probability: of a cyclone, if that was forecast.
    """

    truth: Bool[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    forecast: Bool[np.ndarray, " n"]
    ranking: Float[np.ndarray, " n"]
    probability: Float[np.ndarray, " n"] | None = None

    def take(self, rows: Int[np.ndarray, " k"]) -> "JudgedForecasts":
        """Those of some clips."""
        values = {name: value[rows] for name, value in vars(self).items() if value is not None}
        return replace(self, **values)


def detection_scores(found: JudgedForecasts) -> dict[str, float]:
    """Contingency scores, areas and, of probabilities, Brier score and calibration error.

    See :meth:`medicane_models.verification.scores.Contingency.scores` and
    :func:`medicane_models.verification.scores.probability_scores`.
    """
    truth, weight = found.truth, found.weight
    sample = Contingency.from_labels(truth, found.forecast).scores()
    deployed = Contingency.from_labels(truth, found.forecast, weight).scores()
    scores = {name: sample[name] for name in SAMPLE_SCORES} | {
        "roc_area": roc_area(found.ranking, truth),
        "pr_area": precision_recall_area(found.ranking, truth),
        **{f"deployed_{name}": deployed[name] for name in DEPLOYED_SCORES},
        "deployed_pr_area": precision_recall_area(found.ranking, truth, weight=weight),
    }
    if found.probability is None:
        return scores
    return scores | {
        "brier": brier_score(found.probability, truth),
        "ece": expected_calibration_error(found.probability, truth),
        "deployed_brier": brier_score(found.probability, truth, weight=weight),
        "deployed_ece": expected_calibration_error(found.probability, truth, weight=weight),
    }


def coldness(
    store: ClipStore, clips: Sequence[int] | Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Minus the coldest 60-km mean of each clip, K; NOT_COLD where too little is seen.

    All are NOT_COLD where no band of the clips is a temperature.
    """
    try:
        CloudBand.of(store.processor)
    except ConfigurationError:
        return np.full(len(clips), NOT_COLD)
    return np.nan_to_num(-coldest_means(store, clips), nan=NOT_COLD)


def confusion(
    truth: Int[np.ndarray, " n"], found: Int[np.ndarray, " n"], names: Sequence[str]
) -> dict[str, float]:
    """Number of clips of each true class that were taken for each, ``TRUE_as_FOUND``."""
    counts = np.bincount(truth * len(names) + found, minlength=len(names) ** 2)
    pairs = [f"{true}_as_{other}" for true in names for other in names]
    return dict(zip(pairs, counts.astype(float).tolist(), strict=True))


def detection_report(
    forecasts: Mapping[str, JudgedForecasts], index: pd.DataFrame, blocks: Blocks
) -> dict[str, Any]:
    """Scores of forecasts of the same clips with counts and intervals, ready for JSON.

    Args:
        forecasts: by name, the model's as ``model``.
        index: rows of the clips in the store's index.
        blocks: which of them share their weather.

    Returns:
        ``counts``; ``base_rate`` in the sample and deployed; ``scores`` by forecast and name, each
        ``value, low, high``; ``reliability``, weighted, a list of bins; ``by_storm``, the share of
        each storm's clips that were found; ``table``, rows to print.
    """
    model = forecasts["model"]
    scores = {name: _by_weather(found, blocks) for name, found in forecasts.items()}
    return {
        "counts": {
            "clips": len(index),
            "cyclones": int(model.truth.sum()),
            "storms": len(set(index["storm"].to_numpy()[model.truth])),
            "blocks": len(set(blocks.label)),
        },
        "base_rate": {
            "sample": float(model.truth.mean()),
            "deployed": float(np.average(model.truth, weights=model.weight)),
        },
        "scores": scores,
        "reliability": _reliability(model),
        "by_storm": _by_storm(index["storm"].to_numpy(), model),
        "table": printable(scores, only=PRINTED),
    }


def _by_weather(found: JudgedForecasts, blocks: Blocks) -> dict[str, dict[str, float]]:
    order = np.argsort(-found.ranking, kind="stable")  # what is sorted is sorted again faster
    ordered = found.take(order)
    return with_intervals(lambda drawn: detection_scores(ordered.take(drawn)), blocks.take(order))


def _reliability(found: JudgedForecasts) -> list[dict[str, float]]:
    if found.probability is None:
        return []
    bins = reliability_table(found.probability, found.truth, weight=found.weight)
    return [{str(k): float(v) for k, v in row.items()} for row in bins.to_dict("records")]


def _by_storm(storm: Shaped[np.ndarray, " n"], found: JudgedForecasts) -> list[dict[str, Any]]:
    return [
        {"storm": str(name), "n": int(own.sum()), "pod": float(found.forecast[own].mean())}
        for name in np.unique(storm[found.truth].astype(str))
        for own in [(storm == name) & found.truth]
    ]
