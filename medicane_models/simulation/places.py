"""Pixels of a grid in km around a point, and what they show without clouds in the infrared window.

Directions are mirrored south of the equator, so that all weather is drawn as on the northern half.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool

from medicane_models.domain import Grid
from medicane_models.domain.azimuthal import to_azimuthal
from medicane_models.maps.coastlines import land_mask
from medicane_models.simulation.plane import hours_since_epoch, winter
from medicane_models.simulation.sky import Field

__all__ = ["Locality", "Window"]


class Window(NamedTuple):
    """Some rows and columns of a place, and where their pixels lie."""

    rows: slice
    columns: slice
    x: Field
    y: Field


@dataclass(frozen=True, kw_only=True, eq=False)
class Locality:
    """A grid as weather sees it.

    Attributes:
        grid: of the pixels.
        centre: longitude and latitude of the origin of x and y.
        time: at which hours are 0, UTC.
    """

    grid: Grid
    centre: tuple[float, float]
    time: pd.Timestamp
    x: Field = field(init=False)  # km eastwards
    y: Field = field(init=False)  # km polewards
    lat: Field = field(init=False)  # degrees, negative where the other hemisphere is shown
    hour_angle: Field = field(init=False)  # hours that the sun is later than at Greenwich

    def __post_init__(self) -> None:
        pixels = np.meshgrid(np.arange(self.grid.width), np.arange(self.grid.height))
        lon, lat = self.grid.pixel_to_lonlat(*pixels)
        east, north = to_azimuthal(self.centre, lon, lat)
        shown = {
            "x": np.nan_to_num(east / 1e3),
            "y": self.poleward * np.nan_to_num(north / 1e3),
            "lat": self.poleward * np.nan_to_num(lat),
            "hour_angle": np.nan_to_num(lon / 15),
        }
        for name, values in shown.items():
            object.__setattr__(self, name, values.astype(np.float32))

    @cached_property
    def land(self) -> Bool[np.ndarray, "y x"]:
        """Pixels of land."""
        return land_mask(self.grid)

    @property
    def poleward(self) -> int:
        """1 on the northern half of the Earth, -1 on the southern."""
        return -1 if self.centre[1] < 0 else 1

    def hour(self, time: pd.Timestamp) -> float:
        """Hours since the time of the place."""
        return (time - self.time) / timedelta(hours=1)

    def window(self, x: float, y: float, reach_km: float) -> Window | None:
        """The pixels within a square around a point; None if there are none."""
        near = (abs(self.x - x) < reach_km) & (abs(self.y - y) < reach_km)
        rows, columns = (np.flatnonzero(near.any(axis=axis)) for axis in (1, 0))
        if len(rows) == 0:
            return None
        inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return Window(*inside, self.x[inside] - np.float32(x), self.y[inside] - np.float32(y))

    def clear_kelvin(self, hour: float, *, dryness: float = 0.5, warmth: float = 0.0) -> Field:
        """Brightness without clouds: the sea by latitude and season, land also by the sun.

        Args:
            hour: since the time of the place.
            dryness: of the land, 0 … 1, which decides how warm its afternoons are.
            warmth: kelvin that all is warmer.
        """
        epoch = hours_since_epoch(self.time) + hour
        cold = winter(epoch, southern=self.poleward < 0)
        north = np.maximum(abs(self.lat) - 8, 0)
        sea = 302.5 - (0.012 + 0.012 * cold) * north**1.8
        moisture = 2 + 4.5 * np.exp(-((self.lat / 25) ** 2))  # takes from the brightness
        lag = 2 * np.pi * ((epoch + self.hour_angle) % 24 - 13.5) / 24
        amplitude = (3 + 12 * dryness) * (1 - 0.6 * cold * np.clip(abs(self.lat) / 40, 0, 1))
        mean = sea - 1 - 14 * cold * np.clip((abs(self.lat) - 15) / 30, 0, 1.3)
        land = mean + amplitude * (np.cos(lag) + 0.25 * np.cos(2 * lag))
        return np.where(self.land, land, sea) - moisture + np.float32(warmth)
