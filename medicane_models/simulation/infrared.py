"""Infrared-window scenes with cyclones anywhere on Earth, and cyclones laid into real scenes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from scipy import ndimage

from medicane_models.domain import Grid
from medicane_models.domain.projections import geostationary_crs
from medicane_models.scenes.opening import open_scene
from medicane_models.simulation.backdrops import Backdrop, WeatherMix, draw_mix
from medicane_models.simulation.cyclone_clouds import CycloneClouds
from medicane_models.simulation.cyclone_draws import draw_cyclone
from medicane_models.simulation.cyclones import Cyclone, CycloneKind
from medicane_models.simulation.places import Locality
from medicane_models.simulation.qualities import PictureQuality
from medicane_models.simulation.scene import lazy_frames, scene_coordinates, times_at_cadence
from medicane_models.simulation.sky import Field
from medicane_models.times import Instant, utc

__all__ = ["InfraredScene", "cyclone_table", "himawari_box", "lay_over", "simulate_infrared"]

COLUMNS = (
    *("track_id", "time", "lon", "lat", "kind"),
    *("wind_kt", "radius_km", "eye_km", "shear_km"),
)
TRACK_INTENSITY = 0.15  # below it a cyclone has no track: nobody could see it
AHI_LONGITUDE, AHI_STEP_M = 140.7, 4000.0
BLOCK_PIXELS = 24  # within so many some pixel of a real scene is thought to be clear


@dataclass(frozen=True, kw_only=True, eq=False)
class InfraredScene:
    """Simulated weather of a place with cyclones in it; any hour stands alone.

    Attributes:
        place: where.
        mix: the weather around.
        cyclones: and what looks like them.
        seed: of the weather's textures.
    """

    place: Locality
    mix: WeatherMix
    cyclones: Sequence[Cyclone]
    seed: int

    def at(self, time: pd.Timestamp) -> Field:
        """Kelvin as a faultless imager sees it."""
        hour = self.place.hour(time)
        clear = self._backdrop.clear(hour)
        kelvin = self._backdrop.kelvin(hour, clear)
        for clouds in self._clouds:
            clouds.lay(kelvin, clear, hour)
        return self._backdrop.seen(kelvin)

    @cached_property
    def _backdrop(self) -> Backdrop:
        return Backdrop(self.place, self.mix, seed=self.seed)

    @cached_property
    def _clouds(self) -> list[CycloneClouds]:
        return [CycloneClouds(cyclone=one, place=self.place) for one in self.cyclones]


def lay_over(
    kelvin: Field, place: Locality, cyclones: Sequence[Cyclone], time: pd.Timestamp
) -> Field:
    """Cyclones in a real scene: clouds where they are colder, clear where they clear.

    Args:
        kelvin: of the scene; what is NaN stays so.
        place: that it shows.
        cyclones: to be laid over it.
        time: of the scene, as far as the cyclones are concerned.
    """
    laid, clear = kelvin.copy(), _clear_of(kelvin)
    for cyclone in cyclones:
        CycloneClouds(cyclone=cyclone, place=place).lay(laid, clear, place.hour(time))
    return laid


def _clear_of(kelvin: Field) -> Field:
    """About what a scene would be without clouds: the warmest pixels around."""
    unseen = np.isnan(kelvin)
    warmest = ndimage.maximum_filter(np.where(unseen, 0.0, kelvin), BLOCK_PIXELS, mode="nearest")
    warmest = np.where(warmest > 0, warmest, np.nanmax(kelvin, initial=0.0))
    smooth = ndimage.uniform_filter(warmest, 2 * BLOCK_PIXELS, mode="nearest")
    return np.maximum(np.where(unseen, np.nan, kelvin), smooth - 1)


def simulate_infrared(
    *,
    start: Instant = "2021-02-10 00:00",
    hours: float = 24.0,
    cyclones: Sequence[Cyclone] | None = None,
    grid: Grid | None = None,
    quality: PictureQuality | None = None,
    cadence_minutes: float = 60.0,
    seed: int = 0,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Simulate the infrared window; frames are computed when they are read.

    Args:
        start: time of the first frame, UTC.
        hours: from the first frame to the last.
        cyclones: in the weather; None takes one with an eye, in the middle of the grid half-way
            through the scene.
        grid: pixels to simulate; None takes a box off Australia as AHI sees it.
        quality: of the pictures; None takes that of a new imager.
        cadence_minutes: from a frame to the next.
        seed: the same seed gives the same scene.

    Returns:
        The scene in the form of ``open_scene``, with IR_108, and the true tracks of its cyclones:
        track_id, time, lon, lat, kind, wind_kt, radius_km, eye_km, shear_km.
    """
    grid = grid or himawari_box()
    times = times_at_cadence(start, hours, cadence_minutes)
    middle, centre = utc(times.to_list()[len(times) // 2]), _middle_of(grid)
    if cyclones is None:
        drawn = draw_cyclone(middle, seed=seed, kind=CycloneKind.EYE)
        cyclones = [replace(drawn, lon=centre[0], lat=centre[1])]
    scene = InfraredScene(
        place=Locality(grid=grid, centre=centre, time=middle),
        mix=draw_mix(abs(centre[1]), seed=seed),
        cyclones=cyclones,
        seed=seed,
    )
    frames = _Recorded(scene, quality or PictureQuality(), seed)
    pixels = lazy_frames(frames, times)
    variable = (("time", "y", "x"), pixels[:, 0], {"units": "K", "grid_mapping": "crs"})
    coordinates, attributes = scene_coordinates(times, grid, seed, sensor="ahi")
    simulated = open_scene(xr.Dataset({"IR_108": variable}, coordinates, attributes))
    return simulated, cyclone_table(cyclones, times)


class _Recorded:
    """Frames of a scene as an imager records them."""

    def __init__(self, scene: InfraredScene, quality: PictureQuality, seed: int) -> None:
        grid = scene.place.grid
        self.scene, self.quality, self.seed = scene, quality, seed
        self.shape = (1, grid.height, grid.width)
        self.km = float(np.nanmedian(np.stack(grid.pixel_size_km(*grid.outline()))))

    def at(self, time: pd.Timestamp) -> Float[np.ndarray, "1 y x"]:
        """Kelvin; NaN where lines are missing."""
        minute = int(time.timestamp() // 60)
        kelvin = self.scene.at(time)
        return self.quality.record(kelvin, grid_km=self.km, seed=self.seed, frame=minute)[None]


def himawari_box(lon: float = 125.0, lat: float = -17.0, *, size: int = 512) -> Grid:
    """A square of AHI's pixels of 4 km around a point in degrees."""
    step = AHI_STEP_M
    disk = Grid(
        crs=geostationary_crs(AHI_LONGITUDE),
        width=2750,
        height=2750,
        x_origin=-1374.5 * step,
        y_origin=1374.5 * step,
        x_step=step,
        y_step=-step,
    )
    x, y = (round(float(v)) - size // 2 for v in disk.lonlat_to_pixel(lon, lat))
    return disk.window(x, y, size, size)


def _middle_of(grid: Grid) -> tuple[float, float]:
    lon, lat = grid.pixel_to_lonlat((grid.width - 1) / 2, (grid.height - 1) / 2)
    return float(lon), float(lat)


def cyclone_table(cyclones: Sequence[Cyclone], times: pd.DatetimeIndex) -> pd.DataFrame:
    """Where cyclones are while they are strong enough to be seen; look-alikes are left out."""
    rows = [
        (
            *(f"{one.kind}-{number}", time, *one.centre(one.age_h(time)), str(one.kind)),
            *(round(one.wind_at(one.age_h(time)), 1), one.radius_km, one.eye_km, one.shear_km),
        )
        for number, one in enumerate(cyclones)
        for time in times
        if one.is_cyclone and one.intensity(one.age_h(time)) >= TRACK_INTENSITY
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
