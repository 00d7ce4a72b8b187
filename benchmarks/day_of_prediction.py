"""A day of the Mediterranean through ``medicane predict``: wall time, processor time, peak memory.

Writes 288 simulated frames in the layout of the public archive (int16, one store), then runs the
command in a process of its own: 24 clips of 12 tiles, no maps.

    python benchmarks/day_of_prediction.py
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.scenes.readers.archive import LIMITS_KELVIN
from medicane_models.simulation import CHANNELS, Instrument, simulate_scene

FRAMES = 288
RESULT = Path(__file__).parent / "results" / "day_of_prediction.json"
AREA = "msg:\n  projection: {proj: geos, h: 35785831, lon_0: 9.5, a: 6378137, b: 6356752.3142}\n"


def main() -> None:
    """Write the store, time the command, print and keep the result."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "day_nonhrv.zarr"
        print(f"writing {FRAMES} frames to a store of the archive's layout …")
        write_archive(store)
        result = measure([str(store), "--out", str(Path(folder) / "out"), "--no-plot", "--json"])
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def write_archive(path: Path) -> None:
    """Store a simulated day on the archive's pixels, as the public archive keeps it."""
    grid = Grid.full_disk(9.5).covering(MEDITERRANEAN, margin=2)
    first = "2021-10-29 00:05"
    whole = Instrument(missing_frames=0, missing_lines=0)
    hours = (FRAMES - 1) / 12
    scene, _ = simulate_scene(start=first, hours=hours, instrument=whole, grid=grid)
    root = zarr.create_group(path, zarr_format=2, attributes={"area": AREA})
    names = ["time", "y_geostationary", "x_geostationary", "variable"]
    data = root.create_array(
        "data", shape=(FRAMES, grid.height, grid.width, 4), dtype="int16",
        chunks=(1, grid.height, 300, 4), attributes={"_ARRAY_DIMENSIONS": names},
    )  # fmt: skip
    minutes = np.arange(FRAMES) * 5
    for name, values in (
        ("time", minutes),
        ("y_geostationary", grid.y[::-1]),
        ("x_geostationary", grid.x[::-1]),
        ("variable", np.array(CHANNELS)),
    ):
        root.create_array(name, data=values, attributes={"_ARRAY_DIMENSIONS": [name]})
    root["time"].attrs["units"] = f"minutes since {first}"
    for row in range(FRAMES):
        data[row] = scaled(scene.isel(time=row).compute())[::-1, ::-1]


def scaled(frame: xr.Dataset) -> np.ndarray:
    """Channels last, 0 … 1023 between the archive's limits."""
    layers = []
    for name in CHANNELS:
        low, high = LIMITS_KELVIN[name]
        layers.append(np.clip((frame[name].to_numpy() - low) / (high - low), 0, 1) * 1023)
    return np.stack(layers, axis=-1).round().astype(np.int16)


def measure(arguments: list[str]) -> dict[str, float]:
    """Run the command and read what it cost."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "medicane_models", "predict", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    wall = time.perf_counter() - begin
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = json.loads(done.stdout)["detections"]
    return {
        "frames": FRAMES,
        "clips": len(rows),
        "located": sum(row["lon"] is not None for row in rows),
        "wall_s": round(wall, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
