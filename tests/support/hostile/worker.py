"""Reads spoilt files one after the other, for a process that may crash, hang or be killed by it.

python -m hostile.worker      a number and a kind a line in, a line of JSON out for each
"""

import faulthandler
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from hostile.damage import spoil
from hostile.kinds import KINDS
from medicane_models.errors import MedicaneError

HANG_SECONDS = 20
MOST_BYTES = 2**31
LONGEST_SENTENCE = 1500
MATERIAL = "given-files"
CANARY = "code-ran"
"""What code in a file would leave behind in the working folder."""


def main() -> None:
    folder, benches = Path(tempfile.mkdtemp(prefix="hostile-")), {}
    try:
        for line in sys.stdin:
            number, _, name = line.strip().partition(" ")
            if name not in benches:
                benches[name] = Bench(name, folder / str(len(benches)))
            sys.stdout.write(json.dumps(benches[name].try_one(int(number))) + "\n")
            sys.stdout.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Bench:
    """The valid files of a kind, spoilt anew for each number."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.kind, self.folder = name, KINDS[name], folder
        right = folder / "right" / MATERIAL
        right.mkdir(parents=True)
        os.chdir(folder)
        self.given = self.kind.make(right).relative_to(folder / "right")
        self.names = {MATERIAL, *(path.name for path in right.rglob("*"))}
        sound = self._outcome(folder / "right" / self.given)
        if sound["outcome"] != "read":
            raise AssertionError(f"valid files of {name} are not read: {sound}")

    def try_one(self, number: int) -> dict[str, Any]:
        """Spoil a copy as the number has it, read it, and say what happened."""
        draw = np.random.default_rng([zlib.crc32(self.name.encode()), number])
        place = self.folder / str(number)
        os.chdir(self.folder)
        shutil.copytree(self.folder / "right", place)
        (given, what), told = spoil(self.kind, place / self.given, draw), {}
        _limit_memory(MOST_BYTES)
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        try:
            told = self._outcome(given)
        finally:
            faulthandler.cancel_dump_traceback_later()
            _limit_memory(None)
            shutil.rmtree(place, ignore_errors=True)
        return {"kind": self.name, "number": number, "what": what, **told}

    def _outcome(self, given: Path) -> dict[str, Any]:
        begun = time.process_time()
        told = self._read(given)
        if Path(CANARY).exists():
            Path(CANARY).unlink()
            told = {"outcome": "bad", "why": "code was run"}
        return told | {"seconds": round(time.process_time() - begun, 3)}

    def _read(self, given: Path) -> dict[str, Any]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = self.kind.read(given)
                wrong = self.kind.wrong(result)
        except MedicaneError as error:
            return self._sentence(str(error), given)
        except BaseException as error:
            told = traceback.format_exc().splitlines()[-14:]
            return {
                "outcome": "bad",
                "why": f"{type(error).__name__}: {error}"[:300],
                "trace": told,
            }
        if wrong:
            return {"outcome": "bad", "why": f"wrong data: {wrong}"[:300]}
        return {"outcome": "read"}

    def _sentence(self, text: str, given: Path) -> dict[str, Any]:
        names = {*self.names, *self.kind.names, given.name, given.stem}
        if len(text) > LONGEST_SENTENCE:
            return {"outcome": "bad", "why": f"{len(text)} characters: {text[:200]}"}
        if not any(name in text for name in names):
            return {"outcome": "bad", "why": f"names no file: {text}"[:300]}
        return {"outcome": "refused", "why": text[:300]}


def _limit_memory(more: int | None) -> None:
    """Let the process take no more than so many bytes above what it has by now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = most if more is None else pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))


if __name__ == "__main__":
    main()
