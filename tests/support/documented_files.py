"""Tiny files under the names that the documentation speaks of: what its readers would download."""

import bz2
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from imager_files import gridsat_dataset, write_abi_band
from raw_files import AHI_SIZE, write_ahi
from scene_files import cf_dataset

from medicane_models.domain import Grid, geostationary_crs, great_circle_km
from medicane_models.simulation import simulate_infrared

HAIYAN = Grid.lonlat(west=119.0, south=4.0, east=139.0, north=18.0, step_degrees=0.2)
IBTRACS = """\
SID,SEASON,BASIN,NAME,ISO_TIME,LAT,LON,WMO_WIND,WMO_PRES,TRACK_TYPE
 ,Year, , , ,degrees_north,degrees_east,kts,mb,
"""


def drawn(
    grid: Grid, start: str, hours: float, cadence: float = 60.0
) -> tuple[xr.Dataset, pd.DataFrame]:
    """A tropical cyclone in the middle of a grid, and its track."""
    return simulate_infrared(grid=grid, start=start, hours=hours, cadence_minutes=cadence)


def around(lon_0: float, lon: float, lat: float, *, km: float = 16.0, sweep: str = "y") -> Grid:
    """100² pixels of a geostationary satellite around a place."""
    crs = geostationary_crs(lon_0) + (" +sweep=x" if sweep == "x" else "")
    whole = Grid(crs=crs, width=1, height=1, x_origin=0.0, y_origin=0.0, x_step=1.0, y_step=-1.0)
    x, y = (float(value) for value in whole.lonlat_to_pixel(lon, lat))
    step = 1000 * km
    return Grid(
        crs=crs, width=100, height=100, x_step=step, y_step=-step,
        x_origin=x - 49.5 * step, y_origin=-y + 49.5 * step,
    )  # fmt: skip


def write_haiyan(folder: Path) -> None:
    """GridSat-B1 every three hours, and IBTrACS."""
    scene, track = drawn(HAIYAN, "2013-11-07 00:00", 6, 180)
    for frame in scene["IR_108"]:
        time = pd.Timestamp(frame["time"].item())
        south_up = frame.to_numpy()[::-1]
        dataset = gridsat_dataset(south_up, str(time), HAIYAN.x, HAIYAN.y[::-1])
        dataset.to_netcdf(folder / f"GRIDSAT-B1.{time:%Y.%m.%d.%H}.v02r01.nc")
    storm = "2013306N07162,2013,WP,HAIYAN"
    rows = [
        f"{storm},{row.time:%Y-%m-%d %H:%M:%S},{row.lat},{row.lon},125,910,main\n"
        for row in track.itertuples()
    ]
    (folder / "ibtracs.WP.list.v04r01.csv").write_text(IBTRACS + "".join(rows))


def write_ianos(folder: Path) -> None:
    """What ``medicane-train data download`` writes of a day, hourly."""
    grid = around(9.5, 20.5, 38.0)
    scene, _ = drawn(grid, "2020-09-17 00:00", 2)
    times = pd.DatetimeIndex(scene["time"])
    stored = cf_dataset(scene["IR_108"].to_numpy(), times, grid=grid, names=["IR_108"])
    told = {"platform": "Meteosat-11", "sensor": "seviri", "time_convention": "end_of_scan"}
    folder.mkdir()
    stored.assign_attrs(told).to_netcdf(folder / "seviri_20200917.nc")


def write_mawar(folder: Path) -> None:
    """Segments of Himawari-9, packed as NOAA has them; so coarse that they show weather only."""
    folder.mkdir()
    kelvin = np.random.default_rng(0).uniform(250, 300, (AHI_SIZE, AHI_SIZE))
    for hour in (0, 1):
        for path in write_ahi(folder, f"2023-05-26T{hour:02d}:00", kelvin, satellite="H09"):
            path.with_name(f"{path.name}.bz2").write_bytes(bz2.compress(path.read_bytes()))
            path.unlink()


def write_ian(folder: Path) -> None:
    """Band 13 of GOES-16, two hours."""
    folder.mkdir()
    grid = around(-75.0, -82.0, 26.0, sweep="x")
    scene, _ = drawn(grid, "2022-09-28 12:00", 1)
    for frame in scene["IR_108"]:
        time = pd.Timestamp(frame["time"].item())
        write_abi_band(folder, str(time), 13, frame.to_numpy(), grid=grid)


OCEAN = Grid.lonlat(west=130.0, south=0.0, east=170.0, north=28.0, step_degrees=0.5)


def write_own_storms(folder: Path) -> None:
    """A file a storm, two hours each, a fortnight apart, and a table of their centres."""
    lon, lat = OCEAN.pixel_to_lonlat(*np.meshgrid(range(OCEAN.width), range(OCEAN.height)))
    (folder / "storms").mkdir()
    rows = ["track_id,time,lat,lon,wind_kt\n"]
    for number in range(6):
        times = pd.date_range("2020-08-01", periods=2, freq="h", unit="ns")
        times += pd.Timedelta(days=14 * number)
        centre = (138.0 + number, 12.0 + number)
        away = great_circle_km(lon, lat, *centre)
        noise = np.random.default_rng(number).uniform(0, 10, (2, *away.shape))
        kelvin = (285 + noise - 80 * np.exp(-((away / 150) ** 2))).astype(np.float32)
        scene = cf_dataset(kelvin, times, grid=OCEAN, names=["IR_108"])
        told = {"platform": "Himawari-8", "sensor": "ahi", "time_convention": "start_of_scan"}
        for axis, unit in (("x", "degrees_east"), ("y", "degrees_north")):
            scene[axis].attrs = {"units": unit}
        scene.assign_attrs(told).to_netcdf(folder / "storms" / f"storm_{number}.nc")
        rows += [
            f"S{number},{time:%Y-%m-%dT%H:%MZ},{centre[1]},{centre[0]},{30 + 20 * number}\n"
            for time in times
        ]
    (folder / "my_storms.csv").write_text("".join(rows))
