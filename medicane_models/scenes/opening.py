"""open_scene: satellite files of any supported kind → one lazy dataset in kelvin on one grid."""

import re
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from medicane_models.checks import check_present
from medicane_models.domain import GivenDomain, Grid, box_grid, named_domain
from medicane_models.errors import (
    ConfigurationError,
    NoFrameError,
    SceneError,
    SceneWarning,
)
from medicane_models.scenes.readers import (
    archive,
    file_names,
    grey_pictures,
    netcdf,
    png,
    satpy_files,
)
from medicane_models.scenes.readers.channels import AIRMASS
from medicane_models.scenes.readers.coordinates import dataset_crs
from medicane_models.scenes.readers.frames import lazy_pixels
from medicane_models.scenes.readers.recording import RGB, Frame, Recording, union_grid
from medicane_models.scenes.readers.stores import Location
from medicane_models.scenes.scan_times import scan_coordinates
from medicane_models.times import Instant, bounds_text, utc

__all__ = ["image_files", "is_airmass", "is_scene", "open_scene", "scene_grid", "scene_sources"]

ACCEPTED = """\
  the public archive or CF Zarr: *.zarr folders, *.zarr.zip files, gs:// URLs
  CF netCDF in kelvin, ABI's netCDF, GridSat-B1, merged infrared, HURSAT-B1: *.nc, *.nc4, *.h5
  Airmass frames: airmass_rgb_YYYYMMDD_HHMM.png
  grey pictures: *.png, *.jpg, *.gif, *.tif with a georeference.yaml, such a file, or --extent
  raw files of any imager that satpy reads: HRIT segments H-000-MSG…, MSG…-SEVI-MSG15-….nat,
    …FCI-1C-RRAD-….nc, HS_H08_….DAT, gk2a_ami_…; others with the name of satpy's reader
  a folder or a list of these, or an xarray Dataset"""
RAW = "raw files"
LISTED = 3
COARSER = 1.5  # ratio of pixel sizes from which on a scene is said to lack detail

Source = str | Path | xr.Dataset | Sequence[str | Path]


def open_scene(
    source: Source,
    *,
    domain: GivenDomain | None = None,
    channels: Sequence[str] | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    extent: str | None = None,
    reader: str | None = None,
) -> xr.Dataset:
    """Open satellite images as one lazy dataset; nothing is read until a frame is needed.

    All channels of a frame are read together: compute ``scene.isel(time=…)`` as a whole rather
    than variable by variable.

    Args:
        source: files, folders or URLs, or a dataset in memory. Public archive Zarr (folder, zip or
            gs://), CF netCDF or CF Zarr of any imager and projection, also with 2-D longitudes and
            latitudes, ABI's own files, GridSat-B1, merged infrared, HURSAT-B1, Airmass PNG frames,
            raw files of any imager (needs satpy), grey pictures or the georeference of such.
        domain: crop to this grid and, unless pixels coincide, resample onto it bilinearly, or to a
            box in degrees, "WEST,SOUTH,EAST,NORTH" or four numbers, in their own pixels; default is
            the extent of the files; for frames that each lie elsewhere, such as those around a
            storm, the union of theirs on the lattice of the first.
        channels: names of any imager; default WV_062, WV_073, IR_097 and IR_108, or IR_108 alone
            where the files hold no other of them or the imager has not all four.
        start: first time, inclusive, UTC.
        end: last time, inclusive, UTC.
        extent: "WEST,SOUTH,EAST,NORTH", the outer edges in degrees of grey pictures in longitude
            and latitude that no georeference.yaml is beside.
        reader: of satpy, to read all files with; default is told by their names.

    Returns:
        Dimensions (time, y, x), north first, with CF coordinates; ``scan_time_north`` and
        ``scan_time_south`` along time are when the outer rows were seen, NaT where the files do not
        tell (see :func:`medicane_models.scenes.pixel_time`); a float32 variable a channel in
        kelvin, or ``airmass`` (time, y, x, rgb) in 0 … 1; NaN where missing. Attributes:
        platform and sensor, each "unknown" where the files do not say it,
        sub_satellite_longitude, time_convention, source; and calibration, "kelvin", or "grey" where
        temperatures are guessed from the greys of pictures.

    Raises:
        SceneError: if the input is not recognised or unreadable, lacks a channel, holds no frame
            in the time range, mixes satellites, or does not overlap the domain.
        ConfigurationError: if start or end is no time, nothing or two things place pictures, a
            georeference is wrong, satpy has no such reader, or a dataset is given with one.
        MissingExtraError: if an optional package is needed.

    Warns:
        SceneWarning: for files, frames and pixels that are left out or doubtful, by name and time.

    When a frame is read, SceneError says if its values are of another unit than kelvin.
    """
    file_names.check_reader(reader)
    wanted = [channels] if isinstance(channels, str) else channels
    recording = _recording(source, wanted, extent, reader)
    timed = _in_order(recording.frames)
    if not timed:
        raise SceneError(f"{_name_of(source)} holds no frame; give files of at least one time")
    frames = _between(timed, start, end)
    grid = union_grid(recording, frames) if domain is None else _placed(domain, recording.grid)
    _warn_if_coarser(recording.grid, grid)
    pixels = lazy_pixels(recording, frames, grid)
    return _dataset(recording, frames, pixels, grid)


def scene_sources(given: Sequence[Source], reader: str | None = None) -> list[Source]:
    """What makes a scene of its own each: files of one kind together, Zarr folders and URLs alone.

    Folders stand for the files in them; raw files of other satellites are another scene.

    Raises:
        SceneError: if a folder holds nothing that is known.
    """
    scenes: dict[Any, Any] = {}
    for item in given:
        if isinstance(item, str | Path):
            for location in _locations(item, reader):
                scenes.setdefault(_belongs_to(location, reader), []).append(location)
        else:
            scenes[id(item)] = item
    return list(scenes.values())


def image_files(folder: Path, reader: str | None = None) -> dict[str, tuple[Path, ...]]:
    """The images in a folder: what can be opened by itself, under a name that stays.

    An image is a file, a store, all raw files of one slot, or a picture and what places it. Hidden
    files, as programs name what they have not finished, are none.
    """
    entries = [Path(one) for one in _inside(folder, reader) if not Path(one).name.startswith(".")]
    placing = [entry for entry in entries if grey_pictures.is_georeference(entry.name)]
    images: dict[str, list[Path]] = {}
    for entry in entries:
        if entry not in placing:
            images.setdefault(str(folder / _image_name(entry, reader)), []).append(entry)
    return {name: (*placing, *files) for name, files in images.items()}


def _image_name(file: Path, reader: str | None) -> str:
    """Of the slot of a raw file, else its own."""
    if _kind(file, reader) != RAW:
        return file.name
    try:
        told = file_names.told_by_name(file.name, reader or file_names.readers_of(file.name)[0])
    except SceneError:  # whoever opens it is told why
        return file.name
    assert told is not None  # or it would be no raw file
    slot = pd.Timestamp(told.time).round("min")  # bands of one may start seconds apart
    return "-".join(filter(None, (told.satellite, told.sector, f"{slot:%Y%m%dT%H%M}")))


def _belongs_to(location: Location, reader: str | None) -> tuple[str | None, str]:
    kind, name = _kind(location, reader), Path(location).name
    if kind == "pictures":
        is_own = grey_pictures.is_georeference(name) and name != grey_pictures.GEOREFERENCE
        return kind, str(location if is_own else Path(location).parent)
    if kind == "Zarr" and not name.endswith(".zip"):
        return kind, str(location)
    return kind, satpy_files.origin_of(name, reader) if kind == RAW else ""


def is_scene(source: str | Path) -> bool:
    """Whether a file, folder or URL has a name of satellite input."""
    return bool(_names_at(source))


def is_airmass(sources: Sequence[str | Path]) -> bool:
    """Whether all that is there are pictures of the Airmass colours, in which no temperature is."""
    return {_kind(found) for source in sources for found in _names_at(source)} == {"PNG"}


def _names_at(source: str | Path) -> list[Location]:
    location = source if isinstance(source, str) and "://" in source else Path(source).expanduser()
    return [location] if _kind(location) else _inside(location, None)


def scene_grid(scene: xr.Dataset) -> Grid:
    """The grid of a dataset that open_scene returned.

    Raises:
        SceneError: if the dataset has no grid mapping or no even coordinates.
    """
    variable = next((v for v in scene.data_vars.values() if {"x", "y"} <= set(v.dims)), None)
    if variable is None:
        raise SceneError(f"no variable has the dimensions y and x (there: {list(scene.data_vars)})")
    crs = dataset_crs(scene, variable, "the scene")
    return Grid.from_coordinates(crs, scene["x"], scene["y"])


def _recording(
    source: Source, channels: Sequence[str] | None, extent: str | None, reader: str | None
) -> Recording:
    if isinstance(source, xr.Dataset):
        _refuse_extent(extent, "the dataset")
        if reader is not None:
            raise ConfigurationError(f"a dataset needs no reader ({reader}); leave it out")
        return netcdf.read_dataset(source, channels)
    given = [source] if isinstance(source, str | Path) else list(source)
    locations = [found for item in given for found in _locations(item, reader)]
    kinds = sorted({str(_kind(location, reader)) for location in locations})
    if not kinds:
        raise SceneError(f"no input was given; accepted are\n{ACCEPTED}")
    if len(kinds) > 1:
        raise SceneError(f"the input mixes {' and '.join(kinds)}; open one kind at a time")
    if kinds[0] == "pictures":
        return grey_pictures.read_pictures(
            [Path(one) for one in locations], channels, extent=extent
        )
    _refuse_extent(extent, Path(locations[0]).name)
    return _reader(kinds[0], locations, reader)(locations, channels)


def _refuse_extent(extent: str | None, name: str) -> None:
    if extent is not None:
        raise ConfigurationError(
            f"--extent is {extent} and {name} says itself where it lies; leave it out, since only "
            "grey pictures need it"
        )


def _reader(
    kind: str, locations: Sequence[Location], reader: str | None
) -> Callable[..., Recording]:
    if kind == "Zarr":
        plain = not any(archive.is_archive(location) for location in locations)
        return netcdf.read_cf_zarr if plain else archive.read_archive
    return {
        "PNG": png.read_png,
        "netCDF": netcdf.read_netcdf,
        RAW: partial(satpy_files.read_by_satpy, reader=reader),
    }[kind]


def _locations(item: Location, reader: str | None) -> list[Location]:
    """The files of a folder, or the file, store or URL itself."""
    location = item if isinstance(item, str) and "://" in item else Path(item).expanduser()
    check_present(item)
    found = [location] if _kind(location, reader) else _inside(location, reader)
    if not found and reader:
        raise SceneError(
            f"{Path(item).name} holds no file whose name is of the form that satpy's {reader} "
            "reads; choose another reader"
        )
    if not found:
        raise SceneError(f"{Path(item).name} holds no satellite input; accepted are\n{ACCEPTED}")
    return found


def _inside(location: Location, reader: str | None) -> list[Location]:
    if isinstance(location, str) or not location.is_dir():
        return []
    entries = sorted(location.iterdir())
    found: list[Location] = [entry for entry in entries if _kind(entry, reader)]
    data = [entry for entry in found if _kind(entry, reader) != "pictures"]
    return data or [entry for entry in found if _is_picture_here(entry)]


def _is_picture_here(entry: Location) -> bool:
    """Any other YAML file in a folder may be about anything."""
    return grey_pictures.is_picture(entry) or Path(entry).name == grey_pictures.GEOREFERENCE


def _kind(location: Location, reader: str | None = None) -> str | None:
    name = Path(location).name
    if reader is not None:
        return (
            RAW if file_names.told_by_name(name, reader) and not Path(location).is_dir() else None
        )
    if png.NAME.fullmatch(name):
        return "PNG"
    if file_names.readers_of(name):
        return RAW
    if re.search(r"\.zarr(\.zip)?$", name) or _is_zarr_folder(location):
        return "Zarr"
    if grey_pictures.is_picture(name) or grey_pictures.is_georeference(name):
        return "pictures"
    return "netCDF" if re.search(r"\.(nc|nc4|h5)$", name) else None


def _is_zarr_folder(location: Location) -> bool:
    if isinstance(location, str):
        return False
    return any((location / name).exists() for name in (".zgroup", ".zmetadata", "zarr.json"))


def _in_order(frames: Sequence[Frame]) -> list[Frame]:
    """Sorted by time; of frames with the same time the first given is kept."""
    ordered = sorted(_timed(frames), key=lambda frame: frame.time)
    kept: list[Frame] = []
    doubled: list[tuple[Frame, Frame]] = []
    for frame in ordered:
        if kept and kept[-1].time == frame.time:
            doubled.append((kept[-1], frame))
        else:
            kept.append(frame)
    if doubled:
        listed = "; ".join(f"{first} and {other.name}" for first, other in doubled[:LISTED])
        more = f"; and {len(doubled) - LISTED} more" if len(doubled) > LISTED else ""
        warnings.warn(
            f"the same time twice, the first is kept: {listed}{more}", SceneWarning, stacklevel=3
        )
    return kept


def _timed(frames: Sequence[Frame]) -> list[Frame]:
    untimed = [frame.name for frame in frames if pd.isna(frame.time)]
    if untimed:
        warnings.warn(
            f"frames without a time are missing: {len(untimed)} of {untimed[0]}",
            SceneWarning,
            stacklevel=4,
        )
    return [frame for frame in frames if not pd.isna(frame.time)]


def _name_of(source: Source) -> str:
    if isinstance(source, xr.Dataset):
        return "the dataset"
    given = [source] if isinstance(source, str | Path) else list(source)
    return Path(given[0]).name


def _between(frames: Sequence[Frame], start: Instant | None, end: Instant | None) -> list[Frame]:
    first = None if start is None else utc(start)
    last = None if end is None else utc(end)
    chosen = [
        frame
        for frame in frames
        if (first is None or first <= frame.time) and (last is None or frame.time <= last)
    ]
    if not chosen:
        raise NoFrameError(
            f"no frame {bounds_text(first, last)}; the scene has {len(frames)}, "
            f"from {frames[0].time} to {frames[-1].time}"
        )
    return chosen


def _warn_if_coarser(source: Grid, target: Grid) -> None:
    """Interpolation adds no detail: say how much coarser the input's pixels are."""
    lon, lat = target.pixel_to_lonlat((target.width - 1) / 2, (target.height - 1) / 2)
    given, wanted = (
        np.prod(grid.pixel_size_km(*grid.lonlat_to_pixel(lon, lat))) for grid in (source, target)
    )
    ratio = np.sqrt(given / wanted)
    if ratio > COARSER:
        warnings.warn(
            f"the input's pixels are {ratio:.1f} times as large as those asked for; "
            "finer detail is not in it",
            SceneWarning,
            stacklevel=3,
        )


def _placed(domain: GivenDomain, own: Grid) -> Grid:
    """The grid of a domain; a box in degrees is a window on the files' own lattice."""
    asked = named_domain(domain)
    if isinstance(asked, str):
        return _north_up(own.covering(box_grid(asked, "the domain")))
    return _north_up(asked)


def _north_up(domain: Grid) -> Grid:
    if domain.x_step < 0 or domain.y_step > 0:
        raise SceneError(
            "the domain's columns must run eastwards and its rows southwards "
            f"(x_step {domain.x_step:g}, y_step {domain.y_step:g})"
        )
    return domain


def _dataset(
    recording: Recording, frames: Sequence[Frame], pixels: da.Array, grid: Grid
) -> xr.Dataset:
    """The normal form around pixels of shape (time, layer, y, x)."""
    mapped = {"grid_mapping": "crs"}
    if recording.is_rgb:
        colours = da.moveaxis(pixels, 1, -1)  # (time, y, x, rgb)
        attributes = {"long_name": "Airmass RGB", "units": "1", **mapped}
        variables = {AIRMASS: (("time", "y", "x", "rgb"), colours, attributes)}
    else:
        attributes = {"units": "K", "standard_name": "toa_brightness_temperature", **mapped}
        variables = {
            name: (("time", "y", "x"), pixels[:, layer], dict(attributes))
            for layer, name in enumerate(recording.layers)
        }
    coordinates = _coordinates(recording.grid, frames, grid)
    if recording.is_rgb:
        coordinates["rgb"] = list(RGB)
    return xr.Dataset(variables, coordinates, _attributes(recording, frames))


def _coordinates(source: Grid, frames: Sequence[Frame], grid: Grid) -> dict[str, Any]:
    times = np.array([frame.time.to_datetime64() for frame in frames], "datetime64[ns]")
    axes = {axis: ((axis,), getattr(grid, axis), _axis_attributes(grid, axis)) for axis in "yx"}
    return {
        "time": (("time",), times, {"standard_name": "time"}),
        **scan_coordinates(frames, source, grid),
        **axes,
        "crs": ((), np.int32(0), grid.cf_attributes()),
    }


def _axis_attributes(grid: Grid, axis: str) -> dict[str, str]:
    if not grid.is_geographic:
        return {
            "standard_name": f"projection_{axis}_coordinate",
            "units": "m",
            "axis": axis.upper(),
        }
    name, units = {"x": ("longitude", "degrees_east"), "y": ("latitude", "degrees_north")}[axis]
    return {"standard_name": name, "units": units, "axis": axis.upper()}


def _attributes(recording: Recording, frames: Sequence[Frame]) -> dict[str, Any]:
    first, last = frames[0].name, frames[-1].name
    count = "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
    calibration = {} if recording.is_rgb else {"calibration": recording.calibration}
    return {
        "platform": recording.platform,
        "sensor": recording.sensor,
        "sub_satellite_longitude": recording.sub_satellite_longitude,
        "time_convention": recording.time_convention,
        **calibration,
        "source": f"{count} of {first}" + (f" … {last}" if last != first else ""),
    }
