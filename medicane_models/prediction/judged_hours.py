"""What was judged of each hour, a file each, so that nothing is judged twice or lost."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medicane_models.domain import Grid, Tile, local_plane
from medicane_models.errors import MedicaneError
from medicane_models.fields import json_object
from medicane_models.files import json_text, replacing
from medicane_models.prediction.detected_clips import DetectedClip
from medicane_models.prediction.kept_pictures import (
    packed_close_ups,
    packed_picture,
    stored_close_ups,
    stored_picture,
)
from medicane_models.scenes.clips import SkippedClip
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.readers.recording import UNREADABLE
from medicane_models.scenes.tiles import PlaneCentre, TileName
from medicane_models.times import utc

__all__ = ["HourFiles", "JudgedHour", "JudgedHours", "PackedHour", "packed_hour"]

log = logging.getLogger(__name__)

PICTURES = (".png", ".npz")  # of the scene, around cyclones


@dataclass(frozen=True, kw_only=True)
class JudgedHour:
    """One clip, and what it was judged from.

    Attributes:
        clip: what was found, without its pictures.
        times: of its slots as the images tell them, oldest first; None where no frame was. Empty
            where all hours are of one scene, which is known.
        digests: of the same frames.
        provenance: of the run that judged it; empty if none could, or if it is that of all hours.
    """

    clip: DetectedClip
    times: tuple[pd.Timestamp | None, ...] = ()
    digests: tuple[str | None, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def skip_reason(self) -> str | None:
        """Why nothing of the clip could be judged; None if something was."""
        return None if len(self.clip.table) else self.clip.skipped[0].reason


class PackedHour(NamedTuple):
    """An hour as files hold it, and as processes tell it to one another.

    Attributes:
        end: of its clip.
        text: what was found, as JSON.
        pictures: of its newest frame, as files of these suffixes hold them, see PICTURES.
    """

    end: pd.Timestamp
    text: str
    pictures: Mapping[str, bytes]


def packed_hour(hour: JudgedHour) -> PackedHour:
    """An hour as files hold it; planes are made anew from the table."""
    clip = hour.clip
    told = {
        "end": clip.end.isoformat(),
        "times": [time and time.isoformat() for time in hour.times],
        "digests": hour.digests,
        "newest_time": clip.newest_time and clip.newest_time.isoformat(),
        "table": {name: _stored(column) for name, column in clip.table.items()},
        "skipped": [[skip.tile, skip.reason] for skip in clip.skipped],
        "provenance": hour.provenance,
    }
    whole, near = PICTURES
    pictures = {} if clip.picture is None else {whole: packed_picture(clip.picture)}
    if clip.close_ups:
        pictures[near] = packed_close_ups(clip.close_ups)
    return PackedHour(clip.end, json_text(told), pictures)


class HourFiles:
    """The hours of a folder, a file each, by the ends of their clips.

    Pictures lie beside the hours for as long as they are needed.

    Args:
        folder: where they are, made with the first.
        processor: of the clips.
    """

    def __init__(self, folder: Path, processor: MedicaneProcessor) -> None:
        self.folder = folder
        self.processor = processor

    def stored(self) -> Iterator[JudgedHour]:
        """All that can be read, in order of time; others are told, to be judged again."""
        for path in sorted(self.folder.glob("*.json")):
            try:
                hour = self._read(path)
                if self._path(hour.clip.end) != path:
                    raise ValueError(f"it is of {hour.clip.end}")
                yield hour
            except (MedicaneError, *UNREADABLE) as error:
                log.warning("%s is damaged (%s); its hour is judged again", path, error)

    def read(self, end: pd.Timestamp) -> JudgedHour:
        """The hour of that end."""
        return self._read(self._path(end))

    def write(self, hour: JudgedHour | PackedHour) -> None:
        """Write an hour whole, in place of an earlier one of the same end."""
        packed = packed_hour(hour) if isinstance(hour, JudgedHour) else hour
        self.forget_pictures(packed.end)
        for suffix, content in packed.pictures.items():
            with replacing(self._path(packed.end, suffix)) as temporary:
                temporary.write_bytes(content)
        with replacing(self._path(packed.end)) as temporary:
            temporary.write_text(packed.text, "utf-8")

    def delete(self, end: pd.Timestamp) -> None:
        """Remove the files of an hour."""
        self.forget_pictures(end)
        self._path(end).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the files of all hours."""
        for suffix in (".json", *PICTURES):
            for path in self.folder.glob(f"*{suffix}"):
                path.unlink(missing_ok=True)

    def has_picture(self, end: pd.Timestamp) -> bool:
        """Whether there is the picture of an hour."""
        return self._path(end, ".png").exists()

    def with_pictures(self, hour: JudgedHour) -> DetectedClip:
        """The clip of an hour with its pictures, if they are there."""
        whole, near = (self._path(hour.clip.end, suffix) for suffix in PICTURES)
        return replace(
            hour.clip,
            picture=stored_picture(whole) if whole.exists() else None,
            close_ups=stored_close_ups(near) if near.exists() else (),
        )

    def forget_pictures(self, end: pd.Timestamp) -> None:
        """Remove the pictures of an hour, if there are any."""
        for suffix in PICTURES:
            self._path(end, suffix).unlink(missing_ok=True)

    def _path(self, end: pd.Timestamp, suffix: str = ".json") -> Path:
        return self.folder / f"{end:%Y%m%dT%H%M%S}{suffix}"

    def _read(self, path: Path) -> JudgedHour:
        stored = json_object(path)
        end = utc(stored["end"])
        table = pd.DataFrame({name: _column(*kept) for name, kept in stored["table"].items()})
        skipped = tuple(
            SkippedClip(end=end, tile=self._tile(tile), reason=reason)
            for tile, reason in stored["skipped"]
        )
        clip = DetectedClip(
            end=end,
            newest_time=_time(stored["newest_time"]),
            table=table,
            skipped=skipped,
            planes=self._planes(table),
        )
        return JudgedHour(
            clip=clip,
            times=tuple(_time(time) for time in stored["times"]),
            digests=tuple(stored["digests"]),
            provenance=stored["provenance"],
        )

    def _tile(self, name: list[float] | None) -> TileName | None:
        if name is None:
            return None
        return PlaneCentre(*name) if self.processor.uses_planes else Tile(*map(int, name))

    def _planes(self, table: pd.DataFrame) -> tuple[Grid, ...] | None:
        if not (self.processor.uses_planes and len(table)):
            return None
        size, km = self.processor.tile_size, self.processor.grid.x_step / 1000
        places = table[["tile_lon", "tile_lat"]].to_numpy(float)
        return tuple(_local_plane(*place, size=size, km=km) for place in places)


class JudgedHours(HourFiles):
    """The hours of a folder that are in memory, too, but for their pictures.

    Args:
        folder: where they are, made with the first.
        processor: of the clips.
    """

    def __init__(self, folder: Path, processor: MedicaneProcessor) -> None:
        super().__init__(folder, processor)
        self._hours = {hour.clip.end: hour for hour in self.stored()}

    def __len__(self) -> int:
        return len(self._hours)

    def __iter__(self) -> Iterator[JudgedHour]:
        """In order of time."""
        return iter([self._hours[end] for end in sorted(self._hours)])

    def get(self, end: pd.Timestamp) -> JudgedHour | None:
        """The hour of that end, if it was judged."""
        return self._hours.get(end)

    def add(self, hour: JudgedHour) -> None:
        """Keep an hour, in place of an earlier one of the same end."""
        self.write(hour)
        self._hours[hour.clip.end] = replace(
            hour, clip=replace(hour.clip, picture=None, close_ups=())
        )

    def remove(self, end: pd.Timestamp) -> None:
        """Remove an hour that another one has taken the place of."""
        self.delete(end)
        del self._hours[end]


_local_plane = lru_cache(maxsize=4096)(local_plane)  # hour by hour they lie at the same places


def _time(text: str | None) -> pd.Timestamp | None:
    return None if text is None else utc(text)


def _stored(column: pd.Series) -> tuple[str, list[Any]]:
    """Kind and values, so that each comes back as the very same number."""
    kind = str(column.dtype)
    values = column.to_numpy()
    return kind, (values.astype("int64") if values.dtype.kind == "M" else values).tolist()


def _column(kind: str, values: list[Any]) -> pd.Series:
    if kind.startswith("datetime64"):
        return pd.Series(np.array(values, "int64").astype(kind))
    return pd.Series([np.nan if value is None else value for value in values], dtype=kind)
