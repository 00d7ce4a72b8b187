"""From a scene to detections: which tiles hold a cyclone, and where its centre is."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.checkpoints import AutoMedicaneModel
from medicane_models.clips import Clip, ClipReader, SkippedClip, TileClip, plan_clips
from medicane_models.configuration import MedicaneConfig
from medicane_models.detections import DETECTION_COLUMNS, Detections, software_versions
from medicane_models.domain import Grid, same_crs
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.hub import resolve_revision
from medicane_models.linking import LinkSettings
from medicane_models.processing import MedicaneProcessor
from medicane_models.runtime import DeviceName, Runtime, TorchRuntime
from medicane_models.scenes import open_scene, scene_grid
from medicane_models.times import utc
from medicane_models.uncertainty import normal_radius

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DetectedClip", "Instant", "MedicanePredictor", "ModelSource", "parse_domain"]

DETECTOR = "medicane-tiny-detector"
TRACKER = "medicane-tiny-tracker"
CONTINUE = 0.6  # a tile is worth a centre from this share of the threshold on
SAME_PIXELS = 0.01  # relative difference of pixel sizes that a model does not notice
CENTRE_COLUMNS = ["center_x", "center_y", "lon", "lat", "radius_50_km", "radius_95_km"]
UNTRAINED = "UNTRAINED, the weights are random: probabilities and centres mean nothing"

Domain = Grid | Literal["model", "native"]
Instant = str | datetime


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where a model came from.

    Attributes:
        name: folder, embedded name or Hub id.
        revision: commit on the Hub, if it came from there.
        trained_on: what its card says, None if it was never trained.
    """

    name: str
    revision: str | None
    trained_on: str | None

    @property
    def label(self) -> str:
        """Its name, marked if it was never trained."""
        return self.name if self.trained_on is not None else f"{self.name} (UNTRAINED)"


@dataclass(frozen=True, kw_only=True)
class DetectedClip:
    """What was found in one clip.

    Attributes:
        end: its last time, UTC.
        picture: the newest frame, (H, W, 3) in 0…1 with NaN for missing; None if nothing of the
            clip could be judged.
        table: one row a tile, the columns DETECTION_COLUMNS.
        skipped: the clip, or the tiles of it, that could not be judged.
    """

    end: pd.Timestamp
    picture: np.ndarray | None
    table: pd.DataFrame
    skipped: tuple[SkippedClip, ...]


class MedicanePredictor:
    """Finds cyclones in scenes with a detector and a tracker.

    Example:
        ``MedicanePredictor.from_pretrained().predict("2020_nonhrv.zarr").table``
    """

    def __init__(
        self,
        runtime: Runtime,
        processor: MedicaneProcessor,
        *,
        detector: ModelSource,
        tracker: ModelSource,
        threshold: float,
    ) -> None:
        if not 0 < threshold <= 1:
            raise ConfigurationError(
                f"threshold is {threshold}; give a probability above 0, up to 1"
            )
        self.runtime = runtime
        self.processor = processor
        self.detector = detector
        self.tracker = tracker
        self.threshold = threshold

    @classmethod
    def from_pretrained(
        cls,
        detector: str | Path = DETECTOR,
        tracker: str | Path = TRACKER,
        *,
        device: DeviceName = "auto",
        threshold: float | None = None,
        max_missing: int | None = None,
        revision: str | None = None,
        tracker_revision: str | None = None,
        **hub_options: Any,
    ) -> "MedicanePredictor":
        """Load a classification and a tracking model, each a folder, embedded name or Hub id.

        Args:
            detector: the classification model; its processor decides how scenes are read.
            tracker: the tracking model; it must read the same clips.
            device: "auto" takes the GPU where there is one.
            threshold: probability from which on a tile counts; None takes the detector's own.
            max_missing: frames of a clip that may be missing; None takes the processor's own.
            revision: branch, tag or commit of the detector on the Hub.
            tracker_revision: the same of the tracker.
            **hub_options: token, cache_dir, local_files_only, force_download.
        """
        detector_at = {"revision": revision, **hub_options}
        tracker_at = {"revision": tracker_revision, **hub_options}
        processor = MedicaneProcessor.from_pretrained(detector, **detector_at)
        _check_same_clips(processor, MedicaneProcessor.from_pretrained(tracker, **tracker_at))
        classifier = AutoMedicaneModel.from_pretrained(detector, **detector_at)
        locator = AutoMedicaneModel.from_pretrained(tracker, **tracker_at)
        _check_model(classifier.config, processor, detector, "classification")
        _check_model(locator.config, processor, tracker, "tracking")
        if max_missing is not None:
            processor = replace(processor, max_missing=max_missing)
        return cls(
            TorchRuntime(classifier, locator, device=device),
            processor,
            detector=_source(detector, classifier.config, **detector_at),
            tracker=_source(tracker, locator.config, **tracker_at),
            threshold=classifier.config.threshold if threshold is None else threshold,
        )

    @property
    def link_settings(self) -> LinkSettings:
        """Tracks start at the threshold and continue a little under it."""
        return LinkSettings(
            start_probability=self.threshold, continue_probability=CONTINUE * self.threshold
        )

    @property
    def warning(self) -> str | None:
        """One sentence on models that were never trained, None where all were."""
        untrained = [
            source.name for source in (self.detector, self.tracker) if source.trained_on is None
        ]
        return f"{' and '.join(untrained)}: {UNTRAINED}" if untrained else None

    def open(
        self,
        source: Any,
        *,
        domain: Domain = "model",
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> "xr.Dataset":
        """Open what a clip ending between ``start`` and ``end`` needs, on pixels the model knows.

        Args:
            source: files, folders, an URL or a scene.
            domain: "model" is the grid the model was trained on, "native" the scene's own extent
                on pixels of the model's size, a Grid one of your own.
            start: the earliest end of a clip, UTC.
            end: the latest end of a clip, UTC.
        """
        minutes = self.processor.cadence_minutes * (self.processor.num_frames + 1)
        options = {
            "channels": None if self.processor.recipe == "airmass" else self.processor.channels,
            "start": None if start is None else utc(start) - pd.Timedelta(minutes=minutes),
            "end": end,
        }
        if domain == "model":
            return open_scene(source, domain=self.processor.grid, **options)
        if domain != "native":
            return open_scene(source, domain=domain, **options)
        own = scene_grid(open_scene(source, **options))
        if self._same_pixels(own):
            return open_scene(source, **options)
        return open_scene(source, domain=self.processor.grid.covering(own, margin=-1), **options)

    def predict(
        self,
        source: Any,
        *,
        domain: Domain = "model",
        start: Instant | None = None,
        end: Instant | None = None,
        every_minutes: int = 60,
    ) -> Detections:
        """Judge every tile of every clip.

        Args:
            source: files, folders, an URL or a scene, as ``open_scene`` takes them.
            domain: as in :meth:`open`.
            start: the earliest end of a clip, UTC.
            end: the latest end of a clip, UTC.
            every_minutes: clips end at multiples of it since midnight, and at the newest frame.

        Raises:
            SceneError: if the scene does not fit the model, or no clip of it has enough frames.
        """
        if self.warning is not None:
            warnings.warn(self.warning, stacklevel=2)
        scene = self.open(source, domain=domain, start=start, end=end)
        clips = self.clips(scene, start=start, end=end, every_minutes=every_minutes)
        return self.collect(scene, list(clips))

    def clips(
        self,
        scene: "xr.Dataset",
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        every_minutes: int = 60,
    ) -> Iterator[DetectedClip]:
        """Judge an opened scene clip by clip, holding one clip in memory at a time."""
        grid = scene_grid(scene)
        self._check_pixels(grid)
        scene = with_time_convention(scene, self.processor)
        processor = self.processor.for_sensor(scene.attrs["sensor"])
        plans = plan_clips(
            frame_times(scene),
            num_frames=processor.num_frames,
            cadence_minutes=processor.cadence_minutes,
            every_minutes=every_minutes,
            start=None if start is None else utc(start),
            end=None if end is None else utc(end),
        )
        reader = ClipReader(scene, processor, grid.tiles(processor.tile_size))
        for clip in reader.read(plans):
            yield self._detect(clip, grid)

    def collect(self, scene: "xr.Dataset", clips: Sequence[DetectedClip]) -> Detections:
        """Join what :meth:`clips` yielded; refuses if nothing could be judged."""
        skipped = tuple(skip for clip in clips for skip in clip.skipped)
        tables = [clip.table for clip in clips if len(clip.table)]
        if not tables:
            raise SceneError(_nothing_judged(scene, skipped))
        return Detections(
            table=pd.concat(tables, ignore_index=True),
            skipped=skipped,
            provenance=self.provenance(scene),
        )

    def provenance(self, scene: "xr.Dataset") -> dict[str, Any]:
        """Scene, models, settings and software behind a result, ready for JSON."""
        times = frame_times(scene)
        return {
            "warning": self.warning,
            "created": pd.Timestamp.now("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"),
            "scene": {
                **{key: str(value) for key, value in scene.attrs.items()},
                "first_frame": utc(times[0]).isoformat(),
                "last_frame": utc(times[-1]).isoformat(),
                "frames": len(times),
                "grid": scene_grid(scene).to_dict(),
            },
            "detector": vars(self.detector),
            "tracker": vars(self.tracker),
            "threshold": self.threshold,
            "device": str(self.runtime.device),
            "processor": self.processor.to_dict(),
            "software": software_versions(),
        }

    def _detect(self, clip: Clip | SkippedClip, grid: Grid) -> DetectedClip:
        if isinstance(clip, SkippedClip):
            return DetectedClip(end=clip.end, picture=None, table=_empty(), skipped=(clip,))
        if not clip.tiles:
            return DetectedClip(end=clip.end, picture=None, table=_empty(), skipped=clip.skipped)
        probability = self.runtime.probabilities(map(self._pixels, clip.tiles))
        table = pd.DataFrame(
            {
                "time": clip.end,
                "tile_x": [tile.tile.x for tile in clip.tiles],
                "tile_y": [tile.tile.y for tile in clip.tiles],
                "probability": probability,
                "detected": probability >= self.threshold,
                "missing_frames": [tile.missing for tile in clip.tiles],
                "model": self.detector.label,
                "revision": self.detector.revision or "",
            }
        )
        table = table.reindex(columns=list(DETECTION_COLUMNS))
        self._locate(table, clip.tiles, grid)
        return DetectedClip(end=clip.end, picture=clip.picture, table=table, skipped=clip.skipped)

    def _locate(self, table: pd.DataFrame, tiles: Sequence[TileClip], grid: Grid) -> None:
        """Fill in centre and radii of the rows that can start or continue a track."""
        found = np.flatnonzero(table["probability"] >= self.link_settings.continue_probability)
        if not found.size:
            return
        chosen = [tiles[row] for row in found.tolist()]
        centres = self.runtime.centres(map(self._pixels, chosen))
        x, y = (centres.center + np.array([tile.tile for tile in chosen])).T
        to_km = np.asarray(grid.jacobian_km(x, y))
        covariance_km = to_km @ centres.covariance @ np.swapaxes(to_km, -1, -2)
        lon, lat = grid.pixel_to_lonlat(x, y)
        table.loc[found, CENTRE_COLUMNS] = np.column_stack(
            [centres.center, lon, lat, *(normal_radius(covariance_km, p) for p in (0.5, 0.95))]
        )

    def _pixels(self, tile: TileClip) -> Float[np.ndarray, "T C H W"]:
        return self.processor.normalise(np.stack(tile.frames))

    def _same_pixels(self, grid: Grid) -> bool:
        own = self.processor.grid
        return same_crs(grid.crs, own.crs) and all(
            abs(step / expected - 1) <= SAME_PIXELS
            for step, expected in ((grid.x_step, own.x_step), (grid.y_step, own.y_step))
        )

    def _check_pixels(self, grid: Grid) -> None:
        if not self._same_pixels(grid):
            raise SceneError(
                f"the scene's pixels ({grid}) are not those of {self.detector.name} "
                f"({self.processor.grid}); open it with MedicanePredictor.open"
            )


def parse_domain(text: str, grid: Grid) -> Domain:
    """Understand "model", "native" or "WEST,SOUTH,EAST,NORTH" in degrees, on the grid's lattice.

    Raises:
        ConfigurationError: if it is none of them.
    """
    if text in ("model", "native"):
        return text
    try:
        west, south, east, north = (float(value) for value in text.split(","))
    except ValueError:
        west = south = east = north = 0.0
    if not (west < east and south < north):
        raise ConfigurationError(
            f"domain {text!r} is neither model, nor native, nor WEST,SOUTH,EAST,NORTH in degrees"
        )
    box = Grid.lonlat(west=west, south=south, east=east, north=north, step_degrees=0.25)
    return grid.covering(box)


def with_time_convention(scene: "xr.Dataset", processor: MedicaneProcessor) -> "xr.Dataset":
    """The scene with its times meaning what the model's do: start and end lie one cycle apart."""
    if scene.attrs["time_convention"] == processor.time_convention:
        return scene
    times = frame_times(scene)
    cadence = pd.Timedelta(minutes=processor.cadence_minutes)
    cycle = pd.Series(times).diff().median() if len(times) > 1 else cadence
    sign = 1 if processor.time_convention == "end_of_scan" else -1
    shifted = scene.assign_coords(time=times + sign * cycle)
    return shifted.assign_attrs(time_convention=processor.time_convention)


def frame_times(scene: "xr.Dataset") -> pd.DatetimeIndex:
    """Times of the frames, UTC."""
    return pd.DatetimeIndex(scene["time"].to_numpy())


def _source(name: str | Path, config: MedicaneConfig, **hub_options: Any) -> ModelSource:
    return ModelSource(
        name=str(name),
        revision=resolve_revision(name, **hub_options),
        trained_on=config.trained_on,
    )


def _check_same_clips(detector: MedicaneProcessor, tracker: MedicaneProcessor) -> None:
    """Refuse a tracker that was trained on other clips than the detector."""
    own, other = detector.to_dict(), tracker.to_dict()
    differing = [key for key in own if key != "max_missing" and own[key] != other[key]]
    if differing:
        raise ConfigurationError(
            f"detector and tracker read different clips ({', '.join(differing)} differ); "
            "choose two models with the same processor"
        )


def _check_model(
    config: MedicaneConfig, processor: MedicaneProcessor, name: str | Path, task: str
) -> None:
    if config.task != task:
        raise ConfigurationError(f"{name} is a {config.task} model; a {task} model is needed here")
    made = (
        processor.num_frames,
        len(processor.bands),
        processor.tile_size,
        processor.tile_size,
    )
    if config.clip_shape != made:
        raise ConfigurationError(
            f"{name} reads clips of shape {config.clip_shape} (T, C, H, W), its processor makes "
            f"{made}; correct config.json or preprocessor_config.json there"
        )


def _empty() -> pd.DataFrame:
    return pd.DataFrame(columns=list(DETECTION_COLUMNS))


def _nothing_judged(scene: "xr.Dataset", skipped: Sequence[SkippedClip]) -> str:
    times = frame_times(scene)
    span = f"{len(times)} frames from {times[0]} to {times[-1]} UTC"
    if not skipped:
        return f"no clip ends in the time range asked for; the scene has {span}"
    last = skipped[-1]
    return (
        f"no clip could be made from {span}: the one ending {last.end} has {last.reason}; "
        "give more frames, or raise --max-missing"
    )
