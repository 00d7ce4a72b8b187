"""What an imager and its pictures do to kelvin: resolution, calibration, greys, noise, gaps."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import gaussian_filter

from medicane_models.simulation.noise import generator
from medicane_models.simulation.sky import Field

__all__ = ["PictureQuality", "draw_quality", "seen_part"]

MIDDLE_KELVIN = 260.0  # at which a wrong gain changes nothing
COLD_KELVIN, WARM_KELVIN = 190.0, 310.0
LONGEST_RUN = 4  # lines that are lost together


@dataclass(frozen=True, kw_only=True)
class PictureQuality:
    """An imager and the chain that made pictures of what it saw.

    Attributes:
        pixel_km: side of its pixels; finer than those of the grid changes nothing.
        noise_kelvin: standard deviation, independent between pixels.
        gain: of the calibration around 260 K; 1 is right.
        offset_kelvin: of the calibration.
        bend_kelvin: how far a curve of greys is off half-way between its ends.
        coldest_kelvin: what is colder is shown as cold as this.
        warmest_kelvin: likewise.
        greys: number of shades between them.
        missing_lines: share of lines that are absent.
    """

    pixel_km: float = 4.0
    noise_kelvin: float = 0.2
    gain: float = 1.0
    offset_kelvin: float = 0.0
    bend_kelvin: float = 0.0
    coldest_kelvin: float = 170.0
    warmest_kelvin: float = 330.0
    greys: int = 1024
    missing_lines: float = 0.0

    def record(self, kelvin: Field, *, grid_km: float, seed: int, frame: int) -> Field:
        """A frame as it comes from a file; NaN where lines are missing.

        Args:
            kelvin: true ones; what is NaN stays so.
            grid_km: side of the frame's pixels.
            seed: of the noise and gaps,
            frame: which also differ by the number of the frame.
        """
        random = generator(seed, "imager", frame + 1_000_000)
        unseen = np.isnan(kelvin)
        if unseen.all():
            return kelvin.copy()
        seen = self._resolved(np.where(unseen, np.nanmean(kelvin), kelvin), grid_km)
        seen += self.noise_kelvin * random.standard_normal(kelvin.shape, dtype=np.float32)
        bend = np.sin(math.pi * (seen - COLD_KELVIN) / (WARM_KELVIN - COLD_KELVIN))
        wrong = self.offset_kelvin + (self.gain - 1) * (seen - MIDDLE_KELVIN)
        shown = np.where(unseen, np.nan, self._greyed(seen + wrong + self.bend_kelvin * bend))
        first = np.flatnonzero(random.random(len(kelvin)) < self.missing_lines / 2)
        for line in first.tolist():
            shown[line : line + int(random.integers(1, LONGEST_RUN + 1))] = np.nan
        return shown.astype(np.float32)

    def _resolved(self, kelvin: Field, grid_km: float) -> Field:
        """Blurred by the footprint, then in steps of pixels that are coarser than the grid."""
        blurred = gaussian_filter(kelvin, 0.4 * max(self.pixel_km / grid_km, 0.7))
        step = self.pixel_km / grid_km
        if step <= 1.05:
            return blurred
        rows, columns = (_nearest(length, step) for length in kelvin.shape)
        return gaussian_filter(blurred[rows][:, columns], 0.3 * step)

    def _greyed(self, kelvin: Field) -> Field:
        span = self.warmest_kelvin - self.coldest_kelvin
        share = np.clip((kelvin - self.coldest_kelvin) / span, 0, 1)
        return self.coldest_kelvin + np.rint(share * (self.greys - 1)) * (span / (self.greys - 1))


def _nearest(length: int, step: float) -> np.ndarray:
    """For every pixel the middle of the coarser pixel that it lies in."""
    coarse = np.floor(np.arange(length) / step)
    return np.clip(np.rint((coarse + 0.5) * step - 0.5), 0, length - 1).astype(int)


def draw_quality(*, seed: int) -> PictureQuality:
    """Anything from the newest imager in kelvin to coarse grey pictures of unknown calibration."""
    random = generator(seed, "imager")
    grey = random.random() < 0.5
    wrong = 1.0 if grey else 0.25
    return PictureQuality(
        pixel_km=float(random.choice([4, 4, 5, 8, 10, 12, 16, 20])),
        noise_kelvin=float(random.gamma(1.5, 0.25)),
        gain=float(np.exp(random.normal(0, 0.07 * wrong))),
        offset_kelvin=float(random.normal(0, 3 * wrong)),
        bend_kelvin=float(random.normal(0, 4)) if grey else 0.0,
        coldest_kelvin=float(random.uniform(178, 212)) if grey else 170.0,
        warmest_kelvin=float(random.uniform(293, 320)) if grey else 330.0,
        greys=int(random.choice([64, 128, 256])) if grey else 1024,
        missing_lines=float(random.choice([0, 0, 0, 0, 0.004])),
    )


def seen_part(size: int, *, seed: int) -> Bool[np.ndarray, "y x"]:
    """What of a square plane lies within a picture: all, or up to its borders or the limb."""
    random = generator(seed, "borders of a picture")
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    half = size / 2
    seen = np.ones((size, size), bool)
    for _ in range(int(random.choice([0, 0, 1, 2, 4], p=[0.35, 0.15, 0.25, 0.15, 0.1]))):
        angle, away = random.uniform(0, 2 * math.pi), random.uniform(0.4, 1.1) * half
        across = columns * math.sin(angle) - rows * math.cos(angle)
        bend = across**2 / (2 * half) * random.uniform(-0.15, 0.15)
        seen &= columns * math.cos(angle) + rows * math.sin(angle) + bend < away
    return seen
