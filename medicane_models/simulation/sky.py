"""The layers of a sky that channels look through, on every pixel of a grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["Field", "Sky", "smoothstep"]

Field = Float[np.ndarray, "y x"]


@dataclass(kw_only=True)
class Sky:
    """Fields of one moment; storms and cells are drawn into them.

    Attributes:
        airmass: 0 on average, about 2 in polar or stratospheric air, -2 in tropical air.
        moisture: of the upper troposphere, deviation from normal.
        high: potential of cirrus and frontal cloud; cloudy where it exceeds a texture.
        middle: the same for clouds half-way up.
        low: the same near the surface.
        shield: optical thickness of storm clouds.
        shield_top: their height, 0 the surface and 1 the tropopause.
        cells: height of convective cloud tops; their opacity follows from it.
        streaks: texture of high clouds, unit variance.
        lumps: texture of low clouds.
    """

    airmass: Field
    moisture: Field
    high: Field
    middle: Field
    low: Field
    shield: Field
    shield_top: Field
    cells: Field
    streaks: Field
    lumps: Field

    def strip(self, rows: slice) -> "Sky":
        """Some rows."""
        return Sky(**{name: field[rows] for name, field in vars(self).items()})


def smoothstep(share: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    """0 below 0, 1 above 1, smooth between."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)
