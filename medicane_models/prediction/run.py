"""One scene judged by one predictor: clips, detections, tracks and where they come from."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from medicane_models.domain import Grid
from medicane_models.errors import SceneError
from medicane_models.memory import give_back_free_memory
from medicane_models.prediction.close_ups import CloseUp, close_ups_of
from medicane_models.prediction.detected_clips import DetectedClip
from medicane_models.prediction.detections import (
    DETECTION_COLUMNS,
    FIX_COLUMNS,
    Detections,
)
from medicane_models.prediction.geolocation import Geolocator
from medicane_models.prediction.linking import LinkSettings
from medicane_models.prediction.models import ModelDescription
from medicane_models.prediction.results import detections_of, settings_of_links, tracks_of
from medicane_models.prediction.second_look import SecondLook, centres_in
from medicane_models.runtimes.interface import Runtime
from medicane_models.scenes.clips import (
    Clip,
    ClipPlan,
    ClipReader,
    HeldFrames,
    SkippedClip,
    TileClip,
    check_cadence,
    frame_times,
    plan_clips,
    with_time_convention,
)
from medicane_models.scenes.opening import scene_grid
from medicane_models.scenes.plane_sampling import PlaneSampler
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.tiles import TileName, plane_bands, tiling_of
from medicane_models.times import Instant, utc
from medicane_models.versions import software_versions

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["PredictionRun"]

TIDIED_AFTER = 8  # clips; more often would cost a tenth of a small scene's time
GLANCE = 0.05  # of the threshold: what the first view gives less is not turned and mirrored


class PredictionRun:
    """An iterator over a scene's clips, each judged as it comes; then :meth:`link` joins them.

    It holds the frames of one clip and the tables of all that were judged, but no pictures.

    Attributes:
        plans: its clips, in order of time.

    Args:
        scene: as ``MedicanePredictor.open`` returned it.
        runtime: the detector and the tracker.
        processor: how scenes become their clips.
        models: what the detector and the tracker are.
        untracked: why there is no tracker, and so no centres and tracks; None if there is one.
        threshold: probability from which on a tile counts.
        start: the earliest end of a clip, UTC.
        end: the latest end of a clip, UTC.
        every_minutes: clips end at multiples of it since midnight, and at the newest frame.
        pictures: whether each clip comes with the picture of its newest frame.
        parallax: whether fixes are moved to below the cloud tops that are seen.
        plans: the clips to judge, in order of time; default are all that end within the bounds.

    Raises:
        ConfigurationError: if ``every_minutes`` does not divide a day, or a bound is no time.
        SceneError: if the cadence, the sensor or the meaning of times does not fit the model.
    """

    glance = GLANCE

    def __init__(
        self,
        scene: "xr.Dataset",
        runtime: Runtime,
        processor: MedicaneProcessor,
        models: tuple[ModelDescription, ModelDescription | None],
        *,
        threshold: float,
        untracked: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        every_minutes: int = 60,
        pictures: bool = False,
        parallax: bool = False,
        plans: Sequence[ClipPlan] | None = None,
    ) -> None:
        processor.check_channels(scene)
        check_cadence(scene, processor)
        self.scene = with_time_convention(scene, processor)
        self.runtime = runtime
        self.processor = processor.for_sensor(scene.attrs["sensor"])
        self.detector, self.tracker = models
        self.threshold = threshold
        self.untracked = untracked
        self.grid = scene_grid(scene)
        self.parallax = parallax
        window = processor.bands[0] if parallax else None
        self._geolocator = Geolocator(
            scene=self.scene,
            grid=self.grid,
            radius_calibration=self.tracker and self.tracker.config.radius_calibration,
            window=window,
        )
        self.bounds = {"start": start, "end": end}
        self.every_minutes = every_minutes
        self.pictures = pictures
        self.plans = tuple(self._plans() if plans is None else plans)
        self._second_look = self._looking_again()
        self._clips = self.judge(self.plans)
        self._judged = 0
        self._tables: list[pd.DataFrame] = []
        self._skipped: list[SkippedClip] = []

    def __len__(self) -> int:
        """How many clips are planned."""
        return len(self.plans)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> DetectedClip:
        """Judge the next clip."""
        clip = next(self._clips)
        self.take(clip)
        return clip

    def judge(self, plans: Sequence[ClipPlan]) -> Iterator[DetectedClip]:
        """Judge some of its clips, in order of time, for whoever takes them."""
        for number, clip in enumerate(self._read(plans), start=1):
            yield self._detect(clip)
            if number % TIDIED_AFTER == 0:
                give_back_free_memory()
        give_back_free_memory()

    def take(self, clip: DetectedClip) -> None:
        """Count a clip as judged, whoever judged it; clips come in order of time."""
        self._judged += 1
        self._skipped.extend(clip.skipped)
        if len(clip.table):
            self._tables.append(clip.table)

    @property
    def link_settings(self) -> LinkSettings:
        """Tracks start at the threshold and continue a little under it."""
        return settings_of_links(self.threshold)

    @property
    def models(self) -> list[ModelDescription]:
        """The detector and, if there is one, the tracker."""
        return [self.detector] if self.tracker is None else [self.detector, self.tracker]

    @property
    def warning(self) -> str | None:
        """Which models are untrained, or new to real scenes; None where there is nothing to say."""
        cautions: dict[str, list[str]] = {}
        for model in self.models:
            if caution := model.caution(self.scene.attrs["platform"]):
                cautions.setdefault(caution, []).append(model.name)
        lines = [f"{' and '.join(names)}: {caution}" for caution, names in cautions.items()]
        return "; ".join(lines) or None

    @property
    def has_results(self) -> bool:
        """Whether a tile was judged so far."""
        return bool(self._tables)

    def link(self) -> Detections:
        """Join what was judged so far, and link it into tracks.

        Raises:
            SceneError: if nothing could be judged; it says why.
        """
        if not self.has_results:
            raise SceneError(self._nothing_judged())
        table = pd.concat(self._tables, ignore_index=True)
        return detections_of(
            table,
            self._tracks(table),
            skipped=self._skipped,
            provenance=self.provenance(),
        )

    def provenance(self) -> dict[str, Any]:
        """Scene, models, settings and software behind a result, ready for JSON.

        ``complete`` says whether all planned clips were judged.
        """
        times = frame_times(self.scene)
        return {
            "warning": self.warning,
            "complete": self._judged == len(self.plans),
            "created": pd.Timestamp.now("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"),
            "scene": {
                **{key: str(value) for key, value in self.scene.attrs.items()},
                "first_frame": utc(times[0]).isoformat(),
                "last_frame": utc(times[-1]).isoformat(),
                "frames": len(times),
                "grid": self.grid.to_dict(),
            },
            "detector": self.detector.provenance(),
            "tracker": self.tracker and self.tracker.provenance(),
            "untracked": self.untracked,
            "settings": {
                "threshold": self.threshold,
                "glance": self.glance,
                "every_minutes": self.every_minutes,
                "parallax": self.parallax,
                **{name: None if time is None else str(time) for name, time in self.bounds.items()},
                "linking": vars(self.link_settings),
            },
            "device": str(self.runtime.device),
            "processor": self.processor.to_dict(),
            "software": software_versions(),
        }

    @property
    def _satellite_longitude(self) -> float | None:
        """Where the satellite stands, in degrees, if the scene tells."""
        longitude = float(self.scene.attrs["sub_satellite_longitude"])
        return None if np.isnan(longitude) else longitude

    def _looking_again(self) -> SecondLook | None:
        """What looks again at fixes; None where tiles lie at fixed places."""
        if self.tracker is None or not self.processor.uses_planes:
            return None
        return SecondLook(
            frames=HeldFrames(self.scene),
            grid=self.grid,
            processor=self.processor,
            runtime=self.runtime,
            sub_satellite_longitude=self._satellite_longitude,
        )

    def _plans(self) -> list[ClipPlan]:
        """The clips to judge."""
        start, end = self.bounds["start"], self.bounds["end"]
        return plan_clips(
            frame_times(self.scene),
            num_frames=self.processor.num_frames,
            cadence_minutes=self.processor.cadence_minutes,
            every_minutes=self.every_minutes,
            ends_with_frame=self.processor.marks_missing,
            start=None if start is None else utc(start),
            end=None if end is None else utc(end),
        )

    def _read(self, plans: Sequence[ClipPlan]) -> Iterator[Clip | SkippedClip]:
        """A clip, or why there is none, for each plan."""
        tiling = tiling_of(
            self.grid,
            self.processor,
            sub_satellite_longitude=self._satellite_longitude,
            threads=self.runtime.threads,
        )
        frames = self._second_look and self._second_look.frames
        return ClipReader(self.scene, self.processor, tiling, frames).read(plans)

    def _tracks(self, table: pd.DataFrame) -> pd.DataFrame:
        """What all rows judged so far link into."""
        return tracks_of(table, grid=self.grid, settings=self.link_settings, models=self.models)

    def _detect(self, clip: Clip | SkippedClip) -> DetectedClip:
        if isinstance(clip, SkippedClip):
            return DetectedClip.skipped_whole(clip.end, (clip,))
        if not clip.tiles:
            return DetectedClip.skipped_whole(clip.end, clip.skipped)
        probability = self.runtime.probabilities(
            self._pixels(clip.tiles), rough_below=self.glance * self.threshold
        )
        table = pd.DataFrame(
            {
                "time": clip.end,
                **_tile_columns([tile.tile for tile in clip.tiles]),
                "probability": probability,
                "detected": probability >= self.threshold,
                "newest_frame": clip.newest_time,
                "missing_frames": [tile.missing for tile in clip.tiles],
                "model": self.detector.label,
                "revision": self.detector.revision or "",
            }
        )
        table = table.reindex(columns=list(DETECTION_COLUMNS))
        if self.tracker is not None:
            self._locate(table, clip)
        return DetectedClip(
            end=clip.end,
            newest_time=clip.newest_time,
            table=table,
            skipped=clip.skipped,
            planes=tuple(t.grid for t in clip.tiles) if self.processor.uses_planes else None,
            picture=self.processor.picture(clip.newest) if self.pictures else None,
            close_ups=self._close_ups(table, clip) if self.pictures else (),
        )

    def _close_ups(self, table: pd.DataFrame, clip: Clip) -> tuple[CloseUp, ...]:
        """Of the newest frame as it is: what a clip has of local planes is thinned."""

        def look(planes: Sequence[Grid]) -> Float[np.ndarray, "planes C S S"]:
            sampler = PlaneSampler(self.grid, planes)
            if self._second_look is None:
                return sampler(clip.newest)
            frame = self._second_look.frames[clip.newest_row]
            return plane_bands(frame, sampler, self.processor)

        return close_ups_of(table, self.grid, look, merge_km=self.link_settings.merge_km)

    def _locate(self, table: pd.DataFrame, clip: Clip) -> None:
        """Fill in the fixes of the rows that can start or continue a track."""
        found = np.flatnonzero(table["probability"] >= self.link_settings.continue_probability)
        if not found.size:
            return
        tiles = [clip.tiles[row] for row in found.tolist()]
        centres = self.runtime.centres(self._pixels(tiles))
        if self._second_look is None:
            fixes = self._geolocator.fixes(centres, tiles, clip.newest_row)
        else:
            planes, centres = self._second_look.settled(clip, tiles, centres)
            fixes = self._geolocator.fixes(centres, planes, clip.newest_row)
            fixes[["center_x", "center_y"]] = centres_in(tiles, planes, centres)
            self._judge_again(table, found, planes)
        fixes = fixes.set_index(found)
        table[list(FIX_COLUMNS)] = fixes.reindex(table.index)

    def _judge_again(
        self, table: pd.DataFrame, rows: Int[np.ndarray, " n"], planes: Sequence[TileClip]
    ) -> None:
        """Both looks must show a cyclone: of their probabilities the lower one counts."""
        again = self.runtime.probabilities(self._pixels(planes))
        table.loc[rows, "probability"] = np.minimum(table.loc[rows, "probability"], again)
        table["detected"] = table["probability"] >= self.threshold

    def _pixels(self, tiles: Iterable[TileClip]) -> Iterator[Float[np.ndarray, "T C H W"]]:
        return (tile.pixel_values(self.processor) for tile in tiles)

    def _nothing_judged(self) -> str:
        times = frame_times(self.scene)
        span = f"{len(times)} frames from {times[0]} to {times[-1]} UTC"
        if not self._skipped:
            return f"no clip ends in the time range asked for; the scene has {span}"
        last, processor = self._skipped[-1], self.processor
        remedy = "give more frames, or raise --max-missing"
        if processor.max_missing == processor.num_frames - 1:
            km = processor.tile_size * processor.grid.x_step / 1000
            remedy = f"give frames or a --domain with more of a tile, which is {km:.0f} km wide"
        return (
            f"no clip could be made from {span}: the one ending {last.end} has {last.reason}; "
            f"{remedy}"
        )


def _tile_columns(tiles: Sequence[TileName]) -> dict[str, list[float]]:
    """The columns that name tiles: their offsets, or the centres of local planes."""
    names = tiles[0]._fields
    return {f"tile_{name}": [getattr(tile, name) for tile in tiles] for name in names}
