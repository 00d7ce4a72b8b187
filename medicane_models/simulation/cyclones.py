"""Cyclones anywhere on Earth as the infrared window shows them, and what only looks like one.

A cyclone is a few parts around its low-level centre: a swirl of low clouds, a cold shield that
shear displaces, spiral bands, cells, an eye, outflow.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import numpy as np
import pandas as pd

from medicane_models.domain.azimuthal import from_azimuthal
from medicane_models.errors import ConfigurationError
from medicane_models.simulation.plane import ramp

__all__ = ["LOOKALIKES", "Cyclone", "CycloneKind"]


class CycloneKind(StrEnum):
    """Patterns of cyclones, then look-alikes without a centre in the truth."""

    EYE = "eye"
    COVERED = "covered"
    SHEARED = "sheared"
    EXPOSED = "exposed"
    DEPRESSION = "depression"
    LANDFALL = "landfall"
    SUBTROPICAL = "subtropical"
    MEDICANE = "medicane"
    DEEP_LOW = "deep_low"
    CONVECTIVE_SYSTEM = "convective_system"
    CIRRUS_SWIRL = "cirrus_swirl"


@dataclass(frozen=True, kw_only=True)
class Cyclone:
    """A cyclone, or what looks like one, that lives for ``life_h`` hours.

    Attributes:
        kind: what it is.
        middle: half-way through its life, UTC.
        life_h: hours until it has vanished.
        lon: of the low-level centre half-way, degrees.
        lat: likewise.
        east_km_h: drift.
        poleward_km_h: drift.
        meander_km: how far the track swings to either side of a straight line.
        wind_kt: strongest wind of one minute when it is strongest.
        radius_km: of the cold shield.
        shield: opacity of the cold shield, 0 … 1.
        top_kelvin: of the shield's coldest part.
        ragged: how far the shield's edge and the bands are torn, 0 … 1.
        elongation: of the shield along the shear; 0 none.
        shear_km: displacement of the high clouds from the low-level centre.
        shear_degrees: where to, counter-clockwise from east on a northern map.
        bands: opacity of the spiral bands.
        arms: number of bands.
        pitch_degrees: angle between a band and a circle.
        eye_km: radius of the eye; 0 without.
        eye_fill: share of cloud in the eye.
        eye_ratio: shorter over longer axis of the eye.
        low: opacity of the swirl of low clouds.
        low_km: its radius.
        cells: convective cells at a time.
        outflow: opacity of the cirrus around.
        drying: share of other clouds that it clears around it.
        spin_h: hours of one turn of the clouds near the centre; infinite without rotation.
        seed: of its textures and cells.
    """

    kind: CycloneKind
    middle: pd.Timestamp
    lon: float
    lat: float
    life_h: float = 96.0
    east_km_h: float = 0.0
    poleward_km_h: float = 0.0
    meander_km: float = 0.0
    wind_kt: float = np.nan
    radius_km: float = 250.0
    shield: float = 0.0
    top_kelvin: float = 210.0
    ragged: float = 0.4
    elongation: float = 0.0
    shear_km: float = 0.0
    shear_degrees: float = 0.0
    bands: float = 0.0
    arms: int = 2
    pitch_degrees: float = 18.0
    eye_km: float = 0.0
    eye_fill: float = 0.0
    eye_ratio: float = 1.0
    low: float = 0.0
    low_km: float = 200.0
    cells: float = 0.0
    outflow: float = 0.0
    drying: float = 0.0
    spin_h: float = float("inf")
    seed: int = 0

    def __post_init__(self) -> None:
        lengths = {name: getattr(self, name) for name in ("life_h", "radius_km", "low_km")}
        if min(*lengths.values(), self.spin_h) <= 0:
            raise ConfigurationError(
                f"{lengths} and spin_h {self.spin_h} of a cyclone must be positive"
            )
        if not (abs(self.lat) <= 90 and np.isfinite(self.lon)):
            raise ConfigurationError(
                f"a cyclone's centre is {self.lon}°E {self.lat}°N; give a point on Earth"
            )

    @property
    def is_cyclone(self) -> bool:
        """Whether it has a centre in the truth."""
        return self.kind not in LOOKALIKES

    @property
    def poleward(self) -> int:
        """1 on the northern half of the Earth, where cyclones turn counter-clockwise, else -1."""
        return -1 if self.lat < 0 else 1

    def age_h(self, time: pd.Timestamp) -> float:
        """Hours since the middle of its life."""
        return (time - self.middle) / timedelta(hours=1)

    def intensity(self, age_h: float) -> float:
        """0 before birth, 1 in the middle, 0 after death."""
        share = 0.5 + age_h / self.life_h
        return ramp(share / 0.4) * ramp((1 - share) / 0.4)

    def wind_at(self, age_h: float) -> float:
        """Wind of one minute in kt; NaN of a look-alike."""
        return self.wind_kt * (0.55 + 0.45 * self.intensity(age_h))

    def path(self, age_h: float) -> tuple[float, float]:
        """Kilometres east and poleward of where it is half-way."""
        swing = self.meander_km * math.sin(2 * math.pi * age_h / 30)
        speed = math.hypot(self.east_km_h, self.poleward_km_h) or 1.0
        return (
            self.east_km_h * age_h - swing * self.poleward_km_h / speed,
            self.poleward_km_h * age_h + swing * self.east_km_h / speed,
        )

    def centre(self, age_h: float) -> tuple[float, float]:
        """Longitude and latitude of the low-level centre in degrees."""
        east, poleward = self.path(age_h)
        lon, lat = from_azimuthal((self.lon, self.lat), 1e3 * east, 1e3 * self.poleward * poleward)
        return float(lon), float(lat)


LOOKALIKES = (CycloneKind.DEEP_LOW, CycloneKind.CONVECTIVE_SYSTEM, CycloneKind.CIRRUS_SWIRL)
"""Kinds without a centre in the truth."""
