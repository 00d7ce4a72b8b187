"""Satellite files of every kind that is read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
from mutations import OTHERS, REMOVED
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

from hostile.damage import Draw, Kind, files_of
from medicane_models.scenes.opening import open_scene, scene_grid

START = "2020-09-17"


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


def spoil_dataset(given: Path, draw: Draw) -> str:
    """An attribute, a coordinate, a dimension, a type or the values of a netCDF file."""
    files = files_of(given, "*.nc*")
    path = files[draw.integers(len(files))]
    content = path.read_bytes()
    with xr.open_dataset(path, decode_cf=False) as opened:
        dataset = opened.load()
    change = DATASETS[draw.integers(len(DATASETS))]
    try:
        new, what = change(dataset, draw)
        path.unlink()
        new.to_netcdf(path)
    except Exception as error:  # what netCDF cannot hold is no input
        path.write_bytes(content)
        return f"as it was ({type(error).__name__})"
    return f"{path.name}: {what}"


def _name(dataset: xr.Dataset, draw: Draw) -> str:
    names = list(map(str, dataset.variables))
    return names[draw.integers(len(names))]


def attribute(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    place = dataset[_name(dataset, draw)] if draw.random() < 0.8 else dataset
    keys = [*place.attrs, "units", "grid_mapping", "calendar", "scale_factor", "_FillValue",
            "valid_range", "valid_min", "standard_name", "coordinates", "bounds"]  # fmt: skip
    key = keys[draw.integers(len(keys))]
    values = [*OTHERS, np.array([1.0, 2.0]), np.int16(-1), "K", "degC", "rad", "noleap", "360_day",
              "days since 0000-00-00", "seconds since 1e9", "months since 2020-01-01"]  # fmt: skip
    value = values[draw.integers(len(values))]
    if value is REMOVED:
        place.attrs.pop(key, None)
    else:
        place.attrs[key] = value
    return dataset, f"{getattr(place, 'name', '')}:{key} is {value!r}"


def values_of(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    name = _name(dataset, draw)
    variable = dataset[name].variable
    other = np.array([np.nan, np.inf, -np.inf, 0, -1, 1e30, 1e-30, 2**31, 1e300])[draw.integers(9)]
    values = variable.values.astype(float) if variable.dtype.kind in "iufM" else variable.values
    flat = np.array(values).ravel()
    if draw.random() < 0.5:
        flat[:] = other
    elif flat.size:
        flat[draw.integers(flat.size)] = other
    return replaced(dataset, name, flat.reshape(variable.shape)), f"{name} has {other}"


def type_of(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    name = _name(dataset, draw)
    kind = str(draw.choice(["i1", "u1", "i2", "i8", "f4", "f8", "S3", "U"]))
    return replaced(dataset, name, dataset[name].values.astype(kind)), f"{name} as {kind}"


def shape_of(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    names = list(dataset.sizes)
    name = names[draw.integers(len(names))]
    match draw.integers(5):
        case 0:
            return dataset.isel({name: slice(0, 0)}), f"no {name}"
        case 1:
            return dataset.isel({name: slice(0, 1)}), f"one {name}"
        case 2:
            return dataset.isel({name: 0}), f"{name} is gone"
        case 3:
            return dataset.rename({name: "other"}), f"{name} is called other"
        case _:
            return dataset.isel({name: draw.permutation(dataset.sizes[name])}), f"{name} shuffled"


def variable_gone(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    name = _name(dataset, draw)
    return dataset.drop_vars(name), f"no {name}"


def swapped(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    one, other = _name(dataset, draw), _name(dataset, draw)
    aside = dataset.rename_vars({one: "x-x"})
    return aside.rename_vars({other: one, "x-x": other}), f"{one} is {other}"


def replaced(dataset: xr.Dataset, name: str, values: np.ndarray) -> xr.Dataset:
    told = dataset[name].variable
    attributes = {k: v for k, v in told.attrs.items() if k != "_FillValue"}
    return dataset.drop_vars(name).assign({name: xr.Variable(told.dims, values, attributes)})


DATASETS: tuple[Callable[[xr.Dataset, Draw], tuple[xr.Dataset, str]], ...] = (
    *[attribute] * 3, *[values_of] * 2, type_of, shape_of, variable_gone, swapped,
)  # fmt: skip


def huge_dimensions(given: Path, draw: Draw) -> str:
    """Dimensions of thousands of millions in a file of a few kilobytes."""
    path = files_of(given, "*.nc*")[0]
    content = path.read_bytes()
    with xr.open_dataset(path, decode_cf=False) as opened:
        dataset = opened.load()
    names = [str(n) for n in dataset.sizes]
    which = names[draw.integers(len(names))]
    huge = int(draw.choice([10**6, 10**7, 10**9]))
    both = draw.random() < 0.5
    sizes = {n: (huge if n == which or both else int(s)) for n, s in dataset.sizes.items()}
    try:
        write_sized(path, dataset, sizes)
    except Exception as error:  # what netCDF cannot hold is no input
        path.write_bytes(content)
        return f"as it was ({type(error).__name__})"
    return f"{path.name}: {which} is {huge}" + (", all others, too" if both else "")


def write_sized(path: Path, dataset: xr.Dataset, sizes: Mapping[str, int]) -> None:
    """A dataset in the corner of dimensions of other sizes."""
    import netCDF4

    path.unlink()
    with netCDF4.Dataset(path, "w") as file:
        for name, size in sizes.items():
            file.createDimension(name, size)
        file.setncatts(dict(dataset.attrs))
        for name, variable in dataset.variables.items():
            dims = [str(d) for d in variable.dims]
            chunks = [min(sizes[d], 64) for d in dims] or None
            kind = variable.dtype if variable.dtype.kind in "iuf" else "f8"
            stored = file.createVariable(
                str(name),
                kind,
                dims,
                zlib=bool(dims),
                chunksizes=chunks,
                fill_value=variable.attrs.get("_FillValue"),
            )
            stored.setncatts({k: v for k, v in variable.attrs.items() if k != "_FillValue"})
            stored.set_auto_maskandscale(False)
            if not dims:
                stored[...] = variable.values
            else:
                stored[tuple(slice(0, s) for s in variable.shape)] = variable.values


def huge_zarr(given: Path, draw: Draw) -> str:
    """The same of a Zarr folder, whose sizes stand in JSON."""
    import json

    files = sorted([*given.rglob(".zarray"), *given.rglob("zarr.json")])
    path = files[draw.integers(len(files))]
    document = json.loads(path.read_text())
    if not document.get("shape"):
        return "as it was"
    axis = int(draw.integers(len(document["shape"])))
    huge = int(draw.choice([10**5, 10**7, 10**9, 10**12]))
    document["shape"][axis] = huge
    if draw.random() < 0.5:
        chunks = document.get("chunks") or document["chunk_grid"]["configuration"]["chunk_shape"]
        chunks[axis] = huge
    path.write_text(json.dumps(document))
    for metadata in given.rglob(".zmetadata"):
        metadata.unlink()
    return f"{path.parent.name}: size {axis} is {huge}"


def bomb_picture(given: Path, draw: Draw) -> str:
    """A PNG of some kilobytes that unfolds to gigabytes, or says that it does."""
    import struct
    import zlib

    files = sorted(given.glob("*.png"))
    path = files[draw.integers(len(files))]
    width, height = (int(draw.choice([40_000, 2**31 - 1, 60_000, 13_000])) for _ in range(2))
    packer = zlib.compressobj(9)
    rows = packer.compress(b"\0" * 10_000_000) + packer.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    text = chunk(b"zTXt", b"x\0\0" + rows) if draw.random() < 0.5 else b""
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + text
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )
    return f"{path.name} of {width} × {height}"


def bomb_zip(given: Path, draw: Draw) -> str:
    """A zip whose members unfold to gigabytes, or lie outside."""
    import zipfile

    with zipfile.ZipFile(given) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    names = sorted(members)
    victim = names[draw.integers(len(names))]
    way = str(draw.choice(["bomb", "outside", "twice"], p=[0.1, 0.45, 0.45]))
    with zipfile.ZipFile(given, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if name != victim:
                archive.writestr(name, content)
        if way == "bomb":
            with archive.open(victim, "w", force_zip64=True) as member:
                for _ in range(60):
                    member.write(b" " * 10_000_000)
        elif way == "outside":
            archive.writestr("../" * 4 + "tmp/outside", members[victim])
            archive.writestr(victim, members[victim])
        else:
            archive.writestr(victim, members[victim])
            archive.writestr(victim, members[names[0]])
    return f"{victim}: {way}"


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
