"""The weather of a grid: any frame from the seed alone, without the frames before it.

Smooth fields are computed on a mesh of about 25 km every half-hour and interpolated, by cubic
convolution in space and linearly in time; cloud textures, storms and cells are drawn on every
pixel.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.ndimage import correlate1d, distance_transform_edt, map_coordinates
from scipy.sparse import csr_array

from medicane_models.domain import Grid
from medicane_models.errors import ConfigurationError
from medicane_models.maps.coastlines import land_mask
from medicane_models.simulation import vortex
from medicane_models.simulation.cells import Cells
from medicane_models.simulation.climate import ClimateColumn, column, land_kelvin
from medicane_models.simulation.noise import CELL_KM, EvolvingField, fractal, generator, lookup
from medicane_models.simulation.plane import KM_PER_DEGREE, hours_since_epoch, plane_km, winter
from medicane_models.simulation.radiances import brightness
from medicane_models.simulation.sky import Field, Sky
from medicane_models.simulation.storms import Storm
from medicane_models.simulation.winds import AIR_LAG_H, PHASE_H, WindField

__all__ = ["Weather"]

MESH_KM = 24.0
TEXTURE_CELLS, TEXTURE_KM = 1024, 2.5
LOW_WIND = 0.4  # of the wind aloft

Mesh = Float[np.ndarray, "*layer m n"]
Near = list[tuple[Storm, float, vortex.Around]]


class Weather:
    """Brightness temperatures of a grid at any time."""

    def __init__(self, grid: Grid, storms: Sequence[Storm], *, seed: int) -> None:
        self.grid, self.storms, self.seed = grid, storms, seed
        self.upsampling = _Upsampling(grid)
        self.lon, self.lat = self.upsampling.lon, self.upsampling.lat
        self.poleward = 1 if self.lat.mean() >= 0 else -1
        self.mesh = plane_km(self.lon, self.lat)
        self.land = land_mask(grid)
        self.flow = WindField(self.mesh, storms, seed=seed)
        self.cells = Cells(grid, self.land, self.flow, storms, poleward=self.poleward, seed=seed)
        self.air_origin = _evolving(seed, "air mass", largest_km=2200, slope=2.6, lifetime_h=70)
        self.moisture = _evolving(seed, "moisture", largest_km=1500, slope=2.3, lifetime_h=60)
        self.ascent = _evolving(
            seed, "ascent", largest_km=1300, slope=2.6, lifetime_h=40, speed_km_h=18
        )
        self.boundary = _evolving(
            seed, "boundary layer", largest_km=1200, slope=2.0, lifetime_h=30, speed_km_h=12
        )
        self.streaks, self.lumps = _textures(seed)
        self.position = self.upsampling.fine(self.mesh)
        self.terrain = self._terrain()
        self.layers = lru_cache(4)(self._layers)
        self.column = lru_cache(4)(self._column)

    def frame(self, time: pd.Timestamp) -> Float[np.ndarray, "channel y x"]:
        """Kelvin in the order of CHANNELS, without noise; NaN beside the Earth."""
        hour = hours_since_epoch(time)
        air = self.column(int(hour // 6))
        ground = np.where(self.land, self._ground(hour), air.sea)
        frame = brightness(self.sky(time), air, ground)
        if self.upsampling.off_disk is not None:
            frame[:, self.upsampling.off_disk] = np.nan
        return frame

    def sky(self, time: pd.Timestamp) -> Sky:
        """The layers that the channels look through."""
        hour = hours_since_epoch(time)
        near = self._near(time)
        sky = self._background(hour, *self._texture(hour, near))
        cells = self.cells.alive(hour)
        vortex.draw_cells(cells, hour, self.grid, sky, poleward=self.poleward)
        for storm, age_h, window in near:
            vortex.paint_storm(storm, age_h, window, sky)
        return sky

    def _near(self, time: pd.Timestamp) -> Near:
        """Storms, their age and the strips of the grid where they are felt."""
        alive = [(storm, storm.age_h(time)) for storm in self.storms]
        return [
            (storm, age_h, window)
            for storm, age_h in alive
            if storm.intensity(age_h) > 0
            for window in vortex.around(storm, age_h, self.grid)
        ]

    def _background(self, hour: float, streaks: Field, lumps: Field) -> Sky:
        """The weather without storms and cells."""
        airmass, moisture, high, middle, low = self.upsampling.fine(self._between(hour))
        front = np.exp(-(((airmass - 0.1) / 0.3) ** 2))
        high += front
        middle += 0.6 * front
        return Sky(
            airmass=airmass,
            moisture=moisture,
            high=high,
            middle=middle,
            low=low,
            shield=np.zeros_like(high),
            shield_top=np.full_like(high, 0.7),
            cells=np.zeros_like(high),
            streaks=streaks,
            lumps=lumps,
        )

    def _between(self, hour: float) -> Mesh:
        knot, share = divmod(2 * hour, 1)
        before, after = self.layers(int(knot)), self.layers(int(knot) + 1)
        return before + np.float32(share) * (after - before)

    def _layers(self, half_hour: int) -> Float[np.ndarray, "layer m n"]:
        """Air mass, moisture and the potentials of high, middle and low cloud, on the mesh."""
        hour = half_hour / 2
        departure = self.flow.knot(half_hour).departure
        origin = _sample(self.air_origin.at(hour - AIR_LAG_H), departure)
        moist = _sample(self.moisture.at(hour - AIR_LAG_H), departure)
        ascent = _sample(self.ascent.at(hour), self.mesh)
        below = _sample(self.boundary.at(hour), self.mesh)
        cold = winter(hour, southern=self.poleward < 0)
        axis = KM_PER_DEGREE * (46 - 6 * cold)
        airmass = (departure[1] - axis) / 900 + 0.7 * origin
        moisture = 0.9 * moist + 0.25 * ascent
        high = -2.65 + 1.6 * cold + 1.1 * moisture + (1.0 + 0.3 * cold) * ascent
        middle = -1.9 + 2.6 * cold + 0.5 * moisture + 0.7 * ascent + 0.35 * below
        low = -1.4 + 1.3 * cold + 0.9 * below + 0.35 * np.clip(airmass, -1, 2)
        return _smooth(np.stack([airmass, moisture, high, middle, low]).astype(np.float32))

    def _texture(self, hour: float, near: Near) -> tuple[Field, Field]:
        """Textures of high and low clouds, carried by the wind and turned by storms.

        Two phases, renewed in turn and faded by sine and cosine, keep the variance.
        """
        newest = hour // PHASE_H * PHASE_H
        streaks = np.zeros((self.grid.height, self.grid.width), np.float32)
        lumps = np.zeros_like(streaks)
        for reference in (newest, newest - PHASE_H):
            age = hour - reference
            weight = np.float32(np.sin(np.pi * age / (2 * PHASE_H)))
            x, y = self.upsampling.coarse(self._carried(hour, reference))
            for storm, storm_age, window in near:
                if storm.spin_h < vortex.FLOW_TURN_H:
                    east, north = vortex.twist(storm, storm_age, age, window)
                    x[window.rows, window.columns] += east
                    y[window.rows, window.columns] += north
            shift = np.float32(7919 * (reference / PHASE_H) % (TEXTURE_CELLS * TEXTURE_KM))
            streaks += weight * lookup(self.streaks, x + shift, y, TEXTURE_KM)
            x += (LOW_WIND - 1) * (x - self.position[0]) + shift
            y += (LOW_WIND - 1) * (y - self.position[1])
            lumps += weight * lookup(self.lumps, x, y, TEXTURE_KM)
        return streaks, lumps

    def _carried(self, hour: float, reference: float) -> Float[np.ndarray, "2 m n"]:
        """Where the air of the wide mesh was at the reference hour."""
        knot, share = divmod(2 * hour, 1)
        before, after = self.flow.knot(int(knot)), self.flow.knot(int(knot) + 1)
        lag = int(knot - 2 * reference)
        former, later = before.recent[lag], after.recent[lag + 1]
        return former + np.float32(share) * (later - former)

    def _column(self, quarter: int) -> ClimateColumn:
        """The climate of a quarter of a day, on every pixel."""
        air = column(self.lat, quarter * 6.0)
        return ClimateColumn(
            **{name: self.upsampling.coarse(v[::2, ::2]) for name, v in vars(air).items()}
        )

    def _ground(self, hour: float) -> Field:
        """Kelvin of land, with its hills."""
        land = land_kelvin(self.lon[::2, ::2], self.lat[::2, ::2], hour)
        return self.upsampling.coarse(land) - self.terrain

    def _terrain(self) -> Field:
        """Kelvin that hills are colder; no real heights, only the same hills in every frame."""
        hills = lookup(self.lumps, self.position[0], self.position[1], TEXTURE_KM)
        ranges = lookup(self.streaks, 0.2 * self.position[0], 0.2 * self.position[1], TEXTURE_KM)
        return (1.2 * hills + 3.0 * np.abs(ranges)).astype(np.float32)


def _evolving(seed: int, name: str, **settings: float) -> EvolvingField:
    return EvolvingField(generator(seed, name), **settings)


@lru_cache(2)
def _textures(seed: int) -> tuple[Field, Field]:
    """Streaks of ice clouds, with a wide range of scales, and lumps of cumulus."""
    size = {"cells": TEXTURE_CELLS, "cell_km": TEXTURE_KM}
    streaks = fractal(generator(seed, "streaks"), largest_km=600, smallest_km=9, slope=1.4, **size)
    lumps = fractal(generator(seed, "lumps"), largest_km=200, smallest_km=9, slope=1.3, **size)
    return streaks, lumps


def _sample(plane: Float[np.ndarray, "k k"], points: Float[np.ndarray, "2 m n"]) -> Mesh:
    return map_coordinates(plane, points[::-1] / CELL_KM, order=1, mode="grid-wrap")


def _smooth(mesh: Mesh) -> Mesh:
    """Without the steps that stirring makes between mesh points."""
    for axis in (-2, -1):
        mesh = correlate1d(mesh, np.array([0.25, 0.5, 0.25]), axis=axis, mode="nearest")
    return mesh


class _Upsampling:
    """From a mesh to all pixels of a grid by cubic convolution."""

    def __init__(self, grid: Grid) -> None:
        sizes = np.stack(grid.pixel_size_km(*grid.outline()))
        if np.isnan(sizes).all():
            raise ConfigurationError(
                f"the grid shows nothing of the Earth ({grid}); choose another"
            )
        across, down = np.nanmedian(sizes, axis=1).tolist()
        x, y = _knots(grid.width, MESH_KM / across), _knots(grid.height, MESH_KM / down)
        lon, lat = grid.pixel_to_lonlat(*np.meshgrid(x, y))
        self.lon, self.lat = _extended(np.stack([lon, lat]))
        self.off_disk = None if np.isfinite(lon).all() else _off_disk(grid)
        self.every = _cubic(len(y), grid.height), _cubic(len(x), grid.width)
        self.second = _cubic(len(y[::2]), grid.height), _cubic(len(x[::2]), grid.width)

    def fine(self, mesh: Mesh) -> Float[np.ndarray, "*layer y x"]:
        """From every mesh point."""
        return _upsampled(mesh, *self.every)

    def coarse(self, mesh: Mesh) -> Float[np.ndarray, "*layer y x"]:
        """From every second mesh point."""
        return _upsampled(mesh, *self.second)


def _extended(lonlat: Float[np.ndarray, "2 m n"]) -> Float[np.ndarray, "2 m n"]:
    """Beyond the limb of the Earth the values of the nearest mesh point that is on it."""
    unseen = ~np.isfinite(lonlat[0])
    _, nearest = distance_transform_edt(unseen, return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    return lonlat[:, *nearest]


def _off_disk(grid: Grid) -> Bool[np.ndarray, "y x"]:
    """Pixels that do not show the Earth."""
    pixels = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    return ~np.isfinite(grid.pixel_to_lonlat(*pixels)[0])


def _knots(size: int, step: float) -> Float[np.ndarray, " m"]:
    """An odd number of mesh points, at least seven, from the first pixel to the last."""
    return np.linspace(0, size - 1, max(2 * round(size / step / 2) + 1, 7))


def _cubic(knots: int, size: int) -> csr_array:
    """Weights (size, knots) of cubic convolution with a = -1/2 (Keys 1981, IEEE ASSP-29, 1153)."""
    position = np.linspace(0, knots - 1, size)
    first = np.clip(np.floor(position).astype(int), 0, knots - 2)
    t = position - first
    weights = [
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    ]
    columns = np.clip(first + np.arange(-1, 3)[:, None], 0, knots - 1)
    rows = np.broadcast_to(np.arange(size), columns.shape)
    values = np.stack(weights).astype(np.float32)
    return csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=(size, knots))


def _upsampled(mesh: Mesh, rows: csr_array, columns: csr_array) -> Float[np.ndarray, "*layer y x"]:
    """Products with sparse matrices, which unlike dense ones need no threads to be fast."""
    if mesh.ndim == 3:
        return np.stack([_upsampled(layer, rows, columns) for layer in mesh])
    wide = np.ascontiguousarray((columns @ mesh.T.astype(np.float32)).T)
    return rows @ wide
