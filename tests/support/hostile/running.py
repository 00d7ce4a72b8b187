"""Trials of spoilt files in a process beside this one, which crashes and hangs do not end."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).parents[1]
ROOT = SUPPORT.parents[1]


def trials(inputs: Iterable[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """What became of each spoilt file, which a kind and a number stand for."""
    worker = None
    try:
        for kind, number in inputs:
            worker = worker or Worker()
            answer = worker.answer(kind, number)
            if answer is None:
                answer = {"kind": kind, "number": number, "outcome": "bad", "why": worker.end()}
                worker = None
            yield answer
    finally:
        if worker is not None:
            worker.end()


class Worker:
    """A process that reads spoilt files."""

    def __init__(self) -> None:
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed at the end
        paths = [str(SUPPORT), str(ROOT), str(ROOT / "training"), str(ROOT / "export")]
        told = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hostile.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True,
            env=os.environ | told, start_new_session=True,
        )  # fmt: skip

    def answer(self, kind: str, number: int) -> dict[str, Any] | None:
        """Of one trial; None if the process has ended instead."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{number} {kind}\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):  # libraries print, too
                return json.loads(line)
        return None

    def end(self) -> str:
        """Why it has ended, or that it was asked to."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
        code = self.process.wait()
        self.process.stdout.close()  # pyright: ignore[reportOptionalMemberAccess]
        self.said.seek(0)
        said = self.said.read()
        self.said.close()
        if "valid files" in said:
            raise RuntimeError(said[-1500:])
        if "Timeout (" in said:
            return f"hang: {said[said.rfind('Timeout (') :][:9000]}"
        if code < 0:
            return f"crash: {signal.Signals(-code).name}; {said[-500:]}"
        return f"ended with {code}: {said[-1500:]}"
