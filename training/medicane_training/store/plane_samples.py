"""Samples of a store of local planes: what is kept around a place and time, and writing it.

Letters: T frames, C bands, S rows and columns of a sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from pandas.api.typing import NaTType

from medicane_models.errors import ConfigurationError
from medicane_training.store.clip_store import SAMPLE_COLUMNS, ClipStore, encode, save_table
from medicane_training.store.shards import ABSENT, MISSING
from medicane_training.store.writer import FrameWriter

__all__ = ["UNNAMED", "PlaneSample", "PlaneSampleWriter", "Spot"]

UNNAMED = "?"
"""What the name of a storm begins with whose name is not known; such samples may only train."""

BATCH_FRAMES = 128


class Spot(NamedTuple):
    """Column and row in a sample, in pixels."""

    x: float
    y: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaneSample:
    """A place and time.

    Attributes:
        name: that no other sample of the store has.
        stretched: 0 … 1, oldest first, NaN where missing; a slot that is all NaN is absent. South
            of the equator rows run northwards.
        end: time of the newest frame, UTC; NaT if unknown.
        lon: of the sample's centre in degrees; NaN if unknown, like the latitude.
        lat: likewise.
        hemisphere: told by the latitude, or to be told without one; "unknown" if nothing says which
            way cyclones turn.
        sensor: of the frames.
        dataset: where they come from.
        source: likewise, to the file.
        storm: which one it shows, UNNAMED… if its name is unknown, "" if there is none.
        centre: where that is at the end; None if not known.
        other: the nearest other storm, if it is in the sample.
        storm_distance_km: from the sample's centre to the nearest known storm; NaN without one.
        wind_kt: of the storm; NaN if unknown.
        pressure_hpa: likewise.
        gap_hours: from the end to the nearest time for which the storm's centre was told.
        weight: samples of all weather that this one stands for.
    """

    name: str
    stretched: Float[np.ndarray, "T C S S"]
    end: pd.Timestamp | NaTType
    lon: float
    lat: float
    sensor: str
    dataset: str
    source: str
    hemisphere: Literal["north", "south", "unknown"] = "unknown"
    storm: str = ""
    centre: Spot | None = None
    other: Spot | None = None
    storm_distance_km: float = np.nan
    wind_kt: float = np.nan
    pressure_hpa: float = np.nan
    gap_hours: float = np.nan
    weight: float = 1.0

    def __post_init__(self) -> None:
        if np.isnan(self.stretched[-1]).all():
            raise ConfigurationError(f"{self.name} has no newest frame; leave it out")
        if self.centre is not None and not self.storm:
            raise ConfigurationError(f"{self.name} has a centre and no storm; name the storm")
        if not np.isnan(self.lat):
            object.__setattr__(self, "hemisphere", "south" if self.lat < 0 else "north")

    def row(self, rows: Sequence[int]) -> dict[str, Any]:
        """SAMPLE_COLUMNS of a sample with these frames."""
        centre, other = (spot or Spot(np.nan, np.nan) for spot in (self.centre, self.other))
        own = {name: getattr(self, name) for name in SAMPLE_COLUMNS if hasattr(self, name)}
        return own | {
            "sample": self.name,
            "plane_lon": self.lon,
            "plane_lat": self.lat,
            "centre_x": centre.x,
            "centre_y": centre.y,
            "other_x": other.x,
            "other_y": other.y,
            "rows": list(rows),
        }


class PlaneSampleWriter:
    """Adds samples to a store, some frames at a time; use it as a context, which adds the rest.

    A sample is there once ``samples.parquet`` lists it. Frames that a killed process left without
    a sample are written over.
    """

    def __init__(self, store: ClipStore) -> None:
        if not store.processor.uses_planes:
            raise ConfigurationError(f"{store.path} is no store of local planes; choose another")
        self.store = store
        self._names = set(store.samples["sample"])
        self._waiting: list[PlaneSample] = []
        self._codes: list[UInt8[np.ndarray, "T C S S"]] = []
        _forget_frames_without_sample(store)

    def __contains__(self, name: str) -> bool:
        """Whether the store has a sample of that name, or is about to."""
        return name in self._names

    def add(self, *samples: PlaneSample) -> int:
        """Add samples unless one of that name is there, all or none; returns how many.

        Raises:
            ConfigurationError: if a shape is not that of the store's.
        """
        new = [sample for sample in samples if sample.name not in self]
        for sample in new:
            self._check(sample)
        self._names |= {sample.name for sample in new}
        self._waiting += new
        self._codes += [encode(sample.stretched) for sample in new]
        if sum(map(len, self._codes)) >= BATCH_FRAMES:
            self.flush()
        return len(new)

    def _check(self, sample: PlaneSample) -> None:
        processor, size = self.store.processor, self.store.grid.width
        shape = (processor.num_frames, len(processor.bands), size, size)
        if sample.stretched.shape != shape:
            raise ConfigurationError(
                f"{sample.name} is of {sample.stretched.shape}, the store's samples of {shape}"
            )

    def flush(self) -> None:
        """Write what is waiting."""
        if not self._waiting:
            return
        rows = self._append_frames()
        added = [sample.row(plan) for sample, plan in zip(self._waiting, rows, strict=True)]
        known = self.store.samples
        table = pd.DataFrame(added, columns=list(SAMPLE_COLUMNS))
        table["end"] = table["end"].astype("datetime64[ns]")
        table = table if known.empty else pd.concat([known, table], ignore_index=True)
        save_table(table, self.store.path / "samples.parquet")
        self.store.refresh()
        self._waiting.clear()
        self._codes.clear()

    def _append_frames(self) -> list[list[int]]:
        """Append frames of all samples that are waiting; their rows."""
        frames, columns, plans = [], [], []
        first = len(self.store.frames)
        for sample, codes in zip(self._waiting, self._codes, strict=True):
            there = (codes != MISSING).any(axis=(1, 2, 3))
            rows = np.where(there, first + len(frames) + np.cumsum(there) - 1, ABSENT)
            plans.append(rows.tolist())
            frames += list(codes[there])
            columns += [self._frame_row(sample, slot) for slot in np.flatnonzero(there).tolist()]
        writer = FrameWriter(self.store)
        start = 0
        while start < len(frames):
            part = slice(start, start + writer.room)
            told = {name: [row[name] for row in columns[part]] for name in columns[0]}
            writer.append(np.stack(frames[part]), **told)
            start = part.stop
        return plans

    def _frame_row(self, sample: PlaneSample, slot: int) -> dict[str, Any]:
        processor = self.store.processor
        age = (processor.num_frames - 1 - slot) * timedelta(minutes=processor.cadence_minutes)
        return {
            "times": (sample.end - age).to_datetime64(),
            "sources": sample.source,
            "plane_lon": sample.lon,
            "plane_lat": sample.lat,
            "sensor": sample.sensor,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self.flush()


def _forget_frames_without_sample(store: ClipStore) -> None:
    kept = 1 + max((max(rows) for rows in store.samples["rows"]), default=ABSENT)
    if kept < len(store.frames):
        save_table(store.frames.iloc[:kept], store.path / "frames.parquet")
        store.refresh()
