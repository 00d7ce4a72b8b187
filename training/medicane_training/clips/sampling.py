"""In which order clips are read: shuffled, or balanced by class, storm and kind of weather.

An order depends on its seed and the epoch alone; ranks and workers only divide it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from torch.utils.data import Sampler

from medicane_models.errors import ConfigurationError
from medicane_training.recipes.data_sections import BALANCED_SHARES
from medicane_training.store.strata import STRATA

__all__ = [
    "ClipKey",
    "ClipSampler",
    "Order",
    "apportioned",
    "balanced",
    "in_order",
    "present_shares",
    "shuffled",
]

HARDEST = 0.2

Order = Callable[[int], Int[np.ndarray, " n"]]
"""From the number of an epoch to the clips it reads, in order; always as many."""


class ClipKey(NamedTuple):
    """Which clip to read; epoch and position in it seed the augmentation."""

    clip: int
    epoch: int
    position: int


def in_order(clips: Sequence[int] | Int[np.ndarray, " n"]) -> Order:
    """Each clip once, as given: for evaluation."""
    chosen = np.asarray(clips, int)
    return lambda epoch: chosen


def shuffled(clips: Sequence[int] | Int[np.ndarray, " n"], *, seed: int) -> Order:
    """Each clip once, in a new order every epoch."""
    chosen = np.asarray(clips, int)
    return lambda epoch: np.random.default_rng((seed, epoch)).permutation(chosen)


def balanced(
    index: pd.DataFrame,
    clips: Sequence[int] | Int[np.ndarray, " n"],
    *,
    samples: int,
    seed: int,
    shares: Mapping[str, float] = BALANCED_SHARES,
    storm_power: float = 0.0,
    datasets: Mapping[str, float] | None = None,
    hard: float | None = None,
) -> Order:
    """Draw ``samples`` clips an epoch: strata by their shares, storms alike, none twice too soon.

    Within a stratum (cyclones: within a storm) every clip comes once before any comes again.

    Args:
        index: the store's, with ``stratum`` and ``storm``; with ``dataset``, ``coldness`` and
            ``spirality`` where these are asked for.
        clips: rows of it to draw from, such as those of one split.
        samples: an epoch.
        seed: of the draws.
        shares: see :func:`present_shares`.
        storm_power: a storm of n clips is drawn n to this power times as often as one of one clip.
        datasets: share of each data set in each stratum, of those that are there.
        hard: share of the hardest fifth in each stratum but that of the cyclones.

    Raises:
        ConfigurationError: as `present_shares` does, and if a data set of the clips has no share.
    """
    chosen = np.asarray(clips, int)
    present = present_shares(index, chosen, shares)
    table = index.iloc[chosen].assign(row=chosen)
    _check_datasets(table, datasets)
    groups = {
        name: _groups(
            table.loc[table["stratum"] == name],
            storm_power=storm_power if name == "cyclone" else None,
            datasets=datasets,
            hard=hard,
        )
        for name in present
    }

    def order(epoch: int) -> Int[np.ndarray, " n"]:
        rng = np.random.default_rng((seed, epoch))
        counts = apportioned(samples, np.array(list(present.values())))
        drawn = [_draw(*groups[name], int(n), rng) for name, n in zip(present, counts, strict=True)]
        return rng.permutation(np.concatenate(drawn))

    return order


def _check_datasets(table: pd.DataFrame, datasets: Mapping[str, float] | None) -> None:
    if datasets is None:
        return
    if "dataset" not in table:
        raise ConfigurationError(
            "data.datasets gives shares of data sets, and the store names none; set it to null"
        )
    there = sorted(set(table["dataset"]))
    if missing := [name for name in there if not datasets.get(name, 0) > 0]:
        raise ConfigurationError(
            f"data.datasets gives no share above 0 to {', '.join(missing)}; the training clips are "
            f"of {', '.join(there)}"
        )


def _groups(
    stratum: pd.DataFrame,
    *,
    storm_power: float | None,
    datasets: Mapping[str, float] | None,
    hard: float | None,
) -> tuple[list[Int[np.ndarray, " _"]], Float[np.ndarray, " groups"]]:
    """Rows of the index that are drawn in turn, and the share of each of these groups.

    Args:
        stratum: part of the index, with ``row``.
        storm_power: None where there are no storms.
        datasets: None does not tell them apart.
        hard: None does not tell the hard ones apart.
    """
    is_hard = np.full(len(stratum), False) if hard is None else _hardest(stratum)
    kinds = stratum["storm"] if storm_power is not None else is_hard
    sources = "" if datasets is None else stratum["dataset"]
    table = stratum[["row"]].assign(source=sources, kind=np.asarray(kinds))
    groups = table.groupby(["source", "kind"])["row"].agg([list, "size"]).reset_index()
    if storm_power is not None:
        weight = groups["size"].to_numpy(float) ** storm_power
    else:
        easy = 1.0 if hard is None else 1.0 - hard
        weight = np.where(groups["kind"], hard or 0.0, easy)
    of_source = groups.assign(weight=weight).groupby("source")["weight"]
    weight = weight / of_source.transform("sum").to_numpy()
    if datasets is not None:
        weight = weight * np.array([datasets[str(name)] for name in groups["source"]])
    return [np.array(rows) for rows in groups["list"]], weight / weight.sum()


def _hardest(stratum: pd.DataFrame) -> Bool[np.ndarray, " n"]:
    """The fifth of the clips that are coldest and most like a spiral, by the sum of their ranks."""
    cold = stratum["coldness"].rank(ascending=False, pct=True).fillna(0.0)
    spiral = stratum["spirality"].rank(pct=True).fillna(0.0)
    return ((cold + spiral).rank(pct=True) > 1 - HARDEST).to_numpy(bool)


def present_shares(
    index: pd.DataFrame,
    clips: Sequence[int] | Int[np.ndarray, " n"],
    shares: Mapping[str, float] = BALANCED_SHARES,
) -> dict[str, float]:
    """The shares of the strata that some clip has, scaled to a sum of 1.

    ``cyclone`` is the share of cyclones that calibration has to undo, see
    :func:`medicane_training.store.strata.log_odds_shift`.

    Raises:
        ConfigurationError: if there is no such stratum, a share is not positive, or no clip has
            any of the strata.
    """
    if unknown := sorted(set(shares) - set(STRATA)):
        raise ConfigurationError(
            f"data.shares names {', '.join(unknown)}; the strata are {', '.join(STRATA)}"
        )
    if not shares or min(shares.values()) <= 0:
        raise ConfigurationError(f"shares {dict(shares)} must all be positive; leave out others")
    there = set(index["stratum"].iloc[np.asarray(clips, int)])
    present = {name: share for name, share in shares.items() if name in there}
    if not present:
        raise ConfigurationError(
            f"no clip belongs to {', '.join(shares)}; the strata there are {sorted(there)}"
        )
    total = sum(present.values())
    return {name: share / total for name, share in present.items()}


def _draw(
    groups: Sequence[Int[np.ndarray, " _"]],
    shares: Float[np.ndarray, " groups"],
    count: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " n"]:
    """``count`` members, of each group its share, rounded up or down by the luck of its place."""
    turn = rng.permutation(len(groups))
    counts = np.empty(len(groups), dtype=int)
    counts[turn] = np.diff(np.floor(np.cumsum(count * shares[turn]) + 1e-6), prepend=0)
    drawn = [
        np.concatenate([rng.permutation(group) for _ in range(-(-n // len(group)))] or [group])[:n]
        for group, n in zip(groups, counts, strict=True)
    ]
    return np.concatenate(drawn)


def apportioned(
    total: int, shares: Float[np.ndarray, " n"], *, least: int = 0
) -> Int[np.ndarray, " n"]:
    """Whole numbers of sum ``total``, by the largest remainders of their shares.

    Each share above 0 gets ``least`` or more, if that can be.
    """
    exact, some = total * shares, shares > 0
    fewest = least * some if total >= least * some.sum() else 0
    numbers = np.maximum(np.floor(exact).astype(int) - len(shares), fewest)
    while numbers.sum() < total:
        numbers[np.argmax(exact - numbers)] += 1
    return numbers


class ClipSampler(Sampler[list[ClipKey]]):
    """Batches of one rank, from the sample that the run has come to.

    For training (``even``) every rank gets equally many full batches and what remains is left out;
    for evaluation every clip comes exactly once in all ranks together, so that the number of
    batches may differ by one among ranks.
    """

    def __init__(
        self, order: Order, *, batch_size: int, even: bool, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ConfigurationError(
                f"batch_size {batch_size}, rank {rank} of {world_size}: give a batch of at least 1 "
                "and a rank below the number of ranks"
            )
        self.order = order
        self.batch_size = batch_size
        self.even = even
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.position = 0

    @property
    def step(self) -> int:
        """Samples of a batch of all ranks together."""
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        """Batches left in this epoch."""
        left = len(self.order(self.epoch)) - self.position
        if self.even:
            return left // self.step
        own = len(range(self.rank, left, self.world_size))
        return -(-own // self.batch_size)

    def __iter__(self) -> Iterator[list[ClipKey]]:
        clips, epoch, start = self.order(self.epoch), self.epoch, self.position
        for batch in range(len(self)):
            first = start + batch * self.step
            positions = range(
                first + self.rank, min(first + self.step, len(clips)), self.world_size
            )
            yield [ClipKey(int(clips[position]), epoch, position) for position in positions]

    def advance(self) -> None:
        """Count a batch as used."""
        self.position += self.step

    def next_epoch(self) -> None:
        """Begin anew."""
        self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the run is; the same on all ranks, and good for another number of them."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self.epoch, self.position = int(state["epoch"]), int(state["position"])
