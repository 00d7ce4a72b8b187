"""All benchmarks, a question a file.

    python -m benchmarks                      what there is
    python -m benchmarks NAME --help          options of one
    python -m benchmarks NAME [options …]     run one
    python -m benchmarks cpu | gpu            run all that measure speed, for the README's table
    python -m benchmarks table [--write]      that table, from benchmarks/results

Each runs in a process of its own. What measures speed keeps its numbers by machine; a machine
that does other work as well is told by its load.
"""

import ast
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.summary_table import ROOT, kept, table, with_table

FOLDER = Path(__file__).parent
PARTS = ("__init__", "__main__", "measuring", "summary_table")
BRIEF = ("--batches", "1", "8", "--repetitions", "5")
SUITES: dict[str, tuple[tuple[str, ...], ...]] = {
    "cpu": (
        ("machine_limits",),
        ("forward_vs_transformers", "--size", "tiny"),
        ("forward_vs_transformers", "--size", "small"),
        ("forward_vs_transformers", "--size", "base", "--batches", "1", "4"),
        ("onnx_inference", "--decisions", "0", "--no-compile", *BRIEF),
        ("pretraining_step_vs_transformers", "--batch", "1"),
        ("pretraining_step_vs_transformers", "--batch", "4", "--repetitions", "5"),
        ("plane_views",),
        ("day_of_prediction",),
        ("day_of_prediction", "--area", "disk"),
        ("first_answers",),
        ("giant",),
    ),
    "gpu": (("gpu",),),
}


def scripts() -> dict[str, str]:
    """The first line of each benchmark's docstring, by its name."""
    paths = sorted(path for path in FOLDER.glob("*.py") if path.stem not in PARTS)
    return {path.stem: _first_line(path) for path in paths if _is_program(path)}


def _is_program(path: Path) -> bool:
    return "\nif __name__ ==" in path.read_text("utf-8")


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.partition("\n")[0]


def run(name: str, options: Sequence[str]) -> int:
    """Run one in a process of its own; its exit code."""
    print(f"== {name} {' '.join(options)}", flush=True)
    begin = time.perf_counter()
    code = subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), *options]).returncode
    print(f"== {time.perf_counter() - begin:.0f} s, exit code {code}", flush=True)
    return code


def show_table(options: Sequence[str]) -> int:
    """Print the table, or put it into the README."""
    made, readme = table(kept()), ROOT / "README.md"
    if "--write" in options:
        readme.write_text(with_table(readme.read_text("utf-8"), made), "utf-8")
    else:
        print(made)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; the exit code."""
    name, *options = arguments or ("list",)
    known = scripts()
    if name == "table":
        return show_table(options)
    if name in SUITES and not options:
        return max([run(*_split(command)) for command in SUITES[name]])
    if name in known:
        return run(name, options)
    width = max(map(len, known))
    print(__doc__, *(f"    {one:{width}}  {told}" for one, told in known.items()), sep="\n")
    return 0 if name in ("list", "--help", "-h") else 2


def _split(command: Sequence[str]) -> tuple[str, Sequence[str]]:
    return command[0], command[1:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
