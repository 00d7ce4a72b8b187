"""A scene's frame onto all its local planes: seconds, memory, and the error of interpolation.

A full disk of 2 km pixels and a picture of 600 × 500 pixels of 4 km become planes of 112² at 10 km
with overlap .5, on two threads. The scene is noise in blobs of 1 to 40 pixels with a deviation of
16 K, rougher than clouds are; the error is that against 10 × 10 nearest pixels in each pixel of a
plane, which themselves err by a tenth of a kelvin, and against 30 × 30, which err less. On a busy
machine, as the load average tells, ``cpu_s`` is what counts::

    python benchmarks/planes.py
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from measuring import machine, own_peak_memory, peak_memory, report
from scipy.ndimage import gaussian_filter

from medicane_models.domain import Grid, geostationary_crs
from medicane_models.scenes.plane_sampling import PlaneSampler
from medicane_models.scenes.planes import planes_covering

STEP_M = 2004.017  # of ABI's 2 km pixels
GRIDS = {
    "full disk 5424²": Grid(
        crs=geostationary_crs(-75), width=5424, height=5424, x_origin=-2711.5 * STEP_M,
        y_origin=2711.5 * STEP_M, x_step=STEP_M, y_step=-STEP_M,
    ),
    "picture 600 × 500": Grid.lonlat(
        west=120, south=5, east=143.96, north=24.96, step_degrees=0.04
    ),
}  # fmt: skip
SIZE, KM, OVERLAP, THREADS = 112, 10.0, 0.5, 2
BLOBS = ((1, 3.0), (3, 5.0), (10, 8.0), (40, 12.0))  # radius in pixels, deviation in kelvin
COMPARED = 6
SAMPLES = (10, 30)


def texture(grid: Grid) -> np.ndarray:
    """Kelvin, smooth and fine at once; NaN off the disk."""
    random = np.random.default_rng(0)
    kelvin = np.full((grid.height, grid.width), 260, dtype=np.float32)
    for radius, deviation in BLOBS:
        noise = random.standard_normal(kelvin.shape, dtype=np.float32)
        noise = gaussian_filter(noise, radius, mode="wrap")
        kelvin += deviation / noise.std() * noise
    columns = np.arange(grid.width)
    for row in range(grid.height):
        lon, _ = grid.pixel_to_lonlat(columns, np.full(grid.width, row))
        kelvin[row, np.isnan(lon)] = np.nan
    return kelvin


def placed(grid: Grid) -> PlaneSampler:
    """The sampler of a grid onto all its planes."""
    planes = planes_covering(grid, size=SIZE, km=KM, overlap=OVERLAP)
    return PlaneSampler(grid, planes, threads=THREADS)


def timed(step: Callable[[], object], repetitions: int) -> dict[str, float]:
    """Seconds of a step by the wall's clock and the processor's."""
    wall, cpu = [], []
    for _ in range(repetitions):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        step()
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - begin_cpu)
    return {
        "fastest_s": round(min(wall), 3),
        "median_s": round(statistics.median(wall), 3),
        "cpu_s": round(min(cpu), 3),
    }


def brute_force(grid: Grid, plane: Grid, kelvin: np.ndarray, samples: int) -> np.ndarray:
    """The mean of samples² nearest pixels in each pixel of a plane."""
    within = (np.arange(samples) + 0.5) / samples - 0.5
    x = (np.arange(plane.width)[:, None] + within).ravel()
    columns, rows = grid.lonlat_to_pixel(*plane.pixel_to_lonlat(*np.meshgrid(x, x)))
    seen = grid.contains(columns, rows)
    rows, columns = (np.rint(np.where(seen, v, 0)).astype(int) for v in (rows, columns))
    values = np.where(seen, kelvin[rows, columns], np.nan)
    return values.reshape(plane.height, samples, plane.width, samples).mean(axis=(1, 3))


def errors(sampler: PlaneSampler, kelvin: np.ndarray, samples: int) -> dict[str, float]:
    """Root mean square and largest difference from brute force, on some of the planes."""
    chosen = np.linspace(0, len(sampler.planes) - 1, COMPARED).round().astype(int)
    found = sampler(kelvin[None])[chosen, 0]
    difference = found - np.stack(
        [brute_force(sampler.source, sampler.planes[i], kelvin, samples) for i in chosen]
    )
    return {
        "rms_k": round(float(np.sqrt(np.nanmean(difference**2))), 3),
        "largest_k": round(float(np.nanmax(abs(difference))), 2),
    }


def measure(name: str, repetitions: int) -> dict[str, Any]:
    """All numbers of one grid."""
    grid = GRIDS[name]
    kelvin = texture(grid)
    sampler = placed(grid)
    return {
        "planes": len(sampler.planes),
        "setup": timed(lambda: placed(grid), 1),
        "frame": timed(lambda: sampler(kelvin[None]), repetitions),
        "peak_mb_beyond_the_frame": round(peak_memory(__file__, name, [])),
        "error": {f"{n} × {n}": errors(sampler, kelvin, n) for n in SAMPLES},
    }


def memory_of(name: str) -> float:
    """Megabytes that the planes of a grid and two frames on them take at most."""
    grid = GRIDS[name]
    kelvin = np.full((1, grid.height, grid.width), 260, dtype=np.float32)

    def build() -> Callable[[], object]:
        sampler = placed(grid)
        return lambda: sampler(kelvin)

    return own_peak_memory(build, "cpu")


def main() -> None:
    """Measure both grids, print and keep the result."""
    parser = argparse.ArgumentParser(description="Time the sampling of frames onto local planes.")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--memory-of", choices=GRIDS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(memory_of(arguments.memory_of))
        return
    measured = {name: measure(name, arguments.repetitions) for name in GRIDS}
    rows: list[tuple[str, ...]] = [
        ("scene", "planes", "setup s", "frame s", "cpu s", "peak MB", "rms K")
    ]
    for name, values in measured.items():
        numbers = (
            values["planes"], values["setup"]["fastest_s"], values["frame"]["fastest_s"],
            values["frame"]["cpu_s"], values["peak_mb_beyond_the_frame"],
            values["error"]["30 × 30"]["rms_k"],
        )  # fmt: skip
        rows.append((name, *(str(number) for number in numbers)))
    conditions = {"sampling_threads": THREADS, "load_average": os.getloadavg()[1]}
    report("planes", {**machine("cpu"), **conditions, **measured}, rows)


if __name__ == "__main__":
    main()
