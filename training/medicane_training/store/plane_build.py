"""Scenes of any imager and best tracks → a store of local planes.

Every storm that a frame shows becomes a sample with it in the middle; of the planes far from every
storm the hard ones are drawn more often. A killed build goes on after the last frame whose samples
are in the store.

Letters: T frames, C bands, P planes, S rows and columns of a sample.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from medicane_models.commands import with_progress
from medicane_models.domain import (
    GivenDomain,
    Grid,
    box_grid,
    great_circle_km,
    local_plane,
    named_domain,
)
from medicane_models.errors import ConfigurationError
from medicane_models.files import alone_in
from medicane_models.scenes.clips import ClipPlan, frame_times, plan_clips
from medicane_models.scenes.opening import open_scene, scene_grid, scene_sources
from medicane_models.scenes.plane_sampling import PlaneSampler, is_within_limb
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.tiles import (
    LocalPlanes,
    is_present,
    plane_bands,
    share_of_a_frame,
)
from medicane_training.store.clip_store import ClipStore, decode, encode, save_table
from medicane_training.store.cloud_bands import CloudBand
from medicane_training.store.hardness import coldest_kelvin, spirality
from medicane_training.store.known_storms import STRENGTH, KnownStorms
from medicane_training.store.plane_index import (
    PlaneSettings,
    build_plane_index,
    draw_by,
    require_same_settings,
)
from medicane_training.store.plane_samples import PlaneSample, PlaneSampleWriter, Spot
from medicane_training.store.writer import create_store

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["CALM_KM", "add_scene", "build_plane_store", "drawn_by_hardness"]

CALM_KM = 1200.0
"""How far from every known storm a sample without one is."""

EASIEST = 0.1  # hardness of the easiest plane, where that of the hardest is 2.1
THREADS = 2

log = logging.getLogger(__name__)


def build_plane_store(
    sources: Sequence[Any],
    out: str | Path,
    *,
    processor: MedicaneProcessor,
    tracks: pd.DataFrame | None = None,
    settings: PlaneSettings | None = None,
    sample_size: int | None = None,
    domain: GivenDomain = "model",
    extent: str | None = None,
    reader: str | None = None,
    dataset: str | None = None,
) -> ClipStore:
    """Build a store of local planes, or add to one.

    Args:
        sources: as of :func:`medicane_training.store.build.build_store`.
        out: folder of the store.
        processor: of local planes; of an existing store the same.
        tracks: every storm of the period, as :func:`verification.best_tracks.read_tracks`
            returns them; None: those that the store has. Samples that are there keep their labels.
        settings: the default ones if None.
        sample_size: see :func:`create_store`.
        domain: a box in degrees, as text or four numbers, or a Grid crops the scenes; "model" and
            "native" take all they show.
        extent: where grey pictures lie, as ``open_scene`` takes it.
        reader: of satpy, for raw files; default is told by their names.
        dataset: what the samples are said to come from; default is the platform of each scene.

    Raises:
        ConfigurationError: if the store was built with another processor or other settings, no
            tracks are known, or another process is building it.
        SceneError: if a scene cannot be read; a store is not begun before all are opened.
    """
    settings = settings or PlaneSettings()
    how = {"extent": extent, "reader": reader}
    scenes = [_opened(one, processor, domain, **how) for one in scene_sources(sources, reader)]
    store = create_store(out, processor, sample_size=sample_size)
    with alone_in(store.path):
        store.refresh()
        require_same_settings(store, settings)
        if tracks is not None:
            save_table(tracks, store.path / "tracks.parquet")
            store.refresh()
        for number, scene in enumerate(scenes, start=1):
            added = add_scene(store, scene, settings, dataset=dataset)
            log.info("scene %d of %d: %d samples added", number, len(scenes), added)
        build_plane_index(store, settings)
        log.info("%d clips of %d samples", len(store.clips), len(store.samples))
    return store


def _opened(
    source: Any, processor: MedicaneProcessor, domain: GivenDomain, **how: Any
) -> "xr.Dataset":
    """A scene that fits the processor, in its own pixels, cropped to the domain."""
    scene = open_scene(source, channels=processor.channels, **how)
    asked = named_domain(domain)
    if asked not in ("model", "native"):
        inside = scene_grid(scene).covering(box_grid(asked) if isinstance(asked, str) else asked)
        scene = open_scene(source, channels=processor.channels, domain=inside, **how)
    processor.check_channels(scene)
    processor.for_sensor(scene.attrs["sensor"])  # refuses what it does not read
    return scene


def add_scene(
    store: ClipStore, scene: "xr.Dataset", settings: PlaneSettings, *, dataset: str | None = None
) -> int:
    """Add the samples of a scene that the store lacks, frame by frame; returns how many.

    Raises:
        ConfigurationError: if the store has no tracks.
    """
    cutter = SceneSamples(store=store, scene=scene, settings=settings, dataset=dataset)
    known = store.samples
    known = known.loc[(known["dataset"] == cutter.origin) & (known["source"] == cutter.source)]
    plans = [plan for plan in cutter.plans() if plan.end not in set(known["end"])]
    with PlaneSampleWriter(store) as writer:
        return sum(
            writer.add(*cutter.samples(plan)) for plan in with_progress(plans, len(plans), "frames")
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class SamplePlace:
    """Where a sample is taken, and how many of all weather it stands for."""

    lon: float
    lat: float
    storm: str = ""
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneSamples:
    """Samples of one scene.

    Attributes:
        store: whose processor and tracks say how.
        scene: as ``open_scene`` returns it.
        settings: which samples.
        dataset: what they are said to come from.
    """

    store: ClipStore
    scene: "xr.Dataset"
    settings: PlaneSettings
    dataset: str | None

    @property
    def origin(self) -> str:
        """What the samples are said to come from."""
        return self.dataset or str(self.scene.attrs["platform"])

    @property
    def source(self) -> str:
        """The same, to the files."""
        return f"{self.scene.attrs['platform']}: {self.scene.attrs['source']}"

    def plans(self) -> list[ClipPlan]:
        """The frames of each sample's slots."""
        processor = self.store.processor
        return plan_clips(
            frame_times(self.scene),
            num_frames=processor.num_frames,
            cadence_minutes=processor.cadence_minutes,
            every_minutes=self.settings.every_minutes,
            ends_with_frame=True,
        )

    def samples(self, plan: ClipPlan) -> list[PlaneSample]:
        """Those of one time: each storm that is seen, and calm places."""
        storms = self._storms.at(plan.end)
        places = [*self._stormy(storms), *self._calm(plan)]
        if not places:
            return []
        size, km = self.store.grid.width, self.store.grid.x_step / 1000
        planes = [local_plane(place.lon, place.lat, size=size, km=km) for place in places]
        pixels = self._cut(planes, plan)
        return [
            self._sample(plan.end, place, plane, stretched, storms)
            for place, plane, stretched in zip(places, planes, pixels, strict=True)
            if self._is_seen(stretched[-1])
        ]

    def _stormy(self, storms: pd.DataFrame) -> Iterator[SamplePlace]:
        """Storms whose centres the scene shows."""
        lon, lat = storms["lon"].to_numpy(), storms["lat"].to_numpy()
        shown = self._grid.contains(*self._grid.lonlat_to_pixel(lon, lat))
        shown &= is_within_limb(self._grid, lon, lat, self._longitude)
        for storm in storms.loc[shown].itertuples():
            yield SamplePlace(lon=storm.lon, lat=storm.lat, storm=str(storm.track_id))  # pyright: ignore

    def _calm(self, plan: ClipPlan) -> Iterator[SamplePlace]:
        """Planes far from every storm, drawn by their hardness."""
        count = self.settings.negatives_per_frame
        lon, lat = np.transpose(self._planes.tiles)
        far = self._storms.distance_km(lon, lat, plan.end) >= CALM_KM
        if count == 0 or not far.any():
            return
        cut = self._planes.cut(self._frame(plan.rows[-1]))
        chosen = np.flatnonzero(far & cut.present).tolist()
        hardness = self._hardness([cut.pixels[index] for index in chosen])
        draw = draw_by(f"{self.origin} {plan.end}", self.settings)
        for index, weight in zip(*drawn_by_hardness(hardness, count, draw), strict=True):
            plane = chosen[index]
            yield SamplePlace(lon=float(lon[plane]), lat=float(lat[plane]), weight=float(weight))

    def _hardness(
        self, planes: Sequence[Float[np.ndarray, "C H W"]]
    ) -> Float[np.ndarray, " planes"]:
        """By the ranks of coldness and spirality among the planes of a frame."""
        band, km = CloudBand.of(self.store.processor), self.store.grid.x_step / 1000
        kelvin = [band.kelvin(decode(encode(plane))) for plane in planes]
        cold = pd.Series([-coldest_kelvin(plane, km) for plane in kelvin], dtype=float)
        spiral = pd.Series([spirality(plane, km) for plane in kelvin], dtype=float)
        return EASIEST + cold.rank(pct=True).to_numpy() + spiral.rank(pct=True).to_numpy()

    def _is_seen(self, newest: Float[np.ndarray, "C S S"]) -> bool:
        """Whether the tile in the middle of a sample, and the middle itself, was seen."""
        processor = self.store.processor
        start, middle = (len(newest[0]) - processor.tile_size) // 2, len(newest[0]) // 2
        tile = newest[:, start:, start:][:, : processor.tile_size, : processor.tile_size]
        near = newest[:, middle - 1 : middle + 1, middle - 1 : middle + 1]
        is_there = is_present(np.isfinite(tile), share=share_of_a_frame(processor))
        return is_there and bool(np.isfinite(near).any())

    def _cut(self, planes: Sequence[Grid], plan: ClipPlan) -> Float[np.ndarray, "P T C S S"]:
        """Stretched pixels of planes in all slots, NaN where there is no frame."""
        processor = self.store.processor.for_sensor(self.scene.attrs["sensor"])
        sampler = PlaneSampler(
            self._grid, planes, sub_satellite_longitude=self._longitude, threads=THREADS
        )
        size, bands = planes[0].width, len(processor.bands)
        pixels = np.full((len(planes), len(plan.rows), bands, size, size), np.nan, np.float32)
        for slot, row in enumerate(plan.rows):
            if row is not None:
                pixels[:, slot] = plane_bands(self._frame(row), sampler, processor)
        return pixels

    def _sample(
        self,
        end: pd.Timestamp,
        place: SamplePlace,
        plane: Grid,
        stretched: Float[np.ndarray, "T C S S"],
        storms: pd.DataFrame,
    ) -> PlaneSample:
        own = storms.loc[storms["track_id"] == place.storm]
        told = own[[*STRENGTH, "gap_hours"]].iloc[0].to_dict() if place.storm else {}
        where = place.storm or f"{place.lat:+.2f} {place.lon:+.2f}"
        distance = great_circle_km(place.lon, place.lat, storms["lon"], storms["lat"])
        middle = (plane.width - 1) / 2
        return PlaneSample(
            name=f"{self.origin} {end:%Y-%m-%dT%H:%M} {where}",
            stretched=stretched,
            end=end,
            lon=place.lon,
            lat=place.lat,
            sensor=str(self.scene.attrs["sensor"]),
            dataset=self.origin,
            source=self.source,
            storm=place.storm,
            centre=Spot(middle, middle) if place.storm else None,
            other=nearest_spot(plane, storms.loc[storms["track_id"] != place.storm]),
            storm_distance_km=float(distance.min()) if len(storms) else np.nan,
            weight=place.weight,
            **told,
        )

    def _frame(self, row: int | None) -> "xr.Dataset":
        """A frame in memory, each read once for as long as slots ask for it."""
        assert row is not None  # plans end with a frame
        if row not in self._frames:
            for old in sorted(self._frames)[: -self.store.processor.num_frames]:
                del self._frames[old]
            self._frames[row] = self.scene.isel(time=row).compute(scheduler="synchronous")
        return self._frames[row]

    @cached_property
    def _frames(self) -> dict[int, "xr.Dataset"]:
        return {}

    @cached_property
    def _storms(self) -> KnownStorms:
        if self.store.tracks is None:
            raise ConfigurationError(
                f"{self.store.path} has no tracks, which say where storms are and where none is; "
                "give them with --tracks"
            )
        return KnownStorms(tracks=self.store.tracks, max_gap_hours=self.settings.max_gap_hours)

    @cached_property
    def _grid(self) -> Grid:
        return scene_grid(self.scene)

    @property
    def _longitude(self) -> float | None:
        longitude = float(self.scene.attrs["sub_satellite_longitude"])
        return None if np.isnan(longitude) else longitude

    @cached_property
    def _planes(self) -> LocalPlanes:
        return LocalPlanes(
            self._grid,
            self.store.processor,
            sub_satellite_longitude=self._longitude,
            threads=THREADS,
        )


def nearest_spot(plane: Grid, storms: pd.DataFrame) -> Spot | None:
    """The storm nearest to the middle of a plane, if it is in it."""
    x, y = plane.lonlat_to_pixel(storms["lon"].to_numpy(), storms["lat"].to_numpy())
    middle = (plane.width - 1) / 2
    away = np.where(plane.contains(x, y), np.hypot(x - middle, y - middle), np.inf)
    if not np.isfinite(away).any():
        return None
    nearest = int(np.argmin(away))
    return Spot(*(float(place) for place in np.stack([x, y])[:, nearest]))


def drawn_by_hardness(
    hardness: Float[np.ndarray, " n"], count: int, draw: np.random.Generator
) -> tuple[Int[np.ndarray, " drawn"], Float[np.ndarray, " drawn"]]:
    """At most ``count`` numbers, each with a chance in proportion to its hardness, and its inverse.

    By systematic sampling (Madow 1949), which gives every number just the chance it should have.
    """
    chance = _chances(hardness, count)
    marks = draw.random() + np.arange(round(chance.sum()))
    numbers = np.searchsorted(np.cumsum(chance), marks, side="right")
    numbers = numbers[numbers < len(chance)]
    return numbers, 1 / chance[numbers]


def _chances(hardness: Float[np.ndarray, " n"], count: int) -> Float[np.ndarray, " n"]:
    """In proportion to hardness, 1 at most, so many in all."""
    sure = np.full(len(hardness), len(hardness) <= count)
    chance = sure.astype(float)
    while not sure.all():
        rest = ~sure
        chance[rest] = (count - sure.sum()) * hardness[rest] / hardness[rest].sum()
        if (chance[rest] <= 1).all():
            break
        sure |= chance > 1
        chance[sure] = 1
    return chance
