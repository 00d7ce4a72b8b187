"""Whole days through ``medicane predict``: wall time, processor time, peak memory.

    python -m benchmarks day_of_prediction
    python -m benchmarks day_of_prediction --area disk [--hours 24]

The Mediterranean is 288 simulated frames in the layout of the public archive (int16, one store), 24
clips of 12 tiles, for the Airmass pair; the disk is SEVIRI's, 25 frames of the infrared window for
the infrared pair. The command runs in a process of its own, without maps unless --plot asks.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from measuring import cost_of, keep, print_table

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.hub import AIRMASS_DETECTOR, AIRMASS_TRACKER, DETECTOR, TRACKER
from medicane_models.scenes.readers.archive import LIMITS_KELVIN
from medicane_models.simulation import CHANNELS, Instrument, simulate_infrared, simulate_scene

FRAMES_AN_HOUR = 12
AREA = "msg:\n  projection: {proj: geos, h: 35785831, lon_0: 9.5, a: 6378137, b: 6356752.3142}\n"


@dataclass(frozen=True, kw_only=True)
class Day:
    """What is predicted.

    Attributes:
        write: makes the store of so many hours.
        options: of ``medicane predict``.
    """

    write: Callable[[Path, int], None]
    options: tuple[str, ...]


def main() -> None:
    """Write the store, time the command, print and keep the result."""
    options = arguments()
    day = DAYS[options.area]
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "day_nonhrv.zarr"
        print(f"writing {options.hours} hours of {options.area} …", flush=True)
        day.write(store, options.hours)
        plot = () if options.plot else ("--no-plot",)
        result = measure([str(store), "--out", f"{folder}/out", "--json", *plot, *day.options])
    rows = {
        f"{options.area} s": {"value": result["wall_s"]},
        f"{options.area} GB": {"value": result["peak_mb"] / 1000},
    }
    details = {"hours": options.hours, "plot": options.plot, **result}
    print_table([("", ""), *((name, str(value)) for name, value in details.items())])
    if options.hours == 24 and not options.plot:
        keep(f"day_of_{options.area}", rows, details, "cpu")


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--area", choices=tuple(DAYS), default="mediterranean")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--plot", action="store_true")
    return parser.parse_args()


def write_disk(path: Path, hours: int) -> None:
    """Store the infrared window of SEVIRI's disk hourly: one picture that drifts."""
    grid = Grid.full_disk(0.0)
    scene, _ = simulate_infrared(grid=grid, hours=hours)
    first = scene["IR_108"].isel(time=0).load()
    empty = scene.drop_vars("IR_108")
    empty.attrs = {name: value for name, value in empty.attrs.items() if value is not None}
    empty.to_zarr(path, zarr_format=2, consolidated=False)
    packing = {"scale_factor": 0.01, "add_offset": 273.15, "_FillValue": -32768}
    data = zarr.open_group(path, mode="a").create_array(
        "IR_108", shape=(hours + 1, *first.shape), dtype="int16", fill_value=-32768,
        chunks=(1, *first.shape),
        attributes={
            "_ARRAY_DIMENSIONS": ["time", "y", "x"], "units": "K", "grid_mapping": "crs", **packing
        },
    )  # fmt: skip
    kelvin = np.nan_to_num((first.to_numpy() - 273.15) / 0.01, nan=-32768).astype(np.int16)
    on_earth = kelvin != -32768
    for hour in range(hours + 1):
        drifted = np.roll(kelvin, 4 * hour, axis=1)
        data[hour] = np.where(on_earth & (drifted != -32768), drifted, kelvin)


def write_archive(path: Path, hours: int) -> None:
    """Store simulated hours on the archive's pixels, as the public archive keeps them."""
    count = FRAMES_AN_HOUR * hours
    grid = Grid.full_disk(9.5).covering(MEDITERRANEAN, margin=2)
    first = "2021-10-29 00:05"
    whole = Instrument(missing_frames=0, missing_lines=0)
    scene, _ = simulate_scene(
        start=first, hours=(count - 1) / FRAMES_AN_HOUR, instrument=whole, grid=grid
    )
    root = zarr.create_group(path, zarr_format=2, attributes={"area": AREA})
    names = ["time", "y_geostationary", "x_geostationary", "variable"]
    data = root.create_array(
        "data", shape=(count, grid.height, grid.width, 4), dtype="int16",
        chunks=(1, grid.height, 300, 4), attributes={"_ARRAY_DIMENSIONS": names},
    )  # fmt: skip
    minutes = np.arange(count) * 5
    for name, values in (
        ("time", minutes),
        ("y_geostationary", grid.y[::-1]),
        ("x_geostationary", grid.x[::-1]),
        ("variable", np.array(CHANNELS)),
    ):
        root.create_array(name, data=values, attributes={"_ARRAY_DIMENSIONS": [name]})
    root["time"].attrs["units"] = f"minutes since {first}"
    for row in range(count):
        data[row] = scaled(scene.isel(time=row).compute())[::-1, ::-1]


def scaled(frame: xr.Dataset) -> np.ndarray:
    """Channels last, 0 … 1023 between the archive's limits."""
    layers = []
    for name in CHANNELS:
        low, high = LIMITS_KELVIN[name]
        layers.append(np.clip((frame[name].to_numpy() - low) / (high - low), 0, 1) * 1023)
    return np.stack(layers, axis=-1).round().astype(np.int16)


def measure(arguments: list[str]) -> dict[str, Any]:
    """Run the command and read what it cost."""
    load = os.getloadavg()[0]
    command = [sys.executable, "-m", "medicane_models", "predict", *arguments]
    done, cost = cost_of(command, stdout=subprocess.PIPE)
    done.check_returncode()
    rows = json.loads(done.stdout)["detections"]
    return {
        "detections": len(rows),
        "located": sum(row["lon"] is not None for row in rows),
        **cost,
        "load_before": load,
    }


AIRMASS = ("--model", AIRMASS_DETECTOR, "--tracker", AIRMASS_TRACKER)
INFRARED = ("--model", DETECTOR, "--tracker", TRACKER)
DAYS = {
    "mediterranean": Day(write=write_archive, options=AIRMASS),
    "disk": Day(write=write_disk, options=(*INFRARED, "--every", "60")),
}


if __name__ == "__main__":
    main()
