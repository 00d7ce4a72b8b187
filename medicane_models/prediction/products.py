"""The files of a prediction: table, provenance, tracks and maps."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Column, Table

from medicane_models.commands import with_progress
from medicane_models.errors import ConfigurationError
from medicane_models.files import replacing
from medicane_models.maps.drawing import detection_map, save, track_map
from medicane_models.prediction.detections import Detections
from medicane_models.prediction.run import DetectedClip, PredictionRun

__all__ = ["clear_products", "summary_table", "write_products"]

log = logging.getLogger(__name__)


def write_products(
    run: PredictionRun, out: Path, *, formats: Sequence[str] = ("csv",), plot: bool = True
) -> Detections:
    """Judge a scene and write what was found into a folder, the maps while it goes on.

    Writes ``detections.csv``, ``detections.json``, ``tracks.*`` in the given formats and, with
    ``plot``, ``maps/YYYYMMDD_HHMM.png`` for each clip and ``tracks.png``. If it is interrupted,
    what was judged so far is written and its provenance says that it is not complete.

    Args:
        run: the scene and its clips, from :meth:`MedicanePredictor.run`.
        out: the folder, made if absent; see :func:`clear_products`.
        formats: of the tracks: csv, netcdf, geojson.
        plot: whether to draw maps.

    Returns:
        What was written.
    """
    clips: list[DetectedClip] = []
    try:
        for clip in with_progress(run.clips(), len(run.plans), "clips"):
            log.info("%s", describe(clip))
            clips.append(replace(clip, picture=None))
            if plot and clip.picture is not None:
                _draw_clip(run, clip, out / "maps")
    except BaseException:
        if any(len(clip.table) for clip in clips):
            run.collect(clips).write(out, formats)
            log.info("stopped early: %d of %d clips are in %s", len(clips), len(run.plans), out)
        raise
    detections = run.collect(clips)
    detections.write(out, formats)
    if plot:
        title = f"Cyclone tracks, {detections.tracks['track_id'].nunique()} found"
        figure = track_map(None, run.grid, detections.tracks, title=title, caption=run.warning)
        save(figure, out / "tracks.png")
    return detections


def clear_products(out: Path, *, overwrite: bool) -> None:
    """Make sure that a folder can be written and holds no results of another run.

    Raises:
        ConfigurationError: if it holds some and ``overwrite`` is False.
        OutputError: if it cannot be written.
    """
    patterns = ("detections.*", "tracks.*", "truth.csv", "maps/????????_????.png")
    earlier = [path for pattern in patterns for path in out.glob(pattern)]
    if earlier and not overwrite:
        raise ConfigurationError(
            f"{out} holds results of an earlier run ({earlier[0].name}); "
            "choose another folder or give --overwrite"
        )
    with replacing(out / ".writable") as probe:
        probe.touch()
    (out / ".writable").unlink()
    for path in earlier:
        path.unlink()


def describe(clip: DetectedClip) -> str:
    """One line on what was found in a clip."""
    if clip.picture is None:
        return f"{clip.end:%Y-%m-%d %H:%M} skipped: {clip.skipped[0].reason}"
    found = np.count_nonzero(clip.table["detected"])
    return f"{clip.end:%Y-%m-%d %H:%M} {found} of {len(clip.table)} tiles with a cyclone"


def summary_table(detections: Detections) -> Table:
    """A row a clip: tiles judged and detected, the most probable tile, missing frames at most."""
    headers = ("time (UTC)", "tiles", "detected", "highest", "lat", "lon", "missing")
    columns = [Column(name, no_wrap=True) for name in headers]
    table = Table(*columns, caption=detections.provenance["warning"])
    for time, rows in detections.table.groupby("time"):
        tiles = rows.to_dict("records")
        best = max(tiles, key=lambda tile: tile["probability"])
        table.add_row(
            f"{time:%Y-%m-%d %H:%M}",
            f"{len(tiles)}",
            f"{sum(tile['detected'] for tile in tiles)}",
            f"{best['probability']:.3f}",
            _degrees(best["lat"]),
            _degrees(best["lon"]),
            f"{max(tile['missing_frames'] for tile in tiles)}",
        )
    return table


def _draw_clip(run: PredictionRun, clip: DetectedClip, folder: Path) -> None:
    assert clip.picture is not None
    title = f"{clip.end:%Y-%m-%d %H:%M} UTC · {run.scene.attrs['platform']}"
    if clip.picture_time != clip.end:
        title += f" · picture of {clip.picture_time:%H:%M}"
    figure = detection_map(
        clip.picture,
        run.grid,
        clip.table,
        tile_size=run.processor.tile_size,
        title=title,
        caption=run.warning,
        threshold=run.threshold,
    )
    save(figure, folder / f"{clip.end:%Y%m%d_%H%M}.png")


def _degrees(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}°"
