"""Runs that go on where they were interrupted: what they judge lies on disk until they end."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pandas as pd

from medicane_models.errors import ConfigurationError
from medicane_models.files import json_text
from medicane_models.prediction.arrivals import mark_of
from medicane_models.prediction.detected_clips import DetectedClip
from medicane_models.prediction.judged_hours import HourFiles
from medicane_models.prediction.kept_settings import differing_settings
from medicane_models.prediction.run import PredictionRun
from medicane_models.prediction.workers import HourStream
from medicane_models.scenes.clips import ClipPlan, frame_times

__all__ = ["UnfinishedRun", "going_on"]

log = logging.getLogger(__name__)


class UnfinishedRun:
    """The clips of a run in order of time, each judged once however often this is begun anew.

    Args:
        run: which takes them, whoever judges them.
        hours: where they are kept.
        judge: judges clips, and tells them in any order.
    """

    def __init__(
        self,
        run: PredictionRun,
        hours: HourFiles,
        judge: Callable[[Sequence[ClipPlan]], HourStream],
    ) -> None:
        self.run = run
        self.hours = hours
        self._judge = judge

    def __len__(self) -> int:
        """How many clips are planned."""
        return len(self.run)

    def __iter__(self) -> Iterator[DetectedClip]:
        """Clips as they are read from disk, with their pictures if the run makes such."""
        judged = set(self._judged_before())
        if judged:
            log.info("%d of %d clips were judged before", len(judged), len(self))
        plans = [plan for plan in self.run.plans if plan.end not in judged]
        with closing(self._judge(plans)) as arriving:
            for plan in self.run.plans:
                while plan.end not in judged:
                    hour = next(arriving)
                    self.hours.write(hour)
                    judged.add(hour.end)
                clip = self.hours.with_pictures(self.hours.read(plan.end))
                self.run.take(clip)
                yield clip

    def _judged_before(self) -> Iterator[pd.Timestamp]:
        """Ends of clips that need not be judged; pictures may be wanted now and not before."""
        for hour in self.hours.stored():
            end, has_frames = hour.clip.end, hour.clip.newest_time is not None
            if not (self.run.pictures and has_frames) or self.hours.has_picture(end):
                yield end


@contextmanager
def going_on(
    folder: Path, run: PredictionRun, *, files: Sequence[Path], overwrite: bool
) -> Iterator[HourFiles]:
    """Yield what was judged of a run before.

    Args:
        folder: where it lies; made, and left if anything was judged. Who calls keeps other
            processes from it.
        run: the one that goes on.
        files: what it reads.
        overwrite: whether what was judged with other settings or files may be removed.

    Raises:
        ConfigurationError: if something was.
    """
    hours = HourFiles(folder / "hours", run.processor)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _keep_settings(hours, _settings(run, files), overwrite=overwrite)
        yield hours
    finally:
        if not any(len(hour.clip.table) for hour in hours.stored()):
            hours.clear()
            _remove_state(folder)


def _keep_settings(hours: HourFiles, settings: dict[str, Any], *, overwrite: bool) -> None:
    path = hours.folder.parent / "settings.json"
    differing = differing_settings(path, settings)
    if differing and not overwrite:
        raise ConfigurationError(
            f"{hours.folder} was judged otherwise ({', '.join(differing)} differ); give the same "
            "to go on, --overwrite to begin anew, or another folder"
        )
    if differing:
        hours.clear()
        path.unlink()
        differing_settings(path, settings)


def _settings(run: PredictionRun, files: Sequence[Path]) -> dict[str, Any]:
    """All that what is judged depends on."""
    told = run.provenance()
    del told["complete"], told["created"]
    models = [Path(model.name) for model in run.models]
    times = frame_times(run.scene).astype("int64").tolist()
    return {
        **told,
        "frames": _digest(times),
        "scene files": _digest([mark_of(path) for path in files]),
        "model files": _digest([mark_of(path) for path in models if path.exists()]),
    }


def _digest(values: Sequence[Any]) -> str:
    return blake2b(json_text(values).encode(), digest_size=16).hexdigest()


def _remove_state(folder: Path) -> None:
    """Leave nothing of a run that has judged nothing."""
    (folder / "settings.json").unlink(missing_ok=True)
    for emptied in (folder / "hours", folder):
        with suppress(OSError):
            emptied.rmdir()
