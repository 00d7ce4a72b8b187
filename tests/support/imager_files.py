"""Tiny files as the agencies of other imagers write them, for the tests of their readers."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from medicane_models.domain import Grid

GOES_EAST = Grid(
    crs="+proj=geos +h=35786023 +lon_0=-75 +a=6378137 +b=6356752.31414 +sweep=x",
    width=8,
    height=6,
    x_origin=-1e6,
    y_origin=3e6,
    x_step=2004.017288,
    y_step=-2004.017288,
)
PLANCK = {  # fk1, fk2, bc1, bc2 and band of real ABI files
    8: (50687.1, 2331.58, 1.55228, 0.99667),
    10: (30054.5, 1958.7, 0.06884, 0.99988),
    12: (13432.1, 1497.61, 0.09233, 0.99971),
    13: (10803.3, 1392.74, 0.0755, 0.99975),
}
J2000 = "seconds since 2000-01-01 12:00:00"


def abi_name(kind: str, band: int | None, start: str) -> str:
    number = "" if band is None else f"C{band:02d}"
    time = pd.Timestamp(start)
    return f"OR_ABI-{kind}-M6{number}_G16_s{time:%Y%j%H%M%S}0_e{time:%Y%j%H%M%S}9_c0.nc"


def abi_dataset(
    start: str,
    variables: dict[str, xr.DataArray | tuple],
    *,
    band: int | None = None,
    grid: Grid = GOES_EAST,
    seconds: float = 570.0,
) -> xr.Dataset:
    """The frame that all ABI files share: scan angles, projection, the middle of the scan."""
    height = 35786023.0
    first = pd.Timestamp(start)
    last = first + pd.Timedelta(seconds=seconds)
    bounds = [(time - pd.Timestamp("2000-01-01T12:00")).total_seconds() for time in (first, last)]
    projection = {
        "grid_mapping_name": "geostationary", "perspective_point_height": height,
        "semi_major_axis": 6378137.0, "semi_minor_axis": 6356752.31414,
        "inverse_flattening": 298.2572221, "latitude_of_projection_origin": 0.0,
        "longitude_of_projection_origin": -75.0, "sweep_angle_axis": "x",
    }  # fmt: skip
    angles = {
        axis: (axis, getattr(grid, axis) / height, {"units": "rad", "axis": axis.upper()})
        for axis in "yx"
    }
    times = {"standard_name": "time", "units": J2000, "axis": "T", "bounds": "time_bounds"}
    dataset = xr.Dataset(
        variables
        | {
            "goes_imager_projection": ((), np.int32(0), projection),
            "time_bounds": (("number_of_time_bounds",), np.array(bounds)),
        },
        angles | {"t": ((), np.mean(bounds), times)},
        {
            "platform_ID": "G16",
            "instrument_type": "GOES R Series Advanced Baseline Imager",
            "time_coverage_start": f"{first:%Y-%m-%dT%H:%M:%S.0Z}",
            "time_coverage_end": f"{last:%Y-%m-%dT%H:%M:%S.0Z}",
        },
    )
    return dataset if band is None else dataset.assign(band_id=("band", np.int8([band])))


def abi_temperature(kelvin: np.ndarray, name: str = "CMI") -> dict[str, tuple]:
    attributes = {
        "units": "K",
        "standard_name": "toa_brightness_temperature",
        "grid_mapping": "goes_imager_projection",
    }
    packing = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 200.0, "_FillValue": -1}
    return {name: (("y", "x"), kelvin, attributes, packing)}


def abi_radiance(kelvin: np.ndarray, band: int) -> dict[str, tuple]:
    """Radiances by Planck's function, with the coefficients that invert it."""
    fk1, fk2, bc1, bc2 = PLANCK[band]
    radiance = fk1 / (np.exp(fk2 / (bc1 + bc2 * kelvin.astype(float))) - 1)
    attributes = {"units": "mW m-2 sr-1 (cm-1)-1", "grid_mapping": "goes_imager_projection"}
    packing = {"dtype": "i2", "scale_factor": 0.005, "add_offset": -1.6, "_FillValue": 32767}
    names = ("planck_fk1", "planck_fk2", "planck_bc1", "planck_bc2")
    coefficients = {
        name: ((), value) for name, value in zip(names, (fk1, fk2, bc1, bc2), strict=True)
    }
    return {"Rad": (("y", "x"), radiance, attributes, packing), **coefficients}


def write_abi_band(
    folder: Path, start: str, band: int, kelvin: np.ndarray, **frame: object
) -> Path:
    """One CMIP file, named as they are."""
    path = folder / abi_name("L2-CMIPF", band, start)
    abi_dataset(start, abi_temperature(kelvin), band=band, **frame).to_netcdf(path)
    return path


def _lonlat(lon: np.ndarray, lat: np.ndarray) -> dict[str, tuple]:
    return {
        "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
        "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
    }


def gridsat_dataset(kelvin: np.ndarray, time: str, lon: np.ndarray, lat: np.ndarray) -> xr.Dataset:
    """GridSat-B1: a time a file, days as fractions, the satellites of a whole ring in one text."""
    packing = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 200.0, "_FillValue": -31999}
    attributes = {"units": "kelvin", "long_name": "NOAA FCDR of Brightness Temperature near 11 um"}
    dataset = xr.Dataset(
        {
            "irwin_cdr": (("time", "lat", "lon"), kelvin[None], attributes, packing),
            "irwvp": (("time", "lat", "lon"), kelvin[None] - 40, {"units": "kelvin"}, packing),
        },
        {"time": [pd.Timestamp(time)], **_lonlat(lon, lat)},
        {"sensor": "GOES I-M IMAGER, SEVIRI, MVIRI", "title": "GRIDSAT-B1"},
    )
    dataset["time"].encoding = {"units": "days since 1970-01-01 00:00:00", "dtype": "f8"}
    return dataset


def merged_ir_dataset(
    kelvin: np.ndarray, time: str, lon: np.ndarray, lat: np.ndarray
) -> xr.Dataset:
    """CPC's merged infrared: two half-hours a file."""
    attributes = {"units": "K", "standard_name": "brightness_temperature"}
    index = pd.date_range(time, periods=len(kelvin), freq="30min")
    return xr.Dataset(
        {"Tb": (("time", "lat", "lon"), kelvin, attributes)},
        {"time": index, **_lonlat(lon, lat)},
        {"title": "NCEP/CPC 4km Global (60N - 60S) IR Dataset"},
    )


def hursat_dataset(
    kelvin: np.ndarray,
    time: str,
    centre: tuple[float, float],
    *,
    satellite: str = "GOES-11",
    view_zenith: float = 40.0,
) -> xr.Dataset:
    """HURSAT-B1 around a centre (lon, lat); longitudes wrap at ±180, time has no attributes."""
    half = np.arange(kelvin.shape[0]) - kelvin.shape[0] // 2
    lon = ((centre[0] + 0.07 * half + 180) % 360 - 180).astype(np.float32)
    lat = (centre[1] + 0.07 * half).astype(np.float32)
    packing = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 200.0, "_FillValue": -20100}
    first = pd.Timestamp(time)
    dataset = xr.Dataset(
        {
            name: (("htime", "lat", "lon"), kelvin[None] - shift, {"units": "Kelvin"}, packing)
            for name, shift in (("IRWIN", 0), ("IRWVP", 40))
        }
        | {
            "CentLat": ("htime", [centre[1]], {"units": "degrees_north"}),
            "CentLon": ("htime", [centre[0]], {"units": "degrees_east"}),
            "VZA": ("htime", [view_zenith], {"units": "degrees"}),
        },
        {"htime": ("htime", [first], {"standard_name": "time"}), **_lonlat(lon, lat)},
        {
            "Satellite_Name": satellite,
            "Sensor_Name": "Imager",
            "time_coverage_start": f"{first:%Y-%m-%dT%H:%M:%S}",
            "time_coverage_end": f"{first + pd.Timedelta(minutes=30):%Y-%m-%dT%H:%M:%S}",
        },
    )
    dataset["htime"].encoding = {"units": "days since 1970-01-01 00:00", "dtype": "f8"}
    return dataset
