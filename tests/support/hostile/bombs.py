"""Files that say or unfold to far more than they hold, or reach outside."""

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import xarray as xr

from hostile.damage import Draw, files_of


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
