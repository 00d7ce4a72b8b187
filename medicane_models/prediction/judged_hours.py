"""What was judged of each hour, a file each, so that nothing is judged twice or lost."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.domain import Grid, Tile, local_plane
from medicane_models.errors import MedicaneError
from medicane_models.fields import json_object
from medicane_models.files import write_json
from medicane_models.prediction.kept_pictures import (
    store_close_ups,
    store_picture,
    stored_close_ups,
    stored_picture,
)
from medicane_models.prediction.run import DetectedClip
from medicane_models.scenes.clips import SkippedClip
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.readers.recording import UNREADABLE
from medicane_models.scenes.tiles import PlaneCentre, TileName
from medicane_models.times import utc

__all__ = ["JudgedHour", "JudgedHours"]

log = logging.getLogger(__name__)

PICTURES = (".png", ".npz")  # of the scene, around cyclones


@dataclass(frozen=True, kw_only=True)
class JudgedHour:
    """One clip, and what it was judged from.

    Attributes:
        clip: what was found, without its pictures.
        times: of its slots as the images tell them, oldest first; None where no frame was.
        digests: of the same frames.
        provenance: of the run that judged it; empty if none could.
    """

    clip: DetectedClip
    times: tuple[pd.Timestamp | None, ...]
    digests: tuple[str | None, ...]
    provenance: Mapping[str, Any]

    @property
    def skip_reason(self) -> str | None:
        """Why nothing of the clip could be judged; None if something was."""
        return None if len(self.clip.table) else self.clip.skipped[0].reason


class JudgedHours:
    """The hours of a folder, by the ends of their clips; all of them are in memory, too.

    Pictures wait beside the hours until these are published.

    Args:
        folder: where they are, made if absent.
        processor: of the clips.
    """

    def __init__(self, folder: Path, processor: MedicaneProcessor) -> None:
        self.folder = folder
        self.processor = processor
        self._hours = {hour.clip.end: hour for hour in self._stored()}

    def __len__(self) -> int:
        return len(self._hours)

    def __iter__(self) -> Iterator[JudgedHour]:
        """In order of time."""
        return iter([self._hours[end] for end in sorted(self._hours)])

    def get(self, end: pd.Timestamp) -> JudgedHour | None:
        """The hour of that end, if it was judged."""
        return self._hours.get(end)

    def add(self, hour: JudgedHour) -> None:
        """Write an hour whole, in place of an earlier one of the same end."""
        clip = hour.clip
        self.forget_pictures(clip.end)
        if clip.picture is not None:
            store_picture(clip.picture, self._path(clip.end, ".png"))
        if clip.close_ups:
            store_close_ups(clip.close_ups, self._path(clip.end, ".npz"))
        write_json(
            self._path(clip.end),
            {
                "end": clip.end.isoformat(),
                "times": [time and time.isoformat() for time in hour.times],
                "digests": hour.digests,
                "newest_time": clip.newest_time and clip.newest_time.isoformat(),
                "table": {name: _stored(column) for name, column in clip.table.items()},
                "skipped": [[skip.tile, skip.reason] for skip in clip.skipped],
                "provenance": hour.provenance,
            },
        )
        self._hours[clip.end] = replace(hour, clip=replace(clip, picture=None, close_ups=()))

    def remove(self, end: pd.Timestamp) -> None:
        """Remove an hour that another one has taken the place of."""
        self.forget_pictures(end)
        self._path(end).unlink(missing_ok=True)
        del self._hours[end]

    def with_pictures(self, hour: JudgedHour) -> DetectedClip:
        """The clip of an hour with its pictures, if they still wait."""
        whole, near = (self._path(hour.clip.end, suffix) for suffix in PICTURES)
        return replace(
            hour.clip,
            picture=stored_picture(whole) if whole.exists() else None,
            close_ups=stored_close_ups(near) if near.exists() else (),
        )

    def forget_pictures(self, end: pd.Timestamp) -> None:
        """Remove the pictures that wait, if any do."""
        for suffix in PICTURES:
            self._path(end, suffix).unlink(missing_ok=True)

    def _path(self, end: pd.Timestamp, suffix: str = ".json") -> Path:
        return self.folder / f"{end:%Y%m%dT%H%M%S}{suffix}"

    def _stored(self) -> Iterator[JudgedHour]:
        for path in sorted(self.folder.glob("*.json")):
            try:
                hour = self._read(json_object(path))
                if self._path(hour.clip.end) != path:
                    raise ValueError(f"it is of {hour.clip.end}")
                yield hour
            except (MedicaneError, *UNREADABLE) as error:
                log.warning("%s is damaged (%s); its hour is judged again", path, error)

    def _read(self, stored: Mapping[str, Any]) -> JudgedHour:
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
        return tuple(local_plane(*place, size=size, km=km) for place in places)


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
