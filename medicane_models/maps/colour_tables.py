"""Colours of infrared pictures, by brightness temperature, as forecasters know them."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

__all__ = ["COLOUR_TABLES", "TICKS_CELSIUS", "ZERO_CELSIUS", "infrared_colours"]

ZERO_CELSIUS = 273.15
TICKS_CELSIUS = (30, 0, -30, -52, -64, -76, -84)  # of scales; the steps of ``enhanced``

_STEP = 0.01  # kelvin between the two sides of a step
_Knots = tuple[tuple[float, tuple[int, int, int]], ...]


def _grey(value: int) -> tuple[int, int, int]:
    return value, value, value


def _steps(*bands: tuple[float, float, int]) -> _Knots:
    """Knots of bands of one grey, each (warmest, coldest, grey)."""
    ends = ((end, grey) for warm, cold, grey in bands for end in (warm - _STEP, cold))
    return tuple((end, _grey(grey)) for end, grey in ends)


COLOUR_TABLES: dict[str, _Knots] = {
    "enhanced": (
        (40, _grey(15)),
        (-30, _grey(215)),
        (-30 - _STEP, (135, 205, 240)),
        (-52, (10, 45, 130)),
        (-52 - _STEP, (255, 246, 150)),
        (-64, (242, 146, 30)),
        (-76, (140, 0, 25)),
        (-84, (10, 0, 5)),
        (-84 - _STEP, _grey(215)),
        (-95, _grey(255)),
    ),
    "dvorak": (
        (40, _grey(0)),
        (9, _grey(255)),
        (9 - _STEP, _grey(109)),
        (-30, _grey(202)),
        *_steps(
            (-30, -41, 60),
            (-41, -53, 110),
            (-53, -63, 160),
            (-63, -69, 0),
            (-69, -75, 255),
            (-75, -80, 135),
            (-80, -110, 85),
        ),
    ),
    "grey": ((40, _grey(0)), (-85, _grey(255))),
}
"""Knots (°C, RGB), the warmest first; linear in between.

``enhanced``: greys down to -30 °C, then blues, yellow to dark red from -52 °C, black and white; the
usual enhancement without its greens, so that neighbours differ in lightness in all kinds of colour
vision. ``dvorak``: the BD curve of Dvorak 1984 (NOAA Technical Report NESDIS 11). ``grey``: cold is
white.
"""


def infrared_colours(kelvin: ArrayLike, table: str = "enhanced") -> Float[np.ndarray, "*shape 3"]:
    """RGB in 0…1 of brightness temperatures; NaN where they are."""
    celsius, colours = zip(*reversed(COLOUR_TABLES[table]), strict=True)
    value = np.asarray(kelvin, float) - ZERO_CELSIUS
    bands = [np.interp(value, celsius, band) for band in np.transpose(colours)]
    return np.stack(bands, axis=-1) / 255
