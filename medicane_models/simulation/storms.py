"""Storms with a life and a track: medicanes, and four kinds that only look like one.

All are made of the same few parts (core, spiral bands, eye, dry air, rotation, displaced by
shear), drawn at random for variety. The look-alikes have no centre in the truth.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32

from medicane_models.domain import Grid
from medicane_models.errors import ConfigurationError
from medicane_models.maps.coastlines import land_mask
from medicane_models.simulation.noise import generator
from medicane_models.simulation.plane import KM_PER_DEGREE, hours_since_epoch, plane_km, ramp
from medicane_models.times import utc

__all__ = ["Storm", "StormKind", "StormRates", "draw_storm", "draw_storms", "storm_table"]

BUCKET_DAYS = 5
LONGEST_BUCKETS = 1  # a storm outlives its bucket by 120 h at most
FIRST_BUCKET = 1_000_000  # keeps the numbers of buckets before 1970 positive
ATTEMPTS = 40  # at a track that stays over the sea
SEA_SHARE = 0.85
COLUMNS = (
    *("track_id", "time", "lon", "lat"),
    *("kind", "phase", "intensity", "radius_km", "eye_km", "shear"),
)
TRACK_INTENSITY = 0.15  # below it a storm has no track: nobody could see it


class StormKind(StrEnum):
    """What a storm is. Only medicanes have a track in the truth."""

    MEDICANE = "medicane"
    CUT_OFF_LOW = "cut_off_low"
    COMMA = "comma"
    CLUSTER = "cluster"
    FOLD = "fold"


@dataclass(frozen=True, kw_only=True)
class Storm:
    """A storm that lives from ``birth`` for ``life_h`` hours.

    Attributes:
        kind: what it is.
        birth: UTC.
        life_h: hours until it has vanished.
        lon: of the centre half-way through the life, degrees.
        lat: of the centre half-way through the life.
        east_km_h: drift.
        north_km_h: drift.
        meander_km: how far the track swings to either side of a straight line.
        meander_h: period of the swing.
        radius_km: where the cloud shield has faded to 1/e.
        core: optical thickness of the shield around the centre.
        bands: optical thickness of the spiral bands.
        arms: number of spiral bands.
        pitch_degrees: angle between a band and a circle.
        eye_km: radius of the eye at full intensity; 0 without.
        shear: displacement of the high clouds from the centre, in radii.
        shear_degrees: where to, counter-clockwise from east.
        top: height of the clouds; 0 the surface, 1 the tropopause.
        dry: how much stratospheric air is drawn in.
        spin_h: hours of one turn near the centre; infinite without rotation.
        seed: of the phases and of the cells in it.
    """

    kind: StormKind
    birth: pd.Timestamp
    life_h: float
    lon: float
    lat: float
    east_km_h: float = 0.0
    north_km_h: float = 0.0
    meander_km: float = 0.0
    meander_h: float = 24.0
    radius_km: float = 150.0
    core: float = 0.0
    bands: float = 0.0
    arms: int = 2
    pitch_degrees: float = 20.0
    eye_km: float = 0.0
    shear: float = 0.0
    shear_degrees: float = 0.0
    top: float = 0.8
    dry: float = 0.0
    spin_h: float = float("inf")
    seed: int = 0

    def __post_init__(self) -> None:
        if self.life_h <= 0 or self.radius_km <= 0 or self.spin_h <= 0:
            raise ConfigurationError(
                f"life_h {self.life_h}, radius_km {self.radius_km} and spin_h {self.spin_h} of a "
                "storm must be positive"
            )

    @property
    def death(self) -> pd.Timestamp:
        """When it has vanished."""
        return self.birth + timedelta(hours=self.life_h)

    @property
    def name(self) -> str:
        """Its track_id: kind, birth and where it is half-way; two may be born in one minute."""
        return f"{self.kind}-{self.birth:%Y%m%dT%H%M}-{self.lat:.1f}N{self.lon:.1f}E"

    @property
    def poleward(self) -> int:
        """1 on the northern half of the Earth, where cyclones turn counter-clockwise, else -1."""
        return 1 if self.lat >= 0 else -1

    def age_h(self, time: pd.Timestamp) -> float:
        """Hours since birth."""
        return (time - self.birth) / timedelta(hours=1)

    def age_at(self, hour: float) -> float:
        """Hours since birth at an hour since the epoch."""
        return hour - hours_since_epoch(self.birth)

    def intensity(self, age_h: float) -> float:
        """0 before birth, up to 1 in the middle, 0 after death."""
        share = age_h / self.life_h
        return ramp(share / 0.35) * ramp((1 - share) / 0.3)

    def phase(self, age_h: float) -> str:
        """Name of the part of its life."""
        share = age_h / self.life_h
        return "growing" if share < 0.35 else "mature" if share <= 0.7 else "decaying"

    def centre(self, age_h: float) -> tuple[float, float]:
        """Longitude and latitude of the centre in degrees."""
        east, north = self.path(age_h)
        lon = self.lon + east / (KM_PER_DEGREE * math.cos(math.radians(self.lat)))
        return lon, self.lat + north / KM_PER_DEGREE

    def centre_km(self, age_h: float) -> Float32[np.ndarray, "2"]:
        """The centre on the plane of the weather."""
        return plane_km(*self.centre(age_h))

    def path(self, age_h: float) -> tuple[float, float]:
        """Kilometres east and north of the mid-life position."""
        hours = age_h - self.life_h / 2
        swing = self.meander_km * math.sin(2 * math.pi * hours / self.meander_h)
        speed = math.hypot(self.east_km_h, self.north_km_h) or 1.0
        return (
            self.east_km_h * hours - swing * self.north_km_h / speed,
            self.north_km_h * hours + swing * self.east_km_h / speed,
        )


@dataclass(frozen=True, kw_only=True)
class StormRates:
    """How many storms of each kind are born in 30 days on the grid.

    The default has some forty times the medicanes of nature (one to two a year), so that a month
    holds examples, and about as many look-alikes.
    """

    medicane: float = 4.0
    cut_off_low: float = 2.0
    comma: float = 2.0
    cluster: float = 4.0
    fold: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= (rate := getattr(self, field.name)) < float("inf"):
                raise ConfigurationError(f"rate of {field.name} is {rate}; give 0 or more")

    @classmethod
    def scaled(cls, *, medicane: float, lookalikes: float) -> "StormRates":
        """A rate of medicanes, and a factor on the default rates of everything else."""
        usual = {name: rate * lookalikes for name, rate in vars(cls()).items()}
        return cls(**{**usual, "medicane": medicane})


def draw_storms(
    rates: StormRates, *, grid: Grid, start: Any, end: Any, seed: int = 0
) -> tuple[Storm, ...]:
    """All storms that live between two times; the same ones however the time is cut."""
    start, end = utc(start), utc(end)
    sea = ~land_mask(_coarse(grid))
    first, last = (int(time.timestamp() // (BUCKET_DAYS * 86_400)) for time in (start, end))
    storms = []
    for bucket in range(first - LONGEST_BUCKETS, last + 1):
        for kind in StormKind:
            random = generator(seed, f"storms {kind}", bucket + FIRST_BUCKET)
            for _ in range(random.poisson(getattr(rates, kind.value) * BUCKET_DAYS / 30)):
                days = BUCKET_DAYS * (bucket + random.random())
                birth = utc(0) + timedelta(minutes=round(days * 1440))
                storms.append(_draw(kind, birth, random, grid, sea))
    return tuple(storm for storm in storms if storm.birth <= end and storm.death >= start)


def draw_storm(kind: StormKind, *, grid: Grid, middle: Any, seed: int = 0) -> Storm:
    """One storm of a kind that is half-way through its life at a time, over the sea if it can."""
    random = generator(seed, f"storm {kind}")
    storm = _draw(kind, utc(middle), random, grid, ~land_mask(_coarse(grid)))
    birth = utc(middle) - timedelta(minutes=round(storm.life_h * 30))
    return replace(storm, birth=birth)


def storm_table(storms: Sequence[Storm], times: pd.DatetimeIndex) -> pd.DataFrame:
    """Where storms are: track_id, time, lon, lat, kind, phase, intensity, radius_km, eye_km, shear.

    A storm is listed while it is intense enough to be seen, on or off the grid.
    """
    rows = [row for storm in storms for row in _rows(storm, times)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(storm: Storm, times: pd.DatetimeIndex) -> list[tuple[Any, ...]]:
    rows = []
    for time in times[(times >= storm.birth) & (times <= storm.death)]:
        age = storm.age_h(time)
        if (intensity := storm.intensity(age)) >= TRACK_INTENSITY:
            shape = (round(intensity, 3), storm.radius_km, storm.eye_km, storm.shear)
            rows.append(
                (storm.name, time, *storm.centre(age), str(storm.kind), storm.phase(age), *shape)
            )
    return rows


def _draw(
    kind: StormKind,
    birth: pd.Timestamp,
    random: np.random.Generator,
    grid: Grid,
    sea: Bool[np.ndarray, "h w"],
) -> Storm:
    shape = _SHAPES[kind](random)
    seed = int(random.integers(2**31))
    storm = Storm(kind=kind, birth=birth, lon=0.0, lat=0.0, seed=seed, **shape)
    best, most = storm, -1.0
    for _ in range(ATTEMPTS):
        place = replace(storm, **_placed(random, grid))
        share = _sea_share(place, grid, sea)
        if share > most:
            best, most = place, share
        if most >= SEA_SHARE:
            break
    return best


def _placed(random: np.random.Generator, grid: Grid) -> dict[str, float]:
    x = random.uniform(0.1, 0.9) * grid.width
    y = random.uniform(0.12, 0.88) * grid.height
    lon, lat = grid.pixel_to_lonlat(x, y)
    return {"lon": float(lon), "lat": float(lat)}


def _sea_share(storm: Storm, grid: Grid, sea: Bool[np.ndarray, "h w"]) -> float:
    """Share of the track that is on the grid and over sea; lows aloft do not mind land."""
    if storm.kind is not StormKind.MEDICANE:
        return float(np.isfinite(storm.lon))
    ages = np.linspace(0.15, 0.85, 12) * storm.life_h
    lon, lat = np.transpose([storm.centre(age) for age in ages])
    x, y = grid.lonlat_to_pixel(lon, lat)
    inside = grid.contains(x, y)
    step = grid.height / sea.shape[0], grid.width / sea.shape[1]
    row, column = (np.where(inside, v, 0) // s for v, s in zip((y, x), step, strict=True))
    return float((inside & sea[row.astype(int), column.astype(int)]).mean())


def _coarse(grid: Grid) -> Grid:
    """About every eighth pixel."""
    width, height = max(grid.width // 8, 1), max(grid.height // 8, 1)
    return Grid(
        crs=grid.crs,
        width=width,
        height=height,
        x_origin=grid.x_origin + grid.x_step * (grid.width / width - 1) / 2,
        y_origin=grid.y_origin + grid.y_step * (grid.height / height - 1) / 2,
        x_step=grid.x_step * grid.width / width,
        y_step=grid.y_step * grid.height / height,
    )


def _medicane(random: np.random.Generator) -> dict[str, Any]:
    radius = float(np.exp(random.uniform(np.log(80), np.log(300))))
    has_eye = random.random() < 0.5
    return {
        "life_h": random.uniform(24, 84),
        "radius_km": radius,
        "core": random.uniform(0.8, 3.5),
        "bands": random.uniform(1.0, 3.0),
        "arms": int(random.integers(1, 4)),
        "pitch_degrees": random.uniform(12, 28),
        "eye_km": random.uniform(0.08, 0.2) * min(radius, 220) if has_eye else 0.0,
        "shear": random.uniform(0, 0.25) if has_eye else random.uniform(0.1, 0.8),
        "shear_degrees": random.normal(30, 60),
        "top": random.uniform(0.55, 1.0),
        "dry": random.uniform(0.2, 1.2),
        "spin_h": random.uniform(2.5, 7),
        **_drift(random, speed_km_h=(4, 32)),
    }


def _cut_off_low(random: np.random.Generator) -> dict[str, Any]:
    return {
        "life_h": random.uniform(60, 120),
        "radius_km": random.uniform(280, 520),
        "bands": random.uniform(0.6, 1.6),
        "arms": int(random.integers(1, 3)),
        "pitch_degrees": random.uniform(15, 30),
        "top": random.uniform(0.5, 0.8),
        "dry": random.uniform(1.2, 2.4),
        "spin_h": random.uniform(16, 30),
        **_drift(random, speed_km_h=(0, 18)),
    }


def _comma(random: np.random.Generator) -> dict[str, Any]:
    return {
        "life_h": random.uniform(24, 48),
        "radius_km": random.uniform(250, 480),
        "bands": random.uniform(2.0, 4.0),
        "arms": 1,
        "pitch_degrees": random.uniform(22, 38),
        "shear": random.uniform(0.2, 0.6),
        "shear_degrees": random.normal(45, 40),
        "top": random.uniform(0.7, 0.95),
        "dry": random.uniform(0.8, 1.8),
        "spin_h": random.uniform(14, 26),
        **_drift(random, speed_km_h=(25, 60)),
    }


def _cluster(random: np.random.Generator) -> dict[str, Any]:
    return {
        "life_h": random.uniform(8, 24),
        "radius_km": random.uniform(80, 220),
        "core": random.uniform(2.0, 4.0),
        "top": random.uniform(0.9, 1.05),
        **_drift(random, speed_km_h=(5, 45)),
    }


def _fold(random: np.random.Generator) -> dict[str, Any]:
    return {
        "life_h": random.uniform(24, 60),
        "radius_km": random.uniform(250, 600),
        "dry": random.uniform(1.5, 2.8),
        "shear_degrees": random.uniform(0, 180),
        **_drift(random, speed_km_h=(10, 50)),
    }


def _drift(random: np.random.Generator, speed_km_h: tuple[float, float]) -> dict[str, float]:
    """Mostly towards the east, as storms of the middle latitudes go."""
    speed, direction = random.uniform(*speed_km_h), random.normal(0, np.radians(55))
    return {
        "east_km_h": float(speed * np.cos(direction)),
        "north_km_h": float(speed * np.sin(direction) * 0.6),
        "meander_km": float(random.uniform(0, 60)),
        "meander_h": float(random.uniform(16, 60)),
    }


_SHAPES: dict[StormKind, Callable[[np.random.Generator], dict[str, Any]]] = {
    StormKind.MEDICANE: _medicane,
    StormKind.CUT_OFF_LOW: _cut_off_low,
    StormKind.COMMA: _comma,
    StormKind.CLUSTER: _cluster,
    StormKind.FOLD: _fold,
}
