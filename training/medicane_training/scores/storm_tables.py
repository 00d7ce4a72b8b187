"""Tables of centre errors by class of wind, data set and organisation, of clips on local planes.

Every number comes with the clips and storms behind it and a 95 % interval over whole storms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from medicane_models.verification.matching import Blocks
from medicane_models.verification.scores import error_summary
from medicane_training.scores.centres import JudgedCentres, classes_of_clips, coverage_by_group
from medicane_training.scores.intervals import score_text, weather_blocks, with_intervals
from medicane_training.scores.organisation import organisations
from medicane_training.store.clip_store import ClipStore

__all__ = ["ALL", "error_table", "judged_tables", "printed_table", "spread", "storm_groups"]

ALL = "all"
Errors = Float[np.ndarray, " n"]
Groups = Shaped[np.ndarray, " n"]


def spread(error_km: Errors) -> dict[str, float]:
    """Mean, median, 90th percentile and root of the mean square of the known errors."""
    known = error_km[~np.isnan(error_km)]
    rms = float(np.sqrt(np.square(known).mean())) if known.size else np.nan
    return {**error_summary(error_km), "rms_km": rms}


def error_table(
    errors: Mapping[str, Errors], groups: Groups, blocks: Blocks, what: str
) -> list[dict[str, Any]]:
    """A row a group and method that knows a centre there; the group "" is left out.

    Args:
        errors: kilometres by method, NaN where it says nothing.
        groups: of the clips.
        blocks: their storms.
        what: the name of the groups' column.
    """
    rows = []
    for group in sorted(set(groups) - {""}):
        for method, error in errors.items():
            own = np.flatnonzero((groups == group) & ~np.isnan(error))
            if not own.size:
                continue
            here, storms = error[own], blocks.take(own)
            scores = with_intervals(lambda drawn, here=here: spread(here[drawn]), storms)
            counts = {"clips": len(own), "storms": len(set(storms.label))}
            rows.append({what: str(group), "method": method, **counts, **scores})
    return rows


def printed_table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows of `error_table` to print: all scores side by side, and the interval of the median."""
    printed = []
    for row in rows:
        scores = {name: value for name, value in row.items() if isinstance(value, Mapping)}
        named = {name: str(value) for name, value in row.items() if name not in scores}
        title = "/".join(name.removesuffix("_km") for name in scores)
        values = "/".join(f"{score['value']:.0f}" for score in scores.values())
        median = score_text(scores["median_km"], ".0f")
        printed.append({**named, f"{title} km": values, "median, 95 %": median})
    return printed


def storm_groups(store: ClipStore, clips: Int[np.ndarray, " n"]) -> dict[str, Groups]:
    """The groups of clips by what they are grouped by: all, wind, data set, organisation."""
    index = store.clips.iloc[clips]
    return {
        ALL: np.full(len(index), ALL),
        "wind": classes_of_clips(index),
        "dataset": index["dataset"].to_numpy(str),
        "organisation": organisations(store, clips),
    }


def judged_tables(
    store: ClipStore,
    judged: pd.DataFrame,
    others: Mapping[str, Errors],
    *,
    model: str = "model",
) -> dict[str, Any]:
    """What a tracker's judgements of a store's clips are worth, beside other methods.

    Args:
        store: of local planes.
        judged: see `medicane_training.flows.tracking.JUDGED_COLUMNS`, and ``clip``; each clip once.
        others: errors of the same clips by other methods, km.
        model: what to call the tracker.

    Returns:
        ``counts``; ``errors``, by what clips are grouped by, see `error_table`; ``radii``, likewise
        the shares of errors inside the radii.
    """
    clips = judged["clip"].to_numpy(int)
    index = store.clips.iloc[clips]
    blocks = weather_blocks(store, index)
    centres = JudgedCentres.of(judged)
    errors = {model: centres.error_km, **others}
    groups = storm_groups(store, clips)
    return {
        "counts": {"clips": len(clips), "storms": len(set(blocks.label))},
        "errors": {what: error_table(errors, of, blocks, what) for what, of in groups.items()},
        "radii": {
            what: coverage_by_group(centres, of, blocks, what) for what, of in groups.items()
        },
    }
