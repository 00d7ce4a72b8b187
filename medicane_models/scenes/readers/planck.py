"""From what a variable holds to brightness temperatures in kelvin."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Float32

from medicane_models.errors import SceneError
from medicane_models.scenes.readers.attributes import text_of

__all__ = ["Conversion", "to_kelvin"]

KELVIN_OFFSETS = {
    "k": 0.0,
    "kelvin": 0.0,
    "kelvins": 0.0,
    "degrees_kelvin": 0.0,
    "degree_kelvin": 0.0,
    "c": 273.15,
    "celsius": 273.15,
    "°c": 273.15,
    "degc": 273.15,
    "deg_c": 273.15,
    "degree_celsius": 273.15,
    "degrees_celsius": 273.15,
}
COEFFICIENTS = ("planck_fk1", "planck_fk2", "planck_bc1", "planck_bc2")

Conversion = Callable[[np.ndarray], Float32[np.ndarray, "y x"]]


def to_kelvin(dataset: xr.Dataset, variable: xr.DataArray, name: str) -> Conversion:
    """What turns the values of a variable into kelvin: temperatures, or radiances of ABI.

    Raises:
        SceneError: if they are neither in kelvin or degrees Celsius nor radiances whose file holds
            the coefficients of Planck's function.
    """
    units = text_of(variable.attrs, "units", file=f"{variable.name} of {name}") or "missing"
    if units.lower() in KELVIN_OFFSETS:
        return _shifted(KELVIN_OFFSETS[units.lower()])
    held = [float(dataset[key]) for key in COEFFICIENTS if dataset.get(key, NOTHING).size == 1]
    if variable.name == "Rad" and len(held) == len(COEFFICIENTS) and np.isfinite(held).all():
        return _inverse_planck(*held)
    raise SceneError(
        f"{variable.name} of {name} has the units {units!r}; brightness temperatures are read "
        "in K or degrees Celsius, radiances with ABI's planck_fk1, fk2, bc1 and bc2 beside them"
    )


NOTHING = np.array([])


def _shifted(offset: float) -> Conversion:
    return lambda values: (values + np.float32(offset)).astype(np.float32)


def _inverse_planck(fk1: float, fk2: float, bc1: float, bc2: float) -> Conversion:
    """GOES-R product users' guide, volume 3, equation 2-3; no radiance, no temperature."""

    def kelvin(radiance: np.ndarray) -> Float32[np.ndarray, "y x"]:
        seen = np.where(radiance > 0, radiance, np.nan).astype(np.float64)
        return ((fk2 / np.log1p(fk1 / seen) - bc1) / bc2).astype(np.float32)

    return kelvin
