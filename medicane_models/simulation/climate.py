"""What a cloud-free scene looks like by latitude, season and hour, and the height of clouds.

Constants were chosen so that clear and cloudy pixels agree with SEVIRI over the Mediterranean in
September and November and over the British Isles in December (benchmarks/simulation_statistics.py).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from medicane_models.simulation.plane import winter

__all__ = ["ClimateColumn", "column", "land_kelvin"]

REFERENCE_LATITUDE = 38.0

Profile = Float[np.ndarray, "*s"]


@dataclass(frozen=True, kw_only=True)
class ClimateColumn:
    """Kelvin by place at one hour, all of one shape.

    Attributes:
        sea: brightness of the sea in IR_108.
        tropopause: of the highest clouds.
        ozone: of the layer that emits in IR_097.
        wv_062: of clear air of mean moisture.
        wv_073: the same.
    """

    sea: Profile
    tropopause: Profile
    ozone: Profile
    wv_062: Profile
    wv_073: Profile

    def strip(self, rows: slice) -> "ClimateColumn":
        """Some rows."""
        return ClimateColumn(**{name: field[rows] for name, field in vars(self).items()})


def column(lat: Profile, hour: float) -> ClimateColumn:
    """The mean column of air at latitudes in degrees, at hours since the epoch."""
    cold = winter(hour, southern=bool(lat.mean() < 0))
    north = np.abs(lat) - REFERENCE_LATITUDE
    late = winter(hour - 45 * 24, southern=bool(lat.mean() < 0))  # the sea lags the sun
    sea = 294.8 - 10.5 * late - (0.35 + 0.25 * cold) * north
    return ClimateColumn(
        sea=sea,
        tropopause=213.0 - 2.5 * cold - 0.1 * north,
        ozone=236.0 - 12.0 * cold - (0.2 + 0.9 * cold) * north,
        wv_062=241.7 - 12.0 * cold - (0.15 + 0.15 * cold) * north,
        wv_073=260.5 - 9.5 * cold - (0.2 + 0.25 * cold) * north,
    )


def land_kelvin(lon: Profile, lat: Profile, hour: float) -> Profile:
    """Brightness of land in IR_108: warmed by the sun, cooling through the night until dawn."""
    cold = winter(hour, southern=bool(lat.mean() < 0))
    north = np.abs(lat) - REFERENCE_LATITUDE
    lag = 2 * np.pi * ((hour + lon / 15) % 24 - 13.5) / 24
    wave = np.cos(lag) + 0.25 * np.cos(2 * lag)
    amplitude = np.clip(8.5 - 4.5 * cold - 0.35 * north, 1.5, 15)
    return 296.0 - 16 * cold - (0.5 + 0.2 * cold) * north + amplitude * wave
