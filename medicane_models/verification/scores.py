"""Scores: contingency, calibration, ranking and centre error.

What is undefined, such as the false alarm ratio without an alarm, is NaN, never 0. Where cases
stand for different numbers of others, as in a sample that is thinned unevenly, ``weight`` says for
how many; without it each counts once.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from medicane_models.errors import ConfigurationError

__all__ = [
    "BINS",
    "Contingency",
    "bin_numbers",
    "brier_decomposition",
    "brier_score",
    "contingency_scores",
    "error_summary",
    "expected_calibration_error",
    "precision_recall_area",
    "probability_scores",
    "ratio",
    "reliability_table",
    "roc_area",
]

BINS = 10
"""Of equal width, that probabilities are sorted into."""

Weight = Float[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class Contingency:
    """Counts of a yes/no forecast against what happened, or sums of weights in their place.

    Attributes:
        hits: forecast and happened.
        false_alarms: forecast and did not happen.
        misses: not forecast and happened.
        correct_negatives: neither; None where "neither" cannot be counted, as for positions.
    """

    hits: float
    false_alarms: float
    misses: float
    correct_negatives: float | None

    @classmethod
    def from_labels(
        cls,
        truth: Bool[np.ndarray, " n"],
        forecast: Bool[np.ndarray, " n"],
        weight: Weight | None = None,
    ) -> Self:
        """Count cases one by one, in whole numbers, or add up their weights."""
        counts = np.bincount(2 * truth + forecast, weight, minlength=4).tolist()
        correct_negatives, false_alarms, misses, hits = counts
        return cls(
            hits=hits,
            false_alarms=false_alarms,
            misses=misses,
            correct_negatives=correct_negatives,
        )

    def scores(self) -> dict[str, float]:
        """What :func:`contingency_scores` tells; what needs an unknown count is NaN."""
        h, f, m = float(self.hits), float(self.false_alarms), float(self.misses)
        c = np.nan if self.correct_negatives is None else float(self.correct_negatives)
        return contingency_scores(h, f, m, c)


def contingency_scores(h: Any, f: Any, m: Any, c: Any) -> dict[str, Any]:
    """All scores of counts, numbers or arrays of them; NaN where undefined.

    With H hits, F false alarms, M misses, C correct negatives and n their sum: ``pod`` H/(H+M),
    ``far`` F/(H+F), ``csi`` H/(H+F+M), ``frequency_bias`` (H+F)/(H+M), ``pofd`` F/(F+C),
    ``accuracy`` (H+C)/n, ``balanced_accuracy`` mean of H/(H+M) and C/(F+C), ``hss``
    2(HC-MF)/[(H+M)(M+C)+(H+F)(F+C)], ``ets`` (H-r)/(H+F+M-r) with r = (H+M)(H+F)/n,
    ``base_rate`` (H+M)/n, ``alarm_rate`` (H+F)/n (Wilks 2019, Statistical Methods in the
    Atmospheric Sciences, ch. 9).
    """
    n = h + f + m + c
    random_hits = ratio((h + m) * (h + f), n)
    return {
        "pod": ratio(h, h + m),
        "far": ratio(f, h + f),
        "csi": ratio(h, h + f + m),
        "hss": ratio(2 * (h * c - m * f), (h + m) * (m + c) + (h + f) * (f + c)),
        "ets": ratio(h - random_hits, h + f + m - random_hits),
        "balanced_accuracy": (ratio(h, h + m) + ratio(c, f + c)) / 2,
        "accuracy": ratio(h + c, n),
        "frequency_bias": ratio(h + f, h + m),
        "pofd": ratio(f, f + c),
        "base_rate": ratio(h + m, n),
        "alarm_rate": ratio(h + f, n),
    }


def brier_score(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    *,
    weight: Weight | None = None,
) -> float:
    """Mean squared difference between probability and outcome; 0 is best (Brier 1950)."""
    return _mean((probability - truth) ** 2, weight)


def reliability_table(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    *,
    bins: int = BINS,
    weight: Weight | None = None,
) -> pd.DataFrame:
    """How often it happened when so much was forecast.

    Returns:
        A row a bin of equal width that holds cases: ``low, high`` (a value on a border counts
        above, 1 in the last bin), ``n``, ``mean_probability``, ``observed_frequency``.
    """
    low, n, _, forecast, observed = _binned(probability, truth, bins, weight)
    return pd.DataFrame(
        {
            "low": low / bins,
            "high": (low + 1) / bins,
            "n": n,
            "mean_probability": forecast,
            "observed_frequency": observed,
        }
    )


def brier_decomposition(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    *,
    bins: int = BINS,
    weight: Weight | None = None,
) -> dict[str, float]:
    """Split the Brier score: reliability - resolution + uncertainty + within_bins.

    The first three are Murphy's (1973) on bin means; ``within_bins`` is what the spread of the
    probabilities inside the bins leaves over (Stephenson et al. 2008,
    doi 10.1175/2007WAF2006116.1), 0 if each bin holds one value.
    """
    _, _, n, forecast, observed = _binned(probability, truth, bins, weight)
    rate = _mean(truth, weight)
    parts = {
        "reliability": ratio(float(n @ (forecast - observed) ** 2), float(n.sum())),
        "resolution": ratio(float(n @ (observed - rate) ** 2), float(n.sum())),
        "uncertainty": rate * (1 - rate),
    }
    murphy = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    return parts | {"within_bins": brier_score(probability, truth, weight=weight) - murphy}


def expected_calibration_error(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    *,
    bins: int = BINS,
    weight: Weight | None = None,
) -> float:
    """Mean over cases of how far their bin's frequency is from its mean probability."""
    _, _, n, forecast, observed = _binned(probability, truth, bins, weight)
    return ratio(float(n @ abs(observed - forecast)), float(n.sum()))


def roc_area(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    *,
    weight: Weight | None = None,
) -> float:
    """Chance that a case that happened got the higher probability, ties half (Mann-Whitney)."""
    hits, false_alarms = _counts_by_threshold(probability, truth, weight)
    area = float(np.trapezoid(hits, false_alarms))
    return ratio(area, float(hits[-1]) * float(false_alarms[-1]))


def precision_recall_area(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    *,
    weight: Weight | None = None,
) -> float:
    """Average precision: precision at each threshold weighted by the recall gained there."""
    hits, false_alarms = _counts_by_threshold(probability, truth, weight)
    precision = hits[1:] / (hits[1:] + false_alarms[1:])
    gained = np.diff(hits) * precision  # a dot product would wake threads that resamples wait for
    return ratio(float(gained.sum()), float(hits[-1]))


def probability_scores(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    *,
    weight: Weight | None = None,
) -> dict[str, float]:
    """Brier score with its parts and its skill over the base rate, ECE, ROC and PR areas."""
    parts = brier_decomposition(probability, truth, weight=weight)
    brier = brier_score(probability, truth, weight=weight)
    return {
        "brier": brier,
        "brier_skill": 1 - ratio(brier, parts["uncertainty"]),
        **parts,
        "ece": expected_calibration_error(probability, truth, weight=weight),
        "roc_area": roc_area(probability, truth, weight=weight),
        "pr_area": precision_recall_area(probability, truth, weight=weight),
    }


def error_summary(error_km: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Mean, median and 90th percentile of the known errors."""
    known = error_km[~np.isnan(error_km)]
    if known.size == 0:
        return dict.fromkeys(("mean_km", "median_km", "p90_km"), np.nan)
    median, p90 = np.quantile(known, [0.5, 0.9])
    return {"mean_km": float(known.mean()), "median_km": float(median), "p90_km": float(p90)}


def _binned(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    bins: int,
    weight: Weight | None,
) -> tuple[
    Int[np.ndarray, " k"],
    Int[np.ndarray, " k"],
    Float[np.ndarray, " k"],
    Float[np.ndarray, " k"],
    Float[np.ndarray, " k"],
]:
    """Number, cases, weight, mean probability and observed frequency of the bins with cases."""
    if bins < 1:
        raise ConfigurationError(f"a reliability table needs 1 bin or more, not {bins}")
    each = np.ones(len(probability)) if weight is None else weight
    number = bin_numbers(probability, bins)
    n = np.bincount(number, minlength=bins)
    kept = np.flatnonzero(n)
    total, forecast, observed = (
        np.bincount(number, v, bins)[kept].astype(float)
        for v in (each, each * probability, each * truth)
    )
    return kept, n[kept], total, forecast / total, observed / total


def bin_numbers(probability: Float[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " n"]:
    """The bin of equal width of each probability: one on a border is above, 1 in the last bin."""
    edges = np.arange(bins + 1) / bins
    return np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, bins - 1)


def _counts_by_threshold(
    probability: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    weight: Weight | None,
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Hits and false alarms at no threshold and at each distinct one from high to low."""
    each = np.ones(len(probability)) if weight is None else weight
    order = np.argsort(-probability, kind="stable")
    descending, happened, counted = probability[order], truth[order], each[order]
    last = np.flatnonzero(np.append(descending[1:] != descending[:-1], True)[: len(order)])
    hits, false_alarms = (
        np.append(0.0, np.cumsum(counted * cases)[last]) for cases in (happened, ~happened)
    )
    return hits, false_alarms


def ratio(numerator: Any, denominator: Any) -> Any:
    """Quotients of numbers or of arrays; NaN over 0."""
    if isinstance(denominator, np.ndarray):
        nan = np.full(np.broadcast_shapes(np.shape(numerator), denominator.shape), np.nan)
        return np.divide(numerator, denominator, out=nan, where=denominator != 0)
    return numerator / denominator if denominator != 0 else float("nan")


def _mean(values: Shaped[np.ndarray, " n"], weight: Weight | None = None) -> float:
    return float(np.average(values, weights=weight)) if values.size else float("nan")
