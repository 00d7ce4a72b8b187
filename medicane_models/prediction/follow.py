"""Folders followed as files arrive: round by round, judged hour by hour, and never an hour twice.

Everything that is known lies in the output folder, so that a killed process goes on where it was:
``follow/arrivals.json`` (what arrived), ``follow/hours/`` (what was judged, a file an hour) and
``follow/published.json`` (what of it the products show). Which clips there are follows from the
frames that have arrived alone, in whatever order.
"""

import logging
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from medicane_models.domain import GivenDomain, named_domain
from medicane_models.errors import ConfigurationError, OutputError, SceneError, UnjudgedWarning
from medicane_models.files import alone_in, write_json
from medicane_models.prediction.arrivals import PATIENCE_SECONDS, Arrivals, are_unchanged
from medicane_models.prediction.detected_clips import DetectedClip
from medicane_models.prediction.heartbeat import Status
from medicane_models.prediction.judged_hours import JudgedHour, JudgedHours
from medicane_models.prediction.kept_settings import differing_settings
from medicane_models.prediction.planned_hours import PlannedHour, plan_hours
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.prediction.publishing import earlier_products
from medicane_models.prediction.round_products import RoundProducts
from medicane_models.prediction.run import PredictionRun
from medicane_models.scenes.clips import ClipPlan, SkippedClip, frame_times
from medicane_models.scenes.opening import image_files
from medicane_models.times import Instant, utc

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Follower", "following_alone"]

HOURS_AT_A_TIME = 24  # whose files are open together

log = logging.getLogger(__name__)


class Follower:
    """Judges what arrives in folders, and keeps the products in ``out`` up to date.

    An hour is judged as soon as it has a frame near its end, and again only when a frame of it
    arrives later or changes; images that are gone since leave it as it is.

    Args:
        predictor: with its models.
        folders: where files arrive.
        out: where products go; one process at a time may have it, see `following_alone`.
        products: of `ProductWriter`.
        domain: as of ``MedicanePredictor.open``, as are extent and reader.
        extent: see there.
        reader: see there.
        start: the earliest end of a clip, UTC.
        end: the latest end of a clip, UTC.
        every_minutes: clips end at multiples of it since midnight, and at the newest frame.
        patience_seconds: how long a file that cannot be read may still be on its way.

    Raises:
        ConfigurationError: if ``out`` holds results of another kind of run, or of other settings,
            or a folder is none.
    """

    def __init__(
        self,
        predictor: MedicanePredictor,
        folders: Sequence[str | Path],
        out: Path,
        *,
        products: Mapping[str, Any],
        domain: GivenDomain = "model",
        extent: str | None = None,
        reader: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        every_minutes: int = 60,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.predictor = predictor
        self.folders = [_folder(name) for name in folders]
        self.out = out
        self.opening: dict[str, Any] = {
            "domain": named_domain(domain),
            "extent": extent,
            "reader": reader,
        }
        self.bounds = {"start": start, "end": end}
        self.every_minutes = every_minutes
        self.state = _state(out)
        self.products = RoundProducts(
            out=out,
            known=self.state / "published.json",
            folders=self.folders,
            predictor=predictor,
            chosen=dict(products),
        )
        self._keep_settings()
        self._last_round: pd.Timestamp | None = None
        self._has_told_unjudged = False
        self.hours = JudgedHours(self.state / "hours", predictor.processor)
        self.arrivals = Arrivals(
            self.state / "arrivals.json",
            self._opened,
            predictor.needed_frames(start, end),
            patience_seconds=patience_seconds,
        )

    def round(self, stop: threading.Event, *, next_round_in: float | None = None) -> Status:
        """Look once, judge what is new, and publish if anything changed.

        Args:
            stop: ends the round after the hour at hand once it is set; what was judged until then
                is published.
            next_round_in: seconds from the end of this round, for the status; None if none follows.
        """
        images = {k: v for folder in self.folders for k, v in self._images(folder).items()}
        self.arrivals.look(images, time.time(), stop)
        planned = self._planned()
        self._remove_replaced(planned)
        pending = self._pending(planned)
        judged = 0
        for hour in self._judged(pending):
            self.hours.add(hour)
            judged += 1
            self._tell("judging", judged, len(pending) - judged)
            if stop.is_set():
                break
        left = len(pending) - judged
        self.products.publish(self.hours, complete=not left)
        self._last_round = _now()
        state = "ended" if next_round_in is None or stop.is_set() else "waiting"
        return self._tell(state, judged, left, next_round_in if state == "waiting" else None)

    def follow(self, stop: threading.Event, poll_seconds: float) -> Iterator[Status]:
        """Rounds until ``stop`` is set, so many seconds apart."""
        while True:
            status = self.round(stop, next_round_in=poll_seconds)
            yield status
            if stop.wait(poll_seconds):
                break
        self._tell("ended", status.judged, status.pending)

    def _images(self, folder: Path) -> dict[str, tuple[Path, ...]]:
        return image_files(folder, self.opening["reader"])

    def _opened(self, files: Sequence[Path]) -> "xr.Dataset":
        scene = self.predictor.open(list(files), **self.opening)
        self.predictor.processor.check_channels(scene)
        return scene

    def _opened_to_judge(self, files: Sequence[Path]) -> "xr.Dataset":
        """The scene; that much of the domain is not judged is told once, not in every round."""
        with warnings.catch_warnings():
            if self._has_told_unjudged:
                warnings.simplefilter("ignore", UnjudgedWarning)
            scene = self._opened(files)
        self._has_told_unjudged |= "unjudged_share" in scene.attrs
        return scene

    def _planned(self) -> list[PlannedHour]:
        """Every clip of the frames that have arrived."""
        return plan_hours(
            self.arrivals.frames(),
            self.predictor.processor,
            every_minutes=self.every_minutes,
            **self.bounds,
        )

    def _remove_replaced(self, planned: Sequence[PlannedHour]) -> None:
        """Remove hours that ended at what was the nearest or newest frame and is not any more."""
        ends = {hour.end for hour in planned}
        known = {frame.time for frame in self.arrivals.frames()}
        for hour in list(self.hours):
            if hour.clip.end not in ends and set(hour.times) - {None} <= known:
                self.hours.remove(hour.clip.end)

    def _pending(self, planned: Sequence[PlannedHour]) -> list[PlannedHour]:
        """Hours that were never judged, or whose frames are others now and all at hand."""
        pending = []
        for hour in planned:
            judged = self.hours.get(hour.end)
            complete = all(frame.at_hand for frame in hour.there)
            if judged is None or (complete and judged.digests != hour.digests):
                pending.append(hour)
        return [hour for hour in pending if any(frame.at_hand for frame in hour.there)]

    def _judged(self, hours: Sequence[PlannedHour]) -> Iterator[JudgedHour]:
        """What is found in each; hours whose files change meanwhile are left for the next round."""
        places = {frame.place for hour in hours for frame in hour.there}
        together = HOURS_AT_A_TIME if len(places) == 1 else 1  # planes stand on what is open
        for first in range(0, len(hours), together):
            some, done = hours[first : first + together], 0
            try:
                for hour, judged in zip(some, self._streamed(some), strict=True):
                    done += 1
                    if are_unchanged(hour.at_hand):
                        yield judged
            except SceneError:  # of one of them, which spoils no other
                for hour in some[done:]:
                    yield from self._judged_alone(hour)

    def _judged_alone(self, hour: PlannedHour) -> Iterator[JudgedHour]:
        try:
            judged = next(self._streamed([hour]))
        except SceneError as error:
            skipped = SkippedClip(end=hour.end, tile=None, reason=str(error))
            judged = _judged_hour(hour, DetectedClip.skipped_whole(hour.end, (skipped,)), {})
        if are_unchanged(hour.at_hand):
            yield judged

    def _streamed(self, hours: Sequence[PlannedHour]) -> Iterator[JudgedHour]:
        """Clip by clip, each frame read once."""
        marks = {mark for hour in hours for frame in hour.at_hand for mark in frame.marks}
        scene = self._opened_to_judge([Path(path) for path, _, _ in sorted(marks)])
        rows = {utc(moment): row for row, moment in enumerate(frame_times(scene))}
        plans = [
            ClipPlan(end=hour.end, rows=tuple(f and rows.get(f.time) for f in hour.frames))
            for hour in hours
        ]
        run = self.predictor.run(
            scene,
            start=self.bounds["start"],
            end=self.bounds["end"],
            every_minutes=self.every_minutes,
            pictures=self.products.need_pictures,
            plans=plans,
        )
        for hour, clip in zip(hours, run, strict=True):
            yield _judged_hour(hour, clip, run.provenance())

    def _tell(
        self,
        state: Literal["judging", "waiting", "ended"],
        judged: int,
        pending: int,
        next_round_in: float | None = None,
    ) -> Status:
        """Write where following stands."""
        later = None if next_round_in is None else utc(_now() + timedelta(seconds=next_round_in))
        status = Status(
            state=state,
            updated=_now(),
            last_round=self._last_round,
            next_round=later,
            newest_frame=self.arrivals.newest,
            hours=len(self.hours),
            judged=judged,
            pending=pending,
            skipped={h.clip.end.isoformat(): h.skip_reason for h in self.hours if h.skip_reason},
            waiting=self.arrivals.reasons("waiting"),
            refused=self.arrivals.reasons("refused"),
        )
        write_json(self.out / "status.json", status)
        return status

    def _keep_settings(self) -> None:
        """Write down what is asked for, or refuse to go on with something else.

        Raises:
            ConfigurationError: naming what differs.
        """
        path = self.state / "settings.json"
        if differing := differing_settings(path, self._settings()):
            raise ConfigurationError(
                f"{self.out} follows with other settings ({', '.join(differing)} differ, see "
                f"{path}); give the same, or choose another folder"
            )

    def _settings(self) -> dict[str, Any]:
        predictor = self.predictor
        return {
            "folders": [str(folder) for folder in self.folders],
            "model": predictor.detector.provenance(),
            "tracker": predictor.tracker and predictor.tracker.provenance(),
            "processor": predictor.processor.to_dict(),
            "threshold": predictor.threshold,
            "glance": PredictionRun.glance,
            "parallax": predictor.parallax,
            "every": self.every_minutes,
            **{name: None if time is None else utc(time) for name, time in self.bounds.items()},
            **{name: value and str(value) for name, value in self.opening.items()},
        }


@contextmanager
def following_alone(out: Path) -> Iterator[None]:
    """Keep other processes from writing into ``out``, made if absent, while it is followed into.

    Raises:
        ConfigurationError: if one does, or results are there that no following made.
        OutputError: if nothing can be written there.
    """
    with alone_in(out):
        _state(out)
        yield


def _now() -> pd.Timestamp:
    return utc(pd.Timestamp.now("UTC"))


def _folder(name: str | Path) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir() or folder.suffix == ".zarr":
        raise ConfigurationError(
            f"{name} is no folder that files arrive in; give one, or leave --follow and --once out"
        )
    return folder.resolve()


def _state(out: Path) -> Path:
    """The folder of what is known, made if absent.

    Raises:
        ConfigurationError: if results are there that no following made.
    """
    state = out / "follow"
    earlier = earlier_products(out)
    if earlier and not state.exists():
        raise ConfigurationError(
            f"{out} holds results of an earlier run ({earlier[0].name}) that followed nothing; "
            "choose another folder"
        )
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error.strerror or error}); choose another folder"
        ) from error
    return state


def _judged_hour(hour: PlannedHour, clip: DetectedClip, told: Mapping[str, Any]) -> JudgedHour:
    digests = tuple(frame.digest if frame and frame.at_hand else None for frame in hour.frames)
    return JudgedHour(clip=clip, times=hour.times, digests=digests, provenance=told)
