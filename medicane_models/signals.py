"""Signals that ask a process to leave: it finishes what is at hand first."""

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Interrupts", "ignore_signals"]

log = logging.getLogger(__name__)


class Interrupts:
    """Notes SIGTERM, SIGUSR1 and the first Ctrl-C while it is entered, instead of dying of them.

    Attributes:
        caught: the signal that came, if one did.
        stop: set once it has come.

    Args:
        reply: logged when it comes.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

    def __init__(self, reply: str | None = None) -> None:
        self._reply = reply
        self.caught: signal.Signals | None = None
        self.stop = threading.Event()
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

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.caught = signal.Signals(number)
        self.stop.set()
        if self._reply:
            log.info("%s", self._reply)
        if number == signal.SIGINT:  # the second Ctrl-C does not wait
            signal.signal(number, self._former[signal.SIGINT])


def ignore_signals() -> None:
    """Let a helper process outlive a signal to its whole group; its parent ends it."""
    for number in Interrupts.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
