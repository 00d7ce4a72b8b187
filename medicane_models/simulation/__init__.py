"""Simulated SEVIRI brightness temperatures with medicanes whose centres are known.

For training and trying the tools without satellite files. Jets and waves stir moist, dry and
stratospheric air; clouds form on fronts, in ascent and in convective cells; land and sea follow
sun and season; medicanes of every size, shear and organisation live and drift in it beside storms
that only look like one. Any frame follows from the seed alone.

How crude it is: there is no dynamics and no radiative transfer. Winds are random waves that do
not know of the clouds, storms are drawn shapes that do not know of the sea under them, hills are
invented, and channels are mixed in kelvin with coefficients fitted to three real scenes. A score
on simulated scenes says nothing about real storms.

    storms = draw_storms(StormRates(), grid=MEDITERRANEAN, start="2021-10-01", end="2021-11-01")
    scene, truth = simulate_scene(start="2021-10-01", hours=744, storms=storms)

A second, cheaper simulator draws the infrared window alone, anywhere on Earth and as any imager
sees it: tropical cyclones of every pattern from an exposed swirl to an eye, medicanes, and what
looks like them, over simulated weather or in real scenes (:mod:`simulation.infrared`)::

    scene, truth = simulate_infrared(start="2021-02-10", hours=24)
"""

from medicane_models.simulation.cyclone_draws import draw_cyclone, draw_lookalike
from medicane_models.simulation.cyclones import Cyclone, CycloneKind
from medicane_models.simulation.infrared import simulate_infrared
from medicane_models.simulation.instrument import Instrument
from medicane_models.simulation.radiances import CHANNELS
from medicane_models.simulation.scene import simulate_scene
from medicane_models.simulation.storms import (
    Storm,
    StormKind,
    StormRates,
    draw_storm,
    draw_storms,
    storm_table,
)
from medicane_models.simulation.writing import write_simulation

__all__ = [
    "CHANNELS",
    "Cyclone",
    "CycloneKind",
    "Instrument",
    "Storm",
    "StormKind",
    "StormRates",
    "draw_cyclone",
    "draw_lookalike",
    "draw_storm",
    "draw_storms",
    "simulate_infrared",
    "simulate_scene",
    "storm_table",
    "write_simulation",
]
