"""Load a detector and a tracker, and judge scenes with them."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from medicane_models.domain import GivenDomain, Grid, box_grid, named_domain, parse_box, same_crs
from medicane_models.errors import ConfigurationError, NoFrameError, SceneError, UnjudgedWarning
from medicane_models.hub import DETECTOR
from medicane_models.prediction.detections import Detections
from medicane_models.prediction.geolocation import check_window
from medicane_models.prediction.guided_run import GuidedRun
from medicane_models.prediction.model_loading import (
    ModelReference,
    RuntimeName,
    load_models,
    load_with_embedded_tracker,
)
from medicane_models.prediction.models import ModelDescription, check_pair
from medicane_models.prediction.refinement import FirstGuess
from medicane_models.prediction.run import PredictionRun
from medicane_models.runtimes.interface import Runtime
from medicane_models.runtimes.onnx_metadata import Precision
from medicane_models.runtimes.onnx_session import DEFAULTS, OnnxDevice, OnnxSettings
from medicane_models.scenes.clips import ClipPlan
from medicane_models.scenes.opening import open_scene, scene_grid
from medicane_models.scenes.plane_sampling import LIMB_ZENITH
from medicane_models.scenes.planes import unjudged_share
from medicane_models.times import Instant, bounds_text, interval, utc

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["MedicanePredictor", "OnnxPredictor"]

TOLD_UNJUDGED = 0.1  # of a domain
SAME_PIXELS = 0.01  # relative difference of pixel sizes that a model does not notice


class MedicanePredictor:
    """Finds cyclones in scenes with a detector and a tracker.

    Example:
        ``MedicanePredictor.from_pretrained().predict("2020_nonhrv.zarr").table``
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        detector: ModelDescription,
        tracker: ModelDescription | None,
        threshold: float | None = None,
        max_missing: int | None = None,
        parallax: bool = False,
        untracked: str | None = None,
    ) -> None:
        check_pair(detector, tracker)
        if parallax:
            check_window(detector)
        threshold = detector.config.threshold if threshold is None else threshold
        if not 0 < threshold <= 1:
            raise ConfigurationError(
                f"threshold is {threshold}; give a probability above 0, up to 1"
            )
        self.runtime = runtime
        changes = {} if max_missing is None else {"max_missing": max_missing}
        self.processor = replace(detector.processor, **changes)
        self.detector = detector
        self.tracker = tracker
        self.untracked = None if tracker else untracked or "no tracker was asked for"
        self.threshold = threshold
        self.parallax = parallax

    @classmethod
    def from_pretrained(
        cls,
        detector: str | Path = DETECTOR,
        tracker: str | Path | None = "auto",
        *,
        runtime: RuntimeName = "auto",
        device: OnnxDevice = "auto",
        threshold: float | None = None,
        max_missing: int | None = None,
        parallax: bool = False,
        settings: OnnxSettings = DEFAULTS,
        precision: Precision = "fp32",
        revision: str | None = None,
        tracker_revision: str | None = None,
        **hub_options: Any,
    ) -> Self:
        """Load a detector and a tracker, each a folder, exported file, embedded name or Hub id.

        Args:
            detector: the classification model; its processor decides how scenes are read.
            tracker: the tracking model, which must read the same clips. "auto" is the embedded one
                where it does, else none; None detects only, without centres and tracks.
            runtime: "torch", or "onnx" for exported models without torch; "auto" is onnxruntime
                where a model is an exported file, or a place of one without weights or torch.
            device: "auto" takes the GPU where there is one and logs what it took; any other never
                runs elsewhere than asked. "tensorrt" is for exported models.
            threshold: probability from which on a tile counts; None takes the detector's own.
            max_missing: frames of a clip that may be missing; None takes the processor's own.
            parallax: whether fixes are moved from where the cloud top appears to below it.
            settings: threads, batches, CUDA graphs and the provider's options of onnxruntime.
            precision: which exported variant a folder or repository gives.
            revision: branch, tag or commit of the detector on the Hub.
            tracker_revision: the same of the tracker.
            **hub_options: token, cache_dir, local_files_only, force_download.

        Raises:
            CheckpointError: a file is missing or cannot be read.
            ConfigurationError: the device does not work here, or the models do not fit.
            MissingExtraError: torch or onnxruntime is needed and not installed.
        """
        asked = ModelReference(name=detector, hub_options={"revision": revision, **hub_options})
        how: dict[str, Any] = {
            "runtime": runtime,
            "device": device,
            "settings": settings,
            "precision": precision,
        }
        if tracker == "auto":
            models = load_with_embedded_tracker(asked, **how)
        else:
            at = {"revision": tracker_revision, **hub_options}
            other = None if tracker is None else ModelReference(name=tracker, hub_options=at)
            models = load_models(asked, other, **how)
        return cls(
            models.runtime,
            detector=models.detector,
            tracker=models.tracker,
            threshold=threshold,
            max_missing=max_missing,
            parallax=parallax,
            untracked=models.untracked,
        )

    def open(
        self,
        source: Any,
        *,
        domain: GivenDomain = "model",
        extent: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        reader: str | None = None,
    ) -> "xr.Dataset":
        """Open what a clip ending between ``start`` and ``end`` needs, on pixels the model knows.

        Args:
            source: files, folders, an URL or a scene.
            domain: "model" is the grid the model was trained on, or all that the scene shows where
                the model reads local planes; "native" the scene's own extent;
                "WEST,SOUTH,EAST,NORTH" in degrees, as text or four numbers, or a Grid an extent of
                your own. Pixels are of the model's projection and size or, for local planes, the
                scene's own.
            extent: where grey pictures lie, as ``open_scene`` takes it.
            start: the earliest end of a clip, UTC.
            end: the latest end of a clip, UTC.
            reader: of satpy, for raw files; default is told by their names.

        Raises:
            ConfigurationError: if the domain is not understood or a bound is no time.
            SceneError: as ``open_scene``.

        Warns:
            SceneWarning: as ``open_scene``.
            UnjudgedWarning: if planes leave out more than a tenth of a domain.
        """
        first, last = self.needed_frames(start, end)
        options: dict[str, Any] = {
            "extent": extent,
            "reader": reader,
            "channels": None if self.processor.recipe == "airmass" else self.processor.channels,
            "start": first,
            "end": last,
        }
        try:
            return self._opened(source, named_domain(domain), **options)
        except NoFrameError as error:
            asked = bounds_text(*interval(start, end))
            raise NoFrameError(
                f"no clip ends {asked}, for which frames before and after count, too: {error}"
            ) from error

    def _opened(self, source: Any, domain: Grid | str, **options: Any) -> "xr.Dataset":
        """The scene on the domain."""
        if self.processor.uses_planes:
            return self._open_for_planes(source, domain, **options)
        if domain != "native":
            return self._open_on(self._domain(domain), source, **options)
        scene = open_scene(source, **options)
        if self._same_pixels(scene_grid(scene)):
            return scene
        inside = self.processor.grid.covering(scene_grid(scene), margin=-1)
        return open_scene(source, domain=inside, **options)

    def needed_frames(
        self, start: Instant | None, end: Instant | None
    ) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
        """Between which times the frames lie that clips ending from start to end may need.

        Raises:
            ConfigurationError: if a bound is no time, or the last is before the first.
        """
        first, last = interval(start, end)
        # times may turn out to mean the other end of a scan, and a slot takes the nearest frame
        cadence = pd.Timedelta(minutes=self.processor.cadence_minutes)
        num_frames = self.processor.num_frames
        return (
            None if first is None else utc(first - cadence * (num_frames + 1)),
            None if last is None else utc(last + cadence * 1.5),
        )

    def predict(
        self,
        source: Any,
        *,
        domain: GivenDomain = "model",
        extent: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        reader: str | None = None,
        every_minutes: int = 60,
        first_guess: FirstGuess | None = None,
    ) -> Detections:
        """Judge every tile of every clip and link what was found into tracks.

        Args:
            source: files, folders, an URL or a scene, as ``open_scene`` takes them.
            domain: as in :meth:`open`.
            extent: as in :meth:`open`.
            start: the earliest end of a clip, UTC.
            end: the latest end of a clip, UTC.
            reader: as in :meth:`open`.
            every_minutes: clips end at multiples of it since midnight, and at the newest frame.
            first_guess: where cyclones are thought to be; each is then sought around there, whether
                the detector fires or not, and nowhere else.

        Raises:
            SceneError: if the scene does not fit the model, or no clip of it has enough frames.
        """
        bounds = {"domain": domain, "extent": extent, "start": start, "end": end, "reader": reader}
        run = self._opened_run(
            source, every_minutes, pictures=False, first_guess=first_guess, **bounds
        )
        for _ in run:
            pass
        return run.link()

    def stream(
        self,
        source: Any,
        *,
        domain: GivenDomain = "model",
        extent: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        reader: str | None = None,
        every_minutes: int = 60,
        pictures: bool = False,
        first_guess: FirstGuess | None = None,
    ) -> PredictionRun:
        """Judge clip by clip: an iterator over what is found in each.

        Example:
            ``run = predictor.stream(scene)``, ``for clip in run: print(clip.table)``, and then
            ``run.link()`` for the tracks.

        Args:
            source: as in :meth:`predict`, as are the bounds and ``domain``.
            domain: as in :meth:`open`.
            extent: as in :meth:`open`.
            start: the earliest end of a clip, UTC.
            end: the latest end of a clip, UTC.
            reader: as in :meth:`open`.
            every_minutes: clips end at multiples of it since midnight, and at the newest frame.
            pictures: whether each clip comes with the picture of its newest frame.
            first_guess: as in :meth:`predict`.

        Raises:
            SceneError: if the scene does not fit the model.
        """
        bounds = {"domain": domain, "extent": extent, "start": start, "end": end, "reader": reader}
        return self._opened_run(
            source, every_minutes, pictures=pictures, first_guess=first_guess, **bounds
        )

    def run(
        self,
        scene: "xr.Dataset",
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        every_minutes: int = 60,
        pictures: bool = False,
        first_guess: FirstGuess | None = None,
        plans: Sequence[ClipPlan] | None = None,
    ) -> PredictionRun:
        """Plan the clips of an opened scene, or take given ones; iterating judges one by one.

        Raises:
            ConfigurationError: if there is a first guess and no tracker with a heat map.
            SceneError: if the scene's pixels, cadence or sensor are not the model's, or the first
                guess says nothing about its times.
        """
        grid = scene_grid(scene)
        if not (self.processor.uses_planes or self._same_pixels(grid)):
            raise SceneError(
                f"the scene's pixels ({grid}) are not those of {self.detector.name} "
                f"({self.processor.grid}); open it with MedicanePredictor.open"
            )
        models = self.detector, self.tracker
        settings: dict[str, Any] = {
            "threshold": self.threshold,
            "start": start,
            "end": end,
            "every_minutes": every_minutes,
            "pictures": pictures,
            "parallax": self.parallax,
            "untracked": self.untracked,
        }
        if first_guess is None:
            return PredictionRun(
                scene, self.runtime, self.processor, models, plans=plans, **settings
            )
        return GuidedRun(
            scene, self.runtime, self.processor, models, first_guess=first_guess, **settings
        )

    def _opened_run(
        self,
        source: Any,
        every_minutes: int,
        *,
        pictures: bool,
        first_guess: FirstGuess | None,
        **bounds: Any,
    ) -> PredictionRun:
        scene = self.open(source, **bounds)
        times = {"start": bounds["start"], "end": bounds["end"], "every_minutes": every_minutes}
        run = self.run(scene, **times, pictures=pictures, first_guess=first_guess)
        if run.warning is not None:
            warnings.warn(run.warning, stacklevel=3)
        return run

    def _open_on(self, grid: Grid, source: Any, **options: Any) -> "xr.Dataset":
        """The scene on a grid; one without the model's channels is refused for that, first."""
        try:
            return open_scene(source, domain=grid, **options)
        except SceneError:
            self.processor.check_channels(open_scene(source, **options))
            raise

    def _open_for_planes(self, source: Any, domain: Grid | str, **options: Any) -> "xr.Dataset":
        """The scene in its own pixels, cropped to the domain."""
        scene = open_scene(source, **options)
        self.processor.check_channels(scene)
        if domain in ("model", "native"):
            return scene
        own = scene_grid(scene)
        asked = box_grid(domain) if isinstance(domain, str) else domain
        cropped = open_scene(source, domain=_shared(own, own.covering(asked)), **options)
        return self._telling_unjudged(cropped, asked, own)

    def _telling_unjudged(self, scene: "xr.Dataset", asked: Grid, own: Grid) -> "xr.Dataset":
        """Say how much of what is asked for is not judged, and keep it, where that is much."""
        longitude, limit = scene.attrs["sub_satellite_longitude"], self.processor.latitude_limit
        share = unjudged_share(
            asked,
            own,
            sub_satellite_longitude=None if np.isnan(longitude) else longitude,
            latitude_limit=limit,
        )
        if share <= TOLD_UNJUDGED:
            return scene
        poleward = "" if limit is None else f", or further than {limit:g}° from the equator"
        warnings.warn(
            f"{share:.0%} of the domain is not judged, whatever is there: it is off the "
            f"scene, seen more than {LIMB_ZENITH:g}° from the vertical{poleward}",
            UnjudgedWarning,
            stacklevel=4,
        )
        return scene.assign_attrs(unjudged_share=round(share, 3))

    def _domain(self, domain: Grid | str) -> Grid:
        grid = self.processor.grid
        if domain == "model":
            return grid
        if isinstance(domain, str):
            return parse_box(domain, grid)
        return domain if self._same_pixels(domain) else grid.covering(domain)

    def _same_pixels(self, grid: Grid) -> bool:
        own = self.processor.grid
        return same_crs(grid.crs, own.crs) and all(
            abs(step / expected - 1) <= SAME_PIXELS
            for step, expected in ((grid.x_step, own.x_step), (grid.y_step, own.y_step))
        )


def _shared(grid: Grid, window: Grid) -> Grid:
    """The part of a window on a grid's lattice that the grid holds; across the seam of a globe."""
    offset = window.offset_in(grid)
    assert offset is not None  # it is on the lattice
    left, top = offset[0], max(offset[1], 0)
    right = left + window.width
    bottom = min(offset[1] + window.height, grid.height)
    if not grid.goes_round:
        left, right = max(left, 0), min(right, grid.width)
    if right <= left or bottom <= top:
        raise SceneError(f"the domain ({window}) does not overlap the scene ({grid})")
    return grid.window(left, top, right - left, bottom - top)


class OnnxPredictor(MedicanePredictor):
    """A predictor on onnxruntime, whatever the models' folders hold; torch is never imported.

    Example:
        ``OnnxPredictor.from_pretrained("detector/", "tracker/", device="cuda")``
    """

    @classmethod
    def from_pretrained(cls, *models: Any, **options: Any) -> Self:
        """As :meth:`MedicanePredictor.from_pretrained` with ``runtime="onnx"``."""
        return super().from_pretrained(*models, **{**options, "runtime": "onnx"})
