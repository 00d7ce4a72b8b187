"""Signals that ask a run to leave: it finishes the step, saves, and says that it wants to go on."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from medicane_models.errors import MedicaneError

__all__ = ["REQUEUE_EXIT_CODE", "InterruptedRunError", "Interrupts", "ignore_signals"]

REQUEUE_EXIT_CODE = 99
"""Grid Engine puts a job that leaves with it back into the queue. The others have to be told:
LSF ``bsub -Q 99``, HTCondor ``checkpoint_exit_code = 99``, Slurm ``RequeueExit=99`` of its
administrator or, in the script of a job, ``scontrol requeue $SLURM_JOB_ID`` after this code."""

INTERRUPT_EXIT_CODE = 130
"""What shells report of a command that Ctrl-C has ended; no scheduler should start it again."""


class InterruptedRunError(MedicaneError):
    """A signal has ended the run; what it had done is saved."""

    def __init__(self, message: str, exit_code: int = REQUEUE_EXIT_CODE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def ignore_signals() -> None:
    """Let a helper process outlive a signal to its whole group; its parent ends it."""
    for number in Interrupts.SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Interrupts:
    """Notes SIGTERM, SIGUSR1 and the first Ctrl-C while it is entered, instead of dying of them.

    Attributes:
        caught: the signal that came, if one did.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Python hands signals to the main thread alone
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    @property
    def exit_code(self) -> int:
        """What to leave with."""
        return INTERRUPT_EXIT_CODE if self.caught == signal.SIGINT else REQUEUE_EXIT_CODE

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.caught = signal.Signals(number)
        if number == signal.SIGINT:  # the second Ctrl-C does not wait
            signal.signal(number, self._former[signal.SIGINT])
