"""Parts of a store of local planes: whole storms across sensors, apart in time or on Earth.

Storms may happen at the same time in different oceans, so that cutting time in pieces would not do.
Storms are dealt out by name and calm weather by weeks; then clips that are near clips of another
part give way.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from medicane_models.errors import ConfigurationError
from medicane_training.clips.nearness import GUARD_KM, near
from medicane_training.clips.splits import GUARD_HOURS, PARTS, UNUSED, checked_shares, deal_blocks
from medicane_training.store.plane_samples import UNNAMED

__all__ = ["is_judgeable", "plane_folds", "split_planes"]

TRAIN, VALIDATION, TEST = PARTS
WEEK = "datetime64[W]"
PartOfClips = Shaped[np.ndarray, " clips"]


def split_planes(
    clips: pd.DataFrame,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int,
    guard_hours: float = GUARD_HOURS,
    guard_km: float = GUARD_KM,
    held_out: Collection[str] = (),
) -> pd.Series:
    """Split labelled clips of local planes.

    Where storms of two parts are near each other in time and space, the test keeps its clips before
    the validation and that before the training; clips without a storm go with the storms near them.

    Args:
        clips: ``end, storm, plane_lon, plane_lat``, and ``dataset`` where ``held_out`` names one.
        fractions: of the storms and of the calm weeks, for :data:`splits.PARTS`.
        seed: the same seed and clips give the same split.
        guard_hours: clips of different parts are at least this far apart,
        guard_km: or this far.
        held_out: storms and datasets that are tested whatever the seed.

    Returns:
        On the index of ``clips`` one of :data:`splits.PARTS`, or :data:`splits.UNUSED`. A storm has
        clips in one part alone; those of unknown time, or of a storm without a name, only train,
        but for those that are held out.

    Raises:
        ConfigurationError: if there are fewer storms than parts.
    """
    kept_out = _is_held_out(clips, held_out)
    dealt = _deal(clips, checked_shares(fractions), seed, ~kept_out)
    part = np.where(kept_out, TEST, np.array(PARTS, dtype=object)[dealt])
    return _apart(clips, part, kept_out, guard_hours, guard_km)


def plane_folds(
    clips: pd.DataFrame,
    k: int,
    seed: int,
    *,
    validation: bool = True,
    guard_hours: float = GUARD_HOURS,
    guard_km: float = GUARD_KM,
    held_out: Collection[str] = (),
) -> list[pd.Series]:
    """As :func:`splits.k_folds`; what is held out is in no part of any of them."""
    if k < 2 + validation:
        raise ConfigurationError(f"{k} folds are too few; give at least {2 + validation}")
    kept_out, judged = _is_held_out(clips, held_out), is_judgeable(clips)
    fold = _deal(clips, np.full(k, 1 / k), seed, ~kept_out)
    splits = []
    for test in range(k):
        part = np.full(len(fold), TRAIN, dtype=object)
        part[judged & (fold == (test + 1) % k)] = VALIDATION if validation else TRAIN
        part[judged & (fold == test) | kept_out] = TEST
        split = _apart(clips, part, kept_out, guard_hours, guard_km)
        splits.append(split.mask(kept_out, UNUSED))
    return splits


def is_judgeable(clips: pd.DataFrame) -> Bool[np.ndarray, " clips"]:
    """Which clips may be validated or tested on: their time is known, and their storm's name."""
    unnamed = clips["storm"].astype(str).str.startswith(UNNAMED)
    return (clips["end"].notna() & ~unnamed).to_numpy(bool)


def _deal(
    clips: pd.DataFrame,
    shares: Float[np.ndarray, " parts"],
    seed: int,
    free: Bool[np.ndarray, " clips"],
) -> Int[np.ndarray, " clips"]:
    """The number of the part of each clip; 0 for those that are not free or may only train."""
    rng = np.random.default_rng(seed)
    ends, storm = clips["end"].to_numpy("datetime64[ns]"), clips["storm"].to_numpy(str)
    dealt, free = np.zeros(len(clips), dtype=np.int64), free & is_judgeable(clips)
    for kind, block in (("storms", storm), ("weeks", ends.astype(WEEK).astype(str))):
        rows = np.flatnonzero(free & ((storm != "") == (kind == "storms")))
        rows = rows[np.argsort(ends[rows], kind="stable")]
        _, first, number = np.unique(block[rows], return_index=True, return_inverse=True)
        if kind == "storms" and len(first) < np.count_nonzero(shares):
            raise ConfigurationError(
                f"{len(first)} storms cannot fill {np.count_nonzero(shares)} parts; give more "
                "storms or fewer parts"
            )
        dealt[rows] = deal_blocks(ends[rows[first]], shares, rng)[number]
    return dealt


def _is_held_out(clips: pd.DataFrame, held_out: Collection[str]) -> Bool[np.ndarray, " clips"]:
    names = [name for name in ("storm", "dataset") if name in clips]
    return np.any([clips[name].isin(list(held_out)) for name in names], axis=0)


def _apart(
    clips: pd.DataFrame,
    part: PartOfClips,
    kept_out: Bool[np.ndarray, " clips"],
    hours: float,
    km: float,
) -> pd.Series:
    """Parts whose clips are not near each other; what is held out stays."""
    stormy = (clips["storm"].to_numpy(str) != "") | kept_out

    def near_to(
        rows: Bool[np.ndarray, " clips"], others: Bool[np.ndarray, " clips"]
    ) -> PartOfClips:
        found = np.full(len(clips), False)
        found[rows] = near(clips.loc[rows], clips.loc[others], hours=hours, km=km)
        return found

    for own, higher in ((VALIDATION, [TEST]), (TRAIN, [VALIDATION, TEST])):
        part[near_to(stormy & (part == own), stormy & np.isin(part, higher))] = UNUSED
    calm = ~stormy & (part != UNUSED)
    beside = np.array([near_to(calm, stormy & (part == name)) for name in PARTS])
    followed = np.array(PARTS, dtype=object)[beside.argmax(axis=0)]
    part = np.where(beside.sum(axis=0) == 1, followed, part)
    part[beside.sum(axis=0) > 1] = UNUSED
    for own, higher in ((VALIDATION, [TEST]), (TRAIN, [VALIDATION, TEST])):
        part[near_to(~stormy & (part == own), np.isin(part, higher))] = UNUSED
    return pd.Series(part, index=clips.index, name="split", dtype="str")
