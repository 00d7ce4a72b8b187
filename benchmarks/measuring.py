"""What the benchmarks share: interleaved timing, peak memory, the machine's own rate."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medicane_models.files import json_text

RESULTS = Path(__file__).parent / "results"
MEGABYTE = 2**20


def interleave(
    steps: Mapping[str, Callable[[], object]],
    repetitions: int,
    *,
    clock: str = "wall",
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Seconds of each step, taken in turns so that a busy machine slows all alike.

    Each is done once before, unless ``warm_up`` says that something like it was.

    With the clock ``"cpu"`` one thread computes and its processor time counts, which is the only
    fair clock on a machine that others use at the same time.
    """
    if clock == "cpu":
        torch.set_num_threads(1)
    now = time.process_time if clock == "cpu" else time.perf_counter
    for step in steps.values() if warm_up else ():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repetitions):
        for name, step in steps.items():
            start = now()
            step()
            _synchronise()
            seconds[name].append(now() - start)
    return seconds


def summary(seconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Median and fastest of each, and how they compare with the peer's.

    The ratio is the median of the ratios within each turn, which a slow drift of the machine's
    load leaves alone; beside it stands the ratio of the fastest.
    """
    peer = seconds["transformers"]
    return {
        name: {
            "median_s": statistics.median(values),
            "fastest_s": min(values),
            "ratio": statistics.median(a / b for a, b in zip(values, peer, strict=True)),
            "ratio_of_fastest": min(values) / min(peer),
        }
        for name, values in seconds.items()
    }


def matmul(device: str, dtype: torch.dtype) -> tuple[Callable[[], object], float]:
    """A large matrix product, to be timed among the steps, and its floating-point operations."""
    size = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return lambda: a @ b, 2 * size**3


def peak_memory(script: str, name: str, arguments: Sequence[str]) -> float:
    """Megabytes that a model and its step take in a process of their own."""
    command = [sys.executable, script, *arguments, "--memory-of", name]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


WATCHED = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
code = subprocess.run(sys.argv[2:]).returncode
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump({
        "wall_s": round(time.perf_counter() - begin, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": usage.ru_maxrss // 1024,
    }, file)
sys.exit(code)
"""


def cost_of(
    command: Sequence[str], **options: Any
) -> tuple[subprocess.CompletedProcess[str], dict[str, float]]:
    """Run a command; what it left, and its wall and processor seconds and peak megabytes.

    A small process starts it: the peak of one that starts another counts as the other's, too.

    Args:
        command: a program and its arguments.
        **options: of `subprocess.run`.
    """
    with tempfile.NamedTemporaryFile("r", suffix=".json") as told:
        launched = [sys.executable, "-c", WATCHED, told.name, *command]
        done = subprocess.run(launched, text=True, check=False, **options)
        return done, json.load(told)


def own_peak_memory(build: Callable[[], Callable[[], object]], device: str) -> float:
    """Megabytes of this process between before ``build`` and the peak of two steps."""
    before = _status("VmRSS")
    step = build()
    step()
    step()
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / MEGABYTE
    return (_status("VmHWM") - before) / MEGABYTE


def machine(device: str) -> dict[str, Any]:
    """What the numbers were taken on."""
    gpu = device == "cuda"
    return {
        "device": device,
        "processor": torch.cuda.get_device_name() if gpu else processor(),
        "instructions": "CUDA" if gpu else instructions(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
    }


def processor() -> str:
    """Name, family and model, which tells apart what hypervisors give one name."""
    told = _cpu_info()
    name = " ".join(told.get("model name", platform.machine()).split())
    return f"{name} ({told.get('cpu family', '?')}/{told.get('model', '?')})"


def instructions() -> str:
    """The widest that PyTorch uses, and whether 8-bit products have their own."""
    own = torch.backends.cpu.get_cpu_capability()
    flags = _cpu_info().get("flags", "").split()
    if limited := os.environ.get("ONEDNN_MAX_CPU_ISA"):
        return f"{limited} emulated"
    return own + (" VNNI" if {"avx512_vnni", "avx_vnni"} & set(flags) else "")


def _cpu_info() -> dict[str, str]:
    first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table whose first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))
        print(row[0].ljust(widths[0]), *cells, sep="  ", flush=True)


def report(name: str, result: Mapping[str, Any], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table and keep the result as JSON."""
    print_table(rows)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json_text(result) + "\n")


def keep(
    name: str, rows: Mapping[str, Mapping[str, float]], details: Mapping[str, Any], device: str
) -> None:
    """Keep lines of the README's table, and what lies behind them, beside this machine's others."""
    told = machine(device)
    words = f"{told['processor']} {told['instructions']} {told['cores']} cores"
    folder = RESULTS / re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    text = json_text({"machine": told, "rows": rows, "details": details})
    (folder / f"{name}.json").write_text(text + "\n")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {"value": middle, "low": low, "high": high}


def ratios(seconds: Mapping[str, Sequence[float]], name: str, peer: str) -> dict[str, float]:
    """Median and quartiles of one's time over the peer's, turn by turn."""
    return spread([a / b for a, b in zip(seconds[name], seconds[peer], strict=True)])


def _status(field: str) -> int:
    # not getrusage, whose peak a child process takes over from its parent
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
