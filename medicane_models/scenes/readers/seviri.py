"""Raw SEVIRI level 1.5 files through satpy: HRIT segments, native and netCDF."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
import pandas as pd
from dask.base import compute
from jaxtyping import Float32

from medicane_models.domain import Grid
from medicane_models.errors import SceneError, SceneWarning, require
from medicane_models.scenes.readers import channels
from medicane_models.scenes.readers.mapping import earth_crs
from medicane_models.scenes.readers.recording import (
    UNREADABLE,
    Axes,
    Frame,
    Recording,
    longitude_under,
    time_in_name,
    warn_unreadable,
)

__all__ = ["origin_of", "read_seviri", "reader_of"]

READERS = {
    "seviri_l1b_hrit": re.compile(r"H-000-MSG\d__-.*-\d{12}-(__(\.bz2)?|C_)"),
    "seviri_l1b_native": re.compile(r"MSG\d-SEVI-MSG15-.*"),
    "seviri_l1b_nc": re.compile(r"W_XX-EUMETSAT-.*SEVIRI.*\.nc"),
}
ORIGIN = re.compile(r"MSG\d__-MSG\d_\w{7}|MSG\d")  # satellite and, in HRIT names, its service
SEGMENTS = 8
CHANNEL_SEGMENT = re.compile(r"(IR|WV)_\d{3}___-\d{6}")
SEGMENT = re.compile(r"(?:IR|WV)_\d{3}___-(\d{6})___")

_SATPY = (
    Lock()
)  # a frame at a time keeps the memory bounded, and satpy's caches are not thread-safe


@dataclass(frozen=True)
class Slot:
    """The files of one repeat cycle; ``stamp`` is the time in their names."""

    reader: str
    stamp: pd.Timestamp
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What messages call it."""
        more = f" and {len(self.files) - 1} more files" if len(self.files) > 1 else ""
        return f"{next(iter(self.files)).name}{more}"


@dataclass(frozen=True)
class Header:
    """What the first readable slot tells about all."""

    axes: Axes
    names: dict[str, str]
    platform: str
    end: pd.Timestamp
    cycle: pd.Timedelta


def read_seviri(paths: Sequence[Path], wanted: Sequence[str] | None) -> Recording:
    """Frames of raw files of one satellite; times are the nominal ends of the repeat cycles.

    Raises:
        MissingExtraError: without satpy.
        SceneError: if no slot can be read or a channel is absent.
    """
    require("satpy", "satellite")
    _require_decompression(paths)
    slots = _slots(paths)
    first, header = _first_header(slots, wanted)
    grid = _covered(header.axes.grid, slots)
    pixels = [partial(_pixels, slot, header.names) for slot in slots]
    times = [_nominal_end(slot, first, header) for slot in slots]
    return Recording(
        grid=grid,
        layers=tuple(header.names),
        frames=tuple(map(Frame, times, [slot.name for slot in slots], pixels)),
        platform=header.platform,
        sensor="seviri",
        sub_satellite_longitude=longitude_under(grid),
        time_convention="end_of_scan",
    )


def _nominal_end(slot: Slot, first: Slot, header: Header) -> pd.Timestamp:
    """Names tell the start or the end of the scan, a constant time away from the nominal end."""
    return header.end + round((slot.stamp - first.stamp) / header.cycle) * header.cycle


def reader_of(name: str) -> str | None:
    """The satpy reader for a file name, None if it is no raw SEVIRI file."""
    return next((reader for reader, form in READERS.items() if form.fullmatch(name)), None)


def _slots(paths: Sequence[Path]) -> list[Slot]:
    _require_one_satellite(paths)
    keyed = sorted((reader_of(path.name) or "", _stamp(path), path) for path in paths)
    groups = groupby(keyed, key=lambda item: item[:2])
    slots = [Slot(key[0], key[1], tuple(item[2] for item in group)) for key, group in groups]
    slots = [slot for slot in slots if slot.reader != "seviri_l1b_hrit" or _whole(slot)]
    _warn_of_absent_segments(slots)
    return slots


def _warn_of_absent_segments(slots: Sequence[Slot]) -> None:
    """Name the segments that some slots have and others lack; their pixels are missing."""
    names = [" ".join(path.name for path in slot.files) for slot in slots]
    held = [{match[0] for match in CHANNEL_SEGMENT.finditer(text)} for text in names]
    every = sorted(set().union(*held))
    for slot, keys in zip(slots, held, strict=True):
        there = {key.partition("_-")[0] for key in keys}  # a whole channel is missed on reading
        absent = [key for key in every if key.partition("_-")[0] in there and key not in keys]
        if absent:
            warnings.warn(
                f"the slot {slot.stamp:%Y-%m-%d %H:%M} UTC lacks {', '.join(absent)}; "
                "their pixels are missing",
                SceneWarning,
                stacklevel=2,
            )


def _require_decompression(paths: Sequence[Path]) -> None:
    compressed = next((path.name for path in paths if path.name.endswith("-C_")), None)
    if compressed and find_spec("pyPublicDecompWT") is None:
        raise SceneError(
            f"{compressed} is compressed; run: pip install pyPublicDecompWT, or decompress it "
            "with xRITDecompress"
        )


def origin_of(name: str) -> str:
    """Satellite and service of a raw file, by its name; "" if that does not tell."""
    found = ORIGIN.search(name)
    return found[0] if found else ""


def _require_one_satellite(paths: Sequence[Path]) -> None:
    origins = {origin: p.name for p in paths if (origin := origin_of(p.name))}
    if len(origins) > 1:
        first, second = list(origins.values())[:2]
        raise SceneError(
            f"{first} and {second} come from different satellites or services; "
            "open the files of each satellite and region separately"
        )


def _stamp(path: Path) -> pd.Timestamp:
    stamp = time_in_name(path.name)
    if stamp is None:
        raise SceneError(f"{path.name} does not tell its time")
    return stamp


def _whole(slot: Slot) -> bool:
    names = " ".join(path.name for path in slot.files)
    missing = [part for part in ("-PRO______-", "-EPI______-") if part not in names]
    if missing:
        part = {"-PRO______-": "prologue", "-EPI______-": "epilogue"}[missing[0]]
        warnings.warn(
            f"the slot {slot.stamp:%Y-%m-%d %H:%M} UTC ({slot.name}) has no {part} file and is "
            "missing",
            SceneWarning,
            stacklevel=2,
        )
    return not missing


def _first_header(slots: Sequence[Slot], wanted: Sequence[str] | None) -> tuple[Slot, Header]:
    incomplete: list[SceneError] = []
    for slot in slots:
        try:
            return slot, _header(slot, wanted)
        except SceneError as error:
            incomplete.append(error)
        except UNREADABLE as error:
            warn_unreadable(slot.name, error)
    if incomplete:
        raise incomplete[0]
    raise SceneError(
        "none of the SEVIRI slots can be read; each HRIT slot needs its prologue, "
        "epilogue and decompressed segments"
    )


def _header(slot: Slot, wanted: Sequence[str] | None) -> Header:
    with _SATPY:
        scene = _satpy_scene(slot)
        names = channels.found(sorted(scene.available_dataset_names()), wanted, slot.name)
        scene.load(list(names.values())[:1])
        data = scene[next(iter(names.values()))]
    times = data.attrs["time_parameters"]
    end = times["nominal_end_time"]
    return Header(
        axes=_axes(data),
        names=names,
        platform=str(data.attrs["platform_name"]),
        end=cast(pd.Timestamp, pd.Timestamp(end)),
        cycle=cast(pd.Timedelta, pd.Timedelta(end - times["nominal_start_time"])),
    )


def _satpy_scene(slot: Slot) -> Any:
    from satpy.scene import Scene

    return Scene(reader=slot.reader, filenames=[str(path) for path in slot.files])


def _axes(data: Any) -> Axes:
    crs = earth_crs(data.attrs["area"].crs, "the area of the scan")
    return Axes.from_coordinates(crs, data["x"].values, data["y"].values)


def _covered(grid: Grid, slots: Sequence[Slot]) -> Grid:
    """The rows that the HRIT segments show; segment 1 is the southernmost of eight."""
    files = [path.name for slot in slots for path in slot.files]
    numbers = [int(match[1]) for name in files if (match := SEGMENT.search(name))]
    if not numbers:
        return grid
    rows = grid.height // SEGMENTS
    height = (max(numbers) - min(numbers) + 1) * rows
    return grid.window(0, (SEGMENTS - max(numbers)) * rows, grid.width, height)


def _pixels(slot: Slot, names: dict[str, str], window: Grid) -> Float32[np.ndarray, "layer y x"]:
    """Brightness temperatures in kelvin; segments outside the window stay unread."""
    with _SATPY:
        scene = _satpy_scene(slot)
        missing = set(names.values()) - set(scene.available_dataset_names())
        if missing:
            raise OSError(f"no files of {', '.join(sorted(missing))}")
        scene.load(list(names.values()), calibration="brightness_temperature")
        axes = _axes(scene[next(iter(names.values()))])
        rows, columns = axes.slices(window)
        layers = [scene[name].data[rows, columns] for name in names.values()]
        values = compute(*layers, scheduler="synchronous")
    return axes.orient(np.stack(values).astype(np.float32))
