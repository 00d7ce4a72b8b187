"""Runs over a scene of one cold spot that other processes can make, and that trouble these."""

import os
import signal
import warnings
from pathlib import Path

from cold_spots import predictor

from medicane_models.errors import SceneError, SceneWarning
from medicane_models.prediction.run import PredictionRun

FATAL, DOUBTFUL = "02:00", "03:00"


def run_over(path: Path, **how) -> PredictionRun:
    found = predictor()
    return found.run(found.open(path), every_minutes=15, **how)


class TroubledRun(PredictionRun):
    """A run that does something when it judges the clip of 02:00, and warns of that of 03:00."""

    def _detect(self, clip):
        if f"{clip.end:%H:%M}" == FATAL:
            self.trouble()
        if f"{clip.end:%H:%M}" == DOUBTFUL:
            warnings.warn("doubtful", SceneWarning, stacklevel=1)
        return super()._detect(clip)


def killed_once(path: Path, **how) -> PredictionRun:
    """A run that kills the first process that judges the clip of 02:00."""
    warnings.warn("the scene is doubtful", SceneWarning, stacklevel=1)
    flag = path.with_suffix(".killed")
    return _troubled(path, lambda: flag.exists() or (flag.touch(), _kill()), **how)


def killed_always(path: Path) -> PredictionRun:
    """A run that kills every process that judges the clip of 02:00."""
    return _troubled(path, _kill)


def failing(path: Path) -> PredictionRun:
    """A run that finds the clip of 02:00 unreadable."""
    return _troubled(path, _fail)


def _troubled(path: Path, trouble, **how) -> PredictionRun:
    run = run_over(path, **how)
    run.__class__, run.trouble = TroubledRun, trouble
    return run


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail() -> None:
    raise SceneError("the frame of 02:00 is unreadable")
