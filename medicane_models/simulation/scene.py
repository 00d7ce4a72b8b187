"""Simulated scenes in the form of ``open_scene``, and the truth beside them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.errors import ConfigurationError
from medicane_models.scenes.opening import open_scene
from medicane_models.simulation.instrument import Instrument, Recorder
from medicane_models.simulation.radiances import CHANNELS
from medicane_models.simulation.storms import Storm, StormKind, draw_storm, storm_table
from medicane_models.simulation.weather import Weather
from medicane_models.times import Instant, utc

__all__ = [
    "Frames",
    "RecordedFrames",
    "lazy_frames",
    "medicanes",
    "scene_coordinates",
    "simulate_scene",
    "times_at_cadence",
]


def simulate_scene(
    *,
    start: Instant = "2021-10-29 00:00",
    hours: float = 6.0,
    storms: Sequence[Storm] | None = None,
    instrument: Instrument | None = None,
    grid: Grid = MEDITERRANEAN,
    cadence_minutes: float = 5.0,
    seed: int = 0,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Simulate brightness temperatures of four channels; frames are computed when they are read.

    Args:
        start: time of the first frame, UTC.
        hours: from the first frame to the last.
        storms: what is in the weather, such as ``draw_storms`` returns; None takes one medicane
            at its height half-way through the scene.
        instrument: noise and gaps; None takes the default ones.
        grid: pixels to simulate.
        cadence_minutes: from a frame to the next.
        seed: the same seed gives the same scene.

    Returns:
        The scene in the form of ``open_scene``, and the true tracks of its medicanes: track_id,
        time, lon, lat, kind, phase, intensity, radius_km, eye_km, shear.
    """
    times = times_at_cadence(start, hours, cadence_minutes)
    if storms is None:
        middle = times[len(times) // 2]
        storms = [draw_storm(StormKind.MEDICANE, grid=grid, middle=middle, seed=seed)]
    frames = Frames(grid, storms, instrument or Instrument(), seed=seed)
    pixels = lazy_frames(frames, times)
    variables = {
        name: (("time", "y", "x"), pixels[:, index], {"units": "K", "grid_mapping": "crs"})
        for index, name in enumerate(CHANNELS)
    }
    coordinates, attributes = scene_coordinates(times, grid, seed)
    scene = open_scene(xr.Dataset(variables, coordinates, attributes))
    return scene, storm_table(medicanes(storms), times)


@runtime_checkable
class RecordedFrames(Protocol):
    """Frames that can be asked for at any time."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        ...

    def at(self, time: pd.Timestamp) -> Float[np.ndarray, "channel y x"]:
        """Kelvin; NaN where missing."""
        ...


class Frames:
    """Frames as they are recorded: weather, noise and gaps."""

    def __init__(
        self, grid: Grid, storms: Sequence[Storm], instrument: Instrument, *, seed: int
    ) -> None:
        self.shape = (len(CHANNELS), grid.height, grid.width)
        self.weather = Weather(grid, storms, seed=seed)
        self.recorder = Recorder(instrument, values=int(np.prod(self.shape)), seed=seed)

    def at(self, time: pd.Timestamp) -> Float[np.ndarray, "channel y x"]:
        """Kelvin in the order of CHANNELS; NaN where missing."""
        minute = int(time.timestamp() // 60)
        if self.recorder.is_missing(minute):
            return np.full(self.shape, np.nan, np.float32)
        return self.recorder.record(self.weather.frame(time), minute)


def times_at_cadence(start: Instant, hours: float, cadence_minutes: float) -> pd.DatetimeIndex:
    """From the start on, at the cadence, until the hours are over."""
    if hours < 0 or cadence_minutes <= 0:
        raise ConfigurationError(
            f"hours is {hours}, give 0 or more; cadence_minutes is {cadence_minutes}, give more"
        )
    step = timedelta(minutes=cadence_minutes)
    return pd.date_range(utc(start), periods=round(hours * 60 / cadence_minutes) + 1, freq=step)


def medicanes(storms: Sequence[Storm]) -> list[Storm]:
    """Those that have a centre in the truth."""
    return [storm for storm in storms if storm.kind is StormKind.MEDICANE]


def scene_coordinates(
    times: pd.DatetimeIndex, grid: Grid, seed: int, *, sensor: str = "seviri"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Coordinates and attributes of a simulated scene."""
    name, units = ("projection_{}_coordinate", "m") if not grid.is_geographic else ("{}", "degrees")
    axes = {
        axis: (axis, getattr(grid, axis), {"units": units, "standard_name": name.format(axis)})
        for axis in "yx"
    }
    coordinates = {"time": times, **axes, "crs": ((), np.int32(0), grid.cf_attributes())}
    return coordinates, {
        "platform": "simulated",
        "sensor": sensor,
        "sub_satellite_longitude": grid.sub_satellite_longitude,
        "time_convention": "end_of_scan",
        "source": f"medicane_models.simulation, seed {seed}",
    }


def lazy_frames(frames: RecordedFrames, times: pd.DatetimeIndex) -> da.Array:
    """Frames (time, channel, y, x), each computed alone."""
    moments: list[pd.Timestamp] = times.to_list()

    def computed(block: Int[np.ndarray, "1"]) -> Float[np.ndarray, "1 channel y x"]:
        return frames.at(moments[int(block[0])])[None]

    return da.map_blocks(
        computed,
        da.from_array(np.arange(len(times)), chunks=1),  # pyright: ignore[reportArgumentType],
        new_axis=[1, 2, 3],
        chunks=((1,) * len(times), *frames.shape),
        dtype=np.float32,
        meta=np.empty((0, 0, 0, 0), np.float32),
    )
