"""Which clips there are of the frames that have arrived, in whatever order."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from medicane_models.prediction.arrivals import KnownFrame
from medicane_models.scenes.clips import convention_shift, plan_clips
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.times import Instant, utc

__all__ = ["PlannedHour", "plan_hours"]


@dataclass(frozen=True, kw_only=True)
class PlannedHour:
    """The end of a clip and the frames of its slots, oldest first; None where there is none."""

    end: pd.Timestamp
    frames: tuple[KnownFrame | None, ...]

    @property
    def digests(self) -> tuple[str | None, ...]:
        """What tells its frames from others."""
        return tuple(frame and frame.digest for frame in self.frames)

    @property
    def times(self) -> tuple[pd.Timestamp | None, ...]:
        """Of its slots' frames, as their images tell them."""
        return tuple(frame and frame.time for frame in self.frames)

    @property
    def there(self) -> list[KnownFrame]:
        """The frames that it has."""
        return [frame for frame in self.frames if frame is not None]

    @property
    def at_hand(self) -> list[KnownFrame]:
        """Those of them whose files are there."""
        return [frame for frame in self.there if frame.at_hand]


def plan_hours(
    arrived: Sequence[KnownFrame],
    processor: MedicaneProcessor,
    *,
    every_minutes: int,
    start: Instant | None,
    end: Instant | None,
) -> list[PlannedHour]:
    """Every clip of the frames that have arrived.

    Args:
        arrived: of those of one time the first counts.
        processor: how frames become clips.
        every_minutes: clips end at multiples of it since midnight, and at the newest frame.
        start: the earliest end of a clip, UTC.
        end: the latest end of a clip, UTC.
    """
    shifted = {
        utc(frame.time + convention_shift(frame.convention, processor)): frame
        for frame in reversed(arrived)
    }
    times = pd.DatetimeIndex(sorted(shifted))
    plans = plan_clips(
        times,
        num_frames=processor.num_frames,
        cadence_minutes=processor.cadence_minutes,
        every_minutes=every_minutes,
        ends_with_frame=processor.marks_missing,
        start=None if start is None else utc(start),
        end=None if end is None else utc(end),
    )
    frames = [shifted[utc(moment)] for moment in times]
    slots = [tuple(None if row is None else frames[row] for row in plan.rows) for plan in plans]
    return [PlannedHour(end=plan.end, frames=s) for plan, s in zip(plans, slots, strict=True)]
