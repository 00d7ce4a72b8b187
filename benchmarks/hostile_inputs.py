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
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from hostile.kinds import KINDS  # noqa: E402  # pyright: ignore[reportMissingImports]
from hostile.running import trials  # noqa: E402  # pyright: ignore[reportMissingImports]

RESULT = ROOT / "benchmarks" / "results" / "hostile_inputs.json"


def chosen(names: list[str], count: int, first: int) -> Iterator[tuple[str, int]]:
    """Kinds and numbers of the inputs, shared out by how long a kind takes."""
    whole = sum(KINDS[name].share for name in names)
    for name in names:
        for number in range(max(1, round(count * KINDS[name].share / whole))):
            yield name, first + number


def tally(
    answers: Iterator[dict[str, Any]],
) -> tuple[dict[str, Counter[str]], list[dict[str, Any]]]:
    """Outcomes of each kind, and the answers of those that ended badly."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    bad = []
    for answer in answers:
        counts[answer["kind"]][answer["outcome"]] += 1
        if answer["outcome"] == "bad":
            bad.append(answer)
            print(f"{answer['kind']}, number {answer['number']}: {answer['why']}", file=sys.stderr)
    return counts, bad


def row(name: str, counts: Counter[str]) -> str:
    """A line of the table."""
    told = (counts.total(), counts["read"], counts["refused"], counts["bad"])
    return f"{name:<28}" + "".join(f"{count:>9}" for count in told)


def main() -> None:
    """Try, print, write."""
    parser = argparse.ArgumentParser(description="Read spoilt files of every kind.")
    parser.add_argument("--inputs", type=int, default=20_000, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number to begin with")
    parser.add_argument("--kind", action="append", choices=KINDS, help="instead of all")
    arguments = parser.parse_args()
    first = arguments.first + 1_000_000 * arguments.seed
    begun = time.time()
    names = arguments.kind or list(KINDS)
    counts, bad = tally(trials(chosen(names, arguments.inputs, first)))
    total = sum(counts.values(), Counter())
    print(f"{'kind':<28}{'tried':>9}{'read':>9}{'refused':>9}{'badly':>9}")
    for name, found in [*counts.items(), ("all", total)]:
        print(row(name, found))
    result = {"seed": arguments.seed, "seconds": round(time.time() - begun), "all": total}
    RESULT.write_text(json.dumps({**result, "kinds": counts, "bad": bad}, indent=2) + "\n")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
