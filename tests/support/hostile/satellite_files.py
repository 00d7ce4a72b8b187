"""Small valid satellite files of every kind that is read."""

from pathlib import Path

import numpy as np
import xarray as xr
import yaml
from imager_files import (
    GOES_EAST,
    abi_dataset,
    abi_name,
    abi_radiance,
    gridsat_dataset,
    hursat_dataset,
    merged_ir_dataset,
    write_abi_band,
)  # fmt: skip
from PIL import Image
from scene_files import (
    GRID,
    archive_dataset,
    cf_dataset,
    kelvin,
    letterbox,
    shares,
    times,
    write_archive,
    write_png,
)  # fmt: skip

START = "2020-09-17"


def geostationary(folder: Path) -> Path:
    dataset = cf_dataset(kelvin(2), times(START, 2), names=["IR_108"])
    del dataset["projection"].attrs["crs_wkt"]
    dataset["IR_108"].encoding = {
        "dtype": "i2", "scale_factor": 0.01, "add_offset": 250.0, "_FillValue": -32768,
        "zlib": True,
    }  # fmt: skip
    told = {"platform": "Meteosat-11", "sensor": "SEVIRI", "time_convention": "start_of_scan"}
    dataset.assign_attrs(told).to_netcdf(folder / "scene.nc")
    return folder / "scene.nc"


def classic(folder: Path) -> Path:
    dataset = cf_dataset(kelvin(2), times(START, 2)).assign_attrs(platform="GOES-16")
    dataset.to_netcdf(folder / "scene.nc", format="NETCDF3_64BIT", engine="netcdf4")
    return folder / "scene.nc"


def lonlat_axes(count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    return 5 + 0.5 * np.arange(count), 35 + 0.5 * np.arange(count - 2)


def curved(folder: Path) -> Path:
    """2-D longitudes and latitudes."""
    lon, lat = np.meshgrid(*lonlat_axes())
    dataset = xr.Dataset(
        {"IR_108": (("time", "y", "x"), kelvin(1), {"units": "K"})},
        {
            "time": times(START, 1),
            "lat": (("y", "x"), lat + 0.01 * lon, {"units": "degrees_north"}),
            "lon": (("y", "x"), lon, {"units": "degrees_east"}),
        },
    )
    dataset.to_netcdf(folder / "swath.nc")
    return folder / "swath.nc"


def abi(folder: Path) -> Path:
    warm = kelvin(1, GOES_EAST)[0]
    for band in (8, 10, 12, 13):
        write_abi_band(folder, "2020-09-17T00:00", band, warm)
    return folder


def abi_radiances(folder: Path) -> Path:
    path = folder / abi_name("L1b-RadF", 13, START)
    warm = kelvin(1, GOES_EAST)[0]
    abi_dataset(START, abi_radiance(warm, 13), band=13).to_netcdf(path)
    return path


def gridsat(folder: Path) -> Path:
    path = folder / "GRIDSAT-B1.2020.09.17.00.v02r01.nc"
    gridsat_dataset(kelvin(1)[0], START, *lonlat_axes()).to_netcdf(path)
    return path


def merged_ir(folder: Path) -> Path:
    path = folder / "merg_2020091700_4km-pixel.nc4"
    merged_ir_dataset(kelvin(2), START, *lonlat_axes()).to_netcdf(path)
    return path


def hursat(folder: Path) -> Path:
    path = folder / "2005236N23285.KATRINA.2005.08.28.1800.nc"
    square = kelvin(1, GRID)[0][:6, :6]
    hursat_dataset(square, "2005-08-28T18:00", (-88.0, 26.0)).to_netcdf(path)
    return path


def archive(folder: Path) -> Path:
    stored = (1023 * shares(2)).astype(np.int16)
    return write_archive(folder / "archive.zarr", archive_dataset(stored, times(START, 2)))


def archive_zip(folder: Path) -> Path:
    stored = (1023 * shares(1)).astype(np.int16)
    path = folder / "202009170000.zarr.zip"
    return write_archive(path, archive_dataset(stored, times(START, 1)))


def archive_v3(folder: Path) -> Path:
    dataset = archive_dataset(shares(2), times(START, 2))
    return write_archive(folder / "archive.zarr", dataset, zarr_format=3)


def cf_zarr(folder: Path) -> Path:
    dataset = cf_dataset(kelvin(2), times(START, 2)).assign_attrs(platform="Meteosat-11")
    dataset.to_zarr(folder / "scene.zarr", zarr_format=2, consolidated=False)
    return folder / "scene.zarr"


def pictures(folder: Path, suffix: str = "png") -> Path:
    for number in range(3):
        greys = np.random.default_rng(number).integers(60, 200, (30, 40), np.uint8)
        Image.fromarray(greys).save(folder / f"20200516_0{number}00.{suffix}")
    told = {
        "extent": "10,20,50,50", "kelvin": {45: 295, 255: 190}, "mask": {"coloured": 30},
        "crop": {"left": 1}, "platform": "INSAT-3D", "times": {f"20200516_0000.{suffix}": START},
    }  # fmt: skip
    (folder / "georeference.yaml").write_text(yaml.safe_dump(told))
    return folder


def airmass(folder: Path) -> Path:
    for number, time in enumerate(times(START, 2)):
        write_png(folder, str(time), letterbox(number))
    return folder


def ahi(folder: Path) -> Path:
    from raw_files import AHI_SIZE, write_ahi

    values = np.random.default_rng(0).uniform(220, 300, (AHI_SIZE, AHI_SIZE))
    write_ahi(folder, "2020-09-17T00:00", values, segments=(4, 5))
    return folder


def abi_by_satpy(folder: Path) -> Path:
    from raw_files import ABI_GRID, write_abi

    values = np.random.default_rng(0).uniform(220, 300, (ABI_GRID.height, ABI_GRID.width))
    return write_abi(folder, "2020-09-17T00:00", "2020-09-17T00:09", values)


def hrit(folder: Path) -> Path:
    from seviri_files import write_hrit

    write_hrit(folder, "2020-09-17T00:00")
    return folder


def native(folder: Path) -> Path:
    from seviri_files import write_native

    return write_native(folder, "2020-09-17T00:00")
