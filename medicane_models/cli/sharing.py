"""Who judges the clips of ``medicane predict``: this process, some beside it, or a cluster."""

import os
from collections.abc import Callable, Sequence
from contextlib import chdir, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from medicane_models.errors import ConfigurationError

if TYPE_CHECKING:
    from medicane_models.prediction.run import PredictionRun
    from medicane_models.prediction.workers import HourStream, RunMaker
    from medicane_models.scenes.clips import ClipPlan

__all__ = ["check_sharing", "judge_with", "threads_of_each"]


def check_sharing(workers: int | None, dask: str | None, *, follows: bool) -> None:
    """Refuse what cannot be meant by --workers and --dask."""
    given = f"--workers is {workers}" if dask is None else f"--dask is {dask}"
    if workers is not None and dask is not None:
        raise ConfigurationError(
            f"{given}, which has workers of its own, and --workers is {workers}; give one of them"
        )
    if follows and (workers or dask):
        raise ConfigurationError(
            f"{given}, and files that arrive are judged by one process; leave it out"
        )


def threads_of_each(threads: int | None, workers: int | None) -> int | None:
    """Threads of each process: as asked for, else its share of the cores if it is not alone."""
    if threads is not None or workers in (None, 1):
        return threads
    return max(1, len(os.sched_getaffinity(0)) // workers)


def judge_with(
    run: "PredictionRun", make_run: "RunMaker", *, workers: int | None, dask: str | None
) -> "Callable[[Sequence[ClipPlan]], HourStream]":
    """What judges clips of a run, which other processes make anew."""
    from medicane_models.prediction.workers import (
        judged_by_dask,
        judged_by_processes,
        judged_here,
    )

    made = partial(_made_in, str(Path.cwd()), make_run)
    if dask is not None:
        return partial(judged_by_dask, made, address=dask)
    if workers in (None, 1):
        return partial(judged_here, run)
    return partial(judged_by_processes, made, workers=workers)


def _made_in(folder: str, make_run: "RunMaker") -> "PredictionRun":
    """A run whose files are named as from a folder, if that is there."""
    with chdir(folder) if Path(folder).is_dir() else nullcontext():
        return make_run()
