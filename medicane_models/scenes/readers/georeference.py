"""georeference.yaml: where grey pictures lie, when they were taken, what their greys mean."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import yaml
from jaxtyping import Float32

from medicane_models.domain import Grid
from medicane_models.domain.boxes import degrees_of_box
from medicane_models.domain.projections import projection_of
from medicane_models.errors import ConfigurationError, MedicaneError
from medicane_models.fields import Count, Positive, Range, check_fields, from_mapping
from medicane_models.files import read_bytes
from medicane_models.scenes.readers.mapping import LONLAT, earth_crs, mapping_crs
from medicane_models.scenes.readers.name_times import check_pattern, time_in
from medicane_models.scenes.readers.recording import CalibrationKind, TimeConvention
from medicane_models.times import utc

__all__ = [
    "GREY_GUESS",
    "Georeference",
    "Margins",
    "Overlay",
    "Raster",
    "named_in_errors",
    "placed_by_extent",
    "read_georeference",
]

GREY_GUESS = {45: 295.0, 255: 190.0}
"""Kelvin of two greys of 8 bits where nothing tells them: a warm sea, and the coldest cloud."""

Grey = Annotated[int, Range(least=0, most=65535)]
GreyKelvin = Annotated[float, Range(least=100, most=400)]
Pixel = Annotated[int, Range(least=0, most=1_000_000)]
PicturePoint = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Rows and columns of a picture that are title bars and borders, cut off each side."""

    left: Pixel = 0
    top: Pixel = 0
    right: Pixel = 0
    bottom: Pixel = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def slices(self, width: int, height: int) -> tuple[slice, slice]:
        """Rows and columns that are left of a picture.

        Raises:
            ConfigurationError: if there are too few.
        """
        right, bottom = width - self.right, height - self.bottom
        if min(right - self.left, bottom - self.top) < 2:
            raise ConfigurationError(
                f"crop leaves {right - self.left} × {bottom - self.top} of {width} × {height} "
                "pixels; leave at least 2 × 2"
            )
        return slice(self.top, bottom), slice(self.left, right)


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What is drawn into the pictures: coast lines, graticules, labels, watermarks.

    Attributes:
        coloured: the channels of a drawn pixel differ by more than this.
        darker: a drawn pixel's grey is below this.
        bright_in_all: a drawn pixel's grey is above this in every picture of the folder.
        picture: file, beside the YAML, whose pixels above 0 are drawn over; of the whole picture.
        widest: lines up to so many pixels wide are filled from their neighbours, wider areas are
            missing.
    """

    coloured: Grey | None = None
    darker: Grey | None = None
    bright_in_all: Grey | None = None
    picture: str | None = None
    widest: Annotated[Count, Range(most=100)] = 6

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Pixels in a map projection, rows from north to south.

    Attributes:
        projection: PROJ string, or attributes of a CF grid mapping.
        pixel: column and row in the whole picture, whole at pixel centres: (-0.5, -0.5) is the
            outer corner in the north-west.
        place: projection coordinates of ``pixel``: metres, or degrees of longitude and latitude.
        size: of a pixel in the same units; two numbers if width and height differ.
        pixels_per_radian: of a geostationary picture, in place of the size.
    """

    projection: str | dict[str, str | float | tuple[float, ...]]
    pixel: PicturePoint
    place: PicturePoint
    size: Positive | tuple[Positive, Positive] | None = None
    pixels_per_radian: Positive | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.size is None) == (self.pixels_per_radian is None):
            raise ConfigurationError(
                f"size is {self.size} and pixels_per_radian {self.pixels_per_radian}; give one"
            )
        if projection_of(self.crs).is_geographic and abs(self.place[0]) > 360:
            raise ConfigurationError(f"place is {self.place}; give longitude and latitude")

    @cached_property
    def crs(self) -> str:
        """The projection in the form of a Grid."""
        if isinstance(self.projection, dict):
            return mapping_crs(self.projection, "", "projection")
        projection = projection_of(self.projection)
        units = {str(axis.unit_name) for axis in projection.axis_info[:2]}
        if not units <= {"metre", "degree"}:
            raise ConfigurationError(
                f"projection {self.projection!r} counts in {', '.join(sorted(units))}; give one "
                "in metres or degrees"
            )
        earth_crs(projection, f"projection {self.projection!r}")  # refuses other planets
        return self.projection

    def grid(self, rows: slice, columns: slice) -> Grid:
        """Of some rows and columns of the picture."""
        x_step, y_step = self._steps()
        return Grid(
            crs=self.crs,
            width=columns.stop - columns.start,
            height=rows.stop - rows.start,
            x_origin=self.place[0] + (columns.start - self.pixel[0]) * x_step,
            y_origin=self.place[1] - (rows.start - self.pixel[1]) * y_step,
            x_step=x_step,
            y_step=-y_step,
        )

    def _steps(self) -> tuple[float, float]:
        if self.pixels_per_radian is None:
            size = self.size or 0.0
            return size if isinstance(size, tuple) else (size, size)
        height = projection_of(self.crs).to_cf().get("perspective_point_height")
        if height is None:
            raise ConfigurationError(
                "pixels_per_radian is told and the projection is not geostationary; give size"
            )
        return height / self.pixels_per_radian, height / self.pixels_per_radian


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """Where pictures lie, when they were taken, what their greys mean.

    Attributes:
        kelvin: brightness temperature of two greys; linear between them and beyond.
        extent: WEST,SOUTH,EAST,NORTH, the outer edges in degrees of what ``crop`` leaves of a
            picture in longitude and latitude.
        raster: the pixels of any other.
        pictures: their folder, or a pattern of names, relative to the YAML; None: its folder.
        time: strptime pattern of the time within the names; None tries the usual ones.
        times: by file name the time of pictures whose name tells none, or a wrong one.
        crop: what to cut off.
        missing: greys that mean no data.
        mask: what is drawn in.
        platform: satellite.
        sensor: instrument.
        time_convention: what the times mark.
        calibration: "grey" if ``kelvin`` is a guess, "kelvin" if the greys were made by it.
    """

    kelvin: dict[Grey, GreyKelvin]
    extent: str | None = None
    raster: Raster | None = None
    pictures: str | None = None
    time: str | None = None
    times: dict[str, str | datetime] = field(default_factory=dict)
    crop: Margins = Margins()
    missing: tuple[Grey, ...] = ()
    mask: Overlay = Overlay()
    platform: str = "unknown"
    sensor: str = "unknown"
    time_convention: TimeConvention = "end_of_scan"
    calibration: CalibrationKind = "grey"

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.kelvin) != 2 or len(set(self.kelvin.values())) != 2:
            raise ConfigurationError(
                f"kelvin is {self.kelvin}; give two greys and the kelvin of each, such as "
                "{45: 295, 255: 190}"
            )
        if (self.extent is None) == (self.raster is None):
            told = "neither is" if self.extent is None else "both are"
            raise ConfigurationError(f"of extent and raster {told} there; give one")
        if self.extent is not None:
            degrees_of_box(self.extent, "extent")
        if self.time is not None:
            check_pattern(self.time)
        for name, time in self.times.items():
            with named_in_errors(f"times of {name}"):
                utc(time)

    def grid(self, width: int, height: int) -> Grid:
        """Of what ``crop`` leaves of pictures of this size.

        Raises:
            ConfigurationError: if that is too little.
        """
        rows, columns = self.crop.slices(width, height)
        if self.raster is not None:
            return self.raster.grid(rows, columns)
        width, height = columns.stop - columns.start, rows.stop - rows.start
        west, south, east, north = degrees_of_box(self.extent or "", "extent")
        x_step, y_step = (east - west) / width, (north - south) / height
        return Grid(
            crs=LONLAT,
            width=width,
            height=height,
            x_origin=west + x_step / 2,
            y_origin=north - y_step / 2,
            x_step=x_step,
            y_step=-y_step,
        )

    def time_of(self, name: str) -> pd.Timestamp:
        """When the picture of a name was taken, UTC.

        Raises:
            ConfigurationError: if neither ``times`` nor the name tells it.
        """
        told = utc(self.times[name]) if name in self.times else time_in(name, self.time)
        if told is None:
            raise ConfigurationError(
                f"{name} does not tell its time; say in a georeference.yaml how it is written, "
                'such as time: "%Y%m%d_%H%M", or give it in times'
            )
        return told

    def to_kelvin(self, greys: Float32[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
        """Brightness temperatures of greys."""
        (grey, kelvin), (other, other_kelvin) = self.kelvin.items()
        slope = (other_kelvin - kelvin) / (other - grey)
        return (kelvin + (greys - grey) * slope).astype(np.float32)


PARTS = {"crop": Margins, "mask": Overlay, "raster": Raster}
"""Sections of the file, whose own settings may be left out."""


def read_georeference(path: Path) -> Georeference:
    """What a YAML file says.

    Raises:
        ConfigurationError: named_in_errors the file, the key, its value and what it takes.
    """
    try:
        values = yaml.safe_load(read_bytes(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{path.name} cannot be read as YAML: {reason}") from error
    with named_in_errors(path.name):
        if not isinstance(values, Mapping):
            raise ConfigurationError("no setting is there; give kelvin, and extent or raster")
        parts = {key: _part(key, values[key]) for key in PARTS if key in values}
        return from_mapping(Georeference, {**values, **parts}, partial=True)


def placed_by_extent(extent: str) -> Georeference:
    """What is taken of 8-bit pictures of which only the extent is told."""
    return Georeference(kelvin=GREY_GUESS, extent=extent)


@contextmanager
def named_in_errors(what: str) -> Iterator[None]:
    """Put the name of a file or key before what is wrong in it."""
    try:
        yield
    except MedicaneError as error:
        raise ConfigurationError(f"{what}: {error}") from error


def _part(key: str, values: Any) -> Any:
    with named_in_errors(key):
        return from_mapping(PARTS[key], values, partial=True)
