"""What becomes of files that are truncated, flipped, endless, or made to do harm?

    python benchmarks/hostile_inputs.py --inputs 20000

Small valid files of every kind that the packages read (tests/support/hostile) are spoilt, each by
the numbers of one seed, and read in a process of its own. Printed is, a kind a row, how many were
tried, read soundly and refused in a sentence that names the file; and how many ended badly: in
another error, in data that no reader may return, in code that was run, in a crash, in more than
20 s or in more than 2 GiB. ``--kind NAME --first N --inputs 1`` repeats one of them.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from hostile.kinds import KINDS  # noqa: E402  # pyright: ignore[reportMissingImports]
from hostile.running import trials  # noqa: E402  # pyright: ignore[reportMissingImports]

Answer = dict[str, Any]
RESULT = ROOT / "benchmarks" / "results" / "hostile_inputs.json"
WRITTEN_EVERY = 200  # answers


def chosen(names: list[str], count: int, first: int) -> list[tuple[str, int]]:
    """Kinds and numbers of the inputs, shared out by how long a kind takes, all kinds at a time."""
    whole = sum(KINDS[name].share for name in names)
    counts = {name: max(1, round(count * KINDS[name].share / whole)) for name in names}
    inputs = [
        (number / counts[name], name, number) for name in names for number in range(counts[name])
    ]
    return [(name, first + number) for _, name, number in sorted(inputs)]


def answered(inputs: list[tuple[str, int]], processes: int) -> Iterator[Answer]:
    """What became of each, as it is known."""
    done: SimpleQueue[Answer | None] = SimpleQueue()

    def work(part: list[tuple[str, int]]) -> None:
        for answer in trials(part):
            done.put(answer)
        done.put(None)

    for number in range(processes):
        Thread(target=work, args=(inputs[number::processes],), daemon=True).start()
    for _ in range(processes):
        while (answer := done.get()) is not None:
            yield answer


class Tally:
    """Outcomes of each kind, and the answers of those that ended badly."""

    def __init__(self, seed: int) -> None:
        self.seed, self.begun = seed, time.time()
        self.counts: dict[str, Counter[str]] = {}
        self.bad: list[Answer] = []

    def add(self, answer: Answer) -> None:
        """Count an answer, and tell of a bad one at once."""
        self.counts.setdefault(answer["kind"], Counter())[answer["outcome"]] += 1
        if answer["outcome"] == "bad":
            self.bad.append(answer)
            print(f"{answer['kind']}, {answer['number']}: {answer['why']}", file=sys.stderr)

    @property
    def all(self) -> Counter[str]:
        """Of all kinds together."""
        return sum(self.counts.values(), Counter())

    def write(self, out: Path) -> None:
        """Write what is known by now."""
        told = {"seed": self.seed, "seconds": round(time.time() - self.begun)}
        told |= {"tried": self.all.total(), "all": self.all, "kinds": self.counts, "bad": self.bad}
        out.write_text(json.dumps(told, indent=2) + "\n")

    def show(self) -> None:
        """Print a row a kind."""
        print(f"{'kind':<28}{'tried':>9}{'read':>9}{'refused':>9}{'badly':>9}")
        for name, found in [*sorted(self.counts.items()), ("all", self.all)]:
            told = (found.total(), found["read"], found["refused"], found["bad"])
            print(f"{name:<28}" + "".join(f"{count:>9}" for count in told))


def main() -> None:
    """Try, print, write."""
    parser = argparse.ArgumentParser(description="Read spoilt files of every kind.")
    parser.add_argument("--inputs", type=int, default=20_000, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number to begin with")
    parser.add_argument("--kind", action="append", choices=KINDS, help="instead of all")
    parser.add_argument("--out", type=Path, default=RESULT, help="of the counts, as JSON")
    parser.add_argument("--processes", type=int, default=1, help="that read at the same time")
    arguments = parser.parse_args()
    first = arguments.first + 1_000_000 * arguments.seed
    tally = Tally(arguments.seed)
    inputs = chosen(arguments.kind or list(KINDS), arguments.inputs, first)
    for number, answer in enumerate(answered(inputs, arguments.processes), 1):
        tally.add(answer)
        if number % WRITTEN_EVERY == 0 or number == len(inputs):
            tally.write(arguments.out)
    tally.show()
    sys.exit(1 if tally.bad else 0)


if __name__ == "__main__":
    main()
