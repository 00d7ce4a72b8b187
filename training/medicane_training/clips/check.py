"""Is a clip store what its index says: every chunk, every clip, every label, and no leak."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import zarr
from jaxtyping import Bool, Int

from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.readers.recording import UNREADABLE
from medicane_models.scenes.readers.stores import zarr_store
from medicane_training.clips.split_settings import split_by_table
from medicane_training.clips.splits import check_leaks
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.index import cloud_index
from medicane_training.store.labels import LABEL_COLUMNS
from medicane_training.store.selection import BuildSettings, label
from medicane_training.store.shards import ABSENT, CHUNK_FRAMES, shard_path
from medicane_training.store.strata import strata_of

__all__ = ["StoreReport", "check_store"]

SHOWN = 5
Flags = Bool[np.ndarray, " clips"]


@dataclass(frozen=True, kw_only=True)
class StoreReport:
    """What was checked, and a sentence on each thing that is wrong."""

    frames: int
    shards: int
    clips: int
    problems: tuple[str, ...]


def check_store(store: ClipStore, *, split: pd.DataFrame | None = None) -> StoreReport:
    """Read all of a store, compare it with its checksums, and recompute its index.

    Labels of imported stores and of samples, which came with them, are not recomputed.

    Args:
        store: to be checked; it is not changed.
        split: the key and ``part`` of each clip, to be searched for leaks.
    """
    problems = [
        *_wrong_chunks(store),
        *_wrong_times(store),
        *_wrong_clips(store),
        *_wrong_labels(store),
        *(() if split is None else _leaks(store, split)),
    ]
    return StoreReport(
        frames=len(store.frames),
        shards=_shards(store),
        clips=len(store.clips),
        problems=tuple(problems),
    )


def _shards(store: ClipStore) -> int:
    return -(-len(store.frames) // CHUNK_FRAMES)


def _wrong_chunks(store: ClipStore) -> Iterator[str]:
    """Read every shard through zarr, which compares the CRC-32C of each chunk."""
    frames = _array(store, "frames")
    for number in range(_shards(store)):
        path = shard_path(store.path, number)
        if not path.exists():
            yield f"{path} is missing; build the store again from its scenes"
            continue
        try:
            frames[number * CHUNK_FRAMES : (number + 1) * CHUNK_FRAMES]
        except UNREADABLE as error:
            yield f"{path} is broken ({error}); build the store again from its scenes"


def _array(store: ClipStore, name: str) -> zarr.Array:
    path = store.path / name
    try:
        return zarr.open_array(zarr_store(path), mode="r")
    except UNREADABLE as error:
        raise SceneError(f"{path} is broken ({error}); build the store again") from error


def _wrong_times(store: ClipStore) -> Iterator[str]:
    listed = pd.DatetimeIndex(store.frames["time"])
    stored = _array(store, "time")[:]
    if not np.array_equal(stored, listed.asi8):
        yield f"frames.parquet lists {len(listed)} times, which differ from the array time"
    if listed.has_duplicates and not store.processor.uses_planes:
        twice = listed[listed.duplicated()]
        yield f"{len(twice)} times have two frames, first {twice[0]}"


def _wrong_clips(store: ClipStore) -> Iterator[str]:
    """Rows that do not fit the clip's time, pixels that do not fit its checksum."""
    clips = store.clips
    twice = clips.duplicated(store.key).to_numpy(bool)
    yield from _named(store, twice, "are listed twice")
    least = ABSENT if store.processor.marks_missing else 0
    known = np.asarray(((store.rows >= least) & (store.rows < len(store.frames))).all(axis=-1))
    yield from _named(store, ~known, "name frames that are not there")
    late = known & (_displaced(store, known) != clips["missing"].to_numpy())
    yield from _named(store, late, "are made of frames of other times")
    wrong = np.array([bool(ok) and not _as_indexed(store, n) for n, ok in enumerate(known)])
    yield from _named(store, wrong, "differ from their checksum or cloud index")


def _displaced(store: ClipStore, known: Flags) -> Int[np.ndarray, " clips"]:
    """How many frames of each clip are absent, or lie half a cadence or more from their slot."""
    processor = store.processor
    cadence = np.timedelta64(timedelta(minutes=processor.cadence_minutes))
    back = np.arange(processor.num_frames - 1, -1, -1) * cadence
    slots = store.clips["end"].to_numpy()[:, None] - back  # (clips, T)
    times = store.frames["time"].to_numpy()[np.where(known[:, None], store.rows, 0)]
    displaced = (times - slots <= -cadence / 2) | (times - slots > cadence / 2)
    return (displaced | (store.rows == ABSENT)).sum(axis=1)


def _as_indexed(store: ClipStore, clip: int) -> bool:
    try:
        codes = store.read(clip)
    except SceneError:
        return False
    listed = store.clips.iloc[clip]
    clouds = cloud_index(codes, store.processor)
    found = (zlib.crc32(codes.tobytes()), clouds)
    return found == (int(listed["checksum"]), float(listed["cloud_index"]))


def _wrong_labels(store: ClipStore) -> Iterator[str]:
    """Labels, targets and strata that the tracks and settings of the store do not give again."""
    try:
        settings = BuildSettings.of(store)
    except ConfigurationError:
        return
    clips = store.clips
    expected = label(store, clips, settings)
    for column in LABEL_COLUMNS:
        listed, again = clips[column], expected[column]
        same = (listed == again) | (listed.isna() & again.isna())
        if column.startswith(("target", "storm_distance")):
            same |= np.isclose(listed.astype(float), again.astype(float), rtol=0, atol=1e-6)
        yield from _named(
            store, ~same.to_numpy(bool), f"have another {column} than their tracks give"
        )
    again = strata_of(clips, store.processor.tile_size)
    yield from _named(store, (clips["stratum"] != again).to_numpy(bool), "have another stratum")


def _leaks(store: ClipStore, split: pd.DataFrame) -> Iterator[str]:
    processor = store.processor
    try:
        check_leaks(
            store.clips,
            split_by_table(store.clips, split, source="the split"),
            num_frames=processor.num_frames,
            cadence_minutes=processor.cadence_minutes,
        )
    except ConfigurationError as error:
        yield str(error)


def _named(store: ClipStore, wrong: Flags, what: str) -> Iterator[str]:
    """One sentence on the clips that are wrong, with the first of them by name."""
    numbers = np.flatnonzero(wrong)
    if not len(numbers):
        return
    more = " …" if len(numbers) > SHOWN else ""
    yield f"{len(numbers)} clips {what}: {'; '.join(store.names(numbers[:SHOWN]))}{more}"
