"""Convective cells: born at random, more in the afternoon over land, grown, blown and decayed."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from medicane_models.domain import Grid
from medicane_models.simulation.noise import CELL_KM, EvolvingField, generator, lookup
from medicane_models.simulation.plane import KM_PER_DEGREE, KM_PER_DEGREE_EAST, winter
from medicane_models.simulation.storms import Storm, StormKind
from medicane_models.simulation.winds import WindField

__all__ = ["CellTable", "Cells", "Rows"]

LONGEST_H = 6
FIRST_BUCKET = 10_000_000  # keeps the numbers of hours before 2000 positive
SQUARE_KM = 1024.0  # parts of the plane with random numbers of their own
TRIES_PER_SQUARE = 60  # cells that may be born in an hour where air is unstable
Rows = Float[np.ndarray, " k"]


class CellTable(NamedTuple):
    """The cells born within an hour; kilometres on the plane, hours since the epoch."""

    birth: Rows
    life_h: Rows
    x: Rows
    y: Rows
    east: Rows
    north: Rows
    radius_km: Rows
    depth: Rows

    def alive(self, hour: float) -> "CellTable":
        """Those that are there at an hour."""
        chosen = (self.birth <= hour) & (hour < self.birth + self.life_h)
        return CellTable(*(column[chosen] for column in self))


class Cells:
    """All cells of a grid at any hour."""

    def __init__(
        self,
        grid: Grid,
        land: Bool[np.ndarray, "y x"],
        flow: WindField,
        storms: Sequence[Storm],
        *,
        poleward: int,
        seed: int,
    ) -> None:
        self.grid, self.land, self.flow, self.seed = grid, land, flow, seed
        self.storms = [s for s in storms if s.kind in (StormKind.MEDICANE, StormKind.CLUSTER)]
        self.unstable = EvolvingField(
            generator(seed, "unstable air"), largest_km=700, slope=2.0, lifetime_h=16, speed_km_h=25
        )
        self.squares = _squares(flow.mesh)
        self.poleward = poleward
        self.born = lru_cache(LONGEST_H + 4)(self._born)

    def alive(self, hour: float) -> CellTable:
        """Cells at an hour, carried to where they are."""
        bucket = int(np.floor(hour))
        tables = [self.born(b).alive(hour) for b in range(bucket - LONGEST_H, bucket + 1)]
        cells = CellTable(*(np.concatenate(columns) for columns in zip(*tables, strict=True)))
        age = hour - cells.birth
        return cells._replace(x=cells.x + cells.east * age, y=cells.y + cells.north * age)

    def _born(self, bucket: int) -> CellTable:
        tables = [self._scattered(bucket, square) for square in self.squares]
        tables += [_clustered(storm, bucket) for storm in self.storms]
        return CellTable(*(np.concatenate(columns) for columns in zip(*tables, strict=True)))

    def _scattered(self, bucket: int, square: tuple[int, int]) -> CellTable:
        """Thunderstorms of the open weather, in unstable air of a square of the plane."""
        numbers = (n + FIRST_BUCKET for n in (bucket, *square))
        random = generator(self.seed, "cells", *numbers)
        count = random.poisson(TRIES_PER_SQUARE)
        x, y = (np.array(square)[:, None] + random.random((2, count))) * SQUARE_KM
        lon = x / KM_PER_DEGREE_EAST
        unstable = lookup(self.unstable.at(bucket), x, y, CELL_KM)
        chance = _chance(bucket, lon, self._on_land(lon, self.poleward * y / KM_PER_DEGREE))
        keep = random.random(count) < chance * np.clip(unstable - 1.1, 0, 1.5)
        size = random.random(count)
        east, north = self.flow.wind_at(x, y, bucket)
        table = CellTable(
            birth=bucket + random.random(count),
            life_h=1.0 + 4.5 * size,
            x=x,
            y=y,
            east=0.55 * east.astype(float),
            north=0.55 * north.astype(float),
            radius_km=9 + 55 * size**2.5,
            depth=random.uniform(0.7, 1.05, count),
        )
        return CellTable(*(values[keep] for values in table))

    def _on_land(self, lon: Rows, lat: Rows) -> Bool[np.ndarray, " k"]:
        """Whether points are on land that the grid shows."""
        x, y = np.stack(self.grid.lonlat_to_pixel(lon, lat))
        inside = self.grid.contains(x, y)
        row, column = (np.rint(np.where(inside, v, 0)).astype(int) for v in (y, x))
        return inside & self.land[row, column]


def _squares(mesh: Float[np.ndarray, "2 m n"]) -> list[tuple[int, int]]:
    """The squares of the plane that a grid touches."""
    first, last = (
        np.floor(edge(mesh, axis=(1, 2)) / SQUARE_KM).astype(int) for edge in (np.min, np.max)
    )
    (x0, y0), (x1, y1) = first.tolist(), last.tolist()
    return [(x, y) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)]


def _chance(bucket: int, lon: Rows, on_land: Bool[np.ndarray, " k"]) -> Rows:
    """Land heats in the afternoon, most in summer; the sea is warm at night, most in autumn."""
    local = (bucket + lon / 15) % 24
    afternoon = np.exp(-(((local - 16) / 3.5) ** 2))
    cold = winter(bucket)
    land = 0.15 + 1.3 * (1 - cold) * afternoon
    sea = 0.3 + 0.35 * np.cos(2 * np.pi * (local - 4) / 24) * winter(bucket + 60 * 24)
    return np.where(on_land, land, np.maximum(sea, 0.05))


def _clustered(storm: Storm, bucket: int) -> CellTable:
    """Cells in a storm: they travel with it and, where it turns, around it."""
    age = storm.age_at(bucket)
    random = generator(storm.seed, "cells of a storm", bucket + FIRST_BUCKET)
    cluster = storm.kind is StormKind.CLUSTER
    rate = (5 if cluster else 1.2 * storm.core) * storm.intensity(age)
    count = random.poisson(rate)
    angle = random.uniform(0, 2 * np.pi, count)
    reach = storm.radius_km * (0.75 if cluster else 0.6) * np.sqrt(random.random(count))
    x, y = storm.centre_km(age).tolist()
    later_x, later_y = storm.centre_km(age + 1).tolist()
    turn = 0.0 if cluster else 0.5 * 2 * np.pi / storm.spin_h
    return CellTable(
        birth=bucket + random.random(count),
        life_h=random.uniform(1.5, 5, count),
        x=x + reach * np.cos(angle),
        y=y + reach * np.sin(angle),
        east=later_x - x - turn * reach * np.sin(angle),
        north=later_y - y + turn * reach * np.cos(angle),
        radius_km=random.uniform(12, 30, count) + (0.12 * storm.radius_km if cluster else 0),
        depth=random.uniform(0.85, 1.1, count) * min(1.0, storm.top + 0.1),
    )
