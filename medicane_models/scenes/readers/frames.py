"""Read a frame, judge it, and lay it onto the target grid, at the moment it is needed."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import dask.array as da
import numpy as np
from jaxtyping import Bool, Float32, Integer

from medicane_models.domain import Grid
from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.readers.recording import UNREADABLE, Frame, Recording
from medicane_models.scenes.resampling import Placement, no_overlap, overlaps, place

__all__ = ["lazy_pixels"]

FEWEST_JUDGED_PIXELS = 16  # fewer may well be equal
POSSIBLE_KELVIN = (100.0, 400.0)
USUAL_KELVIN = (150.0, 340.0)
OTHER_UNITS = {
    "values normalised to 0 … 1": (0.0, 1.0),
    "degrees Celsius": (-130.0, 70.0),
}
MOST_COUNTS = 255


def lazy_pixels(recording: Recording, frames: Sequence[Frame], target: Grid) -> da.Array:
    """Pixels (time, layer, y, x) on the target grid, one chunk a frame.

    Raises:
        SceneError: if the target shows nothing of any frame.
    """
    moving = [frame.grid for frame in frames if frame.grid is not None]
    if moving and not any(overlaps(grid, target) for grid in moving):
        raise no_overlap(moving[0], target)
    placement = None if len(moving) == len(frames) else place(recording.grid, target)
    is_grey = recording.calibration == "grey"
    return da.map_blocks(
        FrameReader(tuple(frames), recording.layers, recording.is_rgb, is_grey, target, placement),
        da.arange(len(frames), chunks=1),  # pyright: ignore[reportArgumentType]
        dtype=np.float32,
        chunks=((1,) * len(frames), (len(recording.layers),), (target.height,), (target.width,)),
        new_axis=[1, 2, 3],
        meta=np.empty((0, 0, 0, 0), np.float32),
        name=f"scene-{uuid4().hex}",
    )


# no repr: dask names a graph after it, and that of a year of frames takes minutes
@dataclass(frozen=True, eq=False, repr=False)
class FrameReader:
    """From the number of a frame to its pixels; NaN and a SceneWarning where it has none."""

    frames: tuple[Frame, ...]
    layers: tuple[str, ...]
    is_rgb: bool
    is_grey: bool
    target: Grid
    placement: Placement | None

    def __dask_tokenize__(self) -> str:
        """A name of its own: dask 2025 would read every frame to make one of what they hold."""
        return uuid4().hex

    def __call__(
        self, numbers: Integer[np.ndarray, " one"]
    ) -> Float32[np.ndarray, "one layer height width"]:
        """Pixels of one frame on the target grid."""
        frame = self.frames[int(numbers[0])]
        placement = self._placement(frame)
        pixels = None if placement is None else self._pixels(frame, placement.window)
        if placement is None or pixels is None:
            shape = (1, len(self.layers), self.target.height, self.target.width)
            return np.full(shape, np.nan, np.float32)
        return placement(pixels)[None]

    def _placement(self, frame: Frame) -> Placement | None:
        """How a frame comes to lie on the target; None if it lies elsewhere."""
        if frame.grid is None:
            return self.placement
        if not overlaps(frame.grid, self.target):
            _warn_missing(frame, "lies outside the domain")
            return None
        return place(frame.grid, self.target)

    def _pixels(self, frame: Frame, window: Grid) -> Float32[np.ndarray, "layer y x"] | None:
        """What the file holds in the window; None if that is nothing."""
        try:
            pixels = frame.read(window)
        except SceneError:
            raise
        except UNREADABLE as error:
            _warn_missing(frame, f"cannot be read ({str(error) or type(error).__name__})")
            return None
        blank = [_is_blank(layer, or_constant=not self.is_grey) for layer in pixels]
        if all(blank) if self.is_rgb else any(blank):
            _warn_missing(frame, "is black, constant or empty")
            return None
        return _colours(frame, pixels) if self.is_rgb else self._plausible(frame, pixels)

    def _plausible(
        self, frame: Frame, pixels: Float32[np.ndarray, "layer y x"]
    ) -> Float32[np.ndarray, "layer y x"] | None:
        """Pixels with impossible temperatures become missing in all channels; None if most are.

        Raises:
            SceneError: if a channel holds what is of another unit.
        """
        for name, layer in zip(self.layers, pixels, strict=True):
            _refuse_other_units(frame, name, layer)
        impossible = _outside(pixels, POSSIBLE_KELVIN)  # (layer, y, x)
        for name, layer, bad in zip(self.layers, pixels, impossible, strict=True):
            if bad.sum() > np.isfinite(layer).sum() / 2:
                _warn_missing(
                    frame, f"has a {name} of {_span(layer)}, which is no brightness temperature"
                )
                return None
        _warn_of_unusual(frame, self.layers, pixels)
        return np.where(impossible.any(axis=0), np.float32(np.nan), pixels)


def _refuse_other_units(frame: Frame, name: str, layer: Float32[np.ndarray, "y x"]) -> None:
    """Units are believed only where values fit them."""
    lowest, highest = _extremes(layer)
    what = next((u for u, (a, b) in OTHER_UNITS.items() if a <= lowest and highest <= b), None)
    if lowest >= 0 and highest <= MOST_COUNTS and _are_counts(layer):
        what = "counts of 0 … 255"
    if what is not None:
        raise SceneError(
            f"{name} of {frame} is marked K and holds {_span(layer)}, which look like {what}; "
            "convert them to kelvin, or mark the units they have"
        )


def _are_counts(layer: Float32[np.ndarray, "y x"]) -> bool:
    """Whether all values are whole, and some too low for kelvin."""
    seen = layer[np.isfinite(layer)]
    dark = seen[seen > 0]  # 0 is what many files fill gaps with
    return bool(dark.size and dark.min() < POSSIBLE_KELVIN[0] and (seen == np.round(seen)).all())


def _warn_of_unusual(
    frame: Frame, names: Sequence[str], pixels: Float32[np.ndarray, "layer y x"]
) -> None:
    """Count pixels that no scene of Earth should have, of which the impossible are missing."""
    for (lowest, highest), fate in ((POSSIBLE_KELVIN, "missing"), (USUAL_KELVIN, "doubtful")):
        outside = _outside(pixels, (lowest, highest))
        if outside.any():
            counts = zip(names, outside.sum(axis=(1, 2)), strict=True)
            told = ", ".join(f"{count} of {name}" for name, count in counts if count)
            _warn(
                f"{frame}: {outside.any(axis=0).sum()} pixels outside {lowest:g} … {highest:g} K "
                f"are {fate} ({told})"
            )
            return


def _outside(
    pixels: Float32[np.ndarray, "layer y x"], limits: tuple[float, float]
) -> Bool[np.ndarray, "layer y x"]:
    """Where values are beyond limits; False for NaN."""
    return (pixels < limits[0]) | (pixels > limits[1])


def _span(layer: Float32[np.ndarray, "y x"]) -> str:
    return f"values from {np.nanmin(layer):.6g} to {np.nanmax(layer):.6g}"


def _extremes(layer: Float32[np.ndarray, "y x"]) -> tuple[float, float]:
    """The lowest and the highest finite value; +inf and -inf where there is none."""
    seen = np.isfinite(layer)
    return (
        float(layer.min(where=seen, initial=np.inf)),
        float(layer.max(where=seen, initial=-np.inf)),
    )


def _is_blank(layer: Float32[np.ndarray, "y x"], *, or_constant: bool) -> bool:
    """Whether nothing is there; of what was measured, few pixels are all alike, of greys many."""
    lowest, highest = _extremes(layer)
    if lowest < highest:
        return False
    seen = int(np.isfinite(layer).sum())
    return seen == 0 or (or_constant and seen >= FEWEST_JUDGED_PIXELS)


def _colours(
    frame: Frame, pixels: Float32[np.ndarray, "layer y x"]
) -> Float32[np.ndarray, "layer y x"]:
    if (pixels < 0).any() or (pixels > 1).any():
        raise SceneError(
            f"colours of {frame} reach from {np.nanmin(pixels):g} to {np.nanmax(pixels):g}; "
            "scale them to 0 … 1"
        )
    return pixels


def _warn_missing(frame: Frame, reason: str) -> None:
    _warn(f"{frame} {reason}; the frame is missing")


def _warn(message: str) -> None:
    warnings.warn(message, SceneWarning, stacklevel=2)
