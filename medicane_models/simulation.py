"""A simulated SEVIRI scene with one medicane whose centre is known at every frame.

First form: a steady flow carries self-similar cloud and humidity fields over land and sea; into
them a vortex of logarithmic spiral bands with an eye grows, drifts eastwards and decays. It is for
trying the tools without satellite files; no score on it says anything about real storms.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from medicane_models.coastlines import land_mask
from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.scenes import open_scene
from medicane_models.times import utc

__all__ = ["CHANNELS", "Medicane", "simulate_scene"]

CHANNELS = ("WV_062", "WV_073", "IR_097", "IR_108")
NOISE_KELVIN = 0.15  # radiometric noise, as SEVIRI's at 300 K
TROPOPAUSE_KELVIN = 213.0
Field = Float[np.ndarray, "y x"]


@dataclass(frozen=True, kw_only=True)
class Medicane:
    """A vortex with a life cycle.

    Attributes:
        lon: longitude of its centre half-way through the scene, degrees.
        lat: latitude of its centre half-way through the scene, degrees.
        radius_km: where the cloud shield has faded to 1/e.
        eye_km: radius of the eye.
        speed_km_h: eastward drift.
        spin_h: hours of one turn of the cloud bands.
    """

    lon: float = 18.5
    lat: float = 36.5
    radius_km: float = 170.0
    eye_km: float = 22.0
    speed_km_h: float = 18.0
    spin_h: float = 7.0

    def centre(self, hours_from_middle: float) -> tuple[float, float]:
        """Longitude and latitude of the centre, on a slightly curved path."""
        east_km = self.speed_km_h * hours_from_middle
        lat = self.lat + 0.3 * np.sin(hours_from_middle / 8)
        return self.lon + east_km / (111.195 * np.cos(np.radians(self.lat))), float(lat)


def simulate_scene(
    *,
    start: str | datetime = "2021-10-29 00:00",
    hours: float = 6.0,
    medicane: Medicane | None = None,
    grid: Grid = MEDITERRANEAN,
    cadence_minutes: float = 5.0,
    seed: int = 0,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Simulate brightness temperatures of four channels; frames are computed when they are read.

    Args:
        start: time of the first frame, UTC.
        hours: from the first frame to the last.
        medicane: the vortex; None takes the default one.
        grid: pixels to simulate.
        cadence_minutes: from a frame to the next.
        seed: the same seed gives the same scene.

    Returns:
        The scene in the form of ``open_scene``, and its true track: track_id, time, lon, lat.
    """
    count = round(hours * 60 / cadence_minutes) + 1
    index = pd.date_range(utc(start), periods=count, freq=timedelta(minutes=cadence_minutes))
    times: list[pd.Timestamp] = index.to_list()
    weather = _Weather(grid, medicane or Medicane(), middle=times[count // 2], seed=seed)
    frames = da.map_blocks(
        lambda block: weather.frame(times[block[0]])[None],
        da.from_array(np.arange(count), chunks=1),
        new_axis=[1, 2, 3],
        chunks=((1,) * count, len(CHANNELS), grid.height, grid.width),
        dtype=np.float32,
        meta=np.empty((0, 0, 0, 0), np.float32),
    )  # time channel y x
    truth = pd.DataFrame([weather.centre(time) for time in times], columns=["lon", "lat"])
    truth.insert(0, "time", times)
    truth.insert(0, "track_id", "simulated")
    return _scene(frames, index, grid, seed), truth


def _scene(frames: da.Array, times: pd.DatetimeIndex, grid: Grid, seed: int) -> xr.Dataset:
    scene = xr.Dataset(
        {
            name: (
                ("time", "y", "x"),
                frames[:, index],
                {"units": "K", "grid_mapping": "crs"},
            )
            for index, name in enumerate(CHANNELS)
        },
        coords={
            "time": times,
            "y": ("y", grid.y, {"units": "m", "standard_name": "projection_y_coordinate"}),
            "x": ("x", grid.x, {"units": "m", "standard_name": "projection_x_coordinate"}),
            "crs": ((), 0, grid.cf_attributes()),
        },
        attrs={
            "platform": "simulated",
            "sensor": "seviri",
            "sub_satellite_longitude": grid.sub_satellite_longitude,
            "time_convention": "end_of_scan",
            "source": f"medicane_models.simulation, seed {seed}",
        },
    )
    return open_scene(scene)


class _Weather:
    """The state that all frames of a scene share."""

    def __init__(self, grid: Grid, medicane: Medicane, *, middle: pd.Timestamp, seed: int) -> None:
        self.grid, self.medicane, self.middle, self.seed = grid, medicane, middle, seed
        random = np.random.default_rng(seed)
        shape = (grid.height, grid.width)
        self.cloud = _self_similar(random, shape, slope=1.7)
        self.humidity = _self_similar(random, shape, slope=2.2)
        self.columns, self.rows = np.meshgrid(
            np.arange(grid.width, dtype=np.float32), np.arange(grid.height, dtype=np.float32)
        )
        self.land = land_mask(grid)
        _, self.latitude = grid.pixel_to_lonlat(self.columns, self.rows)

    def hours(self, time: pd.Timestamp) -> float:
        return (time - self.middle) / timedelta(hours=1)

    def centre(self, time: pd.Timestamp) -> tuple[float, float]:
        return self.medicane.centre(self.hours(time))

    def frame(self, time: pd.Timestamp) -> Float[np.ndarray, "channel y x"]:
        """Brightness temperatures in kelvin, in the order of CHANNELS."""
        hours = self.hours(time)
        moisture = self._advect(self.humidity, hours, speed_px_h=14.0)
        opacity, height = self._cloud(hours)
        shield, eye = self._vortex(hours)
        opacity = np.maximum(opacity * (1 - eye), shield)
        height = np.maximum(height * (1 - eye), shield)
        surface = self._surface(time)
        top = surface - (surface - TROPOPAUSE_KELVIN) * height
        clear = {
            "WV_062": 241.0 - 9.0 * moisture,
            "WV_073": 258.0 - 10.0 * moisture,
            "IR_097": 0.62 * surface + 0.38 * 222.0,
            "IR_108": surface - 2.5 * (1 + moisture),
        }
        noise = np.random.default_rng((self.seed, int(time.timestamp())))
        return np.stack(
            [
                _under_cloud(clear[name], top, opacity, ozone=name == "IR_097")
                + noise.normal(0, NOISE_KELVIN, opacity.shape)
                for name in CHANNELS
            ]
        ).astype(np.float32)

    def _cloud(self, hours: float) -> tuple[Field, Field]:
        """Opacity and height (1 at the tropopause) of the clouds that the flow carries."""
        field = self._advect(self.cloud, hours, speed_px_h=9.0)
        return np.clip(1.6 * (field - 0.2), 0, 1), np.clip(0.15 + 0.33 * field, 0, 0.9)

    def _surface(self, time: pd.Timestamp) -> Field:
        """Sea colder in the north; land follows the sun."""
        sea = 296.0 - 0.45 * (self.latitude - 30.0)
        solar = np.cos((time.hour + time.minute / 60 - 13) / 12 * np.pi)
        return np.where(self.land, sea - 2.0 + 9.0 * solar, sea)

    def _vortex(self, hours: float) -> tuple[Field, Field]:
        """Opacity of the spiral cloud shield, and the share of other clouds it displaces."""
        storm = self.medicane
        lon, lat = storm.centre(hours)
        x, y = self.grid.lonlat_to_pixel(lon, lat)
        per_pixel = np.asarray(self.grid.jacobian_km(x, y))
        offset = np.stack([self.columns - x, self.rows - y])
        east, north = np.einsum("ij,jyx->iyx", per_pixel, offset)
        radius = np.hypot(east, north) + 1e-6
        turn = np.arctan2(north, east) - 2 * np.pi * hours / storm.spin_h
        bands = 0.5 + 0.5 * np.cos(2 * (turn + 1.8 * np.log(radius / storm.radius_km)))
        strength = np.exp(-((hours / 18) ** 2))
        envelope = strength * np.exp(-((radius / storm.radius_km) ** 2))
        outside_eye = 1 - np.exp(-((radius / storm.eye_km) ** 4))
        cloud = envelope * (0.35 + 0.65 * bands) ** 0.5 * outside_eye
        return np.clip(1.15 * cloud, 0, 1), envelope**0.5

    def _advect(self, field: Field, hours: float, *, speed_px_h: float) -> Field:
        """Carry a periodic field eastwards, faster in the north."""
        shear = 1 + 0.4 * (0.5 - self.rows / self.grid.height)
        return map_coordinates(
            field, [self.rows, self.columns - speed_px_h * hours * shear], order=1, mode="grid-wrap"
        )


def _under_cloud(clear: Field, top: Field, opacity: Field, *, ozone: bool) -> Field:
    """What a channel sees: clouds count only where they are colder than its clear sky."""
    cloud = top - 3.0 if ozone else top
    return clear + opacity * np.minimum(cloud - clear, 0)


def _self_similar(random: np.random.Generator, shape: tuple[int, int], *, slope: float) -> Field:
    """A periodic Gaussian field of unit variance with amplitudes falling as wave number^-slope."""
    ky, kx = np.meshgrid(
        np.fft.fftfreq(shape[0]) * shape[0], np.fft.rfftfreq(shape[1]) * shape[0], indexing="ij"
    )
    wave_number = np.hypot(ky, kx)
    wave_number[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.normal(size=shape)) * np.maximum(wave_number, 3.0) ** -slope
    field = np.fft.irfft2(spectrum, s=shape)
    return (field / field.std()).astype(np.float32)
