"""Which band of a processor shows the temperature of clouds."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from medicane_models.errors import ConfigurationError
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = ["CloudBand"]

CLEAREST = ("IR_108", "IR_120", "IR_087", "IR_134", "WV_073", "WV_062")
"""Channels by how well the temperature of a cloud's top shows in them; the first that a clip has is
read. The water vapour channels see high clouds alone."""


@dataclass(frozen=True, kw_only=True)
class CloudBand:
    """The band of the clips in which clouds are cold.

    Attributes:
        index: its number.
        channel: the brightness temperature it shows.
        low: kelvin of the stretched value 0.
        high: kelvin of the stretched value 1.
    """

    index: int
    channel: str
    low: float
    high: float

    @classmethod
    def of(cls, processor: MedicaneProcessor) -> "CloudBand":
        """The infrared window where there is one, of the Airmass RGB the 6.2 µm water vapour.

        Raises:
            ConfigurationError: if every band is a difference of channels.
        """
        plain = {
            band.channel: cls(index=index, channel=band.channel, low=band.low, high=band.high)
            for index, band in enumerate(processor.bands)
            if band.minus is None
        }
        for channel in (*CLEAREST, *plain):
            if channel in plain:
                return plain[channel]
        raise ConfigurationError(
            "no band of the clips is a brightness temperature, so nothing says where clouds are "
            "cold; give a band of one channel, or set tracking.baselines to false"
        )

    def kelvin(self, stretched: Float[np.ndarray, "*n C H W"]) -> Float[np.ndarray, "*n H W"]:
        """Brightness temperature of stretched pixels; what was cut off stays at the limits."""
        return self.low + (self.high - self.low) * stretched[..., self.index, :, :]
