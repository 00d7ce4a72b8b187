"""From the settings of a split to the part of each clip."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.prediction.tracks import require_columns
from medicane_models.tables import read_table
from medicane_models.times import utc, utc_times
from medicane_training.clips.nearness import GUARD_KM
from medicane_training.clips.plane_splits import plane_folds, split_planes
from medicane_training.clips.splits import (
    GUARD_HOURS,
    PARTS,
    UNUSED,
    k_folds,
    split_by_season,
    split_by_storm,
)
from medicane_training.recipes.data_sections import SplitSettings
from medicane_training.store.clip_store import CLIP_KEY, clip_name

__all__ = ["split_by_dates", "split_by_settings", "split_by_table"]

log = logging.getLogger(__name__)


def split_by_settings(clips: pd.DataFrame, settings: SplitSettings) -> pd.Series:
    """The part of each clip, one of ``PARTS`` or ``UNUSED``; the same for the same arguments.

    Args:
        clips: index of a store.
        settings: what is None takes the default of :mod:`clips.splits`, and the seed 0.
    """
    guard_hours = GUARD_HOURS if settings.guard_hours is None else settings.guard_hours
    dealt: dict[str, Any] = {"seed": settings.seed or 0, "guard_hours": guard_hours}
    if settings.fractions is not None:
        dealt["fractions"] = settings.fractions
    match settings.by:
        case "storm" | "folds":
            return _by_storm(_with_storms(clips, settings), settings, dealt)
        case "season":
            return _of_timed(clips, lambda timed: split_by_season(timed, **dealt))
        case "dates":
            dates = {
                "validation_from": settings.validation_from or "",
                "test_from": settings.test_from or "",
            }
            return _of_timed(
                clips, lambda timed: split_by_dates(timed, **dates, guard_hours=guard_hours)
            )
        case "file":
            file = settings.file or ""
            return split_by_table(clips, _read(file), source=file)


def _by_storm(clips: pd.DataFrame, settings: SplitSettings, dealt: dict[str, Any]) -> pd.Series:
    """Whole storms: of fixed tiles with all that happened at their time, of planes near them."""
    dealt["held_out"] = _held_out(clips, settings)
    planes = "plane_lon" in clips
    if planes:
        dealt["guard_km"] = GUARD_KM if settings.guard_km is None else settings.guard_km
    elif settings.guard_km is not None:
        raise ConfigurationError(
            f"data.split.guard_km is {settings.guard_km}, and the store has fixed tiles, which are "
            "apart in time alone; set it to null"
        )
    if settings.by == "storm":
        return (split_planes if planes else split_by_storm)(clips, **dealt)
    folds = (plane_folds if planes else k_folds)(clips, settings.folds or 0, **dealt)
    return folds[settings.fold or 0]


def _held_out(clips: pd.DataFrame, settings: SplitSettings) -> tuple[str, ...]:
    """The names of ``test_storms``; those that the store lacks are said."""
    given = settings.test_storms or ()
    if isinstance(given, str):
        given = _names(given)
    known = {name for column in ("storm", "dataset") if column in clips for name in clips[column]}
    if unknown := [name for name in given if name not in known]:
        log.info(
            "%d of %d data.split.test_storms are not in the store, such as %s",
            *(len(unknown), len(given), unknown[0]),
        )
    return tuple(given)


def _names(file: str) -> tuple[str, ...]:
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"data.split.test_storms {file} cannot be read ({error}); give a text file with a name "
            "a line, or a list of names"
        ) from None
    return tuple(line.strip() for line in lines if line.strip())


def _of_timed(clips: pd.DataFrame, split: Callable[[pd.DataFrame], pd.Series]) -> pd.Series:
    """The split of the clips whose time is known; of local planes the others train."""
    if "plane_lon" not in clips:
        return split(clips)
    timed = clips["end"].notna()
    return split(clips.loc[timed]).reindex(clips.index, fill_value="train")


def split_by_dates(
    clips: pd.DataFrame,
    *,
    validation_from: str,
    test_from: str,
    guard_hours: float = GUARD_HOURS,
) -> pd.Series:
    """The past trains, what comes later chooses, the latest judges.

    Args:
        clips: ``end`` (UTC).
        validation_from: its first moment.
        test_from: its first moment.
        guard_hours: clips within half of it of either seam are left out.
    """
    seams = [utc(validation_from), utc(test_from)]
    if seams[0] >= seams[1]:
        raise ConfigurationError(
            f"data.split.validation_from is {validation_from} and test_from {test_from}; the test "
            "comes last, so give the later date to test_from"
        )
    times = np.array(seams, dtype="datetime64[ns]")
    ends = clips["end"].to_numpy()
    half = np.timedelta64(round(guard_hours * 1800), "s")
    part = np.array(PARTS, dtype=object)[np.searchsorted(times, ends, side="right")]
    part[(abs(ends[:, None] - times) < half).any(axis=-1)] = UNUSED
    return pd.Series(part, index=clips.index, name="split", dtype="str")


def split_by_table(clips: pd.DataFrame, table: pd.DataFrame, *, source: str) -> pd.Series:
    """The part that a table gives each clip; it may hold more clips than are asked for.

    Args:
        clips: ``end, tile_x, tile_y``.
        table: the same and ``part``; of local planes ``sample, tile_x, tile_y`` and ``part``.
        source: of the table, for errors.
    """
    key = ["sample", *CLIP_KEY[1:]] if "sample" in clips else CLIP_KEY
    require_columns(table, (*key, "part"), source=source)
    if "end" in key:
        table = table.assign(end=utc_times(table["end"], source=source))
    given = table.set_index(key)["part"]
    if given.index.has_duplicates:
        twice: Any = given.index[given.index.duplicated()][0]
        raise ConfigurationError(f"{source} lists a clip twice, first {_called(twice)}; drop one")
    if unknown := sorted({str(part) for part in given} - {*PARTS, UNUSED}):
        raise ConfigurationError(
            f"{source} has the parts {', '.join(unknown)}; write {', '.join((*PARTS, UNUSED))}"
        )
    here = pd.MultiIndex.from_arrays([clips[name] for name in key])
    parts = given.reindex(here)
    missing = np.flatnonzero(parts.isna().to_numpy())
    if len(missing):
        raise ConfigurationError(
            f"{source} gives {len(missing)} clips no part, first {_called(here[missing[0]])}; "
            "add them, or split another way"
        )
    return pd.Series(parts.to_numpy(), index=clips.index, name="split", dtype="str")


def _called(key: Any) -> str:
    """What a clip is called, by its time or its sample."""
    return clip_name(*key) if isinstance(key[0], pd.Timestamp) else f"{key[0]} at {key[1:]}"


def _with_storms(clips: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    if (clips["storm"].to_numpy() == "").all():
        raise ConfigurationError(
            f"data.split.by is {settings.by} and no clip of the store has a storm; build the store "
            "with tracks, or split by season or dates"
        )
    return clips


def _read(file: str) -> pd.DataFrame:
    try:
        return read_table(file)
    except SceneError as error:
        raise ConfigurationError(
            f"data.split.file {file} cannot be read ({error}); give a CSV of "
            f"{', '.join(CLIP_KEY)}, part"
        ) from None
