"""Random fields on a periodic plane that can be asked for at any moment, in any order."""

import zlib

import numpy as np
from jaxtyping import Complex, Float, Int

from medicane_models.errors import ConfigurationError

__all__ = ["CELLS", "CELL_KM", "EvolvingField", "fractal", "generator", "lookup"]

CELLS = 128
CELL_KM = 64.0  # the plane repeats every 8192 km
WAVES = 4  # sinusoids in time that make up one wave in space

Plane = Float[np.ndarray, "n n"]


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Independent random numbers for every purpose and every bucket of time.

    Raises:
        ConfigurationError: if the seed is negative.
    """
    if seed < 0:
        raise ConfigurationError(f"seed is {seed}; give 0 or more")
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *numbers])


class EvolvingField:
    """A Gaussian field of unit variance, stationary in space and time.

    Each wave number k has the amplitude (k0² + k²)^(-slope/2) and is a sum of a few sinusoids in
    time with normally distributed frequencies, so that the correlation falls as
    exp(-t² / 2 lifetime²) and any hour can be computed alone. The pattern travels eastwards.
    """

    def __init__(
        self,
        random: np.random.Generator,
        *,
        largest_km: float,
        slope: float,
        lifetime_h: float,
        speed_km_h: float = 0.0,
    ) -> None:
        ky, kx = wave_numbers(CELLS, CELL_KM)
        amplitude = (largest_km**-2 + kx**2 + ky**2) ** (-slope / 2)
        amplitude[0, 0] = 0
        shape = (WAVES, *amplitude.shape)
        weights = random.normal(size=shape) + 1j * random.normal(size=shape)
        self.weights = weights * amplitude
        self.frequency = 2 * np.pi * kx * speed_km_h + random.normal(size=shape) / lifetime_h
        self.scale = 1 / np.sqrt(WAVES * 4 * (amplitude**2).sum()) * CELLS**2

    def spectrum(self, hour: float) -> Complex[np.ndarray, "n half"]:
        """What irfft2 turns into the field at an hour."""
        turned = self.weights * np.exp(-1j * np.mod(self.frequency * hour, 2 * np.pi))
        return self.scale * turned.sum(axis=0)

    def at(self, hour: float) -> Plane:
        """The field at an hour."""
        return np.fft.irfft2(self.spectrum(hour), s=(CELLS, CELLS)).astype(np.float32)


def wave_numbers(
    cells: int, cell_km: float
) -> tuple[Float[np.ndarray, "n 1"], Float[np.ndarray, "1 half"]]:
    """Cycles per km along y and x, for rfft2."""
    ky, kx = np.fft.fftfreq(cells, cell_km), np.fft.rfftfreq(cells, cell_km)
    return ky[:, None], kx[None, :]


def fractal(
    random: np.random.Generator,
    *,
    cells: int,
    cell_km: float,
    largest_km: float,
    smallest_km: float,
    slope: float,
) -> Plane:
    """A steady periodic Gaussian field of unit variance with scales between two lengths."""
    ky, kx = wave_numbers(cells, cell_km)
    k = np.hypot(ky, kx)
    band = (largest_km**-2 + k**2) ** (-slope / 2) * np.exp(-((k * smallest_km) ** 2))
    band *= 1 - np.exp(-((k * largest_km) ** 4))
    field = np.fft.irfft2(np.fft.rfft2(random.normal(size=(cells, cells))) * band, s=(cells, cells))
    return (field / field.std()).astype(np.float32)


def lookup(
    plane: Plane, x_km: Float[np.ndarray, "*s"], y_km: Float[np.ndarray, "*s"], cell_km: float
) -> Float[np.ndarray, "*s"]:
    """Values of a periodic plane, whose side is a power of two, in the cells that hold points."""
    side = plane.shape[0]
    index = _cells(y_km, cell_km, side)
    index *= side
    index |= _cells(x_km, cell_km, side)
    return plane.ravel().take(index)


def _cells(km: Float[np.ndarray, "*s"], cell_km: float, side: int) -> Int[np.ndarray, "*s"]:
    cells = np.multiply(km, 1 / cell_km, dtype=np.float32)
    cells += 16 * side  # truncation rounds down only above 0
    cells = cells.astype(np.int32)
    cells &= side - 1
    return cells
