"""Satellite files of every kind that is read, and what becomes of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hostile.bombs import bomb_picture, bomb_zip, huge_dimensions, huge_zarr
from hostile.damage import Draw, Kind, files_of
from hostile.datasets import spoil_dataset
from hostile.satellite_files import (
    abi,
    abi_by_satpy,
    abi_radiances,
    ahi,
    airmass,
    archive,
    archive_v3,
    archive_zip,
    cf_zarr,
    classic,
    curved,
    geostationary,
    gridsat,
    hrit,
    hursat,
    merged_ir,
    native,
    pictures,
)
from medicane_models.scenes.opening import open_scene, scene_grid


def read(given: Path, **options: Any) -> xr.Dataset:
    scene = open_scene(given, **options)
    scene_grid(scene)
    return scene.load()


def wrong(scene: xr.Dataset) -> str:
    """Whether there is what no satellite has seen."""
    years = scene["time"].dt.year
    if years.isnull().any() or ((years < 1960) | (years > 2100)).any():
        return f"times {scene['time'].values}"
    if not np.isfinite([scene["x"].values.min(), scene["y"].values.max()]).all():
        return "coordinates are not finite"
    for name, variable in scene.data_vars.items():
        if variable.ndim < 3:
            continue
        low, high = (0, 1) if name == "airmass" else (100, 400)
        seen = variable.values[~np.isnan(variable.values)]
        if seen.size and not (low <= seen.min() and seen.max() <= high):
            return f"{name} from {seen.min()} to {seen.max()}"
    return ""


def spoil_filled(given: Path, draw: Draw) -> str:
    """A byte that says something, in files that are mostly zeros."""
    files = files_of(given)
    path = files[draw.integers(len(files))]
    data = bytearray(path.read_bytes())
    filled = np.flatnonzero(np.frombuffer(data, np.uint8))
    place = int(filled[draw.integers(len(filled))])
    before, data[place] = data[place], int(draw.integers(256))
    path.write_bytes(data)
    return f"{path.name}: {before} became {data[place]} at {place}"


def other_segment(given: Path, draw: Draw) -> str:
    """A file is missing, or called like one of another segment, time, satellite or channel."""
    files = files_of(given)
    path = files[draw.integers(len(files))]
    changes = ("", ("000007", "000003"), ("000008", "000099"), ("0000", "2400"), ("MSG4", "MSG1"),
               ("IR_108", "WV_062"), ("0000-", "0015-"), ("PRO", "EPI"))  # fmt: skip
    change = changes[draw.integers(len(changes))]
    if not change or change[0] not in path.name:
        path.unlink()
        return f"{path.name} is missing"
    path.rename(path.with_name(path.name.replace(*change)))
    return f"{path.name} with {change[1]} in place of {change[0]}"


def zarr_kind(make: Callable[[Path], Path]) -> Kind:
    return Kind(make=make, read=read, wrong=wrong, is_text=True, others=(huge_zarr,))


NETCDF = (spoil_dataset, spoil_dataset, spoil_dataset, spoil_dataset, huge_dimensions)
SCENES = {
    "CF netCDF": Kind(make=geostationary, read=read, wrong=wrong, others=NETCDF, share=2),
    "classic netCDF": Kind(make=classic, read=read, wrong=wrong, others=(spoil_dataset,), share=2),
    "netCDF with 2-D places": Kind(make=curved, read=read, wrong=wrong, others=NETCDF),
    "ABI netCDF": Kind(make=abi, read=read, wrong=wrong, others=NETCDF),
    "ABI radiances": Kind(make=abi_radiances, read=read, wrong=wrong, others=NETCDF),
    "GridSat-B1": Kind(make=gridsat, read=read, wrong=wrong, others=NETCDF),
    "merged infrared": Kind(make=merged_ir, read=read, wrong=wrong, others=NETCDF),
    "HURSAT-B1": Kind(make=hursat, read=read, wrong=wrong, others=NETCDF),
    "archive, Zarr": zarr_kind(archive),
    "archive, zip": Kind(make=archive_zip, read=read, wrong=wrong, others=(bomb_zip,)),
    "archive, Zarr 3": zarr_kind(archive_v3),
    "CF Zarr": zarr_kind(cf_zarr),
    "grey pictures": Kind(
        make=pictures, read=read, wrong=wrong, is_text=True, others=(bomb_picture,)
    ),
    "JPEG pictures": Kind(make=lambda f: pictures(f, "jpg"), read=read, wrong=wrong),
    "TIFF pictures": Kind(make=lambda f: pictures(f, "tif"), read=read, wrong=wrong),
    "Airmass pictures": Kind(make=airmass, read=read, wrong=wrong, others=(bomb_picture,)),
    "raw AHI": Kind(make=ahi, read=lambda p: read(p, channels=["IR_108"]), wrong=wrong, share=0.1),
    "raw HRIT": Kind(
        make=hrit, wrong=wrong, others=(spoil_filled, spoil_filled, other_segment), share=0.1,
        names=("H-000-MSG",),
        read=lambda p: read(p, channels=["IR_108"]),
    ),
    "raw native": Kind(
        make=native, wrong=wrong, others=(spoil_filled,), share=0.1,
        read=lambda p: read(p, channels=["IR_108"]),
    ),
    "raw ABI": Kind(
        make=abi_by_satpy, wrong=wrong, others=NETCDF, share=0.1,
        read=lambda p: read(p, reader="abi_l1b", channels=["IR_108"]),
    ),
}  # fmt: skip
