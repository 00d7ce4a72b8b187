"""Weather of the infrared window in which cyclones live: decks, fronts, cirrus, thunderstorms.

There is no dynamics: fractal textures drift and change, and how much there is of each follows from
latitude and from a few numbers that differ from scene to scene.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from medicane_models.simulation.cells import CellTable, Rows
from medicane_models.simulation.cyclone_clouds import hide
from medicane_models.simulation.noise import generator
from medicane_models.simulation.places import Locality, Window
from medicane_models.simulation.plane import hours_since_epoch
from medicane_models.simulation.sky import Field, smoothstep
from medicane_models.simulation.textures import FINE, SMOOTH, WIDE, Texture
from medicane_models.simulation.thunderstorms import all_cells, draw_tops, grown

__all__ = ["Backdrop", "WeatherMix", "draw_mix"]

LONGEST_CELL_H = 6
SQUARE_KM = 1e6
FIRST_BUCKET = 1_000_000  # keeps the numbers of earlier hours positive


@dataclass(frozen=True, kw_only=True)
class WeatherMix:
    """How much there is of each cloud; 0 is an ordinary amount of what has no unit.

    Attributes:
        low: decks and cumulus near the surface.
        low_kelvin: how much colder than the surface they are.
        middle: decks half-way up.
        high: cirrus.
        high_kelvin: of thick cirrus.
        cells: thunderstorms born in an hour in 10⁶ km² of unstable air.
        clustered: 0 scattered … 1 only in clusters.
        fronts: opacity of a cold front's band.
        rain_belt: strength of a belt of tropical rain,
        rain_belt_km: whose axis is that far poleward of the origin.
        stretch: how much longer than wide streaks of cirrus are,
        stretch_degrees: and where along, counter-clockwise from east.
        low_wind: drift of low clouds to the east and poleward, km/h.
        high_wind: of high clouds.
        dryness: of land, 0 … 1.
        warmth: kelvin that all is warmer than usual.
        limb: kelvin that the far side of a plane is colder for the longer path of view,
        limb_degrees: and which side that is.
    """

    low: float
    low_kelvin: float
    middle: float
    high: float
    high_kelvin: float
    cells: float
    clustered: float
    fronts: float
    rain_belt: float
    rain_belt_km: float
    stretch: float
    stretch_degrees: float
    low_wind: tuple[float, float]
    high_wind: tuple[float, float]
    dryness: float
    warmth: float
    limb: float
    limb_degrees: float


def draw_mix(latitude: float, *, seed: int) -> WeatherMix:
    """Random weather that goes with a latitude: showery near the equator, fronts near the poles."""
    random = generator(seed, "weather")
    tropical = math.exp(-((latitude / 24) ** 4))
    westerly = 1 - tropical
    trades = random.normal(-20, 8), random.normal(0, 6)
    return WeatherMix(
        low=random.normal(0, 0.7),
        low_kelvin=random.uniform(3, 14),
        middle=random.normal(-0.2, 0.7),
        high=random.normal(0.3 * tropical, 0.6),
        high_kelvin=random.uniform(198, 222) + 8 * westerly,
        cells=random.gamma(2.0, 1.3 + 5 * tropical),
        clustered=random.uniform(0.2, 1.0),
        fronts=random.uniform(0.3, 1.0) * westerly * (random.random() < 0.7),
        rain_belt=tropical * random.uniform(0, 1.2) * (random.random() < 0.5),
        rain_belt_km=random.uniform(-1500, 900),
        stretch=random.uniform(1.1, 3.5),
        stretch_degrees=random.normal(30, 50),
        low_wind=(trades[0] * tropical + 22 * westerly, trades[1]),
        high_wind=(random.normal(-5 + 50 * westerly, 25), random.normal(5, 15)),
        dryness=random.random(),
        warmth=random.normal(0, 1.5),
        limb=random.gamma(1.0, 2.0),
        limb_degrees=random.uniform(0, 360),
    )


class Backdrop:
    """The weather of a place at any hour."""

    def __init__(self, place: Locality, mix: WeatherMix, *, seed: int) -> None:
        self.place, self.mix, self.seed = place, mix, seed
        random = generator(seed, "textures of a backdrop")
        self.wide = {
            name: Texture.draw(random, WIDE, lifetime_h=hours)
            for name, hours in (("air", 30), ("low", 30), ("middle", 20))
        }
        self.warp_km = random.uniform(20, 130)
        self.warps = [Texture.draw(random, SMOOTH, lifetime_h=40) for _ in range(2)]
        self.fine = {
            name: Texture.draw(random, FINE, lifetime_h=hours)
            for name, hours in (
                ("low", 8),
                ("middle", 8),
                ("high", 8),
                ("tear", 6),
                ("ground", 500),
            )
        }
        self.front_phase, self.front_slope = (
            random.uniform(0, 2 * math.pi),
            random.normal(0.35, 0.3),
        )
        self.front_km = random.uniform(-300, 1700), random.uniform(90, 280)
        self.whole = Window(slice(None), slice(None), place.x, place.y)
        self.born = lru_cache(LONGEST_CELL_H + 4)(self._born)

    def clear(self, hour: float) -> Field:
        """Kelvin without clouds."""
        mix = self.mix
        clear = self.place.clear_kelvin(hour, dryness=mix.dryness, warmth=mix.warmth)
        x, y = self.place.x, self.place.y
        ground = self.fine["ground"].at(x, y, 0.0)
        clear += np.where(self.place.land, 1.8, 0.25) * ground
        return clear + 0.7 * self.wide["low"].at(x, y, hour)

    def kelvin(self, hour: float, clear: Field) -> Field:
        """The scene, over what it would be without clouds."""
        kelvin = clear.copy()
        warp = self._warp(hour)
        self._lay_low(kelvin, clear, hour)
        self._lay_middle(kelvin, clear, hour)
        self._lay_cells(kelvin, clear, hour)
        self._lay_high(kelvin, hour, warp)
        return kelvin

    def seen(self, kelvin: Field) -> Field:
        """As a satellite sees it: colder towards the limb."""
        angle = math.radians(self.mix.limb_degrees)
        far = (self.place.x * math.cos(angle) + self.place.y * math.sin(angle)) / 1600
        return kelvin - np.float32(self.mix.limb) * smoothstep(0.5 + 0.5 * far)

    def _drifted(self, hour: float, wind: tuple[float, float]) -> tuple[Field, Field]:
        east, north = (np.float32(hour * speed) for speed in wind)
        return self.place.x - east, self.place.y - north

    def _warp(self, hour: float) -> tuple[Field, Field]:
        x, y = self._drifted(hour, self.mix.high_wind)
        east, north = (self.warp_km * warp.at(x, y, hour) for warp in self.warps)
        return east, north

    def _lay_low(self, kelvin: Field, clear: Field, hour: float) -> None:
        x, y = self._drifted(hour, self.mix.low_wind)
        lumps = self.fine["low"].at(x, y, hour)
        amount = self.wide["low"].at(x, y, hour) + 0.55 * lumps + self.mix.low - 0.8
        depth = self.mix.low_kelvin + 2 * lumps
        hide(kelvin, smoothstep(0.5 + 0.4 * amount), clear - depth)

    def _lay_middle(self, kelvin: Field, clear: Field, hour: float) -> None:
        x, y = self._drifted(hour, self.mix.high_wind)
        lumps = self.fine["middle"].at(x / 1.5, y, hour)
        amount = self.wide["middle"].at(x, y, hour) + 0.5 * lumps + self.mix.middle - 1.3
        hide(kelvin, 0.9 * smoothstep(0.5 + 0.5 * amount), clear - 28 - 6 * lumps)

    def _lay_high(self, kelvin: Field, hour: float, warp: tuple[Field, Field]) -> None:
        """Cirrus of fronts, of the rain belt and of unsettled air, in streaks."""
        mix, (x, y) = self.mix, self._drifted(hour, self.mix.high_wind)
        along, across = _turned(x + warp[0], y + warp[1], math.radians(mix.stretch_degrees))
        streaks = self.fine["high"].at(along / mix.stretch, across, hour)
        air = self.wide["air"].at(x, y, hour)
        belt = self._belt(self.place.y)
        fibrous = 0.15 + 0.3 * np.clip(air + 0.5, 0, 1)
        amount = mix.high + 1.15 * air + fibrous * streaks + belt - 1.0
        thick = np.maximum(smoothstep(0.3 + 0.33 * amount), self._front(hour, warp, streaks))
        tops = mix.high_kelvin + 14 * (1 - thick) - 4 * streaks
        hide(kelvin, thick, tops)

    def _belt(self, y: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
        """Strength of the rain belt at kilometres poleward of the origin."""
        return self.mix.rain_belt * np.exp(-(((y - self.mix.rain_belt_km) / 350) ** 2))

    def _front(self, hour: float, warp: tuple[Field, Field], streaks: Field) -> Field:
        """A band that trails from a low, curved and moving east."""
        if self.mix.fronts == 0:
            return np.zeros_like(streaks)
        x, y = self._drifted(hour, (35.0, 0.0))
        axis, width = self.front_km
        curve = axis + self.front_slope * x + 260 * np.sin(x / 500 + self.front_phase)
        away = (y - curve + 0.8 * warp[0]) / (width * (1 + 0.3 * streaks)).clip(20)
        away = np.where(away > 0, away / 1.8, away)
        north = smoothstep((abs(self.place.lat) - 18) / 18)
        return self.mix.fronts * north * np.exp(-(away**2)) * np.clip(0.9 + 0.25 * streaks, 0, 1)

    def _lay_cells(self, kelvin: Field, clear: Field, hour: float) -> None:
        first = math.floor(hour)
        tables = [self.born(bucket) for bucket in range(first - LONGEST_CELL_H, first + 1)]
        x, y = self.place.x, self.place.y
        tear = 45 * self.fine["tear"].at(x, y, hour), 45 * self.fine["middle"].at(x, y, hour)
        tops = draw_tops(grown(all_cells(tables), hour), self.whole, tear)
        hide(kelvin, smoothstep(tops / 0.4), clear - tops * (clear - 190))

    def _born(self, bucket: int) -> CellTable:
        """Thunderstorms born within an hour where air is unstable."""
        place, mix = self.place, self.mix
        random = generator(self.seed, "cells of a backdrop", bucket + FIRST_BUCKET)
        west, east, south, north = place.x.min(), place.x.max(), place.y.min(), place.y.max()
        squares = float(east - west) * float(north - south) / SQUARE_KM
        count = random.poisson(3 * mix.cells * squares)
        x, y = random.uniform(west, east, count), random.uniform(south, north, count)
        size, depth = random.random(count), random.uniform(0.55, 1.05, count)
        winds = np.array(mix.high_wind) * 0.4 + np.array(mix.low_wind) * 0.4
        table = CellTable(
            birth=bucket + random.random(count),
            life_h=1.0 + 4.5 * size,
            x=x,
            y=y,
            east=winds[0] + random.normal(0, 4, count),
            north=winds[1] + random.normal(0, 4, count),
            radius_km=9 + 65 * size**2.5,
            depth=depth,
        )
        kept = random.random(count) < self._chance(x, y, bucket)
        return CellTable(*(column[kept] for column in table))

    def _chance(self, x: Rows, y: Rows, bucket: int) -> Rows:
        """More in unsettled air, in the rain belt and over the land's afternoon."""
        mix, place = self.mix, self.place
        east, north = mix.high_wind
        air = self.wide["air"].at(x - bucket * east, y - bucket * north, bucket)
        belt = self._belt(y)
        cluster = np.clip(1.3 * air - 0.3 + belt, 0, 2.5)
        scattered = 0.12 + 0.5 * belt
        chance = mix.clustered * cluster + (1 - mix.clustered) * scattered
        hour = hours_since_epoch(place.time) + bucket + place.centre[0] / 15
        afternoon = math.exp(-((((hour % 24) - 16) / 4) ** 2))
        land = place.land.mean()
        return chance * (1 - land + land * (0.3 + 1.6 * afternoon))


def _turned(x: Field, y: Field, angle: float) -> tuple[Field, Field]:
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
