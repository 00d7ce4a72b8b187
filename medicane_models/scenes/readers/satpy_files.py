"""Raw files of any geostationary imager through satpy: HRIT, native, HSD, netCDF and the like."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from dask.base import compute
from jaxtyping import Float32

from medicane_models.domain import Grid
from medicane_models.errors import MedicaneError, MissingExtraError, SceneError, require
from medicane_models.files import require_regular
from medicane_models.scenes.instruments import Imager, bands_at, candidates, sensor_of_text
from medicane_models.scenes.readers import channels
from medicane_models.scenes.readers.file_names import form_of, readers_of, told_by_name
from medicane_models.scenes.readers.mapping import earth_crs
from medicane_models.scenes.readers.recording import (
    UNREADABLE,
    Axes,
    Frame,
    Recording,
    ScanTimes,
    TimeConvention,
    longitude_under,
    warn_unreadable,
)
from medicane_models.scenes.readers.slots import Slot, slots_of

__all__ = ["canonical_bands", "origin_of", "read_by_satpy"]

ABSENT = re.compile(r"No module named '([\w.]+)'")

_SATPY = (
    Lock()
)  # a frame at a time keeps the memory bounded, and satpy's caches are not thread-safe


Period = tuple[pd.Timestamp, pd.Timestamp]


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the first readable slot tells about all.

    Attributes:
        axes: of the whole image.
        names: canonical name → satpy's.
        first: nominal start or whatever else the names of that slot have.
        nominal: start and end of that slot; None if satpy does not say.
        scan: start and end of that slot's scan; None if that is not known.
    """

    axes: Axes
    names: dict[str, str]
    platform: str
    sensor: str
    first: pd.Timestamp
    nominal: Period | None
    scan: Period | None


def read_by_satpy(
    paths: Sequence[Path], wanted: Sequence[str] | None, reader: str | None = None
) -> Recording:
    """Frames of raw files of one satellite.

    Times are the nominal ends of the slots where satpy or the names tell them, else what the names
    have, which is the nominal start. When rows were seen is known to a few seconds: the names tell
    it, or the first slot does, and the instrument repeats itself.

    Raises:
        MissingExtraError: without satpy or what its reader needs.
        SceneError: if the reader is not to be told from the names, no slot can be read, or a
            channel is absent.
    """
    require("satpy", "satellite")
    _require_decompression(paths)
    reader = reader or _reader_of(paths)
    slots = slots_of(paths, reader)
    header = _first_header(slots, wanted)
    grid = _covered(header.axes.grid, slots)
    times = [_time(slot, header) for slot in slots]
    scans = [_scan(slot, header, grid) for slot in slots]
    reads = [partial(_pixels, slot, header) for slot in slots]
    return Recording(
        grid=grid,
        layers=tuple(header.names),
        frames=tuple(
            Frame(time, str(slot), read, scan=scan)
            for time, slot, read, scan in zip(times, slots, reads, scans, strict=True)
        ),
        platform=header.platform,
        sensor=header.sensor,
        sub_satellite_longitude=longitude_under(grid),
        time_convention=_convention(slots[0], header),
    )


def origin_of(name: str, reader: str | None = None) -> str:
    """Satellite and service of a raw file, by its name; "" if that does not tell."""
    told = told_by_name(name, reader or next(iter(readers_of(name)), ""))
    return told.satellite if told else ""


def _reader_of(paths: Sequence[Path]) -> str:
    """The one reader that all names are for."""
    readers = set.intersection(*(set(readers_of(path.name)) for path in paths))
    if not readers:
        raise SceneError(
            f"{paths[0].name} and {paths[-1].name} are files of different kinds; open the files of "
            "each satellite and region separately"
        )
    if len(readers) > 1:
        raise SceneError(
            f"{paths[0].name} may come from several satellites; name the reader, one of "
            f"{', '.join(sorted(readers))}"
        )
    return readers.pop()


def _require_decompression(paths: Sequence[Path]) -> None:
    compressed = next((path.name for path in paths if path.name.endswith("-C_")), None)
    if compressed and find_spec("pyPublicDecompWT") is None:
        raise SceneError(
            f"{compressed} is compressed; run: pip install pyPublicDecompWT, or decompress it "
            "with xRITDecompress"
        )


def _first_header(slots: Sequence[Slot], wanted: Sequence[str] | None) -> Header:
    incomplete: list[SceneError] = []
    for slot in slots:
        try:
            return _header(slot, wanted)
        except SceneError as error:
            incomplete.append(error)
        except UNREADABLE as error:
            warn_unreadable(str(slot), error)
    if incomplete:
        raise incomplete[0]
    raise SceneError(
        f"none of {len(slots)} slots can be read ({slots[0]} …); give whole files, "
        "decompressed, and of each slot those that tell its calibration"
    )


def _header(slot: Slot, wanted: Sequence[str] | None) -> Header:
    with _SATPY:
        scene = _satpy_scene(slot)
        bands = _bands(scene)
        names = _found(bands, wanted, str(slot), _imagers(scene))
        data = _loaded(scene, [bands[next(iter(names.values()))]], slot)[0]
    times = data.attrs.get("time_parameters", {})
    return Header(
        axes=_axes(data, slot),
        names=names,
        platform=_platform(data),
        sensor=_sensor(data.attrs.get("sensor")),
        first=slot.time,
        nominal=_period(times, "nominal_"),
        scan=_scan_told(slot, data.attrs),
    )


def _satpy_scene(slot: Slot) -> Any:
    from satpy.scene import Scene

    for path in slot.files:
        require_regular(path)
    with _quiet() as said:
        try:
            return Scene(reader=slot.reader, filenames=[str(path) for path in slot.files])
        except (ImportError, ValueError) as error:
            absent = ABSENT.search("\n".join([*said, str(error)]))
            if absent is None:
                raise
    package = absent[1].partition(".")[0]
    raise MissingExtraError(
        f"satpy's reader {slot.reader} needs {package}, which is not installed; run: "
        f"pip install {package}"
    )


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """What satpy logs, where it only says that a reader has no file and not why."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("satpy")
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _bands(scene: Any) -> dict[str, Any]:
    """By name the ids of all that satpy can give in kelvin.

    Of several resolutions the coarsest is taken, which most bands of an imager have.
    """
    bands: dict[str, Any] = {}
    for one in scene.available_dataset_ids():
        calibration = one.get("calibration")
        is_kelvin = calibration is None or calibration.name == "brightness_temperature"
        other = bands.get(one["name"])
        if is_kelvin and one.get("wavelength") is not None and one["wavelength"].central > 3:
            is_coarser = other is None or one["resolution"] > other["resolution"]
            bands[one["name"]] = one if is_coarser else other
    return bands


def _imagers(scene: Any) -> Sequence[Imager]:
    return candidates(sensor_of_text(_sensor(scene.sensor_names)), "")


def _found(
    bands: Mapping[str, Any],
    wanted: Sequence[str] | None,
    file: str,
    imagers: Sequence[Imager],
) -> dict[str, str]:
    """Canonical name → satpy's; wanted may be names of either kind, or of another imager.

    satpy tells wavelengths, which mean the same with every imager, as its names do not.
    """
    there = canonical_bands(bands)
    own = {name: canonical for canonical, name in there.items()}
    names = None if wanted is None else [own.get(name, name) for name in wanted]
    return {name: there[name] for name in channels.found(sorted(there), names, file, imagers)}


def canonical_bands(bands: Mapping[str, Any]) -> dict[str, str]:
    """Canonical name → satpy's, of bands with their wavelengths; unknown ones are left out.

    Of several bands of an imager that are like one of SEVIRI the shortest stands for it.
    """
    by_wavelength = sorted(bands, key=lambda name: (bands[name]["wavelength"].central, name))
    there: dict[str, str] = {}
    for name in by_wavelength:
        for canonical in bands_at(bands[name]["wavelength"].central):
            there.setdefault(canonical, name)
    return there


def _loaded(scene: Any, ids: Sequence[Any], slot: Slot) -> list[Any]:
    """Data arrays in kelvin."""
    with _quiet() as said:
        scene.load(list(ids))
    absent = [one["name"] for one in ids if one not in scene]
    if absent:
        raise OSError(f"{', '.join(absent)} cannot be loaded" + "".join(f"; {s}" for s in said[:1]))
    arrays = [scene[one] for one in ids]
    for array in arrays:
        if array.attrs.get("units") != "K":
            raise SceneError(
                f"{array.attrs.get('name')} of {slot} is in {array.attrs.get('units')}, not in K; "
                "only brightness temperatures can be read"
            )
    return arrays


def _axes(data: Any, slot: Slot) -> Axes:
    crs = earth_crs(data.attrs["area"].crs, f"the area of {slot}")
    try:
        return Axes.from_coordinates(crs, data["x"].values, data["y"].values)
    except MedicaneError as error:
        raise SceneError(f"{slot}: {error}") from error


def _platform(data: Any) -> str:
    return str(data.attrs.get("platform_name") or "unknown")


def _sensor(told: str | Iterable[str] | None) -> str:
    names = [told] if isinstance(told, str) else sorted(told or ())
    return ", ".join(names).lower() or "unknown"


def _covered(grid: Grid, slots: Sequence[Slot]) -> Grid:
    """The rows that the segments of all slots show."""
    form, names = form_of(slots[0].reader), [name for slot in slots for name in slot.names]
    numbers = [int(name.segment) for name in names if name.segment.isdecimal()]
    total = names[0].segments
    if form.first_segment is None or not numbers or grid.height % total:
        return grid
    first, last, rows = min(numbers), max(numbers), grid.height // total
    above = first - 1 if form.first_segment == "north" else total - last
    return grid.window(0, above * rows, grid.width, (last - first + 1) * rows)


def _convention(slot: Slot, header: Header) -> TimeConvention:
    is_end_known = slot.scan is not None or header.nominal is not None
    return "end_of_scan" if is_end_known else "start_of_scan"


def _time(slot: Slot, header: Header) -> pd.Timestamp:
    """Of the frame: names may tell a time that is about the same way from each nominal end."""
    if header.nominal is None:
        return slot.time if slot.scan is None else slot.scan[1]
    start, end = header.nominal
    return end + round((slot.time - header.first) / (end - start)) * (end - start)


def _scan_told(slot: Slot, attributes: Mapping[str, Any]) -> Period | None:
    """When the scan of a slot began and ended, as satpy says; None where it is not of all rows."""
    form = form_of(slot.reader)
    if not (form.is_whole_scan or slot.is_whole):
        return None
    if form.tells_scan:
        return _period(attributes)
    return _period(attributes.get("time_parameters", {}), "observation_")


def _scan(slot: Slot, header: Header, grid: Grid) -> ScanTimes | None:
    """When the outer rows of the covered grid were seen, which is part of the whole image."""
    form, told = form_of(slot.reader), slot.scan
    if form.scans is None or not (form.is_whole_scan or slot.is_whole):
        return None
    if told is None and header.scan is not None:
        late = _time(slot, header) - (header.nominal[1] if header.nominal else header.first)
        told = header.scan[0] + late, header.scan[1] + late
    if told is None:
        return None
    north, south = told if form.scans == "southward" else told[::-1]
    whole = header.axes.grid
    first = round((grid.y_origin - whole.y_origin) / whole.y_step)
    return ScanTimes(north, south).of_rows(first, first + grid.height - 1, whole.height)


def _period(times: Mapping[str, Any], prefix: str = "") -> Period | None:
    """Start and end; None unless there are both and one is later."""
    start, end = (times.get(f"{prefix}{which}_time") for which in ("start", "end"))
    if start is None or end is None or not start < end:
        return None
    return pd.to_datetime(start), pd.to_datetime(end)


def _pixels(slot: Slot, header: Header, window: Grid) -> Float32[np.ndarray, "layer y x"]:
    """Brightness temperatures in kelvin; chunks outside the window stay unread."""
    names = header.names
    with _SATPY:
        scene = _satpy_scene(slot)
        bands = _bands(scene)
        missing = set(names.values()) - set(bands)
        if missing:
            raise OSError(f"no files of {', '.join(sorted(missing))}")
        arrays = _loaded(scene, [bands[name] for name in names.values()], slot)
        _require_platform(header.platform, arrays[0], slot)
        axes = _axes(arrays[0], slot)
        rows, columns = axes.slices(window)
        values = compute(*(a.data[rows, columns] for a in arrays), scheduler="synchronous")
    return axes.orient(np.stack(values).astype(np.float32))


def _require_platform(platform: str, data: Any, slot: Slot) -> None:
    """Not all names tell a satellite."""
    if (other := _platform(data)) != platform:
        raise SceneError(
            f"{slot} is of {other}, the rest of the scene of {platform}; open the files of each "
            "satellite and region separately"
        )
