"""The files of a prediction: table, provenance, tracks and maps."""

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Column, Table

from medicane_models.domain import Grid
from medicane_models.errors import require
from medicane_models.files import replacing
from medicane_models.maps.animation import basin_frames, storm_frames
from medicane_models.maps.density import density_map
from medicane_models.maps.drawing import detection_map, save, track_map
from medicane_models.maps.films import write_film
from medicane_models.maps.page import report_page
from medicane_models.maps.page_content import PageContent, shown_tracks, storms_of
from medicane_models.maps.wording import counted
from medicane_models.prediction.captions import (
    COLOURS,
    caution_of,
    models_line,
    period_of,
    picture_kelvin,
    scene_name,
)
from medicane_models.prediction.detected_clips import DetectedClip, Judge
from medicane_models.prediction.detections import Detections
from medicane_models.prediction.extrapolation import standing
from medicane_models.prediction.kept_pictures import store_picture, stored_picture
from medicane_models.prediction.page_pictures import PagePictures
from medicane_models.scenes.clips import SkippedClip
from medicane_models.scenes.tiles import overview_grid
from medicane_models.times import TIME_FORMAT, utc

__all__ = ["ProductWriter", "map_path", "summary_table"]

log = logging.getLogger(__name__)

UNFIT = re.compile(r"[^\w.-]+")  # for names of files


class ProductWriter:
    """Writes what a run finds into a folder.

    The files are ``detections.csv``, ``detections.json``, ``tracks.*`` in the given formats,
    ``forecasts.csv`` and, with ``plot``, ``maps/YYYYMMDD_HHMM.png`` for each clip and
    ``tracks.png``; with ``report``, ``report.html``; with ``animate``, ``films/basin`` and
    ``films/track_ID``, MP4 or GIF; with ``density``, ``density.png``. A clip with centres is drawn
    by :meth:`write`, when their tracks have ids; until then its picture is kept on disk.

    Attributes:
        folder: where.
        plot: whether maps are drawn.
        report: whether a page is written.
        animate: whether films are.
        density: whether the map of track density is drawn.
        page_pictures: those that wait for these.
        complete: whether all planned clips are in the detections written; None before any are.
    """

    def __init__(
        self,
        folder: Path,
        *,
        formats: Sequence[str] = ("csv",),
        plot: bool,
        report: bool = False,
        animate: bool = False,
        density: bool = False,
    ) -> None:
        self.folder = folder
        self.formats = formats
        self.plot = plot
        self.report = report
        self.animate = animate
        self.density = density
        self.page_pictures = PagePictures(folder / ".pictures", animate=animate)
        self.complete: bool | None = None
        self._truth: pd.DataFrame | None = None
        self._waiting: list[tuple[DetectedClip, Grid]] = []
        if plot or density:
            require("matplotlib", "plots")

    @property
    def needs_pictures(self) -> bool:
        """Whether clips are to come with pictures."""
        return self.plot or self.report or self.animate

    def add_truth(self, truth: pd.DataFrame) -> None:
        """Write the true tracks into ``truth.csv``, and draw them on all maps from now on."""
        with replacing(self.folder / "truth.csv") as path:
            truth.to_csv(path, index=False, date_format=TIME_FORMAT)
        self._truth = truth

    def add(self, clip: DetectedClip, run: Judge) -> None:
        """Log what was found in a clip, and draw it if there is a picture to draw on."""
        log.info("%s", _described(clip))
        self.take_pictures(clip, run)
        if not self.plot or clip.picture is None:
            return
        if np.isfinite(clip.table["lon"].to_numpy(float)).any():
            store_picture(clip.picture, map_path(self.folder, clip.end))
            self._waiting.append((replace(clip, picture=None, close_ups=()), run.grid))
        else:
            self._draw_clip(clip, run.grid, run.provenance())

    def take_pictures(self, clip: DetectedClip, run: Judge) -> None:
        """Take what the page and films show of a clip, which gets no map."""
        if self.report or self.animate:
            self.page_pictures.add(
                clip,
                _picture_grid(clip, run.grid),
                in_colour=len(run.processor.bands) == COLOURS,
            )

    def write(self, detections: Detections) -> None:
        """Write tables, provenance and tracks; the map of the tracks once they are complete."""
        detections.write(self.folder, self.formats)
        self.complete = bool(detections.provenance["complete"])
        for clip, grid in self._waiting:
            seen = replace(clip, picture=stored_picture(map_path(self.folder, clip.end)))
            self._draw_clip(seen, grid, detections.provenance, detections)
        self._waiting.clear()
        if self.complete and detections.has_centres:
            if self.plot:
                self._draw_tracks(detections)
            if self.density:
                self._draw_density(detections)
        if self.report or self.animate:
            self._write_pages(self._content(detections))
            self.page_pictures.remove()

    def _write_pages(self, content: PageContent) -> None:
        """The page and, of a complete run, films, as far as they are wanted."""
        if self.report:
            with replacing(self.folder / "report.html") as path:
                path.write_text(report_page(content), "utf-8")
        if self.animate and self.complete:
            self._write_films(content)

    def _write_films(self, content: PageContent) -> None:
        """The scene, and each cyclone that has pictures."""
        storms, films = storms_of(content), self.folder / "films"
        note = "; ".join(filter(None, (content.caution, "not for warnings")))
        if content.overview is not None:
            scenes = self.page_pictures.scenes()
            grid, kelvin = content.overview.grid, content.kelvin
            frames = basin_frames(grid, storms, scenes, kelvin, note=note)
            write_film(films / "basin", frames)
        for storm in storms:
            if any(storm.pictures):
                name = f"track_{UNFIT.sub('-', storm.name)}"
                write_film(films / name, storm_frames(storm, content.kelvin, note=note))

    def _content(self, detections: Detections) -> PageContent:
        told, tracks = detections.provenance, detections.tracks
        return PageContent(
            scene=scene_name(told),
            models=models_line(told),
            caution=caution_of(told),
            highest=_highest(detections.table),
            tracks=tracks,
            forecasts=detections.forecasts,
            standing=_standing(detections),
            pictures=self.page_pictures.of(shown_tracks(tracks)),
            overview=self.page_pictures.overview,
            kelvin=picture_kelvin(told["processor"]["bands"]),
            truth=self._truth,
            skipped=_by_reason(detections.skipped),
            provenance=told,
        )

    def _draw_clip(
        self,
        clip: DetectedClip,
        grid: Grid,
        told: Mapping[str, Any],
        found: Detections | None = None,
    ) -> None:
        assert clip.picture is not None
        title = f"{scene_name(told)} · {clip.end:%Y-%m-%d %H:%M} UTC"
        if clip.newest_time != clip.end:
            title += f" · picture of {clip.newest_time:%H:%M}"
        figure = detection_map(
            clip.picture,
            _picture_grid(clip, grid),
            clip.table,
            tile_size=told["processor"]["tile_size"],
            planes=clip.planes,
            threshold=told["settings"]["threshold"],
            title=title,
            kelvin=picture_kelvin(told["processor"]["bands"]),
            tracks=found and found.tracks,
            forecasts=found and found.forecasts,
            truth=self._truth,
            subtitle=models_line(told),
            caption=caution_of(told, shows_kelvin=True),
        )
        save(figure, map_path(self.folder, clip.end))

    def _draw_density(self, detections: Detections) -> None:
        told = detections.provenance
        figure = density_map(
            overview_grid(Grid.from_dict(told["scene"]["grid"])),
            detections.tracks,
            title=f"{scene_name(told)} · track density · {period_of(detections.table)}",
            subtitle=models_line(told),
            caption=caution_of(told),
        )
        save(figure, self.folder / "density.png")

    def _draw_tracks(self, detections: Detections) -> None:
        tracks, told = detections.tracks, detections.provenance
        figure = track_map(
            None,
            overview_grid(Grid.from_dict(told["scene"]["grid"])),
            tracks,
            title=f"{scene_name(told)} · cyclone tracks · {period_of(detections.table)}",
            forecasts=_standing(detections),
            truth=self._truth,
            subtitle=f"{models_line(told)} · {counted(len(set(tracks['track_id'])), 'track')}",
            caption=caution_of(told),
        )
        save(figure, self.folder / "tracks.png")


def _picture_grid(clip: DetectedClip, grid: Grid) -> Grid:
    """Of the picture of a clip, from that of the scene."""
    return grid if clip.planes is None else overview_grid(grid)


def _standing(detections: Detections) -> pd.DataFrame:
    """The forecasts that are not overtaken."""
    gap_hours = detections.provenance["settings"]["linking"]["max_gap_hours"]
    now = utc(detections.table["time"].max())
    return standing(detections.forecasts, now=now, max_gap_hours=gap_hours)


def _highest(table: pd.DataFrame) -> dict[Any, float]:
    """The highest probability of each clip, by its time."""
    return {time: max(rows["probability"]) for time, rows in table.groupby("time")}


def _by_reason(skipped: Sequence[SkippedClip]) -> dict[str, list[pd.Timestamp]]:
    times: defaultdict[str, list[pd.Timestamp]] = defaultdict(list)
    for clip in skipped:
        times[clip.reason].append(clip.end)
    return dict(times)


def map_path(folder: Path, end: pd.Timestamp) -> Path:
    """Where the map of a clip lies in a folder of products."""
    return folder / "maps" / f"{end:%Y%m%d_%H%M}.png"


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


def _degrees(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}°"
