"""The bar under a map that tells which colour is which temperature."""

from typing import TYPE_CHECKING

import numpy as np

from medicane_models.maps.canvas import grow
from medicane_models.maps.colour_tables import TICKS_CELSIUS, ZERO_CELSIUS, infrared_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["add_temperature_bar"]

BAR_INCHES, ROOM_INCHES = 0.14, 0.42
COLOURS = 512


def add_temperature_bar(axes: "Axes", kelvin: tuple[float, float]) -> None:
    """Draw it as wide as the map, warm on the left; the page grows by what it needs.

    Args:
        axes: the map.
        kelvin: the temperatures at both ends, the warmest first.
    """
    grow(axes, ROOM_INCHES)
    figure = axes.get_figure(root=True)
    assert figure is not None
    left, _, across, _ = axes.get_position().bounds
    height = figure.get_figheight()
    bar = figure.add_axes((left, 0.26 / height, across, BAR_INCHES / height), label="temperatures")
    warm, cold = (value - ZERO_CELSIUS for value in kelvin)
    colours = infrared_colours(np.linspace(*kelvin, COLOURS))
    bar.imshow(colours[None], aspect="auto", extent=(warm, cold, 0, 1))
    ticks = [tick for tick in TICKS_CELSIUS if cold < tick < warm]
    bar.set_xticks(ticks, [f"{tick} °C" for tick in ticks], size=8)
    bar.set_yticks([])
