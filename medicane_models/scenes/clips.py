"""Which frames make a clip, by time; reading each of them once.

Letters: T frames, C bands, H rows, W columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from medicane_models.domain import Grid
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.tiles import CutFrame, TileName, Tiling, share_of_a_frame
from medicane_models.times import utc

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Clip",
    "ClipPlan",
    "ClipReader",
    "HeldFrames",
    "SkippedClip",
    "TileClip",
    "check_cadence",
    "convention_shift",
    "frame_times",
    "load_frame",
    "plan_clips",
    "with_time_convention",
]

DAY_MINUTES = 24 * 60
SLOWER = 1.5  # times the cadence: frames that far apart are another service, not a few gaps
NO_NEWEST = "no newest frame: too few of its pixels are seen"
TileFrame = Float[np.ndarray, "C H W"]


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """The frames of one clip: for each slot, oldest first, the row in the scene or None."""

    end: pd.Timestamp
    rows: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class SkippedClip:
    """A clip that was not made, or one tile of it, and the reason in words."""

    end: pd.Timestamp
    tile: TileName | None
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class TileClip:
    """One tile of a clip.

    Attributes:
        number: of the tile, among those that the frames were cut into.
        tile: its offset in the grid, or the centre of a local plane.
        grid: where its pixels lie on Earth.
        frames: oldest first, stretched to 0…1 with NaN for missing; views, not copies.
        missing: how many of the frames were missing and are copies of the nearest in time or,
            where the processor marks them, empty.
    """

    number: int
    tile: TileName
    grid: Grid
    frames: tuple[Float[np.ndarray, "C H W"], ...]
    missing: int

    def pixel_values(self, processor: MedicaneProcessor) -> Float[np.ndarray, "T C H W"]:
        """What a model reads."""
        return processor.normalise(np.stack(self.frames))


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip of the whole scene cut into tiles.

    Attributes:
        plan: its frames.
        newest: an overview of the newest frame that any tile has, 0…1 with NaN for missing.
        newest_time: when that was, UTC.
        newest_row: its number in the scene.
        tiles: those with enough frames.
        skipped: the others.
    """

    plan: ClipPlan
    newest: Float[np.ndarray, "C rows columns"]
    newest_time: pd.Timestamp
    newest_row: int
    tiles: tuple[TileClip, ...]
    skipped: tuple[SkippedClip, ...]

    @property
    def end(self) -> pd.Timestamp:
        """Time of the last slot."""
        return self.plan.end


def plan_clips(
    times: pd.DatetimeIndex,
    *,
    num_frames: int = 16,
    cadence_minutes: float = 5.0,
    every_minutes: int = 60,
    ends_with_frame: bool = False,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
) -> list[ClipPlan]:
    """Plan the clips that end every ``every_minutes`` since midnight, and at the newest frame.

    A slot takes the frame nearest to its time within half a cadence, so that a gap in the scene
    leaves a slot empty and never stretches the clip.

    Args:
        times: of the scene's frames, sorted and unique.
        num_frames: slots of a clip.
        cadence_minutes: from a slot to the next.
        every_minutes: from the end of a clip to the end of the next.
        ends_with_frame: whether each clip ends at the frame nearest to that time, within half a
            cadence, and its slots count back from there; no frame ends two clips.
        start: the earliest end of a clip.
        end: the latest end of a clip.

    Returns:
        In order of time; where the scene has no frame at all for a clip, there is none.

    Raises:
        ConfigurationError: if ``every_minutes`` does not divide a day.
    """
    if every_minutes < 1 or DAY_MINUTES % every_minutes:
        raise ConfigurationError(
            f"clips every {every_minutes} min do not divide a day; give for example 15, 30 or 60"
        )
    cadence = timedelta(minutes=cadence_minutes)
    ends = _clip_ends(times, every_minutes, cadence, end)
    if ends_with_frame:
        ends = _moved_to_frames(times, ends, cadence, end)
    plans = [
        ClipPlan(
            end=time,
            rows=_nearest_rows(
                times, pd.date_range(end=time, periods=num_frames, freq=cadence), cadence
            ),
        )
        for time in ends
        if start is None or time >= start
    ]
    return [plan for plan in plans if any(row is not None for row in plan.rows)]


class HeldFrames:
    """Frames of a scene in memory, so that they can be cut more than once.

    Args:
        scene: whose frames they are.
    """

    def __init__(self, scene: "xr.Dataset") -> None:
        self.scene = scene
        self._held: dict[int, xr.Dataset] = {}

    def __getitem__(self, row: int) -> "xr.Dataset":
        """A frame by its number."""
        if row not in self._held:
            self._held[row] = load_frame(self.scene, row)
        return self._held[row]

    def keep(self, plan: ClipPlan) -> None:
        """Let go of all frames that a clip does not need."""
        self._held = {row: frame for row, frame in self._held.items() if row in plan.rows}


class ClipReader:
    """Reads clips from a scene, each frame once however many clips and tiles need it.

    Holds the stretched frames of one clip: 16 frames of the Mediterranean are 100 MB.

    Args:
        scene: whose frames are read.
        processor: how they become clips.
        tiling: how they are cut.
        frames: that other readers share; without them each is let go of as soon as it is cut.
    """

    def __init__(
        self,
        scene: "xr.Dataset",
        processor: MedicaneProcessor,
        tiling: Tiling,
        frames: HeldFrames | None = None,
    ) -> None:
        self.scene = scene
        self.processor = processor
        self.tiling = tiling
        self._held = frames
        self._frames: dict[int, CutFrame] = {}

    def read(self, plans: Sequence[ClipPlan]) -> Iterator[Clip | SkippedClip]:
        """Yield a clip, or why there is none, for each plan; plans are sorted by time."""
        for plan in plans:
            self._load(plan)
            yield self._clip(plan)

    def _load(self, plan: ClipPlan) -> None:
        if self._held is not None:
            self._held.keep(plan)
        self._frames = {
            row: self._frames.get(row) or self._read_frame(row)
            for row in plan.rows
            if row is not None
        }

    def _read_frame(self, row: int) -> CutFrame:
        held = self._held
        return self.tiling.cut(load_frame(self.scene, row) if held is None else held[row])

    def _clip(self, plan: ClipPlan) -> Clip | SkippedClip:
        present = self._present(plan)
        (slots,) = np.nonzero(present.any(axis=0))
        if len(plan.rows) - len(slots) > self.processor.max_missing:
            reason = self._too_few(plan, len(slots), "any tile")
            return SkippedClip(end=plan.end, tile=None, reason=reason)
        newest = plan.rows[slots[-1]]
        assert newest is not None  # a slot without a frame is present nowhere
        cut = [self._cut(plan, *numbered) for numbered in enumerate(present)]
        return Clip(
            plan=plan,
            newest=self._frames[newest].overview,
            newest_time=utc(self.scene["time"].to_numpy()[newest]),
            newest_row=newest,
            tiles=tuple(tile for tile in cut if isinstance(tile, TileClip)),
            skipped=tuple(tile for tile in cut if isinstance(tile, SkippedClip)),
        )

    def _present(self, plan: ClipPlan) -> Bool[np.ndarray, "tiles T"]:
        """Which tiles have which slots' frames."""
        nowhere = np.zeros(len(self.tiling.tiles), bool)
        slots = [nowhere if row is None else self._frames[row].present for row in plan.rows]
        return np.stack(slots, axis=1)

    def _cut(
        self, plan: ClipPlan, number: int, present: Bool[np.ndarray, " T"]
    ) -> TileClip | SkippedClip:
        tile, grid = self.tiling.tiles[number], self.tiling.grids[number]
        (slots,) = np.nonzero(present)
        missing = len(plan.rows) - len(slots)
        if missing > self.processor.max_missing:
            reason = self._too_few(plan, len(slots), "the tile")
            return SkippedClip(end=plan.end, tile=tile, reason=reason)
        if self.processor.marks_missing and not present[-1]:
            return SkippedClip(end=plan.end, tile=tile, reason=NO_NEWEST)
        frames = self._marked if self.processor.marks_missing else self._filled
        pixels = tuple(frames(plan, number, slots.tolist()))
        return TileClip(number=number, tile=tile, grid=grid, frames=pixels, missing=missing)

    def _filled(self, plan: ClipPlan, number: int, present: list[int]) -> Iterator[TileFrame]:
        """Copies of the nearest frame in time where one is missing."""
        for slot in nearest_slots(present, len(plan.rows)):
            row = plan.rows[slot]
            assert row is not None  # a slot without a frame is present nowhere
            yield self._frames[row].pixels[number]

    def _marked(self, plan: ClipPlan, number: int, present: list[int]) -> Iterator[TileFrame]:
        """Nothing but NaN where a frame is missing."""
        size = self.processor.tile_size
        nothing = np.full((len(self.processor.bands), size, size), np.nan, np.float32)
        for slot, row in enumerate(plan.rows):
            if row is not None and slot in present:
                yield self._frames[row].pixels[number]
            else:
                yield nothing

    def _too_few(self, plan: ClipPlan, present: int, tile: str) -> str:
        count, limit = len(plan.rows), self.processor.max_missing
        absent = sum(row is None for row in plan.rows)
        share = share_of_a_frame(self.processor)
        lacking = {
            "missing": absent,
            f"there but showing less than {share:.0%} of {tile}": count - absent - present,
        }
        reasons = [f"{n} of {count} frames {what}" for what, n in lacking.items() if n]
        return f"{' and '.join(reasons)}, at most {limit} allowed"


def load_frame(scene: "xr.Dataset", row: int) -> "xr.Dataset":
    """One frame of a scene in memory."""
    return scene.isel(time=row).compute(scheduler="synchronous")


def frame_times(scene: "xr.Dataset") -> pd.DatetimeIndex:
    """Times of the frames, UTC."""
    return pd.DatetimeIndex(scene["time"].to_numpy())


def with_time_convention(scene: "xr.Dataset", processor: MedicaneProcessor) -> "xr.Dataset":
    """The scene with its times meaning what the model's do: start and end lie one scan apart.

    Times of local planes stay as they are, since a scan is short beside their cadence.

    Raises:
        SceneError: if the length of a scan is not known, because the frames are not one cadence
            apart.
    """
    if not convention_shift(scene.attrs["time_convention"], processor):
        return scene
    cadence = timedelta(minutes=processor.cadence_minutes)
    times = frame_times(scene)
    spacing = times.to_series().diff().median()
    if abs(spacing - cadence) > cadence / 10:
        raise SceneError(
            f"the scene's times mean {scene.attrs['time_convention']}, the model's "
            f"{processor.time_convention}, and its frames are {spacing} apart, so the length of a "
            f"scan is unknown; shift the times and set the attribute time_convention"
        )
    shift = convention_shift(scene.attrs["time_convention"], processor)
    shifted = scene.assign_coords(time=times + shift)
    return shifted.assign_attrs(time_convention=processor.time_convention)


def convention_shift(convention: str, processor: MedicaneProcessor) -> timedelta:
    """What is added to times of a scene, which mean either end of a scan, to mean the model's."""
    if processor.uses_planes or convention == processor.time_convention:
        return timedelta(0)
    sign = 1 if processor.time_convention == "end_of_scan" else -1
    return sign * timedelta(minutes=processor.cadence_minutes)


def check_cadence(scene: "xr.Dataset", processor: MedicaneProcessor) -> None:
    """Refuse a slower service where missing frames are filled: most of a clip would be copies.

    Raises:
        SceneError: naming both cadences.
    """
    spacing = frame_times(scene).to_series().diff().median() / timedelta(minutes=1)
    if not processor.marks_missing and spacing > SLOWER * processor.cadence_minutes:
        raise SceneError(
            f"the scene has a frame every {spacing:g} min, the model reads one every "
            f"{processor.cadence_minutes:g} min; use a rapid-scan service, or a model of the "
            "scene's cadence"
        )


def nearest_slots(present: Sequence[int], count: int) -> list[int]:
    """For each of ``count`` slots the nearest that is present, the earlier of two as near."""
    slots = np.array(present)
    return [int(slots[np.argmin(abs(slots - slot))]) for slot in range(count)]


def _clip_ends(
    times: pd.DatetimeIndex, every_minutes: int, cadence: timedelta, end: pd.Timestamp | None
) -> list[pd.Timestamp]:
    """Up to ``end``; frames a little after it may be the nearest to the last slot."""
    known = times if end is None else times[times <= end]
    if not len(times):
        return []
    oldest = utc(times[0])
    every = pd.date_range(
        oldest.normalize(), utc(times[-1]) + cadence / 2, freq=timedelta(minutes=every_minutes)
    )
    ends: list[pd.Timestamp] = every[every >= oldest - cadence / 2].to_list()
    ends = [time for time in ends if end is None or time <= end]
    newest = utc(known[-1]) if len(known) else None
    if newest is None or (ends and newest - ends[-1] <= cadence / 2):
        return ends
    return [*ends, newest]


def _moved_to_frames(
    times: pd.DatetimeIndex,
    ends: Sequence[pd.Timestamp],
    cadence: timedelta,
    last: pd.Timestamp | None,
) -> list[pd.Timestamp]:
    """The frames up to ``last`` that are nearest to the ends, each once."""
    known = times if last is None else times[times <= last]
    if not len(known):
        return []
    rows = _nearest_rows(known, pd.DatetimeIndex(ends), cadence)
    return [utc(known[row]) for row in dict.fromkeys(rows) if row is not None]


def _nearest_rows(
    times: pd.DatetimeIndex, slots: pd.DatetimeIndex, cadence: timedelta
) -> tuple[int | None, ...]:
    rows = times.get_indexer(slots, method="nearest")
    offset = times[rows] - slots
    near = (offset > -cadence / 2) & (offset <= cadence / 2)
    return tuple(int(row) if ok else None for row, ok in zip(rows, near, strict=True))
