"""The files of a prediction: table, provenance, tracks and maps."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Column, Table

from medicane_models.domain import Grid
from medicane_models.errors import ConfigurationError
from medicane_models.files import staging
from medicane_models.maps.drawing import detection_map, save, track_map
from medicane_models.prediction.detections import Detections
from medicane_models.prediction.run import DetectedClip, PredictionRun

__all__ = ["ProductWriter", "replacing_products", "summary_table"]

log = logging.getLogger(__name__)

PATTERNS = ("detections.*", "tracks.*", "truth.csv", "maps/????????_????.png")
INTERRUPTED = "interrupted"  # folder of what an interrupted run leaves beside earlier results


@contextmanager
def replacing_products(
    out: Path, *, formats: Sequence[str] = ("csv",), plot: bool = True, overwrite: bool = False
) -> Iterator["ProductWriter"]:
    """Yield a writer whose files take their places in ``out`` at the end, if it wrote detections.

    Until then they lie in a hidden folder there. Results of an earlier run are replaced and removed
    by complete ones only; incomplete ones go beside them, into ``out/interrupted``. If nothing was
    written, everything is as it was before.

    Args:
        out: the folder, made if absent.
        formats: of the tracks: csv, netcdf, geojson.
        plot: whether to draw maps.
        overwrite: whether results of an earlier run may be replaced.

    Raises:
        ConfigurationError: if there are some and ``overwrite`` is False.
        OutputError: if the folder cannot be written.
    """
    earlier = _products(out)
    if earlier and not overwrite:
        raise ConfigurationError(
            f"{out} holds results of an earlier run ({earlier[0].name}); "
            "choose another folder or give --overwrite"
        )
    with staging(out) as folder:
        writer = ProductWriter(folder, formats=formats, plot=plot)
        try:
            yield writer
        finally:
            if writer.complete:
                _publish(folder, out, [*earlier, *_products(out / INTERRUPTED)])
                for emptied in (out / INTERRUPTED / "maps", out / INTERRUPTED):
                    with suppress(OSError):
                        emptied.rmdir()
            elif writer.complete is not None:
                place = out / INTERRUPTED if earlier else out
                _publish(folder, place, _products(place))
                log.info("what was judged before the interruption is in %s", place)


class ProductWriter:
    """Writes what a run finds into a folder.

    The files are ``detections.csv``, ``detections.json``, ``tracks.*`` in the given formats and,
    with ``plot``, ``maps/YYYYMMDD_HHMM.png`` for each clip and ``tracks.png``.

    Attributes:
        folder: where.
        complete: whether all planned clips are in the detections written; None before any are.
    """

    def __init__(self, folder: Path, *, formats: Sequence[str] = ("csv",), plot: bool) -> None:
        self.folder = folder
        self.formats = formats
        self.plot = plot
        self.complete: bool | None = None

    def add(self, clip: DetectedClip, run: PredictionRun) -> None:
        """Log what was found in a clip, and draw it if there is a picture to draw on."""
        log.info("%s", _described(clip))
        if self.plot and clip.picture is not None:
            _draw_clip(clip.picture, clip, run, self.folder / "maps")

    def write(self, detections: Detections) -> None:
        """Write tables, provenance and tracks; the map of the tracks once they are complete."""
        detections.write(self.folder, self.formats)
        self.complete = bool(detections.provenance["complete"])
        if self.plot and self.complete and detections.has_centres:
            _draw_tracks(detections, self.folder / "tracks.png")


def _products(folder: Path) -> list[Path]:
    """Files of an earlier run."""
    return [path for pattern in PATTERNS for path in folder.glob(pattern)]


def _publish(folder: Path, out: Path, earlier: Sequence[Path]) -> None:
    """Move the files of a folder to their places, then remove those of an earlier run."""
    new = [out / path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    for path in new:
        path.parent.mkdir(parents=True, exist_ok=True)
        (folder / path.relative_to(out)).replace(path)
    for path in set(earlier) - set(new):
        path.unlink(missing_ok=True)


def _described(clip: DetectedClip) -> str:
    """One line on what was found in a clip."""
    if clip.newest_time is None:
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


def _draw_clip(picture: np.ndarray, clip: DetectedClip, run: PredictionRun, folder: Path) -> None:
    title = f"{clip.end:%Y-%m-%d %H:%M} UTC · {run.scene.attrs['platform']}"
    if clip.newest_time != clip.end:
        title += f" · picture of {clip.newest_time:%H:%M}"
    figure = detection_map(
        picture,
        run.grid,
        clip.table,
        tile_size=run.processor.tile_size,
        title=title,
        caption=run.warning,
        threshold=run.threshold,
    )
    save(figure, folder / f"{clip.end:%Y%m%d_%H%M}.png")


def _draw_tracks(detections: Detections, path: Path) -> None:
    tracks, told = detections.tracks, detections.provenance
    title = f"Cyclone tracks, {tracks['track_id'].nunique()} found"
    grid = Grid.from_dict(told["scene"]["grid"])
    save(track_map(None, grid, tracks, title=title, caption=told["warning"]), path)


def _degrees(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}°"
