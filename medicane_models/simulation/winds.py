"""Winds of the upper troposphere and where they carry air from.

Air masses are drawn by reverse domain filling (Sutton et al. 1994, J. Atmos. Sci. 51, 2957): the
value at a point is that of a smooth field where the air was a day and a half before. Stirring by
jets, waves and storms makes the bands and streamers that water vapour images show.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from medicane_models.simulation.noise import CELL_KM, CELLS, EvolvingField, generator, lookup
from medicane_models.simulation.plane import KM_PER_DEGREE, winter
from medicane_models.simulation.storms import Storm

__all__ = ["AIR_LAG_H", "PHASE_H", "Knot", "WindField"]

PHASE_H = 5.0  # textures of clouds are renewed in two phases, each twice this old at most
FINE_H, FINE_STEPS = 0.5, 20
COARSE_H, COARSE_STEPS = 2.0, 13
AIR_LAG_H = FINE_H * FINE_STEPS + COARSE_H * COARSE_STEPS
EDDY_KM_H = 31.0  # deviation of the wind's components
KNOTS_KEPT, WINDS_KEPT = 4, 160

Points = Float[np.ndarray, "2 m n"]


class Knot(NamedTuple):
    """Where the air of every mesh point came from, at one of the half-hours."""

    recent: list[Points]  # every half-hour back to ten hours ago, on every second mesh point
    departure: Points  # AIR_LAG_H ago


class WindField:
    """Back-trajectories from a mesh of points, at every half-hour."""

    def __init__(self, mesh: Points, storms: Sequence[Storm], *, seed: int) -> None:
        self.mesh, self.storms = mesh, storms
        self.waves = EvolvingField(
            generator(seed, "wind"), largest_km=2800, slope=3.7, lifetime_h=48, speed_km_h=22
        )
        self.ky, self.kx = np.fft.fftfreq(CELLS, CELL_KM), np.fft.rfftfreq(CELLS, CELL_KM)
        self.wind = lru_cache(WINDS_KEPT)(self._wind)
        self.knot = lru_cache(KNOTS_KEPT)(self._knot)

    def wind_at(self, x: np.ndarray, y: np.ndarray, hour: float) -> tuple[np.ndarray, np.ndarray]:
        """Eastward and poleward wind in km/h in the cells that hold points."""
        east, north = self.wind(round(2 * hour))
        return lookup(east, x, y, CELL_KM), lookup(north, x, y, CELL_KM)

    def _wind(self, half_hour: int) -> Float[np.ndarray, "2 n n"]:
        """A jet and geostrophic waves: u = U(y) - ∂ψ/∂y, v = ∂ψ/∂x."""
        hour = half_hour / 2
        psi = self.waves.spectrum(hour)
        shape = (CELLS, CELLS)
        u = np.fft.irfft2(-2j * np.pi * self.ky[:, None] * psi, s=shape)
        v = np.fft.irfft2(2j * np.pi * self.kx[None, :] * psi, s=shape)
        scale = EDDY_KM_H / np.sqrt((u.var() + v.var()) / 2)
        return np.stack([u * scale + _jet(winter(hour))[:, None], v * scale]).astype(np.float32)

    def _knot(self, half_hour: int) -> Knot:
        hour = half_hour / 2
        points = self.mesh.copy()
        recent = [points[:, ::2, ::2]]
        for _ in range(FINE_STEPS):
            points = self._back(points, hour, FINE_H, age_h=half_hour / 2 - hour)
            hour -= FINE_H
            recent.append(points[:, ::2, ::2])
        for _ in range(COARSE_STEPS):
            points = self._back(points, hour, COARSE_H, age_h=half_hour / 2 - hour)
            hour -= COARSE_H
        return Knot(recent, points)

    def _back(self, points: Points, hour: float, step_h: float, *, age_h: float) -> Points:
        """Where air was a step before; around storms it turns and drifts with them."""
        cells = points[::-1] / CELL_KM
        wind = self.wind(round(2 * hour - step_h))
        carried = np.stack(
            [map_coordinates(part, cells, order=1, mode="grid-wrap") for part in wind]
        )
        moved = points - step_h * carried
        for storm in self.storms:
            if (pull := _pull(storm, hour)) > 0:
                moved = _around(storm, points, moved, hour, step_h, pull, age_h)
        return moved


def _jet(cold: float) -> Float[np.ndarray, " n"]:
    """Westerly wind by the plane's rows, km/h; nearer the equator and stronger in winter."""
    latitude = np.arange(CELLS) * CELL_KM / KM_PER_DEGREE
    axis, speed = 47 - 6 * cold, 32 + 38 * cold
    return 10 + speed * np.exp(-(((latitude - axis) / 7) ** 2))


def _pull(storm: Storm, hour: float) -> float:
    if not np.isfinite(storm.spin_h):
        return 0.0
    return storm.intensity(storm.age_at(hour))


def _around(
    storm: Storm,
    points: Points,
    moved: Points,
    hour: float,
    step_h: float,
    pull: float,
    age_h: float,
) -> Points:
    """Back in time around a storm: with its drift near the centre, turned about it.

    Winding is forgotten over half a day, else the core would be wound finer than the mesh.
    """
    centre, former = (
        storm.centre_km(storm.age_at(h))[:, None, None] for h in (hour, hour - step_h)
    )
    x, y = points - centre
    square = (x * x + y * y) / storm.radius_km**2
    held = pull * np.exp(-0.3 * square)
    moved = moved + held * (points - (centre - former) - moved)
    angle = -2 * np.pi * step_h / max(storm.spin_h, 8.0) * held * math.exp(-age_h / 14)
    x, y = moved - former
    cosine, sine = np.cos(angle), np.sin(angle)
    return former + np.stack([x * cosine - y * sine, x * sine + y * cosine])
