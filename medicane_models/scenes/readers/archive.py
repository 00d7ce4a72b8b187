"""The public SEVIRI archive of Open Climate Fix: Zarr stores of scaled brightness temperatures.

Layout and scaling as openclimatefix/Satip writes them (satip/scale_to_zero_to_one.py).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
import pandas as pd
import pyproj
import xarray as xr
import yaml
import zarr
from jaxtyping import Float32, Shaped
from pyproj.exceptions import CRSError

from medicane_models.domain import Grid
from medicane_models.domain.projections import PROJ_PARAMETERS
from medicane_models.errors import MedicaneError, SceneError
from medicane_models.scenes.readers import channels
from medicane_models.scenes.readers.attributes import text_of
from medicane_models.scenes.readers.mapping import earth_crs
from medicane_models.scenes.readers.moments import ANY_YEAR, times_of
from medicane_models.scenes.readers.recording import (
    UNREADABLE,
    Axes,
    Frame,
    Recording,
    longitude_under,
    merged,
    warn_unreadable,
)
from medicane_models.scenes.readers.sizes import refuse_huge
from medicane_models.scenes.readers.stores import (
    Location,
    dimensions,
    opened_group,
    unreachable,
    values,
)

__all__ = ["is_archive", "read_archive"]

LIMITS_KELVIN = {
    "IR_039": (-64.83977, 339.15588),
    "IR_087": (63.404694, 340.26526),
    "IR_097": (2.844452, 317.86752),
    "IR_108": (199.10002, 313.2767),
    "IR_120": (-17.254883, 315.99194),
    "IR_134": (-26.29155, 274.82297),
    "WV_062": (199.57048, 249.91806),
    "WV_073": (198.95093, 286.96323),
}
"""Brightness temperatures that the archive stores as 0 and as 1."""

LOWEST_KELVIN = 100.0  # a channel whose 0 is colder than this holds 0 only where nothing was seen
INTEGER_SCALE = 1023
JPEG_XL_OFFSET = 0.075
JPEG_XL_MISSING_BELOW = 0.05
MAX_BLOCK_FRAMES = 12  # what one chunk of the public stores holds: an hour
DATA_NAMES = ("data", "stacked_eumetsat_data")
PROJ_FLAGS = {"no_defs", "over", "south", "type", "wktext"}
NO_AREA = (
    AttributeError,
    CRSError,
    KeyError,
    StopIteration,
    TypeError,
    ValueError,
    yaml.YAMLError,
)  # what goes wrong with an area that is absent or no area definition


def read_archive(locations: Sequence[Location], wanted: Sequence[str] | None) -> Recording:
    """Frames of one store or several, such as one a year or one a slot.

    Raises:
        SceneError: if none can be read, a channel is absent, or the stores differ.
    """
    recordings = []
    for location in locations:
        try:
            recordings.append(_Store(location, wanted).recording())
        except SceneError:
            raise
        except UNREADABLE as error:
            warn_unreadable(Path(location).name, error)
    if not recordings:
        raise SceneError(
            f"none of the {len(locations)} Zarr stores can be read ({Path(locations[0]).name} …)"
        )
    return merged(recordings)


def is_archive(location: Location) -> bool:
    """Whether a Zarr store has the layout of the archive; False also if it cannot be read."""
    try:
        with opened_group(location) as group:
            return "x_geostationary" in group and any(name in group for name in DATA_NAMES)
    except SceneError:
        raise
    except UNREADABLE:
        return False


class _Store:
    """One store; keeps the last block of frames, because a chunk may hold an hour of them."""

    def __init__(self, location: Location, wanted: Sequence[str] | None) -> None:
        self.location = location
        self.name = Path(location).name
        with opened_group(location) as group:
            data = _data(group)
            sizes = dict(zip(dimensions(data), data.shape, strict=True))
            refuse_huge({"data": sizes}, self.name)
            _refuse_other_sizes(group, sizes)
            names = [str(name) for name in values(group, _channel_dimension(data))]
            self.layers = self._layers(names, wanted)
            self.stored_layers = _with_mask(self.layers, names)
            self.indices = [names.index(name) for name in self.stored_layers]
            self.attributes = {**group.attrs.asdict(), **data.attrs.asdict()}
            self.axes = self._axes(group)
            self.times = _times(group, self.name)
            self.block_frames = min(data.chunks[dimensions(data).index("time")], MAX_BLOCK_FRAMES)
            self.is_offset = _is_offset(data)
        self._lock = Lock()
        self._block: tuple[int, Grid, Shaped[np.ndarray, "time layer y x"]] | None = None

    def _axes(self, group: zarr.Group) -> Axes:
        crs = _crs(self.attributes, self.name)
        x, y = (values(group, f"{axis}_geostationary") for axis in "xy")
        try:
            return Axes.from_coordinates(crs, x, y)
        except MedicaneError as error:
            raise SceneError(f"{self.name}: {error}") from error

    def _layers(self, names: list[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
        infrared = [name for name in names if name in LIMITS_KELVIN]
        return tuple(channels.found(infrared or names, wanted, self.name))

    def _text(self, name: str) -> str | None:
        return text_of({name: _attribute(self.attributes, name)}, name, file=self.name)

    def recording(self) -> Recording:
        grid = self.axes.grid
        return Recording(
            grid=grid,
            layers=self.layers,
            frames=tuple(
                Frame(time, self.name, partial(self.frame, index))
                for index, time in enumerate(self.times)
            ),
            platform=self._text("platform_name") or "unknown",
            sensor=(self._text("sensor") or "seviri").lower(),  # the layout is SEVIRI's
            sub_satellite_longitude=longitude_under(grid),
            time_convention="end_of_scan",
        )

    def frame(self, index: int, window: Grid) -> Float32[np.ndarray, "layer y x"]:
        """Brightness temperatures in kelvin."""
        first = index - index % self.block_frames
        stored = self._kept(first, window)[index - first]
        kelvin = _kelvin(self.axes.orient(stored), self.stored_layers, is_offset=self.is_offset)
        return kelvin[: len(self.layers)]

    def _kept(self, first: int, window: Grid) -> Shaped[np.ndarray, "time layer y x"]:
        if self.block_frames == 1:
            return self._read(first, window)
        with self._lock:
            if self._block is None or self._block[:2] != (first, window):
                self._block = (first, window, self._read(first, window))
            return self._block[2]

    def _read(self, first: int, window: Grid) -> Shaped[np.ndarray, "time layer y x"]:
        rows, columns = self.axes.slices(window)
        with opened_group(self.location) as group:
            data = _data(group)
            wanted = {
                "time": slice(first, min(first + self.block_frames, len(self.times))),
                _channel_dimension(data): self.indices,
                "y_geostationary": rows,
                "x_geostationary": columns,
            }
            names = dimensions(data)
            try:
                stored = np.asarray(data.oindex[tuple(wanted[name] for name in names)])
            except OSError as error:
                raise unreachable(self.location, error) from error
        return stored.transpose([names.index(name) for name in wanted])


def _refuse_other_sizes(group: zarr.Group, sizes: Mapping[str, int]) -> None:
    """Before coordinates are read, chunk by chunk."""
    for name, size in sizes.items():
        shape = cast(zarr.Array, group[name]).shape
        if shape != (size,):
            raise ValueError(f"{name} has the shape {shape}, and data {size} of it")


def _with_mask(layers: tuple[str, ...], stored: Sequence[str]) -> tuple[str, ...]:
    """The channels to read: those wanted and, last, one whose 0 tells where nothing was seen."""
    tells = [name for name in stored if LIMITS_KELVIN.get(name, (np.inf,))[0] < LOWEST_KELVIN]
    return layers if not tells or set(tells) & set(layers) else (*layers, tells[0])


def _data(group: zarr.Group) -> zarr.Array:
    return cast(zarr.Array, group[next(name for name in DATA_NAMES if name in group)])


def _channel_dimension(data: zarr.Array) -> str:
    known = {"time", "x_geostationary", "y_geostationary"}
    return next(name for name in dimensions(data) if name not in known)


def _is_offset(data: zarr.Array) -> bool:
    """Whether values are kept as v / 1.075 + 0.075, which JPEG-XL needs to tell missing ones.

    The codec whose name ends in ``with_nans`` undoes that by itself.
    """
    codecs = [str(getattr(codec, "codec_id", codec)).lower() for codec in data.compressors]
    return any("jpegxl" in codec and "nans" not in codec for codec in codecs)


def _times(group: zarr.Group, file: str) -> pd.DatetimeIndex:
    variable = xr.Variable(("time",), values(group, "time"), group["time"].attrs.asdict())
    decoded = xr.decode_cf(xr.Dataset({"time": variable}), decode_times=ANY_YEAR)
    return times_of(decoded["time"], file)


def _crs(attributes: Mapping[str, Any], file: str) -> str:
    """The projection out of pyresample's area definition, a YAML text or a mapping.

    The stores' other texts hold tags that would run code when loaded; nothing but plain values is
    accepted.
    """
    area = _attribute(attributes, "area")
    try:
        loaded = yaml.safe_load(area) if isinstance(area, str) else area
        definition = next(iter(loaded.values())) if "projection" not in loaded else loaded
        parameters = _projection(definition["projection"])
        return earth_crs(pyproj.CRS.from_user_input(parameters), f"area of {file}")
    except SceneError:
        raise
    except NO_AREA as error:
        raise SceneError(
            f'{file} does not tell its projection: its attribute "area" should be the area '
            "definition that the public archive has"
        ) from error


def _projection(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of PROJ, which passes over what it does not know and takes 0 for what lacks."""
    told = {key: value for key, value in parameters.items() if key not in PROJ_FLAGS}
    if unknown := told.keys() - PROJ_PARAMETERS - {"EPSG"}:
        raise CRSError(f"{', '.join(map(str, unknown))} is no parameter")
    needed = {"lon_0", "h", "b" if "a" in told and "rf" not in told else "lon_0"}
    if told.get("proj") == "geos" and (missing := needed - told.keys()):
        raise CRSError(f"{', '.join(missing)} is missing")
    for key, value in told.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise CRSError(f"{key} is {value!r}")
    return dict(parameters)


def _attribute(attributes: Mapping[str, Any], name: str) -> Any:
    """An attribute of the store or, where it has none, of one of its channels."""
    if name in attributes:
        return attributes[name]
    return next((v for key, v in attributes.items() if key.endswith(f"_{name}")), None)


def _kelvin(
    stored: Shaped[np.ndarray, "layer y x"], layers: Sequence[str], *, is_offset: bool
) -> Float32[np.ndarray, "layer y x"]:
    """Undo the scaling; NaN where nothing was recorded."""
    lowest, highest = np.array([LIMITS_KELVIN[name] for name in layers]).T[..., None, None]
    share = _share(stored, is_offset=is_offset)  # 0 … 1
    black = ((share == 0) & (lowest < LOWEST_KELVIN)).any(axis=0)  # (y, x)
    return np.where(black, np.nan, share * (highest - lowest) + lowest).astype(np.float32)


def _share(stored: Shaped[np.ndarray, "*shape"], *, is_offset: bool) -> np.ndarray:
    share = stored.astype(np.float64)
    if np.issubdtype(stored.dtype, np.integer):
        return np.where(share < 0, np.nan, share / INTEGER_SCALE)
    if not is_offset:
        return share
    decoded = (share - JPEG_XL_OFFSET) * (1 + JPEG_XL_OFFSET)
    return np.where(share < JPEG_XL_MISSING_BELOW, np.nan, decoded)
