"""The script for a GPU, on a CPU with models too small to mean anything."""

import importlib
import math
from pathlib import Path

import pytest

from benchmarks.summary_table import ROWS

pytestmark = pytest.mark.slow

PARTS = ("base", "tiny", "giant", "pretraining", "tracker", "onnx")


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("gpu")


@pytest.mark.parametrize("part", PARTS)
def test_every_part_gives_lines_of_the_table(part, gpu):
    rows = gpu.PARTS[part](gpu.SMOKE)
    assert rows
    assert set(rows) <= set(ROWS)
    assert all(math.isfinite(row["value"]) for row in rows.values())


def test_a_part_that_fails_stops_no_other(gpu, monkeypatch, capsys):
    def broken(scale):
        raise RuntimeError("no memory")

    parts = {"base": broken, "tiny": lambda scale: {"gpu tiny": {"value": 0.5}}}
    monkeypatch.setattr(gpu, "PARTS", parts)
    monkeypatch.setattr("sys.argv", ["gpu.py", "--smoke"])
    assert gpu.main() == 1
    assert "0.500" in capsys.readouterr().out
