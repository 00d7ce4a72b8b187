"""Intervals of scores by drawing whole storms and calm weeks, never rows, which are much alike.

A lone storm beside calm weeks would be in every sample, and so would a lone calm week beside
storms: the interval would feign certainty. There is none unless each kind is there twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from medicane_models.errors import ConfigurationError
from medicane_models.verification.matching import Blocks

__all__ = ["BlockRows", "Draws", "Interval", "Measure", "Statistic", "bootstrap"]

AT_ONCE = 20  # samples; more would need more memory and be no faster

Draws = Int[np.ndarray, "s b"]
"""How often each of b storms or calm weeks is drawn in each of s samples."""

Statistic = Callable[[Draws], Mapping[str, Float[np.ndarray, " s"]]]
"""From draws to scores of the samples, NaN where one is undefined."""


class Interval(NamedTuple):
    """A score and the range that resampling gives it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class BlockRows:
    """Rows by the storm or calm week that they belong to.

    Attributes:
        number: of each row's block.
        names: of the blocks, sorted.
        stormy: whether they are storms.
    """

    number: Int[np.ndarray, " n"]
    names: Shaped[np.ndarray, " b"]
    stormy: Bool[np.ndarray, " b"]

    @classmethod
    def of(cls, blocks: Blocks) -> Self:
        """Number the blocks that rows are labelled with."""
        number, first = _numbered(blocks.label)
        return cls(number=number, names=blocks.label[first], stormy=blocks.stormy[first])

    def sums(self, values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "b k"]:
        """Sums of the rows of each block."""
        columns = [np.bincount(self.number, v, len(self.names)) for v in values.T]
        return np.stack(columns, axis=1).astype(float)  # of no rows they are whole numbers

    def times_drawn(self, draws: Draws) -> Int[np.ndarray, "s n"]:
        """How often each row is drawn."""
        return draws[:, self.number]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Scores that can be drawn anew from storms and calm weeks.

    Attributes:
        counts: what they are of.
        statistic: of draws of its blocks.
        names: of the blocks, sorted.
        stormy: whether they are storms.
    """

    counts: Mapping[str, float]
    statistic: Statistic
    names: Shaped[np.ndarray, " b"]
    stormy: Bool[np.ndarray, " b"]

    def scored(
        self, *, samples: int = 1000, level: float = 0.95, seed: int = 0
    ) -> dict[str, Interval]:
        """Each score with its interval, NaN to NaN where a kind of block is there but once.

        As many storms and as many calm weeks are drawn as there are; samples where a score is
        undefined do not count for it.
        """
        resampled = [self.statistic(d) for d in _draws(self.stormy, samples, level, seed)]
        return {
            name: Interval(value, *_range([part[name] for part in resampled], level))
            for name, value in self.values().items()
        }

    def values(self) -> dict[str, float]:
        """Each score of all rows."""
        scores = self.statistic(np.ones((1, len(self.names)), dtype=np.int64))
        return {name: float(score[0]) for name, score in scores.items()}

    def minus(self, other: Self) -> "Measure":
        """The differences of scores of both, drawn from the same storms and weeks at once."""
        names, first = np.unique(np.append(self.names, other.names), return_index=True)
        ours, theirs = (np.searchsorted(names, part.names) for part in (self, other))

        def statistic(draws: Draws) -> dict[str, Float[np.ndarray, " s"]]:
            one, two = self.statistic(draws[:, ours]), other.statistic(draws[:, theirs])
            return {name: one[name] - two[name] for name in one if name in two}

        stormy = np.append(self.stormy, other.stormy)[first]
        return Measure(counts={}, statistic=statistic, names=names, stormy=stormy)


def bootstrap(
    statistic: Callable[[Int[np.ndarray, " _"]], Mapping[str, float]],
    storms: Shaped[np.ndarray, " n"],
    *,
    strata: Shaped[np.ndarray, " n"] | None = None,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile intervals of any statistic of rows, from drawing whole storms with replacement.

    Args:
        statistic: from row numbers (ascending, with repetitions) to scores.
        storms: the storm or other independent block that each of the n rows belongs to.
        strata: the kind of each row's storm, if there are several; as many of each kind are
            drawn as there are.
        samples: resamples; those where a score is undefined do not count for it.
        level: share of the resamples that the interval holds.
        seed: of the resampling.

    Returns:
        Each score on all rows with its interval, NaN to NaN where a kind is there but once.
    """
    number, first = _numbered(storms)
    rows = np.arange(len(storms))
    kind = np.zeros(len(first), dtype=np.int64) if strata is None else strata[first]
    value = statistic(rows)
    resampled = [
        statistic(np.repeat(rows, drawn[number]))
        for draws in _draws(kind, samples, level, seed)
        for drawn in draws
    ]
    return {
        name: Interval(score, *_range([np.array([part[name]]) for part in resampled], level))
        for name, score in value.items()
    }


def _numbered(
    labels: Shaped[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " k"]]:
    """Labels as numbers from 0 in sorted order, and the row where each occurs first."""
    number = pd.factorize(labels, sort=True)[0]
    return number, np.unique(number, return_index=True)[1]


def _draws(kind: Shaped[np.ndarray, " b"], samples: int, level: float, seed: int) -> list[Draws]:
    """How often each block is drawn, within those of its kind; nothing where one is alone."""
    if samples < 1 or not 0 < level < 1:
        raise ConfigurationError(
            f"cannot bootstrap {samples} samples at level {level:g}; give 1 or more, 0 < level < 1"
        )
    alike = [np.flatnonzero(kind == k) for k in np.unique(kind)]
    if min(map(len, alike), default=0) < 2:
        return []
    random = np.random.default_rng(seed)
    drawn = [
        np.bincount(
            np.concatenate([random.choice(blocks, len(blocks)) for blocks in alike]),
            minlength=len(kind),
        )
        for _ in range(samples)
    ]
    return [np.stack(drawn[start : start + AT_ONCE]) for start in range(0, samples, AT_ONCE)]


def _range(parts: list[Float[np.ndarray, " s"]], level: float) -> tuple[float, float]:
    values = np.concatenate([*parts, np.zeros(0)])
    defined = values[~np.isnan(values)]
    if defined.size == 0:
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
