"""The files of a prediction: table, provenance, tracks and maps."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from medicane_models.detections import Detections
from medicane_models.linking import link_detections
from medicane_models.plots import detection_map, save, track_map
from medicane_models.predictor import DetectedClip, Instant, MedicanePredictor
from medicane_models.scenes import scene_grid
from medicane_models.tracks import save_tracks

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["summary_table", "write_products"]

log = logging.getLogger(__name__)

T = TypeVar("T")


def write_products(
    predictor: MedicanePredictor,
    scene: "xr.Dataset",
    out: Path,
    *,
    every_minutes: int = 60,
    start: Instant | None = None,
    end: Instant | None = None,
    formats: Sequence[str] = ("csv",),
    plot: bool = True,
) -> Detections:
    """Judge a scene and write what was found into a folder, the maps while it goes on.

    Writes ``detections.csv``, ``detections.json``, ``tracks.*`` in the given formats and, with
    ``plot``, ``maps/YYYYMMDD_HHMM.png`` for each clip and ``tracks.png``.

    Args:
        predictor: the models.
        scene: as :meth:`MedicanePredictor.open` returned it.
        out: the folder, made if absent.
        every_minutes: clips end at multiples of it since midnight, and at the newest frame.
        start: the earliest end of a clip, UTC.
        end: the latest end of a clip, UTC.
        formats: of the tracks: csv, netcdf, geojson.
        plot: whether to draw maps.

    Returns:
        The detections.
    """
    out.mkdir(parents=True, exist_ok=True)
    clips = []
    found = predictor.clips(scene, start=start, end=end, every_minutes=every_minutes)
    for clip in with_progress(found, "clips"):
        log.info("%s", describe(clip))
        if plot and clip.picture is not None:
            _draw_clip(predictor, scene, clip, out / "maps")
        clips.append(
            DetectedClip(end=clip.end, picture=None, table=clip.table, skipped=clip.skipped)
        )
    detections = predictor.collect(scene, clips)
    detections.write_csv(out / "detections.csv")
    detections.write_json(out / "detections.json")
    tracks = link_detections(
        detections.table, grid=scene_grid(scene), settings=predictor.link_settings
    )
    if predictor.warning is not None:
        tracks["track_id"] = [f"untrained-{number}" for number in tracks["track_id"]]
    save_tracks(tracks, out, formats, detections.provenance)
    if plot:
        title = f"Cyclone tracks, {len(tracks['track_id'].unique())} found"
        figure = track_map(None, scene_grid(scene), tracks, title=title, caption=predictor.warning)
        save(figure, out / "tracks.png")
    return detections


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


def with_progress(items: Iterable[T], what: str) -> Iterator[T]:
    """Show a progress bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield from items
    else:
        yield from track(items, what, console=Console(stderr=True), transient=True)


def _draw_clip(
    predictor: MedicanePredictor, scene: "xr.Dataset", clip: DetectedClip, folder: Path
) -> None:
    assert clip.picture is not None
    figure = detection_map(
        clip.picture,
        scene_grid(scene),
        clip.table,
        tile_size=predictor.processor.tile_size,
        title=f"{clip.end:%Y-%m-%d %H:%M} UTC · {scene.attrs['platform']}",
        caption=predictor.warning,
        threshold=predictor.threshold,
    )
    save(figure, folder / f"{clip.end:%Y%m%d_%H%M}.png")


def _degrees(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}°"
