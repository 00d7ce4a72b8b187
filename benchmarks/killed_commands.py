"""What is left where a command that writes was killed, ran twice at once, or its disk was full?

    python benchmarks/killed_commands.py --kills 4

Every command that writes runs once to its end. It runs again in processes that SIGKILL ends at
random moments, each into the folder that the one before has left; what is there then must be whole
files of a run that ended, or none. The last one may end: its results must be those of the first
run, and nothing else may be left. Then it runs twice at once into one folder: one or both must come
to these results, and the other be refused. Last it runs where no file may be larger than some
kilobytes, as on a full disk: it must end in one sentence, and leave nothing that is half written.
Training has `killed_runs.py` for it; ``data download`` and ``push`` need others' servers.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

RESULT = Path(__file__).parent / "results" / "killed_commands.json"
FULL_BYTES = 6_000
DETECTOR = "medicane-ir-detector"
SIZES = ("--set", "num_heads=3", "--set", "image_size=32", "--set", "num_frames=4")
STORES = {"simulate", "data build", "data simulate"}
GOES_ON = {"predict, followed", "data build", "data simulate"}  # and takes no --overwrite
SAME = (".csv", ".safetensors")  # bytes that two runs have in common
PROGRAMS = {
    "medicane": "medicane_models",
    "medicane-train": "medicane_training.cli",
    "medicane-export": "medicane_export.cli",
}


def commands(given: Path) -> dict[str, list[str]]:
    """Each without its --out."""
    scene, results = str(given / "scene.zarr"), str(given / "results")
    predict, truth = ["medicane", "predict", scene], str(given / "truth.csv")
    build = ["medicane-train", "data", "build", scene, "--processor", "planes"]
    return {
        "simulate": ["medicane", "simulate", "--hours", "1", "--seed", "1", "--no-gaps"],
        "demo": ["medicane", "demo", "--hours", "2"],
        "predict": [*predict, "--no-plot", "--formats", "csv,netcdf,geojson,atcf,ibtracs"],
        "predict with maps": [*predict, "--density", "--animate"],
        "predict, shared": [*predict, "--no-plot", "--workers", "2", "--every", "15"],
        "predict, followed": ["medicane", "predict", str(given / "arrived"), "--once"],
        "evaluate": ["medicane", "evaluate", results, truth],
        "convert": ["medicane", "convert", str(given / "weights.safetensors"), *SIZES],
        "data build": [*build, "--tracks", truth],
        "data simulate": ["medicane-train", "data", "simulate", "--storms", "3", "--calm", "3"],
        "export safetensors": ["medicane-export", "safetensors", DETECTOR],
        "export transformers": ["medicane-export", "transformers", "medicane-tiny-detector"],
        "export onnx": ["medicane-export", "onnx", DETECTOR],
    }


def make_inputs(given: Path) -> None:
    """What the commands read."""
    for program, out in (("simulate", "scene.zarr"), ("predict with maps", "results")):
        process = started(commands(given)[program], given / out)
        if said := process.communicate()[1] if process.wait() else "":
            raise RuntimeError(said)
    (given / "arrived").mkdir()
    with xr.open_zarr(given / "scene.zarr") as scene:
        for row in (0, 6, 12):
            scene.isel(time=[row]).to_netcdf(given / "arrived" / f"{row}.nc")
        track = pd.DataFrame({"time": scene["time"].to_numpy(), "lon": 18.0, "lat": 38.0})
    track.assign(track_id="one").to_csv(given / "truth.csv", index=False)
    from safetensors.torch import save_file

    from medicane_models import MedicaneConfig, MedicaneForVideoClassification

    config = MedicaneConfig(
        embed_dim=24, depth=2, num_heads=3, mlp_hidden_dim=48, image_size=32, num_frames=4
    )
    save_file(MedicaneForVideoClassification(config).state_dict(), given / "weights.safetensors")


def started(command: Sequence[str], out: Path, most_bytes: int | None = None) -> Any:
    """A process of the command."""

    def limit() -> None:
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    program, *options = command
    return subprocess.Popen(
        [sys.executable, "-m", PROGRAMS[program], *options, "--out", str(out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=limit,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def names(out: Path) -> list[str]:
    """All that is there, hidden or not, without what names a time."""
    found = [out] if out.is_file() else out.rglob("*")
    beside = out.parent.glob(f"{out.stem}.*") if out.suffix == ".zarr" else ()
    listed = {path.relative_to(out.parent).as_posix() for path in (*found, *beside)}
    return sorted(name for name in listed if "/c/" not in name)


def half_written(out: Path) -> list[str]:
    """Visible files that cannot be read to their end."""
    bad = []
    for path in sorted(out.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(out).parts)
        if path.is_file() and not hidden and not _is_whole(path):
            bad.append(path.name)
    return bad


def _is_whole(path: Path) -> bool:
    try:
        match path.suffix:
            case ".json" | ".geojson":
                json.loads(path.read_text())
            case ".csv":
                return path.read_text().endswith("\n")
            case ".nc":
                with netCDF4.Dataset(path) as file:
                    return all(np.ma.count(v[...]) >= 0 for v in file.variables.values())
            case ".png":
                Image.open(path).load()
            case ".html":
                return path.read_text().rstrip().endswith("</html>")
            case ".parquet":
                pd.read_parquet(path)
            case ".safetensors":
                from safetensors.numpy import load_file

                load_file(path)
            case ".onnx":
                import onnx

                onnx.checker.check_model(path)
    except Exception:
        return False
    return True


def differing(out: Path, whole: Path) -> list[str]:
    """Names of what is not as a run left it that nothing disturbed."""
    there, wanted = set(names(out)), set(names(whole))
    kept = [name for name in there & wanted if name.endswith(SAME)]
    changed = {n for n in kept if (out.parent / n).read_bytes() != (whole.parent / n).read_bytes()}
    return sorted((there ^ wanted) | changed)


def tried(name: str, command: list[str], folder: Path, kills: int, draw: random.Random) -> Any:
    """One command: whole, killed again and again, twice at once, and without space."""
    suffix = ".zarr" if name in STORES else ""
    places = [folder / kind / f"out{suffix}" for kind in ("whole", "killed", "twice", "full")]
    for place in places:
        place.parent.mkdir(parents=True)
    whole, killed, twice, full = places
    begun = time.monotonic()
    process = started(command, whole)
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{name} failed: {said}")
    seconds = time.monotonic() - begun
    found = {"seconds": round(seconds, 1), "kills": 0, "half_written": [], "left": [], "raw": ""}
    again = [*command, *(["--overwrite"] if name not in GOES_ON else [])]
    for _ in range(kills):
        process = started(again, killed)
        with suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0.3, 1.1) * seconds)
        process.kill()
        found["kills"] += process.wait() == -signal.SIGKILL
        found["half_written"] += half_written(killed)
    process = started(again, killed)
    found["raw"] += _traceback(process.communicate()[1])
    found["exit_code"] = process.returncode
    found["left"] = differing(killed, whole)
    both = [started(command, twice) for _ in range(2)]
    for process in both:
        found["raw"] += _traceback(process.communicate()[1])
    found["twice_exit_codes"] = sorted(process.returncode for process in both)
    found["twice_left"] = differing(twice, whole) + half_written(twice)
    process = started(command, full, FULL_BYTES)
    said = process.communicate()[1]
    found["full_exit_code"], found["raw"] = process.returncode, found["raw"] + _traceback(said)
    found["full_said"] = said.strip().splitlines()[-1:]
    found["half_written"] += half_written(full)
    wrong = [found[key] for key in ("half_written", "left", "twice_left", "raw", "exit_code")]
    ended = found["twice_exit_codes"] in ([0, 0], [0, 2]) and found["full_exit_code"] == 1
    found["bad"] = any(wrong) or not ended
    return found


def _traceback(said: str) -> str:
    return said[said.index("Traceback") :][-2000:] if "Traceback (most" in said else ""


def main() -> None:
    """Try every command, print a row of each, write all."""
    parser = argparse.ArgumentParser(description="Kill every command that writes.")
    parser.add_argument("--kills", type=int, default=4, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="name of a command")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    draw = random.Random(arguments.seed)  # noqa: S311 - moments, not secrets
    make_inputs(folder)
    report = json.loads(RESULT.read_text()) if arguments.only and RESULT.exists() else {}
    for name, command in commands(folder).items():
        if arguments.only and name not in arguments.only:
            continue
        place = folder / "tried" / name
        report[name] = found = tried(name, command, place, arguments.kills, draw)
        told = {key: value for key, value in found.items() if value}
        print(f"{name:<20}", "BAD" if found["bad"] else "sound", told, flush=True)
        RESULT.write_text(json.dumps(report, indent=2) + "\n")
    shutil.rmtree(folder)
    sys.exit(any(found["bad"] for found in report.values()))


if __name__ == "__main__":
    main()
