"""Does a run that is killed again and again end like one that is not?

    python benchmarks/killed_runs.py --kills 10

A tiny specialization on a day of simulated weather runs to its end in one process. It runs once
more in processes that SIGKILL ends at random moments of their training, before the last one may
end. Then weights and metrics (times aside) are compared bit for bit.
"""

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import report

from medicane_models.domain import MEDITERRANEAN
from medicane_models.scenes.opening import scene_grid
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.simulation import simulate_scene
from medicane_training.run.journal import TIMES
from medicane_training.store.build import build_store

SETTINGS = (
    "data.split.by=dates",
    "data.split.validation_from=2021-10-01 12:00",
    "data.split.test_from=2021-10-01 20:00",
    "data.split.guard_hours=2",
    "training.epochs=3",
    "training.global_batch=4",
    "training.save_every_steps=5",
    "training.ema_decay=0.9",
    "model.changes.drop_path_rate=0.2",
    "engine.device=cpu",
)


def command(store: Path, out: Path) -> list[str]:
    """The run, as it would be typed."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    flow = ["specialize", "--recipe", "tiny", "--data", str(store), "--out", str(out)]
    return [sys.executable, "-m", "medicane_training.cli", *flow, *settings]


def killed(store: Path, out: Path, after_s: float) -> dict[str, Any]:
    """Start the run, kill it some seconds after it has begun to train; how far it was."""
    journal = out / "metrics.jsonl"
    before = journal.stat().st_mtime_ns if journal.exists() else 0
    process = subprocess.Popen(command(store, out), stderr=subprocess.DEVNULL)
    while process.poll() is None and not (journal.exists() and journal.stat().st_mtime_ns > before):
        time.sleep(0.01)
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.kill()
    return {
        "after_s": round(after_s, 2),
        "killed": process.wait() == -signal.SIGKILL,
        "lines": len(journal.read_text().splitlines()),
        "checkpoints": sorted(path.name for path in (out / "checkpoints").glob("step-*")),
    }


def metrics(out: Path) -> list[dict[str, Any]]:
    """What was written down of a run, times aside."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name not in TIMES} for line in lines]


def weights(out: Path) -> str:
    """Checksum of the chosen model."""
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def main() -> None:
    """Run both, compare, report."""
    parser = argparse.ArgumentParser(description="Compare a killed run with a whole one.")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    scene, _ = simulate_scene(
        start="2021-10-01", hours=24, grid=MEDITERRANEAN.window(400, 100, 448, 224), seed=1
    )
    store = folder / "s.zarr"
    processor = replace(MedicaneProcessor.airmass(), grid=scene_grid(scene))
    build_store([scene], store, processor=processor)
    subprocess.run(command(store, folder / "whole"), check=True)
    seconds = json.loads((folder / "whole" / "scores.json").read_text())["seconds"]
    draw = random.Random(arguments.seed)  # noqa: S311 - moments, not secrets
    most = 2 * seconds / arguments.kills  # so that all of them together about fill the run
    moments = [draw.uniform(0, most) for _ in range(arguments.kills)]
    kills = [killed(store, folder / "killed", moment) for moment in moments]
    last = subprocess.run(command(store, folder / "killed"), stderr=subprocess.DEVNULL)
    same = {
        "exit_code": last.returncode,
        "same_weights": weights(folder / "whole") == weights(folder / "killed"),
        "same_metrics": metrics(folder / "whole") == metrics(folder / "killed"),
        "lines": len(metrics(folder / "whole")),
    }
    shutil.rmtree(folder)
    rows = [("kill", "after s", "lines", "newest checkpoint")]
    for number, kill in enumerate(kills, 1):
        newest = (kill["checkpoints"] or ["–"])[-1]
        told = "" if kill["killed"] else " (had ended)"
        rows.append((f"{number}{told}", f"{kill['after_s']:.1f}", str(kill["lines"]), newest))
    result = {"training_s": round(seconds, 1), "kills": kills, **same}
    report("killed_runs", result, rows)
    print({name: value for name, value in result.items() if name != "kills"})


if __name__ == "__main__":
    main()
