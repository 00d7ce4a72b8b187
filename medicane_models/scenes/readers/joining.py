"""Files of one band each, as ABI's: the bands of a slot come together into one frame."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np
import pandas as pd

from medicane_models.domain import Grid
from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.readers.recording import Frame, Pixels, Recording, merged

__all__ = ["joined_bands"]

APART = pd.Timedelta(seconds=10)  # bands of a scan end within a second or two, scans 30 s apart

Shot = tuple[Recording, Frame]


def joined_bands(recordings: Sequence[Recording], layers: Sequence[str]) -> Recording:
    """One recording of all layers out of recordings that hold some of them each.

    Args:
        recordings: of one imager.
        layers: canonical names; a slot that lacks one is left out.

    Raises:
        SceneError: if no slot has all, or merging fails.

    Warns:
        SceneWarning: names slots that lack a band, or have one twice.
    """
    by_grid: dict[Grid, list[Shot]] = {}
    for recording in recordings:
        shots = [(recording, frame) for frame in recording.frames if not pd.isna(frame.time)]
        by_grid.setdefault(recording.grid, []).extend(shots)
    whole = []
    for shots in by_grid.values():
        frames = [_frame(slot, layers) for slot in _slots(shots)]
        there = tuple(frame for frame in frames if frame is not None)
        whole.append(replace(shots[0][0], layers=tuple(layers), frames=there))
    if not any(recording.frames for recording in whole):
        raise SceneError(
            f"no image has all of {', '.join(layers)}, from {recordings[0].frames[0].name} on; "
            "give the files of all bands, or ask for fewer channels"
        )
    return merged(whole)


def _slots(shots: Iterable[Shot]) -> Iterator[list[Shot]]:
    """Shots of about the same time."""
    ordered = sorted(shots, key=lambda shot: shot[1].time)
    times = pd.Series([frame.time for _, frame in ordered])
    numbers = (times.diff() > APART).cumsum()
    for _, group in groupby(zip(numbers, ordered, strict=True), key=itemgetter(0)):
        yield [shot for _, shot in group]


def _frame(slot: Sequence[Shot], layers: Sequence[str]) -> Frame | None:
    """The frame of a slot at the time its last band ends; None if it lacks a band."""
    sources: dict[str, tuple[Frame, int]] = {}
    for recording, frame in slot:
        for number, layer in enumerate(recording.layers):
            if layer in sources:
                _warn(f"{layer} twice at one time, the first is kept: {sources[layer][0]}, {frame}")
            sources.setdefault(layer, (frame, number))
    first = slot[0][1]
    if missing := [layer for layer in layers if layer not in sources]:
        _warn(f"the slot of {first} lacks {', '.join(missing)} and is missing")
        return None
    more = f" and {len(slot) - 1} more files" if len(slot) > 1 else ""
    chosen = {layer: sources[layer] for layer in layers}
    reads = {layer: (frame.read, number) for layer, (frame, number) in chosen.items()}
    time = max(frame.time for frame, _ in chosen.values())
    return first._replace(time=time, name=f"{first.name}{more}", read=partial(_stacked, reads))


def _stacked(reads: Mapping[str, tuple[Callable[[Grid], Pixels], int]], window: Grid) -> Pixels:
    return np.stack([read(window)[number] for read, number in reads.values()])


def _warn(message: str) -> None:
    warnings.warn(message, SceneWarning, stacklevel=4)
