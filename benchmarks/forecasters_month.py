"""A season's work in small: storms and what looks like them, judged in every way that there is.

    python -m benchmarks forecasters_month [--days 30] [--data DATA] [--pages OUT]

A simulated stretch of the western Pacific in the infrared, hourly, with several cyclones and as
many look-alikes, and with --data the three real typhoons of ``typhoon_ir_hourly``, each hour laid
on one grid that holds its track. (The embedded pair was trained on hours of these typhoons: they
show that all ways agree, and no skill.) The command judges each scene alone; by ``--follow``, with
files that arrive out of order, some of them twice, beside two that are corrupt, and a SIGKILL
half-way; and on a dask LocalCluster of two. Tables are compared byte by byte, and held against the
truth by ``medicane evaluate``. Peak memory is that of the largest process, and ``cpu_s`` what
counts on a busy machine. With --pages the command alone also writes pages and films there.
What was kept of other scenes stays.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from archives import TABLES, predict
from distributed import LocalCluster
from measuring import RESULTS, report
from scipy import ndimage

from medicane_models.domain import Grid, local_plane
from medicane_models.scenes.opening import open_scene
from medicane_models.simulation import Cyclone, draw_cyclone, draw_lookalike, simulate_infrared
from medicane_models.times import utc
from medicane_models.verification.evaluation import evaluate

START = utc("2021-08-01")
SEED = 995_000  # of no storm that a model was trained on
PACIFIC = Grid.lonlat(west=122, south=6, east=148, north=26, step_degrees=0.1)
BIRTHS_EVERY_HOURS = 48
MARGIN_DEGREES = 5.0  # from the grid's edge to where storms are half-way
TYPHOONS = ("200717", "200718", "198702")
REACH_DEGREES = 12.0  # of a picture of 2560 km around its middle
ARRIVING = 24  # files at a time
LATE_HOURS = 8.0
RESULT = RESULTS / "forecasters_month.json"
SCORES = {
    "positions": ("pod", "far", "csi"),
    "any track while any storm": ("hss",),
    "storms and tracks": ("storm_pod", "false_tracks_per_100_h", "onset_abs_h", "decay_abs_h"),
    "centres": ("mean_km", "median_km", "p90_km", "smooth_median_km", "within_radius_95"),
    "forecasts of 6 h": ("mean_km", "last_fix_mean_km", "within_radius_95"),
    "forecasts of 12 h": ("mean_km", "last_fix_mean_km", "within_radius_95"),
}


def main() -> None:
    """Judge each scene each way; print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=30.0, help="of the simulation; 0: none")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--typhoons", nargs="*", choices=TYPHOONS, default=list(TYPHOONS))
    parser.add_argument("--pages", type=Path)
    parser.add_argument("--at-once", type=int, default=1, help="ways, where wall time is no matter")
    asked = parser.parse_args()
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, scene, truth in scenes(asked):
            files, known = write(scene, truth, Path(folder) / name)
            pages = asked.pages and asked.pages / name
            out = Path(folder) / f"{name}-out"
            results[name] = judged(files, known, out, pages, at_once=asked.at_once)
            report(RESULT.stem, results, table_of(results))


def scenes(asked: argparse.Namespace) -> Iterator[tuple[str, xr.Dataset, pd.DataFrame]]:
    """Name, scene and truth of what is asked for and there."""
    if asked.days:
        hours = round(24 * asked.days) - 1
        yield (
            "simulation",
            *simulate_infrared(
                start=START, hours=hours, cyclones=weather(hours), grid=PACIFIC, seed=SEED
            ),
        )
    for storm in asked.typhoons if asked.data else ():
        yield storm, *typhoon(asked.data / "typhoon_ir_hourly" / f"{storm}.nc")


def weather(hours: int) -> list[Cyclone]:
    """As many look-alikes as cyclones, born all over the box and the time."""
    drawn: list[Cyclone] = []
    for number, hour in enumerate(range(0, hours + BIRTHS_EVERY_HOURS, BIRTHS_EVERY_HOURS)):
        for draw in (draw_cyclone, draw_lookalike):
            one = draw(utc(START + pd.Timedelta(hours=hour)), seed=SEED + number, hemisphere=1)
            drawn.append(replace(one, **placed(SEED + number + 500 * len(drawn))))
    return drawn


def placed(seed: int) -> dict[str, float]:
    """A place well inside the box."""
    west, south, east, north = PACIFIC.extent
    draw = np.random.default_rng(seed)
    return {
        "lon": draw.uniform(west + MARGIN_DEGREES, east - MARGIN_DEGREES),
        "lat": draw.uniform(south + MARGIN_DEGREES, north - MARGIN_DEGREES),
    }


def typhoon(path: Path) -> tuple[xr.Dataset, pd.DataFrame]:
    """Storm-centred pictures where they belong on one grid, and the best track."""
    with xr.open_dataset(path) as file:
        frames = file.load()
    lon, lat = (frames[f"storm_{name}"].to_numpy().astype(float) for name in ("lon", "lat"))
    grid = Grid.lonlat(
        west=float(np.floor(lon.min() - REACH_DEGREES)),
        south=float(np.floor(lat.min() - REACH_DEGREES)),
        east=float(np.ceil(lon.max() + REACH_DEGREES)),
        north=float(np.ceil(lat.max() + REACH_DEGREES)),
        step_degrees=0.1,
    )
    pixels = grid.pixel_to_lonlat(*np.meshgrid(np.arange(grid.width), np.arange(grid.height)))
    kelvin = np.empty((len(lon), grid.height, grid.width), np.float32)
    for number, (frame, *middle) in enumerate(
        zip(frames["IR_108"].to_numpy(), lon, lat, strict=True)
    ):
        plane = local_plane(*middle, size=len(frame), km=5.0)
        column, row = plane.lonlat_to_pixel(*pixels)
        kelvin[number] = ndimage.map_coordinates(frame, [row, column], order=1, cval=np.nan)
    scene = xr.Dataset(
        {"IR_108": (("time", "lat", "lon"), kelvin, {"units": "K"})},
        {
            "time": frames["time"].to_numpy(),
            "lat": ("lat", grid.y, {"units": "degrees_north"}),
            "lon": ("lon", grid.x, {"units": "degrees_east"}),
        },
        {"platform": "GMS and MTSAT", "sensor": "imager"},
    )
    track = pd.DataFrame({"track_id": path.stem, "time": scene["time"], "lon": lon, "lat": lat})
    return open_scene(scene), track.assign(pressure_hpa=frames["pressure"].to_numpy())


def write(scene: xr.Dataset, truth: pd.DataFrame, folder: Path) -> tuple[list[Path], Path]:
    """A file an hour, and the truth."""
    (folder / "files").mkdir(parents=True)
    paths = []
    for row, moment in enumerate(scene["time"].to_index()):
        paths.append(folder / "files" / f"{moment:%Y%m%d_%H%M}.nc")
        scene.isel(time=[row]).to_netcdf(paths[-1])
    known = truth.rename(columns={"kind": "organisation"})
    known.to_csv(folder / "truth.csv", index=False)
    return paths, folder / "truth.csv"


def judged(
    files: Sequence[Path], truth: Path, out: Path, pages: Path | None, *, at_once: int
) -> dict[str, Any]:
    """What each way costs, whether all find the same, and how good that is."""
    folder, shown = files[0].parent, ["--report", "--animate"] if pages else []
    alone = pages or out / "alone"
    ways = {
        "alone": lambda: predict(folder, alone, ["--overwrite", *shown]),
        "dask 2": lambda: on_a_cluster(folder, out / "dask"),
        "follow": lambda: followed(files, out / "follow"),
    }
    with ThreadPoolExecutor(at_once) as pool:
        costs = dict(zip(ways, pool.map(timed, ways.values()), strict=True))
    found = [alone, out / "dask", out / "follow"]
    same = {name: len({(path / name).read_bytes() for path in found}) == 1 for name in TABLES}
    return {
        "hours": len(files),
        "same_tables": same,
        "ways": costs,
        "scores": scores(alone, truth),
    }


def timed(judge: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What it tells, and the seconds that it took."""
    begin = time.perf_counter()
    told = judge()
    return {"wall_s": round(time.perf_counter() - begin, 1), **told}


def on_a_cluster(folder: Path, out: Path) -> dict[str, Any]:
    """By two workers of dask; processor time and memory are those of the command alone."""
    cluster: Any = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster:
        return predict(folder, out, ["--dask", cluster.scheduler_address])


def followed(files: Sequence[Path], out: Path) -> dict[str, Any]:
    """As they arrive: late, twice, beside corrupt ones, with a SIGKILL half-way."""
    draw, there = random.Random(SEED), out.parent / "arriving"  # noqa: S311 - no secrets
    there.mkdir(parents=True)
    late = sorted(range(len(files)), key=lambda row: row + draw.uniform(0, LATE_HOURS))
    waves = [
        [files[row] for row in late[first : first + ARRIVING]]
        for first in range(0, len(late), ARRIVING)
    ]
    process, twice, costs = started(there, out), 0, []
    for number, wave in enumerate(waves):
        for path in wave:
            shutil.copyfile(path, there / path.name)
        for path in wave[::12]:
            shutil.copyfile(path, there / f"again_{path.name}")
            twice += 1
        if number == 0:
            whole = files[-1].read_bytes()
            (there / "truncated.nc").write_bytes(whole[: len(whole) // 2])
            (there / "noise.nc").write_bytes(draw.randbytes(10_000))
        if number == len(waves) // 2:
            kill_while_judging(process, out)
            costs.append(ended(process))
            process = started(there, out)
        wait_until_judged(out)
    process.send_signal(signal.SIGTERM)
    costs.append(ended(process))
    if process.returncode:
        raise SystemExit(f"predict --follow left with {process.returncode}")
    status = json.loads((out / "status.json").read_text())
    unread = len(status["waiting"]) + len(status["refused"])
    return {
        "cpu_s": round(sum(cost["cpu_s"] for cost in costs), 1),
        "peak_mb": max(cost["peak_mb"] for cost in costs),
        **{"waves": len(waves), "twice": twice, "unread": unread, "hours": status["hours"]},
    }


def started(there: Path, out: Path) -> "subprocess.Popen[bytes]":
    """A process that follows."""
    options = ["--out", str(out), "--follow", "--poll", "1", "--no-plot", "--threads", "1"]
    return subprocess.Popen(
        [sys.executable, "-m", "medicane_models", "predict", str(there), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_while_judging(process: "subprocess.Popen[bytes]", out: Path) -> None:
    """SIGKILL when a quarter of the hours that have just arrived is judged."""
    hours = out / "follow" / "hours"
    before = len(list(hours.glob("*.json")))
    while len(list(hours.glob("*.json"))) < before + ARRIVING // 4:
        time.sleep(0.1)
    process.kill()


def ended(process: "subprocess.Popen[bytes]") -> dict[str, float]:
    """What a process cost, once it has come to its end; its peak is at least this one's."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def wait_until_judged(out: Path) -> None:
    """Until a round that began after now has ended with nothing left to do."""
    rounds: list[str] = []
    while len(rounds) < 3:  # the one that had ended, the one that was under way, and one more
        time.sleep(0.5)
        if not (out / "status.json").exists():
            continue
        status = json.loads((out / "status.json").read_text())
        if status["state"] == "waiting" and status["last_round"] not in rounds:
            rounds.append(status["last_round"])


def scores(out: Path, truth: Path) -> dict[str, Any]:
    """Of the tracks, with how many storms, look-alikes aside."""
    judged = evaluate(out, truth)["tracks"]
    sections = judged["sections"]
    found = {
        title: {name: sections[title]["scores"][name]["value"] for name in names}
        for title, names in SCORES.items()
        if title in sections
    }
    counts = sections["storms and tracks"]["counts"]
    return {"counts": counts, **found, "by_storm": judged["by_storm"]}


def table_of(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row a scene and way."""
    rows: list[tuple[str, ...]] = [("scene, way", "hours", "wall s", "cpu s", "MB", "same")]
    for scene, told in results.items():
        for way, cost in told["ways"].items():
            same = "yes" if all(told["same_tables"].values()) else "NO"
            costs = (str(cost.get(name, "–")) for name in ("wall_s", "cpu_s", "peak_mb"))
            rows.append((f"{scene}, {way}", str(told["hours"]), *costs, same))
    return rows


if __name__ == "__main__":
    main()
