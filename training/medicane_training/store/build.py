"""Scenes and tracks → clip store: append frames, then index, label and weigh the clips.

A killed build goes on where it stopped: frames that the store lists are not read again.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from dask.base import optimize
from jaxtyping import Int, UInt8

from medicane_models.commands import with_progress
from medicane_models.errors import ConfigurationError, SceneWarning
from medicane_models.files import alone_in
from medicane_models.scenes.clips import frame_times, with_time_convention
from medicane_models.scenes.opening import open_scene, scene_sources
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.clip_store import ClipStore, encode, save_table
from medicane_training.store.index import build_index
from medicane_training.store.selection import SETTINGS_FILE, BuildSettings, choose_ends
from medicane_training.store.writer import FrameWriter, create_store

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["BuildSettings", "add_frames", "build_store", "channels_of"]

Stretched = tuple[np.datetime64, UInt8[np.ndarray, "C H W"]]
"""Time and codes of a frame."""

log = logging.getLogger(__name__)

BLOCK_FRAMES = 64  # cut out of a scene's task graph together; a year of frames takes a second


def build_store(
    sources: Sequence[Any],
    out: str | Path,
    *,
    processor: MedicaneProcessor,
    tracks: pd.DataFrame | None = None,
    settings: BuildSettings | None = None,
    extent: str | None = None,
    reader: str | None = None,
) -> ClipStore:
    """Build a store, or add to one; holds 32 frames in memory.

    Args:
        sources: each whatever :func:`medicane_models.open_scene` takes; files of one kind are one
            scene, Zarr folders and URLs one each. Frames whose time the store already has are
            skipped.
        out: folder of the store.
        processor: stretch, grid and shape of the clips; of an existing store the same.
        tracks: every storm of the period, as :func:`verification.best_tracks.read_tracks`
            returns them. None: those the store has, or no labels at all.
        settings: the default ones if None.
        extent: where grey pictures lie, as ``open_scene`` takes it.
        reader: of satpy, for raw files; default is told by their names.

    Raises:
        ConfigurationError: if the store was built with another processor or other settings, or is
            being built by another process.
        SceneError: if a scene cannot be read; a store is not begun before all are opened.

    Warns:
        SceneWarning: for scenes that have the same times.
    """
    settings = settings or BuildSettings()
    how = {"extent": extent, "reader": reader}
    scenes = [_opened(source, processor, **how) for source in scene_sources(sources, reader)]
    _warn_of_doubles(scenes)
    store = create_store(out, processor)
    with alone_in(store.path):
        store.refresh()
        _add(scenes, store, tracks, settings)
    return store


def _opened(
    source: Any, processor: MedicaneProcessor, *, extent: str | None, reader: str | None
) -> "xr.Dataset":
    """A scene that fits the processor."""
    options = {"channels": channels_of(processor), "extent": extent, "reader": reader}
    scene = open_scene(source, domain=processor.grid, **options)
    processor.check_channels(scene)
    processor.for_sensor(scene.attrs["sensor"])  # refuses what it does not read
    return with_time_convention(scene, processor)


def _warn_of_doubles(scenes: Sequence["xr.Dataset"]) -> None:
    """Name times that several scenes have, of which the first one's frame is kept."""
    known: dict[Any, str] = {}
    for scene in scenes:
        times, source = frame_times(scene), str(scene.attrs["source"])
        if doubled := [time for time in times if time in known]:
            warnings.warn(
                f"{len(doubled)} frames of {source} have times of {known[doubled[0]]}, which is "
                f"kept: the first is {doubled[0]:%Y-%m-%d %H:%M} UTC",
                SceneWarning,
                stacklevel=3,
            )
        known = dict.fromkeys(times, source) | known


def _add(
    scenes: Sequence["xr.Dataset"],
    store: ClipStore,
    tracks: pd.DataFrame | None,
    settings: BuildSettings,
) -> None:
    """Frames, tracks and index."""
    _require_same_settings(store, settings)
    if tracks is not None:
        save_table(tracks, store.path / "tracks.parquet")
        store.refresh()
    for number, scene in enumerate(scenes, start=1):
        added = add_frames(store, scene, settings)
        log.info("scene %d of %d: %d frames added", number, len(scenes), added)
    build_index(store, settings)
    log.info("%d clips of %d frames", len(store.clips), len(store.frames))


def _require_same_settings(store: ClipStore, settings: BuildSettings) -> None:
    if not (store.path / SETTINGS_FILE).exists():
        store.save_document(SETTINGS_FILE, asdict(settings))
    built = BuildSettings.of(store)
    if built != settings:
        raise ConfigurationError(f"{store.path} was built with {built}, not with {settings}")


def channels_of(processor: MedicaneProcessor) -> tuple[str, ...] | None:
    """What to open: None lets a scene of ready Airmass pictures stand for its four channels."""
    return None if processor.recipe == "airmass" else processor.channels


def add_frames(store: ClipStore, scene: "xr.Dataset", settings: BuildSettings) -> int:
    """Append the frames of a scene that clips need and the store lacks; returns how many."""
    processor = store.processor.for_sensor(scene.attrs["sensor"])
    wanted = _wanted(store, frame_times(scene), settings)
    writer = FrameWriter(store)
    source = f"{scene.attrs['platform']}: {scene.attrs['source']}"
    added = 0
    block: list[Stretched] = []
    for item in with_progress(_stretched(scene, wanted, processor), len(wanted), "frames"):
        block.append(item)
        if len(block) == writer.room:
            added += _flush(writer, block, source)
    return added + _flush(writer, block, source)


def _flush(writer: FrameWriter, block: list[Stretched], source: str) -> int:
    """Write and empty the block."""
    count = len(block)
    if count:
        times, codes = zip(*block, strict=True)
        writer.append(np.stack(codes), times, [source] * count)
        block.clear()
    return count


def _stretched(
    scene: "xr.Dataset", rows: Int[np.ndarray, " n"], processor: MedicaneProcessor
) -> Iterator[Stretched]:
    """Time and codes of frames; those of which nothing was recorded are left out."""
    for start in range(0, len(rows), BLOCK_FRAMES):
        (part,) = optimize(scene.isel(time=rows[start : start + BLOCK_FRAMES]))
        for row, time in enumerate(part["time"].to_numpy()):
            image = processor.stretch(part.isel(time=row).compute(scheduler="synchronous"))
            if not np.isnan(image[0]).all():
                yield time, encode(image)


def _wanted(
    store: ClipStore, times: pd.DatetimeIndex, settings: BuildSettings
) -> Int[np.ndarray, " n"]:
    """Rows of a scene that some chosen clip may need and that the store lacks."""
    cadence = timedelta(minutes=store.processor.cadence_minutes)
    span = cadence * (store.processor.num_frames - 1)
    every = pd.Timedelta(timedelta(minutes=settings.every_minutes))
    ends = pd.date_range(times[0].normalize(), times[-1] + span + every, freq=every)
    chosen = ends[choose_ends(store, ends, settings) > 0]
    first = times.searchsorted(chosen - span - cadence / 2, side="left")
    last = times.searchsorted(chosen + cadence / 2, side="right")
    needed = np.zeros(len(times) + 1, int)
    np.add.at(needed, first, 1)
    np.add.at(needed, last, -1)
    return np.flatnonzero(
        (needed.cumsum()[:-1] > 0) & ~times.isin(pd.DatetimeIndex(store.frames["time"]))
    )
