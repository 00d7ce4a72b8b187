"""Which clips train, which choose, which judge: whole storms, whole weeks, a gap between.

Time is cut into blocks that belong together: a storm with the hours around it, a calm week, a
season. Blocks are dealt out to the parts; clips near the seam of two parts are left out.
"""

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from medicane_models.errors import ConfigurationError
from medicane_models.prediction.tracks import require_columns
from medicane_models.times import utc_times
from medicane_models.verification.matching import independent_blocks
from medicane_training.clips.nearness import GUARD_KM, near
from medicane_training.clips.sampling import apportioned
from medicane_training.store.labels import CYCLONE

__all__ = [
    "GUARD_HOURS",
    "PARTS",
    "UNUSED",
    "check_leaks",
    "checked_shares",
    "deal_blocks",
    "k_folds",
    "part_counts",
    "split_by_season",
    "split_by_storm",
]

PARTS = ("train", "validation", "test")
UNUSED = "unused"
"""The part of clips that are too near in time to clips of another part."""

GUARD_HOURS = 24.0
"""Between clips of different parts: a day, in which weather moves on by several tiles."""

SHOWN_LEAKS = 3
PLACE = ("plane_lon", "plane_lat")
SOURCE = "the table of clips"
Times = Shaped[np.ndarray, " times"]


class _Timeline(NamedTuple):
    """Stretches of time, each from its start to the next one's.

    Attributes:
        starts: sorted times.
        block: which stretches belong together; a calm week goes on after a storm.
        stormy: whether it is a storm's.
    """

    starts: Shaped[np.ndarray, " n"]
    block: Shaped[np.ndarray, " n"]
    stormy: Bool[np.ndarray, " n"]


def split_by_storm(
    clips: pd.DataFrame,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int,
    guard_hours: float = GUARD_HOURS,
    held_out: Collection[str] = (),
) -> pd.Series:
    """Split labelled clips: storms with all that happened at their time, other times by weeks.

    Storms that follow each other within the guard stay together. Storms and weeks are each dealt
    out evenly over the four seasons.

    Args:
        clips: ``end`` (UTC) and ``storm`` ("" if none), as
            :func:`medicane_training.store.labels.label_clips` names it.
        fractions: of the storms and of the weeks, for :data:`PARTS`; a part above 0 gets at least
            one storm.
        seed: the same seed and clips give the same split.
        guard_hours: at least this lies between clips of different parts.
        held_out: storms that are tested whatever the seed, with all that follow them closely.

    Returns:
        On the index of ``clips`` one of :data:`PARTS`, or :data:`UNUSED` inside the guard; never
        so for a clip with a storm.

    Raises:
        ConfigurationError: if there are fewer storms than parts.
    """
    timeline = _storms_and_weeks(clips, guard_hours)
    dealt = _deal(timeline, checked_shares(fractions), seed)
    part = np.where(_kept_out(timeline, clips, held_out), "test", np.array(PARTS)[dealt])
    return _parts(clips, timeline, part, guard_hours)


def k_folds(
    clips: pd.DataFrame,
    k: int,
    seed: int,
    *,
    validation: bool = True,
    guard_hours: float = GUARD_HOURS,
    held_out: Collection[str] = (),
) -> list[pd.Series]:
    """Deal storms and weeks into ``k`` folds; each is the test of one of the splits returned.

    Args:
        clips: as :func:`split_by_storm` takes them.
        k: number of folds and of splits.
        seed: of the deal.
        validation: the fold after the test's is the validation; False where nothing is chosen by
            it, then all other folds train.
        guard_hours: at least this lies between clips of different parts.
        held_out: storms that are in no part of any split, with all that follow them closely.
    """
    if k < 2 + validation:
        raise ConfigurationError(f"{k} folds are too few; give at least {2 + validation}")
    timeline = _storms_and_weeks(clips, guard_hours)
    fold = _deal(timeline, np.full(k, 1 / k), seed)
    splits = []
    for test in range(k):
        part = np.full(len(fold), "train", dtype=object)
        part[fold == (test + 1) % k] = "validation" if validation else "train"
        part[fold == test] = "test"
        part[_kept_out(timeline, clips, held_out)] = UNUSED
        splits.append(_parts(clips, timeline, part, guard_hours))
    return splits


def split_by_season(
    clips: pd.DataFrame,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int,
    guard_hours: float = GUARD_HOURS,
) -> pd.Series:
    """Split unlabelled clips by whole seasons (December to February, …).

    Each part is dealt winters, springs, summers and autumns as evenly as their number allows.
    Arguments and result are those of :func:`split_by_storm`; only ``end`` is read.
    """
    ends = _ends(clips)
    first, last = _season(np.array([ends.min(), ends.max()]))
    starts = (np.arange(first, last + 1) * 3 - 1).astype("datetime64[M]").astype(ends.dtype)
    timeline = _inhabited(_Timeline(starts, starts.astype(str), np.full(len(starts), False)), ends)
    dealt = _deal(timeline, checked_shares(fractions), seed)
    return _parts(clips, timeline, np.array(PARTS)[dealt], guard_hours)


def check_leaks(
    clips: pd.DataFrame,
    split: pd.Series,
    *,
    num_frames: int = 16,
    cadence_minutes: float = 5.0,
    adjacent_hours: float = GUARD_HOURS,
    adjacent_km: float = GUARD_KM,
) -> pd.DataFrame:
    """Stop where a part knows what another one asks: same storm, same frames, same hours.

    Args:
        clips: ``end``, and ``storm`` and ``label`` where there are any; tables of several stores
            may be concatenated. Clips of local planes, with ``plane_lon, plane_lat``, may share
            hours and frames' times far from each other.
        split: the part of each row.
        num_frames: of a clip.
        cadence_minutes: from a frame to the next.
        adjacent_hours: clips of different parts must be at least this far apart,
        adjacent_km: or on local planes this far, see :func:`clips.nearness.near`.

    Returns:
        A row a part: ``clips, cyclones, storms, first, last`` and ``hours_to_other_parts``, the
        least distance in time.

    Raises:
        ConfigurationError: naming the first leaks of each kind.
    """
    unknown = set(split.unique()) - {*PARTS, UNUSED}
    if unknown or len(split) != len(clips):
        raise ConfigurationError(
            f"a split of {len(split)} rows with {sorted(map(str, unknown))} does not fit "
            f"{len(clips)} clips; give each one of {', '.join((*PARTS, UNUSED))}"
        )
    clips, split = _timed(clips, split)
    rows = clips.reindex(columns=["storm", "label", *PLACE])
    rows = rows.assign(end=_ends(clips), part=split.to_numpy())
    rows = rows.loc[rows["part"] != UNUSED]
    ends = {str(part): np.unique(some["end"].to_numpy()) for part, some in rows.groupby("part")}
    shared = (num_frames - 1) * cadence_minutes / 60
    frames = shared + 1 / 3600  # a second more: the outer frame counts
    if set(PLACE) <= set(clips.columns):
        close = _near_on_earth(rows, max(frames, adjacent_hours), adjacent_km)
    else:
        close = _near(ends, "share frames", frames)
        close = close or _near(ends, f"lie within {adjacent_hours:g} h", adjacent_hours)
    if leaks := [*_shared_storms(rows), *close]:
        raise ConfigurationError(
            f"the split leaks: {'; '.join(leaks)}; split by storm with a guard of at least "
            f"{max(adjacent_hours, shared):g} h"
        )
    return _report(rows, ends)


def _timed(clips: pd.DataFrame, split: pd.Series) -> tuple[pd.DataFrame, pd.Series]:
    """The clips whose time is known; of local planes others may train, or be tested if held out."""
    if not set(PLACE) <= set(clips.columns):
        return clips, split
    timed = clips["end"].notna().to_numpy(bool)
    if (split.loc[~timed] == "validation").any():
        raise ConfigurationError(
            f"{(~timed).sum()} clips have no time and some of them choose; let them train"
        )
    return clips.loc[timed], split.loc[timed]


def _near_on_earth(rows: pd.DataFrame, hours: float, km: float) -> list[str]:
    """Pairs of parts with clips nearer than this in time and space, in words."""
    leaks = []
    for one, other in combinations(rows["part"].unique(), 2):
        here = rows.loc[rows["part"] == one]
        close = here.loc[near(here, rows.loc[rows["part"] == other], hours=hours, km=km), "end"]
        if len(close):
            first = ", ".join(_minute(end) for end in close.to_numpy()[:SHOWN_LEAKS])
            leaks.append(
                f"{len(close)} clips of {one} have some of {other} within {hours:g} h and {km:g} km"
                f" (first: {first})"
            )
    return leaks


def part_counts(clips: pd.DataFrame) -> dict[str, object]:
    """``clips, cyclones, storms`` there are, and the ``first, last`` end of a clip."""
    return {
        "clips": len(clips),
        "cyclones": int((clips["label"].to_numpy() == CYCLONE).sum()),
        "storms": clips["storm"].replace("", np.nan).nunique(),
        "first": clips["end"].min(),
        "last": clips["end"].max(),
    }


def _ends(clips: pd.DataFrame) -> Shaped[np.ndarray, " clips"]:
    require_columns(clips, ("end",), source=SOURCE)
    if clips.empty:
        raise ConfigurationError("there is no clip to split")
    return utc_times(clips["end"], source=SOURCE).to_numpy()


def checked_shares(fractions: Sequence[float]) -> Float[np.ndarray, " parts"]:
    """Shares of the parts, refused unless they add up to 1."""
    shares = np.array(fractions, dtype=float)
    if shares.shape != (len(PARTS),) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise ConfigurationError(
            f"fractions {tuple(fractions)} are not three shares that add up to 1"
        )
    return shares


def _storms_and_weeks(clips: pd.DataFrame, guard_hours: float) -> _Timeline:
    """Storms with half the guard on either side, so that no seam comes near; else calm weeks."""
    ends = _ends(clips)
    require_columns(clips, ("storm",), source=SOURCE)
    named = pd.DataFrame({"time": ends, "storm": clips["storm"].to_numpy()})
    named = named.loc[named["storm"] != ""]
    half = _hours(guard_hours) / 2
    first, last = (named.groupby("storm", as_index=False).agg({"time": f}) for f in ("min", "max"))
    first["time"], last["time"] = first["time"] - half, last["time"] + half
    after = last["time"] + np.timedelta64(1, "ns")  # the last moment of a storm is still its own
    week = np.timedelta64(7, "D")
    weeks = np.arange(ends.min().astype("datetime64[W]"), ends.max() + week, week)
    starts = np.unique(np.concatenate([weeks.astype(ends.dtype), first["time"], after]))
    blocks = independent_blocks(starts, pd.concat([first, last]))
    return _inhabited(_Timeline(starts, blocks.label.astype(str), blocks.stormy), ends)


def _kept_out(
    timeline: _Timeline, clips: pd.DataFrame, held_out: Collection[str]
) -> Bool[np.ndarray, " n"]:
    """The stretches of blocks with a storm that is held out."""
    ends = _ends(clips)[clips["storm"].isin(list(held_out)).to_numpy(bool)]
    stretch = np.searchsorted(timeline.starts, ends, side="right") - 1
    return np.isin(timeline.block, timeline.block[np.unique(stretch)])


def _inhabited(timeline: _Timeline, ends: Times) -> _Timeline:
    """Without the blocks that hold no clip, which would take a place in the deal."""
    stretch = np.searchsorted(timeline.starts, ends, side="right") - 1
    used = np.isin(timeline.block, timeline.block[np.unique(stretch)])
    return _Timeline(*(column[used] for column in timeline))


def _hours(hours: float) -> np.timedelta64:
    return np.timedelta64(round(hours * 3600), "s").astype("timedelta64[ns]")


def _deal(
    timeline: _Timeline, shares: Float[np.ndarray, " parts"], seed: int
) -> Int[np.ndarray, " n"]:
    """The number of the part of each stretch; storms and other blocks are dealt separately."""
    rng = np.random.default_rng(seed)
    dealt = np.zeros(len(timeline.starts), dtype=np.int64)
    for storms in (True, False):
        here = timeline.stormy == storms
        block, first, number = np.unique(
            timeline.block[here], return_index=True, return_inverse=True
        )
        decisive = storms or not timeline.stormy.any()
        if 0 < len(block) < np.count_nonzero(shares) and decisive:
            raise ConfigurationError(
                f"{len(block)} storms, weeks or seasons apart in time cannot fill "
                f"{np.count_nonzero(shares)} parts; give more clips or fewer parts"
            )
        dealt[here] = deal_blocks(timeline.starts[here][first], shares, rng)[number]
    return dealt


def deal_blocks(
    starts: Shaped[np.ndarray, " blocks"],
    shares: Float[np.ndarray, " parts"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " blocks"]:
    """Deal in turn, in random order within the seasons, each part at even distances."""
    count = apportioned(len(starts), shares, least=1)
    place = [(np.arange(some) + rng.random()) / max(some, 1) for some in count]
    turn = np.repeat(np.arange(len(shares)), count)[np.argsort(np.concatenate(place))]
    season = _season(starts) % 4
    dealt = np.empty(len(starts), dtype=np.int64)
    dealt[np.lexsort((rng.random(len(starts)), season))] = turn
    return dealt


def _season(times: Shaped[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Seasons since December 1969, the first of which is a winter."""
    return (times.astype("datetime64[M]").astype(np.int64) + 1) // 3


def _parts(
    clips: pd.DataFrame, timeline: _Timeline, part: Shaped[np.ndarray, " n"], guard_hours: float
) -> pd.Series:
    """The part of each clip, from those of the stretches; none within half the guard of a seam."""
    ends, guard = _ends(clips), _hours(guard_hours)
    stretch = np.searchsorted(timeline.starts, ends, side="right") - 1
    result = part[stretch].astype(object)
    order = np.argsort(ends, kind="stable")
    inner = np.flatnonzero(result[order[1:]] != result[order[:-1]])
    for earlier, later in zip(order[inner], order[inner + 1], strict=True):
        if ends[later] - ends[earlier] < guard:
            seam = timeline.starts[stretch[later]]
            result[(ends > seam - guard / 2) & (ends < seam + guard / 2)] = UNUSED
    return pd.Series(result, index=clips.index, name="split", dtype="str")


def _shared_storms(rows: pd.DataFrame) -> list[str]:
    named = rows.loc[rows["storm"].notna() & (rows["storm"] != "")]
    parts = named.groupby("storm")["part"].unique()
    torn = parts.loc[parts.map(len) > 1]
    first = [f"{storm} in {' and '.join(sorted(some))}" for storm, some in torn.items()]
    return [f"{len(torn)} storms are torn ({', '.join(first[:SHOWN_LEAKS])})"] if first else []


def _near(ends: dict[str, Times], what: str, hours: float) -> list[str]:
    """Pairs of parts with clips nearer in time than this, in words."""
    leaks = []
    for one, other in combinations(ends, 2):
        nearest = _nearest(ends[one], ends[other])
        close = np.flatnonzero(abs(nearest - ends[one]) < _hours(hours))
        if close.size:
            first = [f"{_minute(ends[one][i])} and {_minute(nearest[i])}" for i in close]
            leaks.append(
                f"{close.size} times of {one} and {other} {what} "
                f"(first: {', '.join(first[:SHOWN_LEAKS])})"
            )
    return leaks


def _nearest(times: Shaped[np.ndarray, " n"], others: Times) -> Shaped[np.ndarray, " n"]:
    """For each time the nearest of others, both sorted."""
    after = np.minimum(np.searchsorted(others, times), len(others) - 1)
    before = np.maximum(after - 1, 0)
    earlier = abs(others[before] - times) < abs(others[after] - times)
    return others[np.where(earlier, before, after)]


def _minute(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")


def _report(rows: pd.DataFrame, ends: dict[str, Times]) -> pd.DataFrame:
    report = {}
    for part, own in ends.items():
        here = rows.loc[rows["part"] == part]
        gaps = [abs(_nearest(own, ends[other]) - own).min() for other in ends if other != part]
        report[part] = {
            **part_counts(here),
            "hours_to_other_parts": min(gaps) / np.timedelta64(1, "h") if gaps else np.nan,
        }
    present = [part for part in PARTS if part in report]
    return pd.DataFrame.from_dict(report, orient="index").loc[present]
