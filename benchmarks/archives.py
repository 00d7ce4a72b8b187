"""A day, a week and a month through ``medicane predict``: time and memory, alone and shared.

    python benchmarks/archives.py --lengths day week month

A simulated day of one cyclone in the infrared, hourly on a box of 14° a side, is repeated. The
command judges it in one process, in two (``--workers 2``), on a dask LocalCluster of two
(``--dask``), and in one that SIGKILL ends half-way and that is started again. Tables are compared
byte by byte, maps and pages are not made. Peak memory is that of the largest process, and
``cpu_s`` the processor time of what the command started, which on a busy machine is what counts.
What was kept of other lengths and ways stays.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
from distributed import LocalCluster
from measuring import cost_of

from medicane_models.domain import Grid
from medicane_models.simulation import simulate_infrared

DAYS = {"day": 1, "week": 7, "month": 30}
WAYS = ("alone", "workers 2", "dask 2", "killed")
TABLES = ("detections.csv", "tracks.csv", "forecasts.csv")
GRID = Grid.lonlat(west=113, south=-25, east=127, north=-11, step_degrees=0.1)
RESULT = Path(__file__).parent / "results" / "archives.json"


def main() -> None:
    """Time each length each way; print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", nargs="+", choices=DAYS, default=list(DAYS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    asked = parser.parse_args()
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for length in asked.lengths:
            scene = write_archive(Path(folder) / length, DAYS[length])
            found = {way: judged(scene, Path(folder) / "out", way) for way in asked.ways}
            told = {"clips": 24 * DAYS[length]}
            if len(asked.ways) > 1:
                told["same tables"] = len({result["tables"] for result in found.values()}) == 1
            costs = {way: without(result, "tables") for way, result in found.items()}
            results[length] = results.get(length, {}) | told | costs
            print(json.dumps({length: results[length]}, indent=1), flush=True)
            RESULT.write_text(json.dumps(results, indent=1) + "\n")


def without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """All but one of them."""
    return {key: value for key, value in values.items() if key != name}


def write_archive(folder: Path, days: int) -> Path:
    """The same day again and again, a file a day."""
    folder.mkdir()
    scene, _ = simulate_infrared(start="2021-02-01", hours=23, grid=GRID)
    scene = scene.compute()
    for day in range(days):
        later = scene.assign_coords(time=scene["time"].to_index() + pd.Timedelta(days=day))
        later.to_netcdf(folder / f"{day:03}.nc")
    return folder


def judged(scene: Path, out: Path, way: str) -> dict[str, Any]:
    """What one way costs."""
    shutil.rmtree(out, ignore_errors=True)
    is_dask = way.startswith("dask")
    begin = time.perf_counter()
    cluster: Any = LocalCluster(n_workers=2, threads_per_worker=1) if is_dask else nullcontext()
    with cluster:
        shared = {"workers 2": ["--workers", "2"]}.get(way, [])
        if is_dask:
            shared = ["--dask", cluster.scheduler_address]
        if way == "killed":
            predict(scene, out, shared, killed_after=count_of(scene) // 2)
        costs = predict(scene, out, shared)
    digest = hashlib.sha256(b"".join((out / name).read_bytes() for name in TABLES))
    wall = round(time.perf_counter() - begin, 1)
    return {"wall_s": wall, **costs, "tables": digest.hexdigest()}


def count_of(scene: Path) -> int:
    """Hours of an archive."""
    return 24 * len(list(scene.iterdir()))


def predict(
    scene: Path, out: Path, shared: Sequence[str], *, killed_after: int | None = None
) -> dict[str, float]:
    """Run the command, or kill it when it has judged so many hours; what it cost if it ended."""
    options = ["--out", str(out), "--no-plot", "--threads", "1", "--json", *shared]
    command = [sys.executable, "-m", "medicane_models", "predict", str(scene), *options]
    null = subprocess.DEVNULL
    if killed_after is None:
        done, cost = cost_of(command, stdout=null, stderr=null)
        done.check_returncode()
        return without(cost, "wall_s")
    with subprocess.Popen(command, stdout=null, stderr=null) as process:
        hours = out / "interrupted" / "hours"
        while len(list(hours.glob("*.json"))) < killed_after:
            time.sleep(0.1)
        process.kill()
    return {}


if __name__ == "__main__":
    main()
