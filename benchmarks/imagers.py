"""Scenes of many imagers through ``medicane predict``: seconds, memory, planes, maps.

The infrared pair judges each of them by command, in a process of its own: what counts is that the
scene is read, cut into planes and drawn. Written files are in the agencies' formats and sizes, with
land warmer than the sea, clouds of noise and a cold disk, which is no cyclone; the others are real
(see the README of the data), and some have trained the pair. Look at the maps that are left in
OUT::

    PYTHONPATH=tests/support python benchmarks/imagers.py DATA --out OUT
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from imager_files import (  # pyright: ignore[reportMissingImports] - of the tests
    abi_dataset,
    abi_name,
    abi_radiance,
    abi_temperature,
    gridsat_dataset,
    merged_ir_dataset,
)
from measuring import cost_of, machine, report
from numpy.typing import ArrayLike
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter

from medicane_models.domain import Grid, great_circle_km, local_plane
from medicane_models.maps.coastlines import land_mask

GEOREFERENCES = Path(__file__).parent / "georeferences"
ABI_STEP_M = 2004.017288
GOES_EAST = "+proj=geos +h=35786023 +lon_0=-75 +a=6378137 +b=6356752.31414 +sweep=x"
DAY = "2020-09-14"
BLOBS = ((2, 3.0), (15, 12.0))  # radius in pixels, deviation in kelvin


class Case(NamedTuple):
    """A scene, and what makes it.

    Attributes:
        kind: "written" or "real".
        make: files of the scene, some of them in a folder that it may write to.
        options: of the command.
    """

    kind: str
    make: Callable[[Path, Path], list[Path]]
    options: tuple[str, ...] = ()


def weather(grid: Grid, spot: tuple[float, float]) -> np.ndarray:
    """Kelvin in whole hundredths; NaN off the disk."""
    random = np.random.default_rng(0)
    kelvin = np.where(land_mask(grid), 300, 288).astype(np.float32)
    for radius, deviation in BLOBS:
        noise = gaussian_filter(random.standard_normal(kelvin.shape, dtype=np.float32), radius)
        kelvin -= deviation * np.maximum(noise / noise.std(), 0)
    columns = np.arange(grid.width)
    for row in range(grid.height):
        lon, lat = grid.pixel_to_lonlat(columns, np.full(grid.width, row))
        kelvin[row] -= 85 * np.exp(-((great_circle_km(lon, lat, *spot) / 200) ** 4))
        kelvin[row, np.isnan(lon)] = np.nan
    return kelvin.round(2)


def full_disk() -> Grid:
    """ABI's, 2 km under the satellite."""
    return Grid(
        crs=GOES_EAST, width=5424, height=5424, x_origin=-2711.5 * ABI_STEP_M,
        y_origin=2711.5 * ABI_STEP_M, x_step=ABI_STEP_M, y_step=-ABI_STEP_M,
    )  # fmt: skip


def _abi(folder: Path, grid: Grid, kelvin: np.ndarray, start: str, *, level: str) -> Path:
    made = abi_radiance(kelvin, 13) if level == "L1b-Rad" else abi_temperature(kelvin)
    path = folder / abi_name(f"{level}F", 13, start)
    abi_dataset(start, {**made}, band=13, grid=grid).to_netcdf(path)
    return path


def abi_full_disk(folder: Path, _: Path) -> list[Path]:
    """Two hours of level 2."""
    grid = full_disk()
    kelvin = weather(grid, (-60, 15))
    starts = [f"{DAY}T{hour:02d}:00:20" for hour in (12, 13)]
    return [_abi(folder, grid, kelvin, start, level="L2-CMIP") for start in starts]


def abi_radiances(folder: Path, _: Path) -> list[Path]:
    """The United States and the Gulf, level 1b."""
    grid = full_disk().window(900, 422, 2500, 1500)
    kelvin = weather(grid, (-88, 25))
    return [_abi(folder, grid, kelvin, f"{DAY}T12:00:20", level="L1b-Rad")]


def abi_mesoscale(folder: Path, _: Path) -> list[Path]:
    """A sector that follows a storm, every 10 minutes but for a gap."""
    paths = []
    for step in (0, 1, 2, 5, 6):
        lon = -60 - 0.3 * step
        x, y = full_disk().lonlat_to_pixel(lon, 20)
        grid = full_disk().window(int(x) - 250, int(y) - 250, 500, 500)
        kelvin = weather(grid, (lon, 20))
        start = f"{DAY}T12:{10 * step % 60:02d}:20" if step < 6 else f"{DAY}T13:00:20"
        paths.append(_abi(folder, grid, kelvin, start, level="L2-CMIP"))
    return paths


def gridsat(folder: Path, _: Path) -> list[Path]:
    """The globe, 70°S … 70°N, every three hours."""
    grid = Grid.lonlat(west=-180, south=-70, east=179.94, north=69.93, step_degrees=0.07)
    kelvin = weather(grid, (-179.5, 15))[::-1]
    paths = []
    for hour in (0, 3, 6, 9):
        at = f"{DAY}T{hour:02d}:00"
        paths.append(folder / f"GRIDSAT-B1.{pd.Timestamp(at):%Y.%m.%d.%H}.v02r01.nc")
        gridsat_dataset(kelvin, at, grid.x, grid.y[::-1]).to_netcdf(paths[-1])
    return paths


def merged_infrared(folder: Path, _: Path) -> list[Path]:
    """0 … 360°E, 60°S … 60°N, two half-hours a file."""
    step = 360 / 9896
    grid = Grid.lonlat(west=step / 2, south=-59.98, east=360, north=59.98, step_degrees=step)
    kelvin = weather(grid, (181, -15))[::-1]
    path = folder / "merg_2020091412_4km-pixel.nc4"
    both = np.stack([kelvin, kelvin])
    merged_ir_dataset(both, f"{DAY}T12:00", grid.x, grid.y[::-1]).to_netcdf(path)
    return [path]


def _curvilinear(lon: ArrayLike, lat: ArrayLike, kelvin: np.ndarray, at: Any) -> xr.Dataset:
    places = {"units": "degrees_east"}, {"units": "degrees_north"}
    return xr.Dataset(
        {"IR_108": (("y", "x"), kelvin.astype(np.float32), {"units": "K"})},
        {
            "time": pd.Timestamp(at),
            "lon": (("y", "x"), lon, places[0]),
            "lat": (("y", "x"), lat, places[1]),
        },
    )


def typhoon(storm: str, folder: Path, data: Path) -> list[Path]:
    """A day of a storm, each hour on the plane around its best track."""
    with xr.open_dataset(data / "typhoon_ir_hourly" / f"{storm}.nc") as file:
        frames = file.isel(time=slice(48, 72)).load()
    paths = []
    pixels = np.meshgrid(np.arange(512), np.arange(512))
    for frame in (frames.isel(time=hour) for hour in range(frames.sizes["time"])):
        plane = local_plane(float(frame.storm_lon), float(frame.storm_lat), size=512, km=5.0)
        lon, lat = plane.pixel_to_lonlat(*pixels)
        paths.append(folder / f"{storm}_{pd.Timestamp(frame.time.item()):%Y%m%d%H%M}.nc")
        kelvin = frame.IR_108.to_numpy()
        _curvilinear(lon, lat, kelvin, frame.time.item()).to_netcdf(paths[-1])
    return paths


def damien(folder: Path, data: Path) -> list[Path]:
    """A cyclone off Australia with matrices of longitudes and latitudes."""
    path = data / "storms_single" / "20200208T083000_ir.mat"
    saved = loadmat(path, squeeze_me=True, struct_as_record=False)["aSetSaved"]
    written = folder / "damien.nc"
    scene = _curvilinear(saved.lonMatrix, saved.latMatrix, saved.tb, "2020-02-08T08:30")
    scene.to_netcdf(written)
    return [written]


def pictures(georeference: str, pattern: str, folder: Path, data: Path) -> list[Path]:
    """Pictures and where they lie, told by a file."""
    told = (GEOREFERENCES / georeference).read_text(encoding="utf-8")
    path = folder / georeference
    path.write_text(f"pictures: {data / pattern}\n{told}", encoding="utf-8")
    return [path]


def in_folder(name: str, pattern: str, _: Path, data: Path) -> list[Path]:
    """Real files as they are."""
    return sorted((data / name).glob(pattern))


def _bound(function: Callable[..., list[Path]], *first: str) -> Callable[[Path, Path], list[Path]]:
    return lambda folder, data: function(*first, folder, data)


CASES = {
    "ABI full disk, 2 h": Case("written", abi_full_disk),
    "ABI radiances": Case("written", abi_radiances),
    "ABI mesoscale sector, 10 min with a gap": Case("written", abi_mesoscale, ("--every", "10")),
    "GridSat-B1, 9 h": Case("written", gridsat, ("--every", "180")),
    "GridSat-B1, box over 180°E": Case(
        "written", gridsat, ("--every", "180", "--domain", "160,0,-160,30")
    ),
    "merged infrared, 0 … 360°E": Case("written", merged_infrared),
    "Digital Typhoon 198702": Case("real", _bound(typhoon, "198702"), ("--every", "360")),
    "Digital Typhoon 200717": Case("real", _bound(typhoon, "200717"), ("--every", "360")),
    "Digital Typhoon 200718": Case("real", _bound(typhoon, "200718"), ("--every", "360")),
    "AHI, cyclone Damien": Case("real", damien),
    "Himawari pictures": Case(
        "real",
        _bound(pictures, "himawari.yaml", "himawari_ir_png/*MERANTI*.png"),
    ),
    "INSAT-3D pictures, full disk": Case(
        "real",
        _bound(pictures, "insat3d.yaml", "insat3d_full_disk/*OCT2018*.jpg"),
    ),
    "INSAT-3D pictures, Amphan": Case(
        "real",
        _bound(pictures, "amphan.yaml", "insat3d_amphan/20200517_*.jpg"),
        ("--every", "360"),
    ),
    "SEVIRI HRIT, segments 7 and 8": Case(
        "real", _bound(in_folder, "seviri_hrit_20200906", "*"), ("--every", "15")
    ),
    "SEVIRI archive, 5 min": Case("real", _bound(in_folder, "seviri_rss_20231220", "*.zarr.zip")),
    "HURSAT-B1, Wilma": Case("real", _bound(in_folder, "hursat", "*.nc"), ("--every", "180")),
}


def predict(scene: list[Path], out: Path, options: tuple[str, ...]) -> dict[str, Any]:
    """Run the command; what it took and left."""
    command = [
        sys.executable, "-m", "medicane_models", "predict", *map(str, scene),
        "--out", str(out), "--overwrite", *options,
    ]  # fmt: skip
    log = out.parent / f"{out.name}.log"
    with log.open("w", encoding="utf-8") as file:
        done, cost = cost_of(command, stdout=file, stderr=file)
    return {"exit": done.returncode, **cost, **(_left(out) if done.returncode == 0 else {})}


def _left(out: Path) -> dict[str, Any]:
    table = pd.read_csv(out / "detections.csv")
    scene = json.loads((out / "detections.json").read_text())["provenance"]["scene"]
    maps = sorted((out / "maps").glob("*.png"))
    return {
        "frames": scene["frames"],
        "pixels": f"{scene['grid']['width']} × {scene['grid']['height']}",
        "clips": len(set(table["time"])),
        "planes": max(len(rows) for _, rows in table.groupby("time")),
        "tracks": pd.read_csv(out / "tracks.csv")["track_id"].nunique(),
        "largest_map_kb": max(path.stat().st_size for path in maps) // 1024,
    }


def main() -> None:
    """Run all cases, or those whose name holds a word, print and keep the table."""
    parser = argparse.ArgumentParser(description="Judge scenes of many imagers by command.")
    parser.add_argument("data", type=Path, help="folder of the real data")
    parser.add_argument("--out", type=Path, required=True, help="where maps and files are left")
    parser.add_argument("--only", default="", help="cases whose name holds this; not kept")
    arguments = parser.parse_args()
    results = {}
    for name, case in CASES.items():
        if arguments.only in name:
            folder = arguments.out / name.replace(" ", "_").replace(",", "")
            (folder / "scene").mkdir(parents=True, exist_ok=True)
            scene = case.make(folder / "scene", arguments.data)
            found = predict(scene, folder / "results", case.options)
            results[name] = {"kind": case.kind, **found}
            print(name, results[name], flush=True)
    if not arguments.only:
        head = (
            *("kind", "frames", "pixels", "planes", "tracks"),
            *("wall_s", "cpu_s", "peak_mb", "exit"),
        )
        rows = [(name, *(str(r.get(key, "–")) for key in head)) for name, r in results.items()]
        report("imagers", {**machine("cpu"), **results}, [("scene", *head), *rows])


if __name__ == "__main__":
    main()
