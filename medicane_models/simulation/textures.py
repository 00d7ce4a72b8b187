"""Fractal textures for infrared scenes: a shared bank of planes, mixed anew for every use."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from medicane_models.simulation.noise import fractal, generator, lookup

__all__ = ["FINE", "SMOOTH", "WIDE", "Scales", "Texture"]

BANK = 8  # planes of each kind; shifted, turned and mixed in pairs, so that none looks known


@dataclass(frozen=True, kw_only=True)
class Scales:
    """A kind of plane: its size and its wave lengths in km."""

    cells: int
    cell_km: float
    largest_km: float
    smallest_km: float
    slope: float


WIDE = Scales(cells=1024, cell_km=8.0, largest_km=2600, smallest_km=60, slope=2.1)
FINE = Scales(cells=512, cell_km=5.0, largest_km=450, smallest_km=12, slope=1.55)
SMOOTH = Scales(cells=1024, cell_km=8.0, largest_km=2500, smallest_km=500, slope=3.5)


@lru_cache(4 * BANK)
def _plane(scales: Scales, number: int) -> Float[np.ndarray, "n n"]:
    return fractal(generator(0, "texture bank", scales.cells, number), **vars(scales))


@dataclass(frozen=True, kw_only=True)
class Texture:
    """Gaussian of unit variance, stationary, renewed within a lifetime; any hour stands alone.

    Attributes:
        scales: kind of planes.
        numbers: of the two planes of the bank that are mixed.
        shift_km: of the planes, east and poleward of each.
        turn: of both, in radians.
        lifetime_h: until nothing is left of what was.
    """

    scales: Scales
    numbers: tuple[int, int]
    shift_km: tuple[float, float, float, float]
    turn: float
    lifetime_h: float

    @classmethod
    def draw(cls, random: np.random.Generator, scales: Scales, *, lifetime_h: float) -> "Texture":
        """Two different planes of the bank, anyhow."""
        first, second = random.choice(BANK, 2, replace=False).tolist()
        x0, y0, x1, y1 = random.uniform(0, scales.cells * scales.cell_km, 4).tolist()
        return cls(
            scales=scales,
            numbers=(first, second),
            shift_km=(x0, y0, x1, y1),
            turn=float(random.uniform(0, 2 * math.pi)),
            lifetime_h=lifetime_h,
        )

    def at(
        self, x: Float[np.ndarray, "*s"], y: Float[np.ndarray, "*s"], hour: float
    ) -> Float[np.ndarray, "*s"]:
        """Values at points in km, at an hour."""
        cosine, sine = math.cos(self.turn), math.sin(self.turn)
        x, y = x * cosine - y * sine, x * sine + y * cosine
        x0, y0, x1, y1 = self.shift_km
        phase = 0.5 * math.pi * hour / self.lifetime_h
        first, second = (_plane(self.scales, number) for number in self.numbers)
        km = self.scales.cell_km
        mixed = math.cos(phase) * lookup(first, x + x0, y + y0, km)
        return mixed + math.sin(phase) * lookup(second, x + x1, y + y1, km)
