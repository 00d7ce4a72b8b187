"""What the instrument and the ground segment add: noise, missing lines, missing frames."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from medicane_models.errors import ConfigurationError
from medicane_models.simulation.noise import generator

__all__ = ["Instrument", "Recorder"]

SPARE = 1_000_003  # noise values more than a frame needs, so that frames start at different ones
LONGEST_RUN = 6  # lines that are lost together
PAUSE_START_MINUTE, PAUSE_PERIOD_MINUTES = 9 * 60, 28 * 24 * 60
FIRST_BUCKET = 1_000_000_000  # keeps the numbers of minutes before 1970 positive
LARGEST = {"noise_kelvin": 10.0, "missing_frames": 1.0, "missing_lines": 1.0, "pause_hours": 672.0}

ChannelFields = Float[np.ndarray, "channel y x"]


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """Noise and gaps. Rates of unplanned gaps are assumed, of the order seen in archives.

    Attributes:
        noise_kelvin: standard deviation, independent between pixels.
        missing_frames: share of frames that are absent altogether (all NaN).
        missing_lines: share of lines that are absent from the other frames, in runs of a few.
        pause_hours: hours without frames every 28 days from 09:00 UTC; the Rapid Scanning Service
            of EUMETSAT pauses for 48 after 26 days.
    """

    noise_kelvin: float = 0.1
    missing_frames: float = 0.01
    missing_lines: float = 0.0005
    pause_hours: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, largest = getattr(self, field.name), LARGEST[field.name]
            if not 0 <= value <= largest:
                raise ConfigurationError(f"{field.name} is {value}; give 0 … {largest:g}")


class Recorder:
    """Records frames with the faults of an instrument, the same ones for the same minute."""

    def __init__(self, instrument: Instrument, *, values: int, seed: int) -> None:
        self.instrument, self.seed = instrument, seed
        noise = generator(seed, "noise").standard_normal(values + SPARE, dtype=np.float32)
        self.noise = noise * np.float32(instrument.noise_kelvin)

    def is_missing(self, minute: int) -> bool:
        """Whether a frame is absent altogether."""
        paused = (minute - PAUSE_START_MINUTE) % PAUSE_PERIOD_MINUTES
        if paused < 60 * self.instrument.pause_hours:
            return True
        return self._random(minute, "gaps").random() < self.instrument.missing_frames

    def record(self, frame: ChannelFields, minute: int) -> ChannelFields:
        """Add noise to a frame and NaN to its missing lines, in place."""
        random = self._random(minute, "lines")
        start = int(random.integers(SPARE))
        frame += self.noise[start : start + frame.size].reshape(frame.shape)
        share = self.instrument.missing_lines
        for first in np.flatnonzero(random.random(frame.shape[1]) < share * 2 / (1 + LONGEST_RUN)):
            frame[:, first : first + int(random.integers(1, LONGEST_RUN + 1))] = np.nan
        return frame

    def _random(self, minute: int, purpose: str) -> np.random.Generator:
        return generator(self.seed, purpose, minute + FIRST_BUCKET)
