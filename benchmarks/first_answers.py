"""How long a user waits: help, import, and the first answer of a detector and tracker.

    python -m benchmarks first_answers

The answer is that of ``medicane predict`` with the embedded Airmass pair by ONNX on one clip of the
Mediterranean; what a process needs to open that scene and load its frames is taken off.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import keep, print_table, spread

from medicane_models.hub import TILE_DETECTOR, TILE_TRACKER
from medicane_models.simulation import write_simulation

TURNS = 5
READ = """
import sys
from medicane_models import open_scene
open_scene(sys.argv[1]).isel(time=slice(-16, None)).load()
"""


def seconds(*command: str) -> float:
    """Of a whole process."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - begin


def exported(name: str, folder: Path) -> str:
    """An embedded model as ONNX, uncompared."""
    seconds("-m", "medicane_export.cli", "onnx", name, "--out", str(folder), "--clip-count", "0")
    return str(folder)


def answer(scene: Path, detector: str, tracker: str) -> float:
    """Seconds of a prediction of the newest clip, beyond reading it."""
    with tempfile.TemporaryDirectory() as out:
        options = ["--model", detector, "--tracker", tracker, "--runtime", "onnx"]
        options += ["--out", f"{out}/made", "--no-plot", "--every", "1440"]
        told = seconds("-m", "medicane_models", "predict", str(scene), *options)
    return told - seconds("-c", READ, str(scene))


def main() -> None:
    """Measure in turns, after a first turn that fills the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.zarr"
        write_simulation(scene, start="2021-10-29", hours=80 / 60)
        pair = [exported(name, Path(folder) / name) for name in (TILE_DETECTOR, TILE_TRACKER)]
        steps = {
            "help": lambda: seconds("-m", "medicane_models", "--help"),
            "import": lambda: seconds("-c", "import medicane_models") - seconds("-c", ""),
            "first answer": lambda: answer(scene, *pair),
        }
        turns = [{name: step() for name, step in steps.items()} for _ in range(TURNS + 1)][1:]
    rows = {name: spread([turn[name] for turn in turns]) for name in steps}
    print_table([("", "s"), *((name, f"{row['value']:.3f}") for name, row in rows.items())])
    keep("first_answers", rows, {"turns": TURNS, "load": os.getloadavg()[0]}, "cpu")


if __name__ == "__main__":
    main()
