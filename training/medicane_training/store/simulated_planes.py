"""Simulated cyclones and look-alikes as samples of a store of local planes.

Every second one, if a store of real scenes is given, is laid into a calm sample of it. No sample
tells its time and place, and storms have no names: they may only train.

Letters: T frames, C bands, S rows and columns of a sample.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from medicane_models.commands import with_progress
from medicane_models.domain import Grid, local_plane
from medicane_models.domain.azimuthal import from_azimuthal
from medicane_models.errors import ConfigurationError
from medicane_models.fields import from_mapping
from medicane_models.files import alone_in
from medicane_models.maps.coastlines import land_mask
from medicane_models.network.configuration import SIMULATED
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.simulation.backdrops import draw_mix
from medicane_models.simulation.cyclone_draws import draw_cyclone, draw_lookalike
from medicane_models.simulation.cyclones import Cyclone, CycloneKind
from medicane_models.simulation.infrared import InfraredScene, lay_over
from medicane_models.simulation.noise import generator
from medicane_models.simulation.places import Locality
from medicane_models.simulation.qualities import draw_quality, seen_part
from medicane_models.simulation.sky import Field
from medicane_models.times import utc
from medicane_training.store.backgrounds import Background, Backgrounds, KelvinFrames
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.plane_index import (
    PlaneSettings,
    build_plane_index,
    require_same_settings,
)
from medicane_training.store.plane_samples import UNNAMED, PlaneSample, PlaneSampleWriter, Spot
from medicane_training.store.selection import SETTINGS_FILE
from medicane_training.store.writer import create_store

__all__ = ["SampleSimulator", "add_simulated"]

SHOWN = (0.18, 0.83)  # of its life at which a cyclone may be shown
OLDER_LOST = 0.3  # share of samples that lack some of the older frames
COMPANY, ANOTHER = (
    0.35,
    0.06,
)  # of samples with look-alikes, and with a cyclone, beside what is shown
APART_KM = (600.0, 1500.0)  # where those are
ASIDE_KM = 350.0  # from the middle of a calm sample to its look-alike at most
BARE = 0.15  # of calm samples without any
NEAREST_EQUATOR = 3.0  # degrees
ATTEMPTS = 100  # at a place over the sea
EARTH = Grid.lonlat(west=-180, south=-89.5, east=179, north=89.5, step_degrees=1.0)
FIRST, HOURS = utc("2000-01-01"), 25 * 8766  # when samples may be


def add_simulated(
    out: str | Path,
    *,
    storms: int,
    calm: int,
    processor: MedicaneProcessor | None = None,
    sample_size: int | None = None,
    backgrounds: str | Path | None = None,
    leave_out: Collection[str] = (),
    seed: int = 0,
) -> ClipStore:
    """Add simulated samples to a store of local planes, or begin one.

    A killed run goes on with what is lacking; a sample is the same whatever others there are.

    Args:
        out: folder of the store.
        storms: samples with a cyclone.
        calm: samples without; most have what looks like one.
        processor: None takes that of the store, and of a new one that of the infrared pair.
        sample_size: see :func:`create_store`; None takes that of the store.
        backgrounds: a store whose calm samples are what is behind every second sample.
        leave_out: data sets of that store which are not to be used.
        seed: of all that is drawn.

    Raises:
        ConfigurationError: if numbers are negative, or stores or processors do not fit.
    """
    if min(storms, calm) < 0 or storms + calm == 0:
        raise ConfigurationError(f"{storms} storms and {calm} calm samples; give at least one")
    behind = None if backgrounds is None else Backgrounds(ClipStore(backgrounds), leave_out)
    store = _opened(Path(out), processor, sample_size)
    simulator = SampleSimulator(store=store, seed=seed, backgrounds=behind)
    wanted = [(stormy, i) for stormy, n in ((True, storms), (False, calm)) for i in range(n)]
    with alone_in(store.path):
        store.refresh()
        settings = _settings(store)
        require_same_settings(store, settings)
        with PlaneSampleWriter(store) as writer:
            for stormy, number in with_progress(wanted, len(wanted), "samples"):
                if simulator.name(number, stormy=stormy) not in writer:
                    writer.add(simulator.sample(number, stormy=stormy))
        build_plane_index(store, settings)
    return store


def _opened(path: Path, processor: MedicaneProcessor | None, sample_size: int | None) -> ClipStore:
    if (path / "frames.parquet").exists():
        store = ClipStore(path)
        processor, sample_size = processor or store.processor, sample_size or store.grid.width
    processor = processor or MedicaneProcessor.planes()
    if not processor.uses_planes or len(processor.channels) > 1:
        raise ConfigurationError(
            f"{path} has {', '.join(processor.channels)}; only local planes of one infrared "
            "channel can be simulated"
        )
    return create_store(path, processor, sample_size=sample_size)


def _settings(store: ClipStore) -> PlaneSettings:
    """Those that the store was built with."""
    if not (store.path / SETTINGS_FILE).exists():
        return PlaneSettings()
    return from_mapping(PlaneSettings, store.document(SETTINGS_FILE))


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleSimulator:
    """Simulates samples for a store, each by its number and the seed alone.

    Attributes:
        store: for whose grid and processor.
        seed: of all that is drawn.
        backgrounds: of every second sample; None: all are simulated wholly.
    """

    store: ClipStore
    seed: int
    backgrounds: Backgrounds | None = None

    def __post_init__(self) -> None:
        if self.backgrounds is None:
            return
        behind, own = (one.store.processor.channels for one in (self.backgrounds, self))
        if behind != own:
            raise ConfigurationError(
                f"samples of {self.backgrounds.store.path} show {', '.join(behind)}, not "
                f"{', '.join(own)} as those of {self.store.path}; give another store"
            )
        if self.backgrounds.store.grid != self.store.grid:
            raise ConfigurationError(
                f"samples of {self.backgrounds.store.path} are {self.backgrounds.store.grid}, not "
                f"{self.store.grid} as those of {self.store.path}; give another store"
            )

    def name(self, number: int, *, stormy: bool) -> str:
        """Of a sample."""
        return f"{SIMULATED} {self.seed} {'storm' if stormy else 'calm'} {number}"

    def sample(self, number: int, *, stormy: bool) -> PlaneSample:
        """A cyclone in the middle, or what only looks like one near it."""
        name = self.name(number, stormy=stormy)
        random = generator(self.seed, "sample with storm" if stormy else "calm sample", number)
        behind = self.backgrounds.draw(random) if self.backgrounds and number % 2 else None
        every = self.store.processor.cadence_minutes / 60
        scene = _scene(random, self._plane, behind, every_hours=every, stormy=stormy)
        kelvin = scene.recorded(random, self.store.processor.num_frames)
        spots = [scene.spot(one) for one in scene.cyclones if one.is_cyclone]
        return PlaneSample(
            name=name,
            stretched=self.store.processor.bands_of({self.store.processor.channels[0]: kelvin}),
            end=pd.NaT,
            lon=np.nan,
            lat=np.nan,
            hemisphere="south" if scene.place.poleward < 0 else "north",
            sensor=SIMULATED,
            dataset=SIMULATED,
            source=scene.source(self.seed),
            storm=f"{UNNAMED}{name}" if stormy else "",
            centre=spots[0] if stormy else None,
            other=next(iter(spots[1:]), None),
            storm_distance_km=0.0 if stormy else np.nan,
            wind_kt=scene.wind_kt,
        )

    def _plane(self, lon: float, lat: float) -> Grid:
        grid = self.store.grid
        return local_plane(lon, lat, size=grid.width, km=grid.x_step / 1000)


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleScene:
    """What a sample shows.

    Attributes:
        place: the sample at its end.
        cyclones: the one in the middle first; look-alikes are among them.
        behind: the real scene they are laid into; None where all is simulated.
        every_hours: from a frame to the next.
    """

    place: Locality
    cyclones: Sequence[Cyclone]
    behind: Background | None
    every_hours: float

    @property
    def wind_kt(self) -> float:
        """Of the cyclone in the middle; NaN without."""
        first = next(iter(self.cyclones), None)
        return np.nan if first is None else first.wind_at(first.age_h(self.place.time))

    def spot(self, cyclone: Cyclone) -> Spot:
        """The pixel of a centre."""
        where = cyclone.centre(cyclone.age_h(self.place.time))
        x, y = self.place.grid.lonlat_to_pixel(*where)
        return Spot(float(x), float(y))

    def source(self, seed: int) -> str:
        """Simulated, and the real platform with it."""
        kinds = " and ".join(one.kind for one in self.cyclones) or "nothing"
        if self.behind is None:
            return f"{SIMULATED}: {kinds}, seed {seed}"
        platform, _, _ = self.behind.source.partition(": ")
        return f"{SIMULATED}, {platform}: {kinds}, seed {seed}, laid into {self.behind.sample}"

    def recorded(self, random: np.random.Generator, count: int) -> KelvinFrames:
        """Frames as pictures of some quality, some of the older ones lost."""
        seed = int(random.integers(2**31))
        quality, km = draw_quality(seed=seed), self.place.grid.x_step / 1000
        lost = (random.random() < OLDER_LOST) & (random.random(count) < random.uniform(0.3, 1.0))
        size = self.place.grid.width
        frames = np.full((count, size, size), np.nan, np.float32)
        for slot, true in enumerate(self._frames(seed, count)):
            if slot == count - 1 or not lost[slot]:
                frames[slot] = quality.record(true(), grid_km=km, seed=seed, frame=slot)
        if self.behind is None:
            frames[:, ~seen_part(size, seed=seed)] = np.nan
        return frames

    def _frames(self, seed: int, count: int) -> list[Callable[[], Field]]:
        """What gives true kelvin, oldest first."""
        place, cyclones = self.place, self.cyclones
        ages = [self.every_hours * age for age in reversed(range(count))]
        times = [place.time - timedelta(hours=age) for age in ages]
        if self.behind is not None:
            return [
                partial(lay_over, frame, place, cyclones, time)
                for frame, time in zip(self.behind.kelvin, times, strict=True)
            ]
        mix = draw_mix(abs(place.centre[1]), seed=seed)
        scene = InfraredScene(place=place, mix=mix, cyclones=cyclones, seed=seed)
        return [partial(scene.at, time) for time in times]


def _scene(
    random: np.random.Generator,
    plane: Callable[[float, float], Grid],
    behind: Background | None,
    *,
    every_hours: float,
    stormy: bool,
) -> SampleScene:
    """A cyclone in the middle or a look-alike near it, and sometimes others farther off."""
    end = _any_time(random) if behind is None else behind.end
    side = None if behind is None else (-1 if behind.lat < 0 else 1)
    draw = draw_cyclone if stormy else draw_lookalike
    shown = draw(end, seed=int(random.integers(2**31)), hemisphere=side)
    if behind is None:
        where = _over(random, shown.lat, land=shown.kind is CycloneKind.LANDFALL)
    else:
        where = behind.lon, behind.lat
    place = Locality(grid=plane(*where), centre=where, time=end)
    reach = 0.0 if stormy else ASIDE_KM
    cyclones = [_put(random, shown, place, (0.0, reach))]
    if not stormy and random.random() < BARE:
        cyclones = []
    if random.random() < COMPANY:
        other = draw_lookalike(end, seed=int(random.integers(2**31)))
        cyclones.append(_put(random, other, place, APART_KM))
    if stormy and random.random() < ANOTHER:
        other = draw_cyclone(end, seed=int(random.integers(2**31)))
        cyclones.append(_put(random, other, place, APART_KM))
    return SampleScene(place=place, cyclones=cyclones, behind=behind, every_hours=every_hours)


def _put(
    random: np.random.Generator, cyclone: Cyclone, place: Locality, apart_km: tuple[float, float]
) -> Cyclone:
    """Some time of its life, so far from the middle of a place at its end."""
    age_h = cyclone.life_h * (random.uniform(*SHOWN) - 0.5)
    away, angle = 1e3 * random.uniform(*apart_km), random.uniform(0, 2 * np.pi)
    there = from_azimuthal(place.centre, away * np.cos(angle), away * np.sin(angle))
    east, poleward = cyclone.path(age_h)
    here = float(there[0]), float(there[1])
    lon, lat = from_azimuthal(here, -1e3 * east, -1e3 * place.poleward * poleward)
    middle = place.time - timedelta(hours=age_h)
    if place.poleward * lat > 0:
        return replace(cyclone, middle=middle, lon=float(lon), lat=float(lat))
    still = {"east_km_h": 0.0, "poleward_km_h": 0.0, "meander_km": 0.0}
    lat = place.poleward * max(place.poleward * here[1], NEAREST_EQUATOR)
    return replace(cyclone, middle=middle, lon=here[0], lat=lat, **still)


def _over(random: np.random.Generator, lat: float, *, land: bool) -> tuple[float, float]:
    """A point of a latitude over the sea, or over land."""
    for _ in range(ATTEMPTS):
        lon = float(random.uniform(-180, 180))
        if _is_land(lon, lat) == land:
            return lon, lat
    return -140.0, lat


def _is_land(lon: float, lat: float) -> bool:
    x, y = (round(float(v)) for v in EARTH.lonlat_to_pixel(lon, lat))
    return bool(_land()[y, x % EARTH.width])


@cache
def _land() -> Bool[np.ndarray, "y x"]:
    return land_mask(EARTH)


def _any_time(random: np.random.Generator) -> pd.Timestamp:
    return FIRST + timedelta(hours=int(random.integers(HOURS)))
