"""Raw files → slots: all bands and segments of one image; what is amiss is said by name."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pandas as pd

from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.readers.file_names import FileName, form_of, told_by_name

__all__ = ["Slot", "slots_of"]

TOGETHER = pd.Timedelta(seconds=10)  # bands of one image may start so far apart
LISTED = 3
FULL_DISKS = {"F", "FD", "AF", "FLDK", "DISK", "fd", "fld", "01"}
SEGMENTS_TOLD = {"PRO": "prologue", "EPI": "epilogue"}


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The files of one image, and what their names tell."""

    reader: str
    files: tuple[Path, ...]
    names: tuple[FileName, ...]

    @property
    def time(self) -> pd.Timestamp:
        """The earliest in the names: the nominal start of the slot, unless the reader says more."""
        return pd.to_datetime(min(name.time for name in self.names))

    @property
    def scan(self) -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """Start and end of the scan, where names tell them."""
        told = [name.scan for name in self.names if name.scan is not None]
        if not told:
            return None
        starts, ends = zip(*told, strict=True)
        return pd.to_datetime(min(starts)), pd.to_datetime(max(ends))

    @property
    def is_whole(self) -> bool:
        """Whether some band has all its segments."""
        counts = Counter(name.band for name in self.names if name.segment.isdecimal())
        return not counts or max(counts.values()) >= min(name.segments for name in self.names)

    @property
    def parts(self) -> set[tuple[str, str]]:
        """Band and segment of each file."""
        return {(name.band, name.segment) for name in self.names}

    def __str__(self) -> str:
        first, *others = self.files
        return f"{first.name} and {len(others)} more files" if others else first.name

    @property
    def label(self) -> str:
        """Its time, for messages."""
        return f"the slot {self.time:%Y-%m-%d %H:%M} UTC"


def slots_of(paths: Sequence[Path], reader: str) -> list[Slot]:
    """The slots of one satellite and one sector, by time.

    Raises:
        SceneError: if files are of several satellites, none is of the reader, or no slot has what
            it needs.

    Warns:
        SceneWarning: for slots of other sectors, for files that are doubled, and for slots,
            segments and bands that are absent.
    """
    told = ((told_by_name(path.name, reader), path) for path in paths)
    files = [(name, path) for name, path in told if name is not None]
    if not files:
        raise SceneError(
            f"no name of {len(paths)} files ({paths[0].name} …) is of the form that satpy's "
            f"{reader} reads; choose another reader"
        )
    _require_one_satellite(files)
    every = [_once(slot) for slot in _grouped(_one_sector(files), reader)]
    slots = [slot for slot in every if _has_needed(slot)]
    if not slots:
        needed = " and ".join(SEGMENTS_TOLD[part] for part in form_of(reader).needed)
        raise SceneError(f"none of {len(every)} slots has its {needed} ({every[0]} …); give these")
    _warn_of_absent_parts(slots)
    _warn_of_absent_slots(slots)
    return slots


Named = tuple[FileName, Path]


def _require_one_satellite(files: Sequence[Named]) -> None:
    satellites = {name.satellite: path.name for name, path in files}
    if len(satellites) > 1:
        first, second, *_ = satellites.values()
        raise SceneError(
            f"{first} and {second} come from different satellites or services; "
            "open the files of each satellite and region separately"
        )


def _one_sector(files: Sequence[Named]) -> list[Named]:
    """Files of the full disk, else of the sector that has most; the others are told."""
    counts = Counter(name.sector for name, _ in files)
    kept = max(counts, key=lambda sector: (sector in FULL_DISKS, counts[sector]))
    others = [path.name for name, path in files if name.sector != kept]
    if others:
        _warn(
            f"files of the sectors {', '.join(sorted(counts.keys() - {kept}))} are left out, "
            f"{kept} is kept: {_listed(others)}; open each sector separately"
        )
    return [(name, path) for name, path in files if name.sector == kept]


def _grouped(files: Iterable[Named], reader: str) -> list[Slot]:
    groups: list[list[Named]] = []
    for name, path in sorted(files, key=lambda file: (file[0].time, file[1].name)):
        if not groups or name.time - groups[-1][0][0].time > TOGETHER:
            groups.append([])
        groups[-1].append((name, path))
    return [_slot(group, reader) for group in groups]


def _slot(files: Sequence[Named], reader: str) -> Slot:
    names, paths = zip(*files, strict=True)
    return Slot(reader=reader, files=paths, names=names)


def _once(slot: Slot) -> Slot:
    """Of files that hold the same part of a slot, the first."""
    kept: dict[str, Named] = {}
    doubled = []
    for name, path in zip(slot.names, slot.files, strict=True):
        first = kept.setdefault(name.part, (name, path))[1]
        if first is not path:
            doubled.append(f"{first.name} is kept, {path.name} left out")
    if doubled:
        _warn(f"{slot.label} is there twice: {_listed(doubled)}")
    return _slot(list(kept.values()), slot.reader)


def _has_needed(slot: Slot) -> bool:
    there = {name.segment for name in slot.names}
    absent = [part for part in form_of(slot.reader).needed if part not in there]
    if absent:
        part = SEGMENTS_TOLD[absent[0]]
        _warn(f"{slot.label} ({slot}) has no {part} file and is missing")
    return not absent


def _warn_of_absent_parts(slots: Sequence[Slot]) -> None:
    """Segments that some slots have and others lack; a whole band is missed on reading."""
    every = set().union(*(slot.parts for slot in slots))
    for slot in slots:
        bands = {band for band, _ in slot.parts}
        absent = sorted(part for part in every - slot.parts if part[0] in bands)
        if absent:
            listed = _listed(["-".join(part) for part in absent])
            _warn(f"{slot.label} lacks {listed}; their pixels are missing")


def _warn_of_absent_slots(slots: Sequence[Slot]) -> None:
    """Gaps in what otherwise comes at even intervals."""
    times = [slot.time for slot in slots]
    steps = Counter((later - earlier).round("min") for earlier, later in pairwise(times))
    if not steps or (most := steps.most_common(1)[0])[1] < 2:
        return
    cadence = most[0]
    gaps = [(a, b) for a, b in pairwise(times) if b - a > 1.5 * cadence]
    if gaps:
        listed = _listed([f"{a:%Y-%m-%d %H:%M} and {b:%Y-%m-%d %H:%M} UTC" for a, b in gaps])
        count = sum(round((b - a) / cadence) - 1 for a, b in gaps)
        _warn(f"{count} slots are missing, between {listed}")


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return ", ".join(items[:LISTED]) + more


def _warn(message: str) -> None:
    warnings.warn(message, SceneWarning, stacklevel=3)
