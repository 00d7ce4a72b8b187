"""What has arrived: which images, the frames they hold, and which cannot be read, and why."""

import logging
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd

from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    SceneError,
    SceneWarning,
    UnjudgedWarning,
)
from medicane_models.fields import check_fields, from_mapping, json_object
from medicane_models.files import json_text, write_json
from medicane_models.scenes.clips import frame_times, load_frame
from medicane_models.scenes.opening import scene_grid
from medicane_models.scenes.readers.recording import UNREADABLE
from medicane_models.times import utc

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Arrivals", "KnownFrame", "are_unchanged", "mark_of"]

PATIENCE_SECONDS = 300.0  # a file that nobody has written to for so long will not be completed
SAVE_EVERY = 100  # images that are looked at

log = logging.getLogger(__name__)

Mark = tuple[str, int, int]
"""A file's path, its size in bytes, and when it was last written to, in nanoseconds."""


@dataclass(frozen=True, kw_only=True)
class ArrivedImage:
    """The files of one image, as they were looked at last.

    Attributes:
        marks: of its files.
        first_seen: when they were first seen so, in seconds since 1970.
        state: "read"; "waiting" if it cannot be read yet; "refused" if it cannot be read.
        reason: why.
        convention: what its times mean.
        place: what tells its grid from others.
        frames: by time as the image tells it, in ISO 8601, what tells pixels apart; of one that
            waits those it had before, too.
    """

    marks: tuple[Mark, ...]
    first_seen: float
    state: Literal["read", "waiting", "refused"]
    reason: str | Literal[""] | None = None
    convention: Literal["start_of_scan", "end_of_scan", ""] = ""
    place: str | Literal[""] = ""
    frames: Mapping[str, str]

    def __post_init__(self) -> None:
        check_fields(self)
        for time in self.frames:
            utc(time)

    @property
    def files(self) -> tuple[Path, ...]:
        """Where it is."""
        return tuple(Path(path) for path, _, _ in self.marks)


class KnownFrame(NamedTuple):
    """A frame that has arrived, even if its image is gone since.

    Attributes:
        time: as the image tells it.
        digest: of its time and pixels; a copy has the same.
        marks: of the files that hold it.
        convention: what the time means.
        place: what tells its image's grid from others.
        at_hand: whether these files are there, and are not being written to.
    """

    time: pd.Timestamp
    digest: str
    marks: tuple[Mark, ...]
    convention: str
    place: str
    at_hand: bool


class Arrivals:
    """The images of some folders, remembered in a file.

    Each is read once, and again when its files change. What cannot be read is tried again until its
    files have stayed the same for a while, and then refused until they change.

    Args:
        path: of the file.
        opened: opens the files of an image; SceneError where it does not fit.
        wanted: between which times frames are of use; None leaves an end open.
        patience_seconds: how long a file that cannot be read may still be on its way.
    """

    def __init__(
        self,
        path: Path,
        opened: Callable[[Sequence[Path]], "xr.Dataset"],
        wanted: tuple[pd.Timestamp | None, pd.Timestamp | None] = (None, None),
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.path = path
        self.patience_seconds = patience_seconds
        self._opened = opened
        self._wanted = wanted
        self._images = _stored(path) if path.exists() else {}
        self._at_hand: set[str] = set()

    def look(self, images: Mapping[str, Sequence[Path]], now: float, stop: threading.Event) -> None:
        """Read what is new or has changed.

        Args:
            images: the files of all that are there, by name.
            now: seconds since 1970.
            stop: leaves the rest for another time once it is set.
        """
        self._at_hand = set(images)
        kept = {n: image for n, image in self._images.items() if n in images or image.frames}
        looked_at, has_lost = 0, len(kept) < len(self._images)
        self._images = kept
        for name, files in images.items():
            if stop.is_set():
                break
            looked_at += self._look_at(name, files, now)
            if looked_at and looked_at % SAVE_EVERY == 0:
                self._save()
        if looked_at or has_lost:
            self._save()

    def frames(self) -> list[KnownFrame]:
        """In order of time; of several of one time that of the first image by name, if at hand."""
        known: dict[str, KnownFrame] = {}
        for name in sorted(self._images, key=lambda name: (not self._is_at_hand(name), name)):
            image, at_hand = self._images[name], self._is_at_hand(name)
            for time, digest in image.frames.items():
                told = image.marks, image.convention, image.place, at_hand
                known.setdefault(time, KnownFrame(utc(time), digest, *told))
        return sorted(known.values(), key=lambda frame: frame.time)

    @property
    def newest(self) -> pd.Timestamp | None:
        """Time of the newest frame, as its image tells it."""
        times = [time for image in self._images.values() for time in image.frames]
        return utc(max(times)) if times else None

    def reasons(self, state: Literal["waiting", "refused"]) -> dict[str, str]:
        """Why images wait or are refused, by name."""
        found = {n: image for n, image in self._images.items() if n in self._at_hand}
        return {n: image.reason or "" for n, image in found.items() if image.state == state}

    def _is_at_hand(self, name: str) -> bool:
        return name in self._at_hand and self._images[name].state != "waiting"

    def _look_at(self, name: str, files: Sequence[Path], now: float) -> bool:
        """Whether there was anything to read."""
        try:
            marks = tuple(mark_of(file) for file in files)
        except OSError:  # went while the folder was listed, or leads nowhere
            self._at_hand.discard(name)
            return False
        known = self._images.get(name)
        is_same = known is not None and known.marks == marks
        if known is not None and is_same and known.state != "waiting":
            return False
        first_seen = min(known.first_seen, now) if known is not None and is_same else now
        image = ArrivedImage(marks=marks, first_seen=first_seen, state="read", frames={})
        image = self._read(image, now)
        if image.state == "waiting" and known is not None:
            image = replace(
                image,
                convention=known.convention or image.convention,
                place=known.place or image.place,
                frames={**known.frames, **image.frames},
            )
        if image.state == "refused":
            log.warning("%s is refused: %s", name, image.reason)
        self._images[name] = image
        return True

    def _read(self, image: ArrivedImage, now: float) -> ArrivedImage:
        """The image with its frames, or why it has none."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                scene = self._opened(image.files)
                found = dict(_digests(scene, self._wanted))
            except ConfigurationError:
                raise
            except (SceneError, *UNREADABLE) as error:
                return self._unread(image, now, [*_said(told), str(error) or type(error).__name__])
        seen = {time: digest for time, digest in found.items() if digest}
        grid = json_text(scene_grid(scene).to_dict()).encode()
        image = replace(
            image,
            convention=scene.attrs["time_convention"],
            place=blake2b(grid, digest_size=8).hexdigest(),
            frames=seen,
        )
        if len(seen) == len(found):
            return image
        return self._unread(image, now, _said(told) or ["it shows nothing"])

    def _unread(self, image: ArrivedImage, now: float, reasons: Sequence[str]) -> ArrivedImage:
        is_final = now - image.first_seen >= self.patience_seconds
        state = "refused" if is_final else "waiting"
        return replace(image, state=state, reason="; ".join(reasons).strip())

    def _save(self) -> None:
        write_json(self.path, self._images)


def are_unchanged(frames: Sequence[KnownFrame]) -> bool:
    """Whether the files of frames are as they were when they were looked at."""
    marks = {mark for frame in frames for mark in frame.marks}
    try:
        return all(mark_of(Path(mark[0])) == mark for mark in marks)
    except OSError:
        return False


def _stored(path: Path) -> dict[str, ArrivedImage]:
    try:
        return {n: from_mapping(ArrivedImage, image) for n, image in json_object(path).items()}
    except ConfigurationError as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); remove it, and all that is in the folders is looked at "
            "again"
        ) from error


def _said(told: Iterable[warnings.WarningMessage]) -> list[str]:
    kinds = (each for each in told if issubclass(each.category, SceneWarning))
    return [str(each.message) for each in kinds if not issubclass(each.category, UnjudgedWarning)]


def mark_of(path: Path) -> Mark:
    """Of a file, or of all that is in a folder."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    newest = max((stat.st_mtime_ns for stat in stats), default=0)
    return str(path), sum(stat.st_size for stat in stats), newest


def _digests(
    scene: "xr.Dataset", wanted: tuple[pd.Timestamp | None, pd.Timestamp | None]
) -> Iterator[tuple[str, str | None]]:
    """Time and digest of each frame that is wanted; None for one that shows nothing."""
    first, last = wanted
    for row, time in enumerate(frame_times(scene)):
        if (first is None or first <= time) and (last is None or time <= last):
            yield time.isoformat(), _digest(load_frame(scene, row), time)


def _digest(frame: "xr.Dataset", time: pd.Timestamp) -> str | None:
    layers = list(_layers(frame))
    if not any(np.isfinite(layer).any() for layer in layers):
        return None
    digest = blake2b(time.isoformat().encode(), digest_size=16)
    for layer in layers:
        digest.update(layer.tobytes())
    return digest.hexdigest()


def _layers(frame: "xr.Dataset") -> Iterator[np.ndarray]:
    """What a frame shows, in the order of names."""
    for _, layer in sorted(frame.data_vars.items(), key=lambda named: str(named[0])):
        if {"y", "x"} <= set(layer.dims):
            yield layer.to_numpy()
