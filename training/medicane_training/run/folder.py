"""The folder of a run: what is being run in it, and from where it goes on.

::

    OUT/
        run.yaml                                the recipe, complete, and where it ran
        split.csv                               which clip is in which part
        metrics.jsonl, tensorboard/, curves.png
        checkpoints/, pictures/
        model.safetensors, config.json, preprocessor_config.json, README.md
        validation.parquet, scores.json         written last: the run is through
        test.parquet, test.json                 of the final test
"""

import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch

from medicane_models.errors import CheckpointError, ConfigurationError, MedicaneError
from medicane_models.fields import json_object
from medicane_models.files import alone_in, replacing
from medicane_models.hub import WEIGHTS_NAME
from medicane_models.versions import DISTRIBUTION, software_versions
from medicane_training.ranks import Ranks, shared
from medicane_training.recipes.kinds import Recipe
from medicane_training.recipes.loading import (
    RUN_FILE,
    RUN_KEY,
    as_yaml,
    differences,
    load_recipe,
    to_yaml,
)
from medicane_training.run.checkpoint import (
    PROGRESS_FILE,
    Best,
    Checkpoints,
    damage,
    newest_sound,
    read_progress,
    saved,
)

__all__ = ["RunFolder", "on_main"]

PACKAGES = (DISTRIBUTION, "timm", "numpy")
CHECKPOINTS = "checkpoints"
FREE = {
    "data.workers",
    "model.license",
    "training.keep",
    "training.save_every_minutes",
    "training.save_every_steps",
}
"""Settings that may change when a run goes on, because no result depends on them."""

V = TypeVar("V")


class RunFolder:
    """Where a run writes."""

    def __init__(self, path: Path, recipe: Recipe, ranks: Ranks) -> None:
        self.path = path
        self.recipe = recipe
        self.run_file = path / RUN_FILE
        self.scores_file = path / "scores.json"
        self.pictures = path / "pictures"
        self.checkpoints = Checkpoints(path / CHECKPOINTS, recipe.training, ranks)

    def alone(self, *, test: bool) -> AbstractContextManager[None]:
        """Keep other runs out, unless this one is through and no final test is; for rank 0."""
        return nullcontext() if self.finished and not test else alone_in(self.path)

    @property
    def finished(self) -> bool:
        """Whether the run is through and the folder holds its model."""
        return self.scores_file.is_file()

    def scores(self) -> dict[str, Any]:
        """What a finished run has come to."""
        return json_object(self.scores_file)

    def source(self, resume: str, say: Callable[[str], None]) -> Path | None:
        """Find the checkpoint to go on from, here or elsewhere, on rank 0; nothing is written yet.

        Args:
            resume: ``auto``, ``none``, or the folder of another run or a checkpoint.
            say: told of checkpoints that are passed over.

        Raises:
            ConfigurationError: the folder holds something else.
            CheckpointError: no checkpoint can be used.
        """
        if resume == "none" and self.run_file.exists():
            raise ConfigurationError(
                f"{self.path} holds a run; go on with --resume auto, or choose another --out"
            )
        if not self.run_file.exists() and (self.path / WEIGHTS_NAME).exists():
            raise ConfigurationError(
                f"{self.path} holds a model that no run has written; choose another --out"
            )
        if not self.finished:
            self.checkpoints.recover()
        if self.finished or saved(self.checkpoints.folder):
            self._compare(say)
            return None if self.finished else newest_sound(self.checkpoints.folder, say)
        return None if resume in ("auto", "none") else _checkpoint_of(Path(resume), say)

    def begin(
        self, source: Path | None, command: Sequence[str], say: Callable[[str], None]
    ) -> Path | None:
        """Write ``run.yaml`` of a run that begins here, on rank 0.

        Args:
            source: what `source` has found.
            command: what was typed.
            say: told of settings that change.

        Returns:
            The checkpoint to go on from, which is in this folder.
        """
        if source is not None and source.parent == self.checkpoints.folder:
            return source
        self._describe(command)
        if source is None:
            return None
        _tell_differences(source, self.recipe, say)
        return adopt(source, self)

    def holds(self, best: Best, selects: str) -> bool:
        """Whether the best checkpoint is here, and chosen by the same score."""
        return best.name == selects and self.checkpoints.at(best.step).is_dir()

    def _describe(self, command: Sequence[str]) -> None:
        """Write ``run.yaml``."""
        run = {
            "command": shlex.join(command),
            "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "versions": software_versions(PACKAGES)
            | {"torch": str(torch.__version__), "python": platform.python_version()},
            "commit": _commit(),
        }
        with replacing(self.run_file) as temporary:
            temporary.write_text(to_yaml(self.recipe) + as_yaml({RUN_KEY: run}), "utf-8")

    def _compare(self, say: Callable[[str], None]) -> None:
        """Refuse to go on with another recipe."""
        former = load_recipe(self.recipe.flow, file=self.run_file)
        changes = differences(self.recipe, former)
        if told := [text for text in changes if text.partition(" is ")[0] not in FREE]:
            raise ConfigurationError(
                f"{self.path} holds a run of another recipe: {'; '.join(told)}; give the same "
                f"settings (--config {self.run_file}), or choose another --out"
            )
        for text in changes:
            say(text)


def on_main(work: Callable[[], V], ranks: Ranks) -> V:
    """What rank 0 makes of ``work``, on all ranks; if it fails, all leave and rank 0 says why."""
    result: Any = None
    if ranks.is_main:
        try:
            result = work()
        except (MedicaneError, OSError) as error:
            result = error
    result = shared(result, ranks)
    if not isinstance(result, Exception):
        return result
    if ranks.is_main:
        raise result
    raise SystemExit(1)


def adopt(checkpoint: Path, target: RunFolder) -> Path:
    """Copy what another run has come to into a new run's folder: metrics, best, checkpoint.

    The checkpoint comes last, so that a killed copy is begun anew.

    Returns:
        The checkpoint's copy.
    """
    metrics = checkpoint.absolute().parents[1] / "metrics.jsonl"
    if metrics.is_file():
        shutil.copyfile(metrics, target.path / metrics.name)
    progress = read_progress(checkpoint)
    copy = target.checkpoints.at(progress.step)
    if progress.best is not None and progress.best.step != progress.step:
        best = target.checkpoints.at(progress.best.step)
        if (found := checkpoint.with_name(best.name)).is_dir():
            _copy(found, best)
    _copy(checkpoint, copy)
    return copy


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.part")
    shutil.copytree(source, temporary)
    temporary.rename(target)


def _tell_differences(checkpoint: Path, recipe: Recipe, say: Callable[[str], None]) -> None:
    former = checkpoint.absolute().parents[1] / RUN_FILE
    if former.is_file():
        for text in differences(recipe, load_recipe(recipe.flow, file=former)):
            say(f"{text} that goes on here")


def _checkpoint_of(source: Path, say: Callable[[str], None]) -> Path:
    if (source / PROGRESS_FILE).is_file():
        if (problem := damage(source)) is not None:
            raise CheckpointError(f"{source} is damaged ({problem}); give another checkpoint")
        return source
    found = newest_sound(source / CHECKPOINTS, say)
    if found is None:
        raise CheckpointError(
            f"{source} holds no checkpoint; --resume takes auto, none, the folder of a run or one "
            "of its checkpoints"
        )
    return found


def _commit() -> str | None:
    """Of this package, if it runs from a checkout; with ``-dirty`` if files have changed."""
    here = Path(__file__)
    # an installed package may lie inside the repository of something else
    if not _git("ls-files", here.name, folder=here.parent):
        return None
    command = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    return _git(*command, folder=here.parent)


def _git(*command: str, folder: Path) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(  # noqa: S603 - nothing of it comes from outside
        [git, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None
