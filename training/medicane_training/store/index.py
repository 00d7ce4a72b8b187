"""The index of a store's clips: their frames, what is seen on them, labels, strata, weights.

Letters: T frames, C bands, H rows, W columns.
"""

import zlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from medicane_models.domain import Tile
from medicane_models.errors import SceneError
from medicane_models.scenes.clips import nearest_slots, plan_clips
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.tiles import is_present, share_of_a_frame
from medicane_training.store.clip_store import CLIP_COLUMNS, CLIP_KEY, LEVELS, ClipStore, save_table
from medicane_training.store.selection import BuildSettings, choose_ends, label, tiles_of
from medicane_training.store.shards import ABSENT, MISSING
from medicane_training.store.strata import rates, strata_of

__all__ = [
    "CONTENTS_COLUMNS",
    "ClipContents",
    "build_index",
    "cloud_index",
    "describe_clip",
    "planned",
    "save_index",
]

CLOUD_VALUE = 150 / 255


class ClipContents(NamedTuple):
    """What a clip holds: the rows of its frames, and facts about their pixels."""

    rows: tuple[int, ...]
    missing: int
    cloud_index: float
    checksum: int


CONTENTS_COLUMNS = list(ClipContents._fields)


def build_index(store: ClipStore, settings: BuildSettings) -> None:
    """Write ``clips.parquet`` and ``rates.json`` for the frames and tracks the store has.

    Clips that are in the index already, with all their frames, are not read again.
    """
    ends, plans = planned(store, settings)
    weights = choose_ends(store, ends, settings)
    known = _known(store)
    found = []
    for end, plan, weight in zip(ends, plans, weights, strict=True):
        for tile in tiles_of(store, settings) if weight else ():
            contents = known.get((end, *tile, *plan)) or describe_clip(store, plan, tile)
            if contents is not None:
                found.append((end, *tile, weight, *contents))
    if not found:
        raise SceneError(
            f"none of the {len(store.frames)} frames of {store.path} make a clip of "
            f"{store.processor.num_frames} with at most {store.processor.max_missing} missing; "
            "add more scenes"
        )
    columns = [*CLIP_KEY, "weight", *CONTENTS_COLUMNS]
    clips = pd.DataFrame(found, columns=columns)
    save_index(store, pd.concat([clips, label(store, clips, settings)], axis=1))


def save_index(store: ClipStore, clips: pd.DataFrame) -> None:
    """Write ``clips.parquet``, with sources and strata added, and ``rates.json``.

    Args:
        store: whose frames the clips are made of.
        clips: all other columns of CLIP_COLUMNS.
    """
    newest = [rows[-1] for rows in clips["rows"]]
    index = clips.assign(
        source=store.frames["source"].to_numpy()[newest],
        stratum=strata_of(clips, store.processor.tile_size),
    )
    index = index.loc[:, list(CLIP_COLUMNS)]
    index = index.sort_values(["end", "tile_y", "tile_x"], ignore_index=True)
    save_table(index, store.path / "clips.parquet")
    store.save_document("rates.json", rates(index))
    store.refresh()


def planned(
    store: ClipStore, settings: BuildSettings
) -> tuple[pd.DatetimeIndex, list[tuple[int, ...]]]:
    """Ends of the clips and, for each, the rows of its frames, ABSENT where there is none."""
    processor = store.processor
    times = pd.DatetimeIndex(store.frames["time"])
    order = np.argsort(times, kind="stable")
    plans = plan_clips(
        times[order],
        num_frames=processor.num_frames,
        cadence_minutes=processor.cadence_minutes,
        every_minutes=settings.every_minutes,
    )
    every = timedelta(minutes=settings.every_minutes)
    regular = [plan for plan in plans if (plan.end - plan.end.normalize()) % every == timedelta(0)]
    rows = [
        tuple(ABSENT if row is None else int(order[row]) for row in plan.rows) for plan in regular
    ]
    return pd.DatetimeIndex([plan.end for plan in regular]).as_unit("ns"), rows


def describe_clip(store: ClipStore, plan: Sequence[int], tile: Tile) -> ClipContents | None:
    """What a tile shows of a plan, with missing frames as inference has them; None if too many are.

    They are copies of the nearest, or ABSENT where the processor marks what is missing.

    Args:
        store: whose frames are read.
        plan: the row of each frame, oldest first, or ABSENT.
        tile: offset in the grid.
    """
    processor = store.processor
    if list(plan).count(ABSENT) > processor.max_missing:
        return None
    codes = store.read_frames(plan, tile)
    seen, share = codes != MISSING, share_of_a_frame(processor)
    present = [slot for slot, frame in enumerate(seen) if is_present(frame, share=share)]
    if not _are_enough(present, processor):
        return None
    if processor.marks_missing:
        rows = [row if slot in present else ABSENT for slot, row in enumerate(plan)]
        codes[[slot for slot, row in enumerate(rows) if row == ABSENT]] = MISSING
    else:
        nearest = nearest_slots(present, len(plan))
        rows, codes = [plan[slot] for slot in nearest], codes[nearest]
    return ClipContents(
        rows=tuple(rows),
        missing=len(plan) - len(present),
        cloud_index=cloud_index(codes, processor),
        checksum=zlib.crc32(codes.tobytes()),
    )


def _are_enough(present: Sequence[int], processor: MedicaneProcessor) -> bool:
    """Whether the slots that are present make a clip, as `ClipReader` says."""
    if processor.num_frames - len(present) > processor.max_missing:
        return False
    return not processor.marks_missing or processor.num_frames - 1 in present


def cloud_index(codes: UInt8[np.ndarray, "T C H W"], processor: MedicaneProcessor) -> float:
    """Share of the pixels whose green exceeds 150 of 255, over all frames; missing ones are not.

    A processor without a green band is judged by its first one, in which cold clouds are bright.
    """
    names = [band.name for band in processor.bands]
    band = codes[:, names.index("green") if "green" in names else 0]
    seen = band != MISSING
    return float(((band > CLOUD_VALUE * LEVELS) & seen).sum() / max(seen.sum(), 1))


def _known(store: ClipStore) -> dict[tuple[Any, ...], ClipContents]:
    """ClipContents of complete clips in the present index, by end, offset and rows."""
    if not (store.path / "clips.parquet").exists():
        return {}
    clips = store.clips.assign(rows=[tuple(int(r) for r in rows) for rows in store.rows])
    complete = clips.loc[clips["missing"] == 0]
    keys = complete[CLIP_KEY].itertuples(index=False, name=None)
    contents = complete[CONTENTS_COLUMNS].itertuples(index=False, name=None)
    return {
        (*key, *rows): ClipContents(rows, *rest)
        for key, (rows, *rest) in zip(keys, contents, strict=True)
    }
