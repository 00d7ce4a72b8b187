"""Which variables of a dataset are brightness temperatures of which band, and whose."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from medicane_models.errors import SceneError
from medicane_models.scenes.instruments import (
    IMAGERS,
    SEVIRI,
    Imager,
    bands_at,
    candidates,
    imager_of,
    meanings,
    sensor_of_names,
    sensor_of_text,
)
from medicane_models.scenes.readers import channels
from medicane_models.scenes.readers.attributes import text_of

__all__ = ["Bands", "bands_of"]

SENSOR_ATTRIBUTES = ("sensor", "instrument", "instrument_name", "instrument_type")
PLATFORM_ATTRIBUTES = (
    "platform", "platform_name", "platform_ID", "satellite", "satellite_name", "Satellite_Name",
)  # fmt: skip
STANDARD_NAMES = {"toa_brightness_temperature", "brightness_temperature"}
WAVELENGTH_NAMES = ("sensor_band_central_radiation_wavelength", "wavelength", "central_wavelength")
BY_NUMBER = {"CMI", "Rad"}  # ABI's name of any band, whose number is beside it
NANOMETRES = 100.0  # from here on a wavelength is no longer in µm


@dataclass(frozen=True, kw_only=True)
class Bands:
    """The bands of one file.

    Attributes:
        meanings: per variable the bands that it may be; none for other variables.
        sensor: "seviri", "abi" and so on, as the file calls another, or "unknown".
        platform: the satellite, or "unknown".
        imagers: those that the file may be of.
        file: for messages.
    """

    meanings: Mapping[str, frozenset[str]]
    sensor: str
    platform: str
    imagers: tuple[Imager, ...]
    file: str

    @property
    def imager(self) -> Imager | None:
        """The one that the file is of; None if that is unknown."""
        return imager_of(self.sensor, self.platform)

    def holding(self, wanted: Sequence[str]) -> dict[str, str]:
        """The variable of each band, as :func:`channels.sole_variables`."""
        return channels.sole_variables(self.meanings, wanted, self.file)

    def known(self) -> frozenset[str]:
        """All bands that the file may hold."""
        return frozenset().union(*self.meanings.values())


def bands_of(dataset: xr.Dataset, file: str) -> Bands:
    """Recognise variables by their names, their wavelengths and ABI's band numbers.

    Raises:
        SceneError: if an attribute is of the wrong type, or a name contradicts the wavelength.
    """
    arrays = [dataset[name] for name in dataset.data_vars if dataset.variables[name].ndim > 1]
    attributes = {key: v for a in reversed(arrays) for key, v in a.attrs.items()} | dataset.attrs
    names = [_name(dataset, array) for array in arrays]
    platform = text_of(attributes, *PLATFORM_ATTRIBUTES, file=file) or ""
    told = (text_of(attributes, *SENSOR_ATTRIBUTES, file=file) or "").lower()
    longitude = _longitude(dataset)
    sensor = _sensor(told, names, longitude)
    imagers = candidates(sensor, platform, longitude)
    return Bands(
        meanings={
            str(array.name): _meaning(array, name, imagers, file)
            for array, name in zip(arrays, names, strict=True)
        },
        sensor=sensor or "unknown",
        platform=platform or "unknown",
        imagers=imagers,
        file=file,
    )


def _sensor(told: str, names: Sequence[str], longitude: float | None) -> str | None:
    """What the variables of a product prove, else what the file says, else whose names it has."""
    shown = sensor_of_names(names, longitude)
    is_product = any(imager.is_product for imager in IMAGERS if imager.key == shown)
    if is_product and (shown != "merged-ir" or not told):  # Tb is anyone's name
        return shown
    return sensor_of_text(told) or told or shown


def _name(dataset: xr.Dataset, array: xr.DataArray) -> str:
    """The name of a variable or, where it goes by the number of the band, of that."""
    number = dataset.variables.get("band_id")
    if array.name not in BY_NUMBER or number is None or number.size != 1:
        return str(array.name)
    return f"CMI_C{int(number.values.item()):02d}"


def _meaning(
    array: xr.DataArray, name: str, imagers: Sequence[Imager], file: str
) -> frozenset[str]:
    named, measured = meanings(name, imagers), _by_wavelength(array)
    if not named or not measured:
        return named or measured
    other = {band for band in named if band not in SEVIRI}  # which SEVIRI has not
    both = named & (measured | other)
    if not both:
        raise SceneError(
            f"{array.name} of {file} is called like {' or '.join(sorted(named))} and has the "
            f"wavelength of {' or '.join(sorted(measured))}; correct one of them"
        )
    return named & measured or both


def _by_wavelength(array: xr.DataArray) -> frozenset[str]:
    """The band at the wavelength of a brightness temperature."""
    length = _wavelength(array)
    is_temperature = (
        str(array.attrs.get("standard_name")) in STANDARD_NAMES
        or str(array.attrs.get("calibration")) in STANDARD_NAMES  # as satpy says it
    )
    if length is None or not is_temperature:
        return frozenset()
    return bands_at(length)


def _wavelength(array: xr.DataArray) -> float | None:
    """In µm, as CF, satpy (an object, three numbers or text) or a scalar coordinate tells it."""
    for name in WAVELENGTH_NAMES:
        if (told := _central(array.attrs.get(name))) is not None:
            return told
    for coordinate in array.coords.values():
        names = {str(coordinate.name), str(coordinate.attrs.get("standard_name"))}
        if coordinate.size == 1 and names & set(WAVELENGTH_NAMES):
            return _central(coordinate.values.ravel(), str(coordinate.attrs.get("units", "")))
    return None


def _central(told: Any, units: str = "") -> float | None:
    """The middle of three numbers (least, central, most), or the first of others; None if none."""
    if isinstance(told, str):
        numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", told)][:1]
    else:
        listed = told if isinstance(told, tuple | list) else np.ravel(told)
        numbers = [float(value) for value in listed if _is_number(value)]
    if not numbers:
        return None
    central = numbers[1] if len(numbers) == 3 else numbers[0]
    if units in ("m", "meter", "metre"):
        return central * 1e6
    return central / 1000 if central >= NANOMETRES else central


def _longitude(dataset: xr.Dataset) -> float | None:
    """Where the satellite stands, as far as a grid mapping says."""
    for variable in dataset.variables.values():
        longitude = variable.attrs.get("longitude_of_projection_origin")
        if "perspective_point_height" in variable.attrs and _is_number(longitude):
            return np.asarray(longitude).item()
    return None


def _is_number(value: Any) -> bool:
    """Whether it is one that fits into a float."""
    return np.size(value) == 1 and np.asarray(value).dtype.kind in "iuf"
