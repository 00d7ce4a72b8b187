"""Folders followed as files arrive: round by round, judged hour by hour, and never an hour twice.

Everything that is known lies in the output folder, so that a killed process goes on where it was:
``follow/arrivals.json`` (what arrived), ``follow/hours/`` (what was judged, a file an hour) and
``follow/published.json`` (what of it the products show). Which clips there are follows from the
frames that have arrived alone, in whatever order.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from medicane_models.domain import Grid
from medicane_models.errors import CheckpointError, ConfigurationError, OutputError, SceneError
from medicane_models.fields import json_object
from medicane_models.files import locked, write_json
from medicane_models.prediction.arrivals import (
    PATIENCE_SECONDS,
    Arrivals,
    KnownFrame,
    are_unchanged,
)
from medicane_models.prediction.detections import DETECTION_COLUMNS, Detections
from medicane_models.prediction.judged_hours import JudgedHour, JudgedHours
from medicane_models.prediction.kept_settings import differing_settings
from medicane_models.prediction.linking import LinkSettings
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.prediction.publishing import earlier_products, updating_products
from medicane_models.prediction.run import (
    DetectedClip,
    detections_of,
    settings_of_links,
    tracks_of,
)
from medicane_models.scenes.clips import (
    ClipPlan,
    SkippedClip,
    convention_shift,
    frame_times,
    plan_clips,
)
from medicane_models.scenes.opening import image_files
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.readers.recording import union_of
from medicane_models.times import TIME_FORMAT, Instant, utc

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Follower", "Status", "following_alone"]

HOURS_AT_A_TIME = 24  # whose files are open together
SHOWN_HOURS = 120  # the newest, which the page and films have pictures of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where following stands, as ``status.json`` has it.

    Attributes:
        state: "judging" within a round, "waiting" for the next one, "ended".
        updated: when this was written, UTC.
        last_round: when the last round of this process ended; None before that.
        next_round: when the next one begins; None if none does.
        newest_frame: time of the newest frame that arrived.
        hours: how many are judged, of all rounds.
        judged: how many were in the last round.
        pending: how many are to be judged.
        skipped: hours that could not be judged, by the end of their clip, and why.
        waiting: files that cannot be read yet, and why.
        refused: files that cannot be read and are left alone until they change, and why.
    """

    state: Literal["judging", "waiting", "ended"]
    updated: pd.Timestamp
    last_round: pd.Timestamp | None
    next_round: pd.Timestamp | None
    newest_frame: pd.Timestamp | None
    hours: int
    judged: int
    pending: int
    skipped: Mapping[str, str]
    waiting: Mapping[str, str]
    refused: Mapping[str, str]

    def __str__(self) -> str:
        """The heartbeat: one line."""
        newest = "none" if self.newest_frame is None else f"{self.newest_frame:%Y-%m-%d %H:%M}"
        then = "none" if self.next_round is None else f"{self.next_round:%H:%M:%S}"
        return (
            f"{self.updated:%Y-%m-%d %H:%M:%S} UTC: hours judged {self.judged}, in all "
            f"{self.hours}, skipped {len(self.skipped)}; newest frame {newest}; files waiting "
            f"{len(self.waiting)}, refused {len(self.refused)}; next round {then}"
        )


@dataclass(frozen=True, kw_only=True)
class PlannedHour:
    """The end of a clip and the frames of its slots, oldest first; None where there is none."""

    end: pd.Timestamp
    frames: tuple[KnownFrame | None, ...]

    @property
    def digests(self) -> tuple[str | None, ...]:
        """What tells its frames from others."""
        return tuple(frame and frame.digest for frame in self.frames)

    @property
    def times(self) -> tuple[pd.Timestamp | None, ...]:
        """Of its slots' frames, as their images tell them."""
        return tuple(frame and frame.time for frame in self.frames)

    @property
    def there(self) -> list[KnownFrame]:
        """The frames that it has."""
        return [frame for frame in self.frames if frame is not None]


@dataclass(frozen=True, kw_only=True)
class PastJudge:
    """What is to be known of runs that have ended."""

    told: Mapping[str, Any]
    processor: MedicaneProcessor
    link_settings: LinkSettings

    @property
    def grid(self) -> Grid:
        """Of the scene."""
        return Grid.from_dict(self.told["scene"]["grid"])

    def provenance(self) -> Mapping[str, Any]:
        """Scene, models, settings and software, ready for JSON."""
        return self.told


class Follower:
    """Judges what arrives in folders, and keeps the products in ``out`` up to date.

    An hour is judged as soon as it has a frame near its end, and again only when a frame of it
    arrives later or changes; images that are gone since leave it as it is.

    Args:
        predictor: with its models.
        folders: where files arrive.
        out: where products go; one process at a time may have it.
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
        domain: Grid | str = "model",
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
        self.products = dict(products)
        self.opening: dict[str, Any] = {"domain": domain, "extent": extent, "reader": reader}
        self.bounds = {"start": start, "end": end}
        self.every_minutes = every_minutes
        self.state = _state(out)
        self._keep_settings()
        self._last_round: pd.Timestamp | None = None
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
        self._publish(complete=not left)
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

    def _planned(self) -> list[PlannedHour]:
        """Every clip of the frames that have arrived."""
        processor = self.predictor.processor
        shifted = {
            utc(frame.time + convention_shift(frame.convention, processor)): frame
            for frame in reversed(self.arrivals.frames())
        }
        times = pd.DatetimeIndex(sorted(shifted))
        start, end = (None if time is None else utc(time) for time in self.bounds.values())
        plans = plan_clips(
            times,
            num_frames=processor.num_frames,
            cadence_minutes=processor.cadence_minutes,
            every_minutes=self.every_minutes,
            ends_with_frame=processor.marks_missing,
            start=start,
            end=end,
        )
        frames = [shifted[utc(moment)] for moment in times]
        slots = [tuple(None if row is None else frames[row] for row in p.rows) for p in plans]
        return [PlannedHour(end=p.end, frames=s) for p, s in zip(plans, slots, strict=True)]

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
                    if are_unchanged(_at_hand(hour)):
                        yield judged
            except SceneError:  # of one of them, which spoils no other
                for hour in some[done:]:
                    yield from self._judged_alone(hour)

    def _judged_alone(self, hour: PlannedHour) -> Iterator[JudgedHour]:
        try:
            judged = next(self._streamed([hour]))
        except SceneError as error:
            skipped = SkippedClip(end=hour.end, tile=None, reason=str(error))
            judged = _judged_hour(hour, _not_judged(skipped), {})
        if are_unchanged(_at_hand(hour)):
            yield judged

    def _streamed(self, hours: Sequence[PlannedHour]) -> Iterator[JudgedHour]:
        """Clip by clip, each frame read once."""
        marks = {mark for hour in hours for frame in _at_hand(hour) for mark in frame.marks}
        scene = self._opened([Path(path) for path, _, _ in sorted(marks)])
        rows = {utc(moment): row for row, moment in enumerate(frame_times(scene))}
        plans = [
            ClipPlan(end=hour.end, rows=tuple(f and rows.get(f.time) for f in hour.frames))
            for hour in hours
        ]
        needs_pictures = any(self.products.get(name) for name in ("plot", "report", "animate"))
        run = self.predictor.run(
            scene,
            start=self.bounds["start"],
            end=self.bounds["end"],
            every_minutes=self.every_minutes,
            pictures=needs_pictures,
            plans=plans,
        )
        for hour, clip in zip(hours, run, strict=True):
            yield _judged_hour(hour, clip, run.provenance())

    def _publish(self, *, complete: bool) -> None:
        """Link all hours, and write the products if they show others."""
        path = self.state / "published.json"
        published = _published(path)
        hours = list(self.hours)
        digests = {hour.clip.end.isoformat(): list(hour.digests) for hour in hours}
        current = {"complete": complete, "hours": digests}
        if current == published or not any(len(hour.clip.table) for hour in hours):
            return
        detections = self._linked(hours, complete=complete)
        old = {end for end in digests if digests[end] == published["hours"].get(end)}
        with updating_products(self.out, kept=[utc(end) for end in old], **self.products) as writer:
            for hour in (hour for hour in hours if hour.provenance):  # others could not be opened
                take = writer.take_pictures if hour.clip.end.isoformat() in old else writer.add
                take(self.hours.with_pictures(hour), self._judge_of(hour.provenance))
            writer.write(detections)
        write_json(path, current)
        shown = SHOWN_HOURS if writer.report or writer.animate else 0
        for hour in hours[: len(hours) - shown]:
            self.hours.forget_pictures(hour.clip.end)

    def _judge_of(self, told: Mapping[str, Any]) -> PastJudge:
        return PastJudge(
            told=told,
            processor=self.predictor.processor,
            link_settings=settings_of_links(self.predictor.threshold),
        )

    def _linked(self, hours: Sequence[JudgedHour], *, complete: bool) -> Detections:
        """All hours as one result."""
        judge = self._judge_of(self._provenance(hours, complete=complete))
        tables = [hour.clip.table for hour in hours if len(hour.clip.table)]
        table = pd.concat(tables, ignore_index=True)
        predictor, settings = self.predictor, judge.link_settings
        models = [model for model in (predictor.detector, predictor.tracker) if model]
        return detections_of(
            table,
            tracks_of(table, grid=judge.grid, settings=settings, models=models),
            skipped=[skip for hour in hours for skip in hour.clip.skipped],
            provenance=judge.provenance(),
        )

    def _provenance(self, hours: Sequence[JudgedHour], *, complete: bool) -> dict[str, Any]:
        """That of the newest hour, as if its run had judged all of them."""
        runs = [hour.provenance for hour in hours if hour.provenance]
        times = sorted({time for hour in hours for time in hour.times if time is not None})
        scene = {
            **runs[-1]["scene"],
            "first_frame": times[0].isoformat(),
            "last_frame": times[-1].isoformat(),
            "frames": len(times),
            "source": f"{len(times)} frames of {', '.join(map(str, self.folders))}",
            "grid": _union([run["scene"]["grid"] for run in runs]),
        }
        created = _now().strftime(TIME_FORMAT)
        return {**runs[-1], "complete": complete, "created": created, "scene": scene}

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
            "parallax": predictor.parallax,
            "every": self.every_minutes,
            **{name: None if time is None else utc(time) for name, time in self.bounds.items()},
            **{name: value and str(value) for name, value in self.opening.items()},
        }


@contextmanager
def following_alone(out: Path) -> Iterator[None]:
    """Keep other processes from following into ``out``, made if absent.

    Raises:
        ConfigurationError: if one does, or results are there that no following made.
    """
    busy = f"{out} is followed into by another process; end that, or choose another folder"
    with locked(_state(out) / "lock", busy):
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


def _published(path: Path) -> dict[str, Any]:
    """What the products show; nothing where that is not known, so that they are written again."""
    published: dict[str, Any] = {"hours": {}}
    try:
        published |= json_object(path) if path.exists() else {}
    except CheckpointError as error:
        log.warning("%s; the products are written again", error)
    return published if isinstance(published["hours"], dict) else {"hours": {}}


def _at_hand(hour: PlannedHour) -> list[KnownFrame]:
    return [frame for frame in hour.there if frame.at_hand]


def _judged_hour(hour: PlannedHour, clip: DetectedClip, told: Mapping[str, Any]) -> JudgedHour:
    digests = tuple(frame.digest if frame and frame.at_hand else None for frame in hour.frames)
    return JudgedHour(clip=clip, times=hour.times, digests=digests, provenance=told)


def _not_judged(skipped: SkippedClip) -> DetectedClip:
    table = pd.DataFrame(columns=list(DETECTION_COLUMNS))
    return DetectedClip(end=skipped.end, newest_time=None, table=table, skipped=(skipped,))


def _union(grids: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What holds all grids, on the lattice of the first."""
    known = {Grid.from_dict(grid) for grid in grids}
    first = Grid.from_dict(grids[0])
    return (first if known == {first} else union_of(first, known)).to_dict()
