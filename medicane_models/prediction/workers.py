"""Clips judged by other processes, of this machine or of a dask cluster, told in any order.

Each makes a run of its own, so that a clip is judged there as it would be here.
"""

import multiprocessing
import pickle
import signal
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Self

import pandas as pd

from medicane_models.errors import ConfigurationError, SceneWarning, WorkerError, require
from medicane_models.prediction.judged_hours import JudgedHour, PackedHour, packed_hour
from medicane_models.prediction.run import PredictionRun
from medicane_models.scenes.clips import ClipPlan

__all__ = ["HourStream", "RunMaker", "judged_by_dask", "judged_by_processes", "judged_here"]

MOST_DEATHS = 3  # of processes that judge the same clip
LONGEST_CHUNK = 24  # clips: those that follow one another share frames
SECONDS_TO_DIE = 5.0  # from the end of a connection to the end of its process
CHUNKS_A_WORKER = 4  # at least, so that all end at about the same time

RunMaker = Callable[[], PredictionRun]
"""What another process makes its run with: a function of a module, or `partial` of one."""

Chunk = Sequence[ClipPlan]
HourStream = Generator[PackedHour, None, None]


def judged_here(run: PredictionRun, plans: Chunk) -> HourStream:
    """Clips judged by this process, each frame read once."""
    for clip in run.judge(plans):
        yield packed_hour(JudgedHour(clip=clip))


def judged_by_processes(make_run: RunMaker, plans: Chunk, workers: int) -> HourStream:
    """Clips judged by so many processes of this machine.

    What a process that dies had not told is judged by another one, which takes its place. All end
    with this iterator, or with this process.

    Raises:
        WorkerError: if processes keep dying on the same clip.
    """
    waiting = deque(_chunks(plans, workers))
    deaths: Counter[pd.Timestamp] = Counter()
    team = [_Worker.start(make_run) for _ in range(min(workers, len(waiting)))]
    try:
        for worker in team:
            worker.give(waiting.popleft())
        while busy := [worker for worker in team if worker.left]:
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                hour = worker.told()
                if hour is None:
                    _note_death(deaths, worker)
                    team[team.index(worker)] = worker.replaced(make_run)
                else:
                    yield hour
                    if waiting and not worker.left:
                        worker.give(waiting.popleft())
    finally:
        for worker in team:
            worker.connection.close()
        for worker in team:
            worker.end()


def judged_by_dask(make_run: RunMaker, plans: Chunk, address: str) -> HourStream:
    """Clips judged by the workers of a dask scheduler; what a lost one had not told, by others.

    Raises:
        ConfigurationError: if no scheduler answers at the address.
        WorkerError: if workers keep dying on the same clips.
        MissingExtraError: if distributed is not installed.
    """
    distributed = require("distributed", "dask")
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"no dask scheduler answers at {address} ({error}); start one, or correct --dask"
        ) from error
    made = pickle.dumps(make_run)
    with client:
        chunks = _chunks(plans, max(1, len(client.nthreads())))
        futures = [client.submit(judge_chunk, made, chunk, pure=False) for chunk in chunks]
        try:
            for future in distributed.as_completed(futures):
                hours, told = future.result()
                _warn(told)
                yield from hours
        except distributed.KilledWorker as error:
            raise WorkerError(
                f"dask's workers keep dying ({error}); give them more memory, and the same command "
                "goes on"
            ) from error
        finally:
            client.cancel(futures)


def judge_chunk(made: bytes, plans: Chunk) -> tuple[list[PackedHour], list[str]]:
    """What a worker of dask does: clips, and what was warned of."""
    run, alone = _run_of(made)
    with alone:
        hours = list(_judged_and_told(run, plans))
    return [hour for hour, _ in hours], [text for _, told in hours for text in told]


@lru_cache(maxsize=1)  # a worker's chunks are mostly of one run
def _run_of(made: bytes) -> tuple[PredictionRun, threading.Lock]:
    """The run of this process, for one thread at a time."""
    return _silently(pickle.loads(made)), threading.Lock()  # noqa: S301 - of our own client


def _silently(make_run: RunMaker) -> PredictionRun:
    """A run; what there is to say of its scene, the process that asks for it has said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        return make_run()


def _judged_and_told(run: PredictionRun, plans: Chunk) -> Iterator[tuple[PackedHour, list[str]]]:
    """Hour by hour, with what was warned of meanwhile."""
    hours = judged_here(run, plans)
    while True:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", SceneWarning)
            hour = next(hours, None)
        if hour is None:
            return
        yield hour, [str(each.message) for each in told if issubclass(each.category, SceneWarning)]


def _chunks(plans: Chunk, workers: int) -> list[Chunk]:
    """Clips that follow one another, for one worker each."""
    size = min(LONGEST_CHUNK, max(1, -(-len(plans) // (CHUNKS_A_WORKER * workers))))
    return [plans[first : first + size] for first in range(0, len(plans), size)]


def _warn(told: Sequence[str]) -> None:
    for text in told:
        warnings.warn(text, SceneWarning, stacklevel=3)


@dataclass(kw_only=True, eq=False)
class _Worker:
    """A process, and the clips that it was given and has not told of."""

    process: BaseProcess
    connection: Connection
    left: list[ClipPlan] = field(default_factory=list)

    @classmethod
    def start(cls, make_run: RunMaker) -> Self:
        context = multiprocessing.get_context("spawn")  # threads of torch do not survive a fork
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(make_run, theirs), daemon=True)
        process.start()
        theirs.close()  # or nobody would notice that it has died
        return cls(process=process, connection=ours)

    def give(self, chunk: Chunk) -> None:
        self.left = list(chunk)
        with suppress(OSError):  # it has died, which `told` notices
            self.connection.send(self.left)

    def told(self) -> PackedHour | None:
        """The next hour; None if the process has died.

        Raises:
            Exception: what went wrong in it.
        """
        try:
            hour, told = self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self.process.join(SECONDS_TO_DIE)
            return None
        if isinstance(hour, Exception):
            raise hour
        _warn(told)
        self.left.pop(0)
        return hour

    def end(self) -> None:
        """Let the process end when nobody listens any more; killed, it would leave semaphores."""
        self.process.join(SECONDS_TO_DIE)
        self.process.kill()

    def replaced(self, make_run: RunMaker) -> Self:
        """Another one that does what this one has left."""
        self.process.kill()
        self.process.join()
        worker = self.start(make_run)
        worker.give(self.left)
        return worker


def _work(make_run: RunMaker, connection: Connection) -> None:
    """What a process does until nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; who started this one ends it
    try:
        run = _silently(make_run)
        while True:
            for told in _judged_and_told(run, connection.recv()):
                connection.send(told)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        connection.send((error, []))


def _note_death(deaths: Counter[pd.Timestamp], worker: _Worker) -> None:
    end = worker.left[0].end
    deaths[end] += 1
    if deaths[end] == MOST_DEATHS:
        raise WorkerError(
            f"{MOST_DEATHS} processes have died while they judged the clip ending {end} (exit code "
            f"{worker.process.exitcode}; -9 is often too little memory); give fewer --workers, and "
            "the same command goes on"
        )
