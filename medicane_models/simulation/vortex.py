"""Storms drawn into a sky: spiral bands, core, eye, the dry slot, and cells.

Directions are on the ground around the storm's centre, so that a circle is one on the ground. On
the southern half of the Earth the picture is mirrored.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from medicane_models.domain import Grid
from medicane_models.simulation.cells import CellTable
from medicane_models.simulation.noise import generator
from medicane_models.simulation.plane import KM_PER_DEGREE, KM_PER_DEGREE_EAST, ramp
from medicane_models.simulation.sky import Field, Sky
from medicane_models.simulation.storms import Storm, StormKind

__all__ = ["Around", "around", "draw_cells", "paint_storm", "twist"]

REACH = 2.3  # radii beyond which a storm is not felt
STRIP = 40
FLOW_TURN_H = 8.0  # the mesh of the flow is too wide for faster turns


class Around(NamedTuple):
    """The pixels around a storm."""

    rows: slice
    columns: slice
    east_km: Field  # from the centre
    north_km: Field  # towards the pole

    def strips(self) -> Iterator["Around"]:
        """A few rows at a time."""
        for first in range(0, len(self.east_km), STRIP):
            part = slice(first, first + STRIP)
            last = min(self.rows.start + first + STRIP, self.rows.stop)
            rows = slice(self.rows.start + first, last)
            yield Around(rows, self.columns, self.east_km[part], self.north_km[part])

    def shares(self, storm: Storm) -> tuple[Field, Field]:
        """Distance in radii and direction, counter-clockwise from east."""
        distance = np.hypot(self.east_km, self.north_km) / storm.radius_km
        return distance + 1e-4, np.arctan2(self.north_km, self.east_km)


def around(storm: Storm, age_h: float, grid: Grid) -> list[Around]:
    """The window of a storm on a grid, in strips that stay in the processor's cache."""
    reach_km = storm.radius_km * REACH
    near = _window(*storm.centre(age_h), reach_km, grid, storm.poleward)
    return [] if near is None else list(near.strips())


def twist(storm: Storm, age_h: float, hours: float, near: Around) -> tuple[Field, Field]:
    """How far (km east and poleward) back a storm has moved the air at pixels in some hours.

    That is beyond what the flow, which knows no fast turns, has done already.
    """
    distance, _ = near.shares(storm)
    missing = 1 / storm.spin_h - 1 / FLOW_TURN_H
    turns = hours * missing * storm.intensity(age_h) * np.exp(-0.8 * distance**2)
    angle = (2 * np.pi * turns).astype(np.float32)
    cosine, sine = np.cos(angle), np.sin(angle)
    former_east = near.east_km * cosine + near.north_km * sine
    former_north = near.north_km * cosine - near.east_km * sine
    return former_east - near.east_km, former_north - near.north_km


def paint_storm(storm: Storm, age_h: float, near: Around, sky: Sky) -> None:
    """Add a storm's clouds and dry air to the sky."""
    intensity = storm.intensity(age_h)
    place = (near.rows, near.columns)
    if storm.kind is StormKind.FOLD:
        dry = storm.dry * intensity * _streamer(storm, near)
        sky.airmass[place] += dry
        sky.high[place] -= 0.8 * dry
        return
    distance, direction = near.shares(storm)
    bands = _bands(storm, age_h, distance, direction + 0.3 * sky.streaks[place])
    calm = intensity * np.exp(-((distance / 1.1) ** 2))
    clear = _eye(storm, intensity, near)
    sky.high[place] -= (0.8 + storm.dry) * calm + 3 * clear
    sky.middle[place] -= 0.8 * calm + 3 * clear
    sky.cells[place] *= 1 - clear
    slot = (1 - bands) * np.exp(-(((distance - 0.8) / 0.55) ** 2)) if storm.bands else 0.0
    hollow = np.exp(-((distance / 0.7) ** 2)) if storm.core == 0 and storm.bands else 0.0
    sky.airmass[place] += storm.dry * intensity * np.maximum(slot, hollow)
    thickness = intensity * (1 - clear) * _thickness(storm, near, bands, distance, direction)
    full = np.minimum(thickness / 2.5, 1)
    sky.shield_top[place] = np.where(
        thickness > 0.02, storm.top * (0.84 + 0.16 * full), sky.shield_top[place]
    )
    sky.shield[place] += thickness
    sky.moisture[place] += 1.2 * full
    sky.low[place] += (1 - clear) * calm * storm.core * 0.5 * (0.3 + bands) - 2.0 * clear


def draw_cells(cells: CellTable, hour: float, grid: Grid, sky: Sky, *, poleward: int) -> None:
    """Add convective clouds: sharp where the wind comes from, an anvil downwind."""
    for birth, life, x, y, east, north, radius, depth in np.transpose(cells).tolist():
        share = (hour - birth) / life
        size = radius * (0.25 + 0.75 * ramp(share / 0.7))
        lat = poleward * y / KM_PER_DEGREE
        lon = x / KM_PER_DEGREE_EAST
        near = _window(lon, lat, 2.4 * size, grid, poleward)
        if near is None:
            continue
        top = ramp(share / 0.15) * ramp((1 - share) / 0.5) * depth * _anvil(near, size, east, north)
        place = (near.rows, near.columns)
        np.maximum(sky.cells[place], top, out=sky.cells[place])


def _anvil(near: Around, size: float, east: float, north: float) -> Field:
    """1 in the middle, 0 outside, stretched and faded along the wind."""
    speed = math.hypot(east, north) + 1e-3
    along = (near.east_km * east + near.north_km * north) / speed
    across = (near.north_km * east - near.east_km * north) / speed
    stretch = 1 + min(speed / 60, 1.0)
    along = np.where(along > 0, along / stretch, along * 1.25)
    square = (along**2 + across**2) / size**2
    return np.clip(1.35 * np.exp(-square) - 0.1, 0, 1)


def _thickness(
    storm: Storm, near: Around, bands: Field, distance: Field, direction: Field
) -> Field:
    """Optical thickness of a storm's high clouds."""
    angle = math.radians(storm.shear_degrees)
    offset = storm.shear * storm.radius_km
    east = near.east_km - offset * math.cos(angle)
    north = near.north_km - offset * math.sin(angle)
    aloft = np.hypot(east, north) / storm.radius_km
    downwind = 1 + min(1.3 * storm.shear, 0.95) * np.cos(direction - angle)
    ring = np.exp(-(((distance - 0.75) / 0.5) ** 2))
    core = storm.core * np.exp(-((aloft / 0.55) ** 2)) * (0.45 + 0.55 * bands)
    return core + storm.bands * 1.5 * np.clip(bands - 0.35, 0, None) * ring * downwind


def _bands(storm: Storm, age_h: float, distance: Field, direction: Field) -> Field:
    """1 on logarithmic spirals that trail outwards against the rotation, 0 between."""
    random = generator(storm.seed, "bands")
    turned = 2 * np.pi * (random.random() + age_h / (2.2 * storm.spin_h))
    spiral = (
        direction - turned + np.log(distance + 0.08) / math.tan(math.radians(storm.pitch_degrees))
    )
    bands = 0.5 + 0.5 * np.cos(storm.arms * spiral)
    lopsided = 1 - 0.35 * (0.5 + 0.5 * np.cos(spiral - 2 * np.pi * random.random()))
    return bands * lopsided


def _eye(storm: Storm, intensity: float, near: Around) -> Field:
    """1 in the eye, 0 outside."""
    if storm.eye_km == 0:
        return np.zeros_like(near.east_km)
    opened = ramp((intensity - 0.4) / 0.4)
    square = (near.east_km**2 + near.north_km**2) / storm.eye_km**2
    return opened * np.exp(-(square**2))


def _streamer(storm: Storm, near: Around) -> Field:
    """A long curved ribbon of stratospheric air."""
    angle = math.radians(storm.shear_degrees)
    along = (near.east_km * math.cos(angle) + near.north_km * math.sin(angle)) / storm.radius_km
    across = (near.north_km * math.cos(angle) - near.east_km * math.sin(angle)) / storm.radius_km
    bent = across - 0.22 * along**2
    return np.exp(-((bent / 0.17) ** 2) - (along / 1.2) ** 4)


def _window(lon: float, lat: float, reach_km: float, grid: Grid, poleward: int) -> Around | None:
    x, y = (float(v) for v in grid.lonlat_to_pixel(lon, lat))
    jacobian = np.asarray(grid.jacobian_km(x, y))
    if not np.isfinite(jacobian).all():
        return None
    across, down = reach_km / np.linalg.norm(jacobian, axis=0)
    left, right = max(int(x - across), 0), min(int(x + across) + 2, grid.width)
    top, bottom = max(int(y - down), 0), min(int(y + down) + 2, grid.height)
    if left >= right or top >= bottom:
        return None
    dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    (east_x, east_y), (north_x, north_y) = jacobian.astype(np.float32)
    return Around(
        slice(top, bottom),
        slice(left, right),
        east_x * dx + east_y * dy,
        poleward * (north_x * dx + north_y * dy),
    )
