import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import SUITES, scripts
from benchmarks.summary_table import BEGIN, END, ROWS, kept, table, with_table

ROOT = Path(__file__).parents[2]
MACHINE = {
    "device": "cpu",
    "processor": "A chip (1/2)",
    "instructions": "AVX2",
    "threads": 2,
    "torch": "2.14.1",
}


def keep(folder: Path, machine: str, rows: dict, name: str = "a", device: str = "cpu") -> None:
    (folder / machine).mkdir(exist_ok=True)
    told = {"machine": MACHINE | {"device": device}, "rows": rows}
    (folder / machine / f"{name}.json").write_text(json.dumps(told))


def test_the_readme_has_the_table_of_what_is_kept():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme.count(BEGIN) == readme.count(END) == 1
    assert with_table(readme, table(kept())) == readme


def test_machines_stand_side_by_side(tmp_path):
    keep(tmp_path, "one", {"forward base 1": {"value": 0.861, "low": 0.85, "high": 0.9}})
    keep(tmp_path, "other", {"forward base 1": {"value": 1.0}, "help": {"value": 0.2}})
    head, _, forward, told = table(kept(tmp_path)).splitlines()
    assert head.count("A chip (1/2), AVX2, 2 threads, torch 2.14.1") == 2
    assert forward.endswith("| 0.86 (0.85–0.90) | 1.00 |")
    assert told.endswith("| ≤ 0.3 | – | 0.20 |")


def test_files_of_one_machine_make_one_column(tmp_path):
    keep(tmp_path, "one", {"help": {"value": 0.2}}, "a")
    keep(tmp_path, "one", {"import": {"value": 0.02}}, "b")
    assert [line.count("|") for line in table(kept(tmp_path)).splitlines()] == [4] * 4


def test_a_gpu_has_a_table_of_its_own(tmp_path):
    keep(tmp_path, "one", {"help": {"value": 0.2}})
    keep(tmp_path, "other", {"gpu base": {"value": 0.59}}, device="cuda")
    of_cpu, of_gpu = table(kept(tmp_path)).split("\n\n")
    assert "0.59" not in of_cpu
    assert "0.20" not in of_gpu


def test_a_row_without_a_line_is_refused(tmp_path):
    keep(tmp_path, "one", {"made up": {"value": 1.0}})
    with pytest.raises(KeyError, match="made up"):
        table(kept(tmp_path))


def test_a_text_keeps_all_but_its_table():
    assert with_table(f"before {BEGIN}\nold\n{END} after", "new") == (
        f"before {BEGIN}\nnew\n{END} after"
    )


def test_all_benchmarks_are_listed_with_their_question():
    command = [sys.executable, "-m", "benchmarks"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    listed = set(re.findall(r"^ {4}(\w+)  +\S", told, re.MULTILINE))
    assert listed == set(scripts()) < names
    assert all(scripts().values())


def test_what_suites_run_is_there():
    assert {command[0] for suite in SUITES.values() for command in suite} <= set(scripts())


def test_an_unknown_benchmark_is_wrong_use():
    command = [sys.executable, "-m", "benchmarks", "made_up"]
    assert subprocess.run(command, capture_output=True, cwd=ROOT).returncode == 2


def test_goals_are_bounds():
    assert all(re.match(r"^([≤≥<] [\d.]+.*)?$", row.goal) for row in ROWS.values())
