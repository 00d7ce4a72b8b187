"""A cyclone's clouds laid over a scene in kelvin, simulated or real.

Each part hides what is warmer than itself, so that colder clouds of the scene stay in front.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medicane_models.domain.azimuthal import to_azimuthal
from medicane_models.simulation.cells import CellTable
from medicane_models.simulation.cyclones import Cyclone
from medicane_models.simulation.noise import generator
from medicane_models.simulation.places import Locality, Window
from medicane_models.simulation.plane import ramp
from medicane_models.simulation.sky import Field, smoothstep
from medicane_models.simulation.textures import FINE, WIDE, Texture
from medicane_models.simulation.thunderstorms import all_cells, draw_tops, grown

__all__ = ["CycloneClouds", "hide"]

REACH = 3.4  # radii beyond which nothing of a cyclone is drawn
RENEWAL_H = 6.0  # wound textures are renewed in two phases, each this old at most
LONGEST_CELL_H = 6


def hide(kelvin: Field, opacity: Field, cloud: Field | float) -> None:
    """Lay cloud over what is warmer, in place."""
    kelvin -= opacity * np.maximum(kelvin - cloud, 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class CycloneClouds:
    """Draws a cyclone into scenes of a place."""

    cyclone: Cyclone
    place: Locality

    def lay(self, kelvin: Field, clear: Field, hour: float) -> None:
        """Draw into a scene, in place.

        Args:
            kelvin: of the scene.
            clear: what it would be without clouds.
            hour: since the time of the place.
        """
        cyclone, place = self.cyclone, self.place
        age = hour - place.hour(cyclone.middle)
        strength = cyclone.intensity(age)
        x, y = self._centre(age)
        reach = REACH * max(cyclone.radius_km, cyclone.low_km) + cyclone.shear_km
        window = place.window(x, y, reach)
        if strength <= 0 or window is None:
            return
        inside = window.rows, window.columns
        vortex = _Vortex(cyclone, window, age, strength, self._textures)
        part, warm = kelvin[inside], clear[inside]
        vortex.lay(part, warm)
        self._lay_cells(part, warm, window, age, strength, vortex)

    def _centre(self, age: float) -> tuple[float, float]:
        """Where the low-level centre is on the place's plane."""
        east, north = to_azimuthal(self.place.centre, *self.cyclone.centre(age))
        return float(east) / 1e3, self.place.poleward * float(north) / 1e3

    @cached_property
    def _textures(self) -> "_Textures":
        return _Textures(self.cyclone.seed)

    def _lay_cells(
        self,
        kelvin: Field,
        warm: Field,
        window: Window,
        age: float,
        strength: float,
        vortex: "_Vortex",
    ) -> None:
        buckets = range(math.floor(age) - LONGEST_CELL_H, math.floor(age) + 1)
        born = [_born(self.cyclone, bucket) for bucket in buckets]
        cells = grown(all_cells(born), age)
        tops = draw_tops(cells, window, vortex.warp) * np.float32(strength) * (1 - vortex.eye)
        depth = 295.0 - (self.cyclone.top_kelvin - 4)
        hide(kelvin, smoothstep(tops / 0.4), warm - tops * (depth + warm - 295))


def _born(cyclone: Cyclone, bucket: int) -> CellTable:
    """Cells born within an hour, relative to the centre: down the shear, and carried around it."""
    random = generator(cyclone.seed, "cells of a cyclone", bucket + 1_000_000)
    count = random.poisson(cyclone.cells / 3)
    angle = np.radians(cyclone.shear_degrees) + random.normal(0, 1.3, count)
    reach = cyclone.radius_km * random.uniform(0.05, 1.25, count)
    x, y = reach * np.cos(angle), reach * np.sin(angle)
    turn = 2 * math.pi / cyclone.spin_h / (1 + (reach / (0.4 * cyclone.radius_km)) ** 1.5)
    size = random.random(count)
    return CellTable(
        birth=bucket + random.random(count),
        life_h=1.5 + 4.0 * size,
        x=x,
        y=y,
        east=-turn * y + random.normal(0, 6, count),
        north=turn * x + random.normal(0, 6, count),
        radius_km=(10 + 70 * size**2.5) * min(1.0, cyclone.radius_km / 150),
        depth=random.uniform(0.7, 1.05, count),
    )


class _Textures:
    """Of one cyclone."""

    def __init__(self, seed: int) -> None:
        random = generator(seed, "textures of a cyclone")
        self.edge, self.bands, self.low, self.tops, self.streaks = (
            Texture.draw(random, FINE, lifetime_h=hours) for hours in (9, 7, 14, 5, 10)
        )
        self.lobes = Texture.draw(random, WIDE, lifetime_h=18)
        self.phase, self.eye_turn, self.lopsided = random.uniform(0, 2 * math.pi, 3).tolist()


class _Vortex:
    """The parts of a cyclone at one moment on the pixels of a window."""

    def __init__(
        self, cyclone: Cyclone, window: Window, age: float, strength: float, textures: _Textures
    ) -> None:
        self.cyclone, self.age, self.strength, self.textures = cyclone, age, strength, textures
        self.x, self.y = window.x, window.y
        self.r = np.hypot(self.x, self.y) + 1
        self.direction = np.arctan2(self.y, self.x)
        self.turn = self._turn_per_hour()
        torn = (12 + 0.22 * cyclone.radius_km) * (0.25 + cyclone.ragged)
        size = max(cyclone.radius_km / 100, 1.0)
        self.warp = (
            torn * self._carried(textures.edge, size),
            torn * self._carried(textures.lobes, 0.15 * size),
        )
        self.eye = self._eye()

    def lay(self, kelvin: Field, warm: Field) -> None:
        """All parts, the lowest first."""
        cyclone, strength = self.cyclone, np.float32(ramp(1.6 * self.strength))
        around = np.exp(-(((self.r + 2 * self.warp[1]) / (1.5 * cyclone.radius_km)) ** 2))
        dried = np.clip(cyclone.drying * strength * around + self.eye, 0, 1)
        kelvin += dried * np.maximum(warm - kelvin, 0)
        self._lay_low(kelvin, warm)
        open_ = 1 - self.eye
        opacity = self._outflow()
        tops = cyclone.top_kelvin + 10 + 16 * (1 - opacity)
        hide(kelvin, cyclone.outflow * strength * open_ * opacity, tops)
        opacity, tops = self._bands()
        hide(kelvin, cyclone.bands * strength * open_ * opacity, tops)
        if cyclone.shield:
            opacity, tops = self._shield()
            hide(kelvin, cyclone.shield * strength * open_ * opacity, tops)

    def _turn_per_hour(self) -> Field:
        """Radians that clouds go around the centre in an hour."""
        core = 0.35 * self.cyclone.radius_km
        return 2 * math.pi / self.cyclone.spin_h / (1 + (self.r / core) ** 1.5)

    def _wound(self, texture: Texture, twist: Field | float, scale: float = 1.0) -> Field:
        """A texture in the frame of air that goes around, twisted by an angle as well."""
        total = np.zeros_like(self.x)
        for shift in (0.0, 0.5):
            phase = (self.age / RENEWAL_H + shift) % 1
            angle = twist - (phase - 0.5) * RENEWAL_H * self.turn
            cosine, sine = np.cos(angle), np.sin(angle)
            x, y = self.x * cosine - self.y * sine, self.x * sine + self.y * cosine
            away = 1000 * (math.floor(self.age / RENEWAL_H + shift) % 7 + 7 * shift)
            values = texture.at(x / scale + np.float32(away), y / scale, self.age)
            total = total + np.float32(math.sin(math.pi * phase)) * values
        return total

    def _carried(self, texture: Texture, scale: float) -> Field:
        return self._wound(texture, 0.0, scale)

    def _spiral(self, pitch_degrees: float) -> Field:
        """Angle by which a logarithmic spiral has wound at a distance."""
        soft = self.r + 0.1 * self.cyclone.radius_km
        return np.log(soft / self.cyclone.radius_km) / math.tan(math.radians(pitch_degrees))

    def _eye(self) -> Field:
        """1 in the eye, 0 outside; less where clouds fill it."""
        cyclone = self.cyclone
        if cyclone.eye_km == 0:
            return np.zeros_like(self.r)
        angle = self.textures.eye_turn + 0.7 * self.age * 2 * math.pi / cyclone.spin_h
        cosine, sine = math.cos(angle), math.sin(angle)
        along = (self.x * cosine + self.y * sine) * math.sqrt(cyclone.eye_ratio)
        across = (self.y * cosine - self.x * sine) / math.sqrt(cyclone.eye_ratio)
        lumpy = 1 + 0.25 * cyclone.ragged * np.clip(self.warp[0] / 40, -1, 1)
        rim = np.hypot(along, across) / (cyclone.eye_km * lumpy)
        opened = ramp((self.strength - 0.35) / 0.4) * (1 - cyclone.eye_fill)
        return np.float32(opened) * np.exp(-(rim**4))

    def _lay_low(self, kelvin: Field, warm: Field) -> None:
        """The swirl of low clouds."""
        cyclone = self.cyclone
        twist = self._spiral(cyclone.pitch_degrees)
        lumps = self._wound(self.textures.low, twist)
        arms = np.cos(cyclone.arms * (self.direction + twist - self.textures.phase) + 0.8 * lumps)
        envelope = np.exp(-((self.r / cyclone.low_km) ** 2))
        core = np.exp(-((self.r / (0.22 * cyclone.low_km)) ** 2))
        amount = smoothstep(0.1 + 0.4 * lumps + 0.4 * arms + 0.8 * core)
        opacity = cyclone.low * self.strength * amount * np.minimum(1.6 * envelope, 1)
        depth = 6 + 9 * cyclone.low + 5 * np.clip(lumps, -1, 2) + 4 * core
        hide(kelvin, opacity * (1 - 0.6 * self.eye), warm - depth)

    def _bands(self) -> tuple[Field, Field]:
        """Opacity and kelvin of the spiral bands."""
        cyclone = self.cyclone
        twist = self._spiral(cyclone.pitch_degrees)
        size = max(cyclone.radius_km / 160, 1.0)
        cells = self._wound(self.textures.bands, 0.6 * twist, size)
        turned = self.textures.phase + 0.45 * self.age * 2 * math.pi / cyclone.spin_h
        phase = self.direction + twist - turned + self.warp[0] / self.r.clip(60)
        wave = np.cos(cyclone.arms * phase) + 0.35 * np.cos(phase - self.textures.lopsided)
        towards = np.cos(self.direction - math.radians(cyclone.shear_degrees))
        sheared = min(cyclone.shear_km / cyclone.radius_km, 1.0)
        distance = self.r / cyclone.radius_km
        ring = np.exp(-(((distance - 0.75) / 0.6) ** 2)) * (1 + 0.8 * sheared * towards)
        broken = (0.25 + 0.6 * cyclone.ragged) * cells
        opacity = smoothstep(0.35 + 0.5 * (wave + broken - 0.3)) * np.clip(1.3 * ring, 0, 1)
        tops = cyclone.top_kelvin + 10 + 14 * (1 - opacity) - 7 * np.clip(cells, -1.5, 2)
        return opacity, tops

    def _shield(self) -> tuple[Field, Field]:
        """Opacity and kelvin of the central dense overcast, where shear has moved it."""
        cyclone = self.cyclone
        angle = math.radians(cyclone.shear_degrees)
        east, north = math.cos(angle), math.sin(angle)
        x = self.x - cyclone.shear_km * east + self.warp[0]
        y = self.y - cyclone.shear_km * north + self.warp[1]
        along, across = x * east + y * north, y * east - x * north
        downwind = along / np.where(along > 0, 1 + cyclone.elongation, 1.0)
        away = np.hypot(downwind, across) / (0.8 * cyclone.radius_km)
        fading = smoothstep(0.5 + 0.5 * along / cyclone.radius_km)
        soft = 0.12 + 0.25 * cyclone.ragged + 0.5 * min(cyclone.elongation, 1.0) * fading
        twist = 0.4 * self._spiral(cyclone.pitch_degrees)
        streaks = self._wound(self.textures.tops, twist, max(cyclone.radius_km / 150, 1.0))
        opacity = smoothstep(0.5 + (1 - away) / (2 * soft) + 0.18 * streaks)
        rough = 2 + 3 * cyclone.ragged
        tops = cyclone.top_kelvin + 14 * np.clip(away, 0, 1.5) ** 2 - rough * streaks
        return opacity, tops

    def _outflow(self) -> Field:
        """Streaks of cirrus that leave the shield, turning the other way."""
        cyclone = self.cyclone
        squeezed = np.sqrt(self.r / cyclone.radius_km) * 0.55 * cyclone.radius_km / self.r
        angle = 0.5 * np.log(self.r / cyclone.radius_km)
        cosine, sine = np.cos(angle), np.sin(angle)
        x, y = (
            squeezed * (self.x * cosine - self.y * sine),
            squeezed * (self.x * sine + self.y * cosine),
        )
        streaks = self.textures.streaks.at(x, y, self.age)
        patches = self.textures.lobes.at(self.x / 1.5, self.y / 1.5, self.age)
        towards = np.cos(self.direction - math.radians(cyclone.shear_degrees))
        reach = 1.6 + 0.6 * towards + 0.35 * patches
        distance = self.r / cyclone.radius_km
        envelope = smoothstep((reach + 0.5 - distance) / 1.3)
        return envelope * smoothstep(0.55 + 0.3 * streaks + 0.3 * patches)
