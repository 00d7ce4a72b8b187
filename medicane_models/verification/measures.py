"""Scores as functions of what is drawn: the same numbers as `scores`, for many samples at once."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from medicane_models.verification.block_bootstrap import BlockRows, Draws, Measure, Statistic
from medicane_models.verification.matching import Blocks
from medicane_models.verification.scores import (
    BINS,
    Contingency,
    bin_numbers,
    contingency_scores,
    ratio,
)

__all__ = ["distance_scores", "joint", "mean_of", "probabilities", "yes_no"]

Values = Float[np.ndarray, " n"]
Samples = Mapping[str, Float[np.ndarray, " s"]]


def joint(
    blocks: Blocks, parts: Sequence[Statistic], counts: Mapping[str, float] | None = None
) -> Measure:
    """Several statistics of the same rows as one measure."""
    rows = BlockRows.of(blocks)

    def statistic(draws: Draws) -> Samples:
        return {name: score for part in parts for name, score in part(draws).items()}

    return Measure(counts=counts or {}, statistic=statistic, names=rows.names, stormy=rows.stormy)


def yes_no(
    happened: Bool[np.ndarray, " n"],
    forecast: Bool[np.ndarray, " n"],
    blocks: Blocks,
    *,
    only: Sequence[str] = (),
    always: bool = False,
) -> Measure:
    """Contingency scores.

    Args:
        happened: of each case.
        forecast: of each case.
        blocks: of the cases.
        only: the scores of cases whose correct negatives cannot be counted; empty: all.
        always: whether to add what an alarm in every case would score.
    """
    rows = BlockRows.of(blocks)
    total = Contingency.from_labels(happened, forecast)
    kinds = [happened & forecast, ~happened & forecast, happened & ~forecast]
    sums = rows.sums(np.stack([*kinds, ~happened & ~forecast], axis=1).astype(float))

    def statistic(draws: Draws) -> Samples:
        counts = (draws @ sums).T
        scores = contingency_scores(*counts)
        chosen = {name: scores[name] for name in only or scores}
        if always:
            hits, false_alarms, misses, negatives = counts
            blind = contingency_scores(
                hits + misses, false_alarms + negatives, np.zeros_like(hits), np.zeros_like(hits)
            )
            chosen |= {f"always_{name}": blind[name] for name in ("far", "csi")}
        return chosen

    counts = {"n": len(happened), **vars(total)}
    if only:
        del counts["correct_negatives"]
    return Measure(counts=counts, statistic=statistic, names=rows.names, stormy=rows.stormy)


def probabilities(
    probability: Values, happened: Bool[np.ndarray, " n"], blocks: Blocks, *, what: str
) -> Measure:
    """What `scores.probability_scores` tells; ``what`` the cases are called in the counts."""
    parts = [
        _calibration(probability, happened, BlockRows.of(blocks)),
        _ranking(probability, happened, blocks),
    ]
    return joint(blocks, parts, {what: len(probability)})


def distance_scores(error_km: Values, blocks: Blocks, prefix: str = "") -> Statistic:
    """What `scores.error_summary` tells of the known errors, with a prefix before the names."""
    known = np.flatnonzero(~np.isnan(error_km))
    order = known[np.argsort(error_km[known])]
    ascending, number = error_km[order], BlockRows.of(blocks).number[order]

    def statistic(draws: Draws) -> Samples:
        until = np.cumsum(draws[:, number], axis=1)
        n = until[:, -1] if order.size else np.zeros(len(draws))
        total = np.diff(until, axis=1, prepend=0) @ ascending
        return {
            f"{prefix}mean_km": ratio(total, n),
            f"{prefix}median_km": _quantile(ascending, until, n, 0.5),
            f"{prefix}p90_km": _quantile(ascending, until, n, 0.9),
        }

    return statistic


def mean_of(values: Mapping[str, Shaped[np.ndarray, " n"]], blocks: Blocks) -> Statistic:
    """Means of the known values, by name."""
    rows = BlockRows.of(blocks)
    sums = {}
    for name, value in values.items():
        known = ~np.isnan(value.astype(float))
        sums[name] = rows.sums(np.stack([np.where(known, value, 0), known], axis=1).astype(float))

    def statistic(draws: Draws) -> Samples:
        return {name: ratio(*(draws @ parts).T) for name, parts in sums.items()}

    return statistic


def _calibration(
    probability: Values, happened: Bool[np.ndarray, " n"], rows: BlockRows
) -> Statistic:
    """Brier score, its parts, its skill, and the calibration error."""
    size = len(rows.names), BINS
    cell = rows.number * BINS + bin_numbers(probability, BINS)
    parts = [
        np.bincount(cell, values, size[0] * BINS).reshape(size).astype(float)
        for values in (np.ones(len(happened)), probability, happened)
    ]
    squares = rows.sums(((probability - happened) ** 2)[:, None])

    def statistic(draws: Draws) -> Samples:
        n, forecast, observed = (draws @ part for part in parts)
        squared = draws @ squares
        total = n.sum(axis=1)
        rate = ratio(observed.sum(axis=1), total)
        forecast, observed = (np.nan_to_num(ratio(v, n)) for v in (forecast, observed))
        gap = n * (forecast - observed) ** 2
        reliability = ratio(gap.sum(axis=1), total)
        resolution = ratio((n * (observed - rate[:, None]) ** 2).sum(axis=1), total)
        brier, uncertainty = ratio(squared[:, 0], total), rate * (1 - rate)
        return {
            "brier": brier,
            "brier_skill": 1 - ratio(brier, uncertainty),
            "reliability": reliability,
            "resolution": resolution,
            "uncertainty": uncertainty,
            "within_bins": brier - (reliability - resolution + uncertainty),
            "ece": ratio((n * abs(forecast - observed)).sum(axis=1), total),
        }

    return statistic


def _ranking(probability: Values, happened: Bool[np.ndarray, " n"], blocks: Blocks) -> Statistic:
    """Areas under the curves of all thresholds."""
    order = np.argsort(-probability, kind="stable")
    descending, event = probability[order], happened[order]
    number = BlockRows.of(blocks).number[order]
    last = np.flatnonzero(np.append(descending[1:] != descending[:-1], True)[: len(order)])

    def areas(drawn: Int[np.ndarray, " b"]) -> tuple[float, float]:
        times = drawn[number]
        hits, false_alarms = (
            np.append(0.0, np.cumsum(times * cases)[last]) for cases in (event, ~event)
        )
        precision = np.nan_to_num(ratio(hits[1:], hits[1:] + false_alarms[1:]))
        gained = (np.diff(hits) * precision).sum()
        both = np.trapezoid(hits, false_alarms)
        return ratio(both, hits[-1] * false_alarms[-1]), ratio(gained, hits[-1])

    def statistic(draws: Draws) -> Samples:
        roc_area, pr_area = np.array(
            [areas(drawn) for drawn in draws]
        ).T  # all at once is no faster
        return {"roc_area": roc_area, "pr_area": pr_area}

    return statistic


def _quantile(
    ascending: Values, until: Shaped[np.ndarray, "s n"], n: Shaped[np.ndarray, " s"], share: float
) -> Float[np.ndarray, " s"]:
    """As `numpy.quantile` of values repeated as often as they are drawn."""
    place = (n - 1) * share
    below, above = (
        np.where(n > 0, _at(ascending, until, np.clip(rank, 0, None)), np.nan)
        for rank in (np.floor(place), np.ceil(place))
    )
    return below + (above - below) * (place - np.floor(place))


def _at(
    ascending: Values, until: Shaped[np.ndarray, "s n"], rank: Float[np.ndarray, " s"]
) -> Float[np.ndarray, " s"]:
    """The value of a rank, counted from 0, among the drawn ones."""
    column = (until <= rank[:, None]).sum(axis=1)
    return np.append(ascending, np.nan)[column]
