"""Checkpoints of a run: folders that are whole or absent, and verified before they are used.

::

    OUT/checkpoints/step-00000120/
        model.safetensors, ema.safetensors      the weights, whatever the engine
        config.json, preprocessor_config.json   so that `--init` takes the folder
        …                                       what the engine needs to go on
        progress.json                           how far the run is
        manifest.json                           SHA-256 of every file
"""

import hashlib
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from medicane_models.errors import CheckpointError, ConfigurationError, OutputError
from medicane_models.fields import from_mapping, json_object
from medicane_models.files import write_json
from medicane_training.engines.interface import Engine
from medicane_training.ranks import Ranks, any_of, barrier
from medicane_training.recipes.sections import TrainingSettings

__all__ = [
    "PROGRESS_FILE",
    "Best",
    "Checkpoints",
    "RunProgress",
    "damage",
    "newest_sound",
    "read_progress",
    "saved",
]

MANIFEST = "manifest.json"
PROGRESS_FILE = "progress.json"
PREFIX = "step-"
_FAILURES = (OSError, RuntimeError, SafetensorError)
"""What the disk and the device raise, after which no rank may wait for another."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The checkpoint that validation has chosen so far, and the name and value of its score."""

    step: int
    epoch: int
    name: str
    score: float


@dataclass(kw_only=True)
class RunProgress:
    """How far a run is; with the engine's state all that resuming needs.

    Attributes:
        step: batches behind it. A batch that was left out counts, so that rates keep to epochs.
        epoch: whole epochs behind it, their validation included.
        loader: where the training loader stands.
        lines: of ``metrics.jsonl``.
        epoch_sums: of steps, loss, gradient norm and seconds in this epoch.
        line_sums: the same since the last line of ``metrics.jsonl``.
        best: None before the first validation with a score.
        waited: validations since then.
        overflows: steps in a row whose gradient overflowed fp16.
        left_out: numbers of steps whose batch rolled the run back.
        seconds: of training and validation.
    """

    step: int = 0
    epoch: int = 0
    loader: dict[str, Any] = field(default_factory=dict)
    lines: int = 0
    epoch_sums: dict[str, float] = field(default_factory=dict)
    line_sums: dict[str, float] = field(default_factory=dict)
    best: Best | None = None
    waited: int = 0
    overflows: int = 0
    left_out: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, taken: Mapping[str, float], *, seconds: float) -> None:
        """Count a step that was taken, unless its gradient overflowed."""
        self.seconds += seconds
        if not math.isfinite(taken["gradient_norm"]):
            self.overflows += 1
            return
        self.overflows = 0
        for sums in (self.epoch_sums, self.line_sums):
            for name, value in {**taken, "steps": 1, "seconds": seconds}.items():
                sums[name] = sums.get(name, 0) + value


def read_progress(checkpoint: Path) -> RunProgress:
    """How far the run was when the checkpoint was saved.

    Raises:
        CheckpointError: if its file does not tell.
    """
    path = checkpoint / PROGRESS_FILE
    try:
        return from_mapping(RunProgress, json_object(path))
    except ConfigurationError as error:
        raise CheckpointError(f"{path} is damaged ({error}); go on from another one") from error


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint's files, in words; None if each is as it was saved."""
    try:
        manifest = json_object(checkpoint / MANIFEST)
        for name, expected in manifest.items():
            if Path(name).is_absolute() or ".." in Path(name).parts:
                return f"{MANIFEST} names {name!r}, which lies elsewhere"
            if not (checkpoint / name).is_file():
                return f"{name} is missing"
            if not str(expected).startswith(_size(checkpoint / name)):
                return f"{name} is of another size"
            if _seal(checkpoint / name) != expected:
                return f"{name} differs from its checksum"
    except (OSError, ValueError) as error:
        return f"{MANIFEST} cannot be read: {error}"
    return None


def saved(folder: Path) -> list[Path]:
    """Checkpoints in a folder that were saved to the end, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir())


def newest_sound(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is as it was saved; ``say`` is told of each that is not.

    Raises:
        CheckpointError: if there are some and all are damaged.
    """
    found = saved(folder)
    for path in reversed(found):
        if (problem := damage(path)) is None:
            return path
        say(f"{path} is damaged ({problem}); looking at the one before")
    if found:
        raise CheckpointError(
            f"every checkpoint in {folder} is damaged; start anew in another folder"
        )
    return None


class Checkpoints:
    """The checkpoints of a run, saved by all ranks together."""

    def __init__(self, folder: Path, settings: TrainingSettings, ranks: Ranks) -> None:
        """Look after a folder.

        Args:
            folder: of the checkpoints, made when the first is saved.
            settings: how often is saved, and how many are kept besides the best.
            ranks: of the run.
        """
        self.folder = folder
        self.settings = settings
        self.ranks = ranks
        self._saved = time.monotonic()

    def at(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.folder / f"{PREFIX}{step:08d}"

    def due(self, step: int) -> bool:
        """Whether it is time to save, by this rank's clock."""
        minutes, steps = self.settings.save_every_minutes, self.settings.save_every_steps
        waited = time.monotonic() - self._saved
        return (steps is not None and step % steps == 0) or (
            minutes is not None and waited > 60 * minutes
        )

    def save(self, engine: Engine, progress: RunProgress) -> Path:
        """Save the run as it is and drop what is no longer kept. Called on all ranks.

        Raises:
            OutputError: if a rank cannot write; the former checkpoints are as they were.
        RuntimeError: of this rank's device.
        """
        final = self.at(progress.step)
        temporary = final.with_name(f".{final.name}.part")
        self._together(temporary, lambda: self._begin(temporary))
        self._together(temporary, lambda: engine.save(temporary))
        self._together(temporary, lambda: self._complete(temporary, final, engine, progress))
        self._saved = time.monotonic()
        return final

    def _together(self, temporary: Path, work: Callable[[], None]) -> None:
        """Do a part of saving on every rank; if one fails, all give up."""
        failure: Exception | None = None
        try:
            work()
        except _FAILURES as error:
            failure = error
        if not any_of(failure is not None, self.ranks):
            return
        barrier(self.ranks)
        if self.ranks.is_main:
            shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(failure, RuntimeError):  # of the device, not of the disk
            raise failure
        reason = "another process could not write" if failure is None else _reason(failure)
        raise OutputError(
            f"{temporary.parent / temporary.name[1:-5]} cannot be written ({reason}); the former "
            "checkpoints are whole: free space there and start the same command again"
        ) from failure

    def _begin(self, temporary: Path) -> None:
        if self.ranks.is_main:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)

    def _complete(
        self, temporary: Path, final: Path, engine: Engine, progress: RunProgress
    ) -> None:
        if not self.ranks.is_main:
            return
        engine.model.config.save_pretrained(temporary)
        if engine.model.processor is not None:
            engine.model.processor.save_pretrained(temporary)
        write_json(temporary / PROGRESS_FILE, progress)
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        seals = {path.relative_to(temporary).as_posix(): _seal(path) for path in files}
        write_json(temporary / MANIFEST, seals)
        for path in [*files, temporary / MANIFEST, temporary]:
            _flush(path)
        self._swap(temporary, final)
        self._prune(progress)

    def _swap(self, temporary: Path, final: Path) -> None:
        """Give the new folder its name; one of that name is there after a step saved twice."""
        former = final.with_name(f".{final.name}.former")
        shutil.rmtree(former, ignore_errors=True)
        if final.exists():
            final.rename(former)
        temporary.rename(final)
        _flush(final.parent)
        shutil.rmtree(former, ignore_errors=True)

    def recover(self) -> None:
        """Undo a swap that was cut off between its two renames; clear what a kill has left."""
        for former in self.folder.glob(f".{PREFIX}*.former"):
            final = former.with_name(former.name[1:].removesuffix(".former"))
            if not final.exists():
                former.rename(final)
        for rest in self.folder.glob(f".{PREFIX}*"):
            shutil.rmtree(rest, ignore_errors=True)

    def _prune(self, progress: RunProgress) -> None:
        there = saved(self.folder)
        # damaged ones that a resumed run has passed over may be newer
        kept = {path for path in there if path <= self.at(progress.step)}
        kept = set(sorted(kept)[-self.settings.keep :])
        if progress.best is not None:
            kept.add(self.at(progress.best.step))
        for path in set(there) - kept:
            # a name that is not listed, lest a kill leaves half a checkpoint to be found
            doomed = path.rename(path.with_name(f".{path.name}.part"))
            shutil.rmtree(doomed, ignore_errors=True)


def _size(path: Path) -> str:
    return f"{path.stat().st_size} bytes, "


def _seal(path: Path) -> str:
    """Size and checksum: the size is compared first, since a damaged file may seem endless."""
    with path.open("rb") as file:
        return _size(path) + hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    first = error.__cause__ if isinstance(error, OutputError) else error
    return (isinstance(first, OSError) and first.strerror) or str(first)
