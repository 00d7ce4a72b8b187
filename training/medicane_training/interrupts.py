"""What a run leaves with that a signal has ended: it is saved, and says that it wants to go on."""

import signal

from medicane_models.errors import MedicaneError

__all__ = ["REQUEUE_EXIT_CODE", "InterruptedRunError"]

REQUEUE_EXIT_CODE = 99
"""Grid Engine puts a job that leaves with it back into the queue. The others have to be told:
LSF ``bsub -Q 99``, HTCondor ``checkpoint_exit_code = 99``, Slurm ``RequeueExit=99`` of its
administrator or, in the script of a job, ``scontrol requeue $SLURM_JOB_ID`` after this code."""

INTERRUPT_EXIT_CODE = 130
"""What shells report of a command that Ctrl-C has ended; no scheduler should start it again."""


class InterruptedRunError(MedicaneError):
    """A signal has ended the run; what it had done is saved.

    Attributes:
        exit_code: what to leave with.

    Args:
        message: what has happened.
        caught: the signal; None if another process got it.
    """

    def __init__(self, message: str, caught: signal.Signals | None = None) -> None:
        super().__init__(message)
        is_typed = caught == signal.SIGINT
        self.exit_code = INTERRUPT_EXIT_CODE if is_typed else REQUEUE_EXIT_CODE
