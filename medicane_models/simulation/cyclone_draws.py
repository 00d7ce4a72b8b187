"""Random cyclones and look-alikes of every pattern.

Wind and organisation are drawn together, so that one follows from the other as in Dvorak's
patterns; seven of ten cyclones are below 64 kt.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.simulation.cyclones import LOOKALIKES, Cyclone, CycloneKind
from medicane_models.simulation.noise import generator
from medicane_models.simulation.plane import ramp
from medicane_models.times import Instant, utc

__all__ = ["draw_cyclone", "draw_lookalike"]


def draw_cyclone(
    middle: Instant, *, seed: int, kind: CycloneKind | None = None, hemisphere: int | None = None
) -> Cyclone:
    """A random cyclone that is half-way through its life at a time.

    Args:
        middle: UTC.
        seed: the same seed gives the same cyclone.
        kind: its pattern; None draws one, weak ones most often.
        hemisphere: 1 north, -1 south; None draws one.
    """
    random = generator(seed, "cyclone")
    drawn = CycloneKind(random.choice(list(_CHANCES), p=list(_CHANCES.values())))
    return _drawn(kind or drawn, utc(middle), random, hemisphere)


def draw_lookalike(
    middle: Instant, *, seed: int, kind: CycloneKind | None = None, hemisphere: int | None = None
) -> Cyclone:
    """A random look-alike, as :func:`draw_cyclone`."""
    random = generator(seed, "look-alike")
    drawn = CycloneKind(random.choice(list(LOOKALIKES)))
    return _drawn(kind or drawn, utc(middle), random, hemisphere)


def _drawn(
    kind: CycloneKind, middle: pd.Timestamp, random: np.random.Generator, hemisphere: int | None
) -> Cyclone:
    shape = _SHAPES[kind](random)
    side = hemisphere or (1 if random.random() < 0.6 else -1)
    cyclone = Cyclone(
        kind=kind,
        middle=middle,
        lon=float(random.uniform(-180, 180)),
        lat=side * float(random.uniform(*_LATITUDES.get(kind, (6, 32)))),
        life_h=float(random.uniform(48, 160)),
        meander_km=float(random.uniform(0, 30)),
        seed=int(random.integers(2**31)),
    )
    return replace(cyclone, **{**_drift(random, abs(cyclone.lat)), **shape})


def _drift(random: np.random.Generator, latitude: float) -> dict[str, float]:
    """Westward with the trades, recurving beyond 25 degrees."""
    speed = random.gamma(3.0, 6.0)
    heading = random.normal(165 - 120 * ramp((latitude - 15) / 25), 35)
    return {
        "east_km_h": float(speed * np.cos(np.radians(heading))),
        "poleward_km_h": float(speed * np.sin(np.radians(heading))),
    }


def _size(random: np.random.Generator, smallest: float, largest: float) -> float:
    """Radii spread evenly over their logarithm."""
    return float(np.exp(random.uniform(np.log(smallest), np.log(largest))))


def _spin_h(wind_kt: float, radius_km: float) -> float:
    """Clouds near the centre turn faster the stronger the wind and the smaller the storm."""
    return float(np.clip(2.2 * (radius_km / 200) ** 0.5 * (100 / wind_kt), 1.8, 24))


def _weak(random: np.random.Generator, winds: tuple[float, float]) -> dict[str, Any]:
    """What all patterns have, before each changes its own."""
    wind = random.uniform(*winds)
    radius = _size(random, 150, 560)
    return {
        "wind_kt": wind,
        "radius_km": radius,
        "shield": random.uniform(0.7, 1.0),
        "top_kelvin": random.uniform(188, 212),
        "ragged": random.uniform(0.3, 1.0),
        "elongation": random.uniform(0, 0.5),
        "shear_degrees": random.uniform(0, 360),
        "bands": random.uniform(0.3, 1.0),
        "arms": int(random.integers(1, 4)),
        "pitch_degrees": random.uniform(10, 26),
        "low": random.uniform(0.3, 0.9),
        "low_km": radius * random.uniform(0.6, 1.4),
        "cells": random.uniform(0, 8),
        "outflow": random.uniform(0.2, 0.9),
        "drying": random.uniform(0.1, 0.8),
        "spin_h": _spin_h(wind, radius),
    }


def _eye(random: np.random.Generator) -> dict[str, Any]:
    """Stronger storms have rounder, clearer and sharper eyes."""
    wind = 64 + 90 * random.beta(1.2, 1.8)
    strength = ramp((wind - 60) / 60)
    radius = _size(random, 150, 560)
    return _weak(random, (wind, wind)) | {
        "radius_km": radius,
        "top_kelvin": random.uniform(186, 208),
        "shield": 1.0,
        "ragged": random.uniform(0.1, 0.75) * (1.1 - 0.6 * strength),
        "elongation": random.uniform(0, 0.3),
        "shear_km": radius * random.uniform(0, 0.25) * (1 - 0.6 * strength),
        "bands": random.uniform(0.5, 1.0),
        "pitch_degrees": random.uniform(8, 20),
        "eye_km": min(_size(random, 6, 60), 0.4 * radius),
        "eye_fill": random.uniform(0, 0.9) * (1 - 0.75 * strength),
        "eye_ratio": random.uniform(0.6 + 0.3 * strength, 1.0),
        "outflow": random.uniform(0.4, 1.0),
        "drying": random.uniform(0.3, 0.9),
        "spin_h": _spin_h(wind, radius),
    }


def _covered(random: np.random.Generator) -> dict[str, Any]:
    shape = _weak(random, (38, 90))
    calm = 1 - shape["wind_kt"] / 110
    shear = shape["radius_km"] * random.uniform(0, 0.75) * calm
    return shape | {"shear_km": shear, "bands": random.uniform(0.5, 1.0)}


def _sheared(random: np.random.Generator) -> dict[str, Any]:
    """The cold shield off to one side; the low-level swirl half or wholly in the open."""
    shape = _weak(random, (25, 68))
    radius = _size(random, 110, 420)
    return shape | {
        "radius_km": radius,
        "shear_km": radius * random.uniform(0.5, 1.5),
        "elongation": random.uniform(0.2, 1.0),
        "bands": random.uniform(0, 0.5),
        "low": random.uniform(0.6, 1.0),
        "low_km": random.uniform(80, 280),
        "cells": random.uniform(0, 4),
    }


def _exposed(random: np.random.Generator) -> dict[str, Any]:
    """A swirl of low clouds, with little or no deep convection."""
    return _weak(random, (15, 45)) | {
        "shield": 0.0,
        "bands": random.uniform(0, 0.25),
        "low": random.uniform(0.7, 1.0),
        "low_km": _size(random, 60, 350),
        "pitch_degrees": random.uniform(10, 32),
        "shear_km": random.uniform(0, 120),
        "cells": random.choice([0.0, 1.0, 3.0]),
        "outflow": random.uniform(0, 0.4),
    }


def _depression(random: np.random.Generator) -> dict[str, Any]:
    """Many cells around a broad weak centre, most of them down the shear."""
    radius = _size(random, 180, 600)
    return _weak(random, (15, 40)) | {
        "radius_km": radius,
        "shield": random.choice([0.0, random.uniform(0.2, 0.8)]),
        "ragged": 1.0,
        "bands": random.uniform(0, 0.6),
        "pitch_degrees": random.uniform(15, 35),
        "shear_km": radius * random.uniform(0.2, 0.8),
        "shear_degrees": random.normal(225, 70),
        "low": random.uniform(0.2, 0.7),
        "low_km": radius * random.uniform(0.4, 1.0),
        "cells": random.uniform(6, 30),
        "outflow": random.uniform(0.3, 0.9),
        "drying": random.uniform(0, 0.3),
        "spin_h": random.uniform(10, 24),
    }


def _landfall(random: np.random.Generator) -> dict[str, Any]:
    """Decaying: the core opens and warms while bands and cells remain."""
    shape = _weak(random, (20, 62))
    return shape | {
        "shield": random.uniform(0.2, 0.8),
        "top_kelvin": random.uniform(208, 235),
        "ragged": 1.0,
        "shear_km": shape["radius_km"] * random.uniform(0.1, 0.9),
        "shear_degrees": random.normal(60, 60),
        "low": random.uniform(0.3, 0.8),
        "cells": random.uniform(1, 14),
    }


def _subtropical(random: np.random.Generator) -> dict[str, Any]:
    """A broad band around a centre with shallow clouds; comma-like."""
    radius = _size(random, 200, 520)
    return _weak(random, (30, 64)) | {
        "radius_km": radius,
        "shield": random.uniform(0, 0.4),
        "top_kelvin": random.uniform(212, 240),
        "bands": 1.0,
        "arms": 1,
        "pitch_degrees": random.uniform(14, 32),
        "shear_km": radius * random.uniform(0.2, 0.6),
        "shear_degrees": random.normal(50, 45),
        "low": random.uniform(0.5, 1.0),
        "low_km": radius * random.uniform(0.3, 0.7),
        "drying": random.uniform(0.5, 1.0),
        "outflow": random.uniform(0, 0.4),
    }


def _medicane(random: np.random.Generator) -> dict[str, Any]:
    """Small, shallow clouds in cold air; drifting slowly, some with an eye."""
    shape = _weak(random, (25, 65))
    radius = _size(random, 60, 200)
    has_eye = random.random() < 0.35
    return shape | {
        "life_h": random.uniform(24, 72),
        "radius_km": radius,
        "top_kelvin": random.uniform(212, 245),
        "shear_km": radius * random.uniform(0, 0.3 if has_eye else 1.0),
        "eye_km": random.uniform(0.08, 0.2) * radius if has_eye else 0.0,
        "eye_fill": random.uniform(0, 0.7),
        "low_km": radius * random.uniform(0.8, 1.8),
        "cells": random.uniform(0, 4),
        "outflow": random.uniform(0, 0.4),
        "drying": random.uniform(0.3, 1.0),
        "spin_h": random.uniform(3, 9),
    }


def _deep_low(random: np.random.Generator) -> dict[str, Any]:
    """The comma of a low of the middle latitudes."""
    radius = _size(random, 350, 900)
    return _weak(random, (30, 60)) | {
        "wind_kt": np.nan,
        "radius_km": radius,
        "shield": 0.0,
        "top_kelvin": random.uniform(212, 235),
        "bands": 1.0,
        "arms": 1,
        "pitch_degrees": random.uniform(20, 38),
        "shear_km": radius * random.uniform(0.2, 0.6),
        "shear_degrees": random.normal(60, 40),
        "low_km": radius * random.uniform(0.4, 0.9),
        "drying": random.uniform(0.5, 1.0),
        "spin_h": random.uniform(14, 30),
    }


def _convective_system(random: np.random.Generator) -> dict[str, Any]:
    """A cold shield without a centre."""
    radius = _size(random, 80, 380)
    return _weak(random, (20, 40)) | {
        "wind_kt": np.nan,
        "life_h": random.uniform(12, 36),
        "radius_km": radius,
        "elongation": random.uniform(0, 1.0),
        "bands": 0.0,
        "shear_km": radius * random.uniform(0, 0.3),
        "low": 0.0,
        "cells": random.uniform(0, 12),
        "drying": random.uniform(0, 0.4),
        "spin_h": float("inf"),
    }


def _cirrus_swirl(random: np.random.Generator) -> dict[str, Any]:
    """A cold low aloft: turning cirrus over untroubled low clouds."""
    radius = _size(random, 200, 600)
    return _weak(random, (20, 40)) | {
        "wind_kt": np.nan,
        "radius_km": radius,
        "shield": 0.0,
        "top_kelvin": random.uniform(225, 245),
        "bands": random.uniform(0.2, 0.5),
        "pitch_degrees": random.uniform(18, 40),
        "low": 0.0,
        "cells": random.uniform(0, 5),
        "outflow": random.uniform(0.5, 0.9),
        "drying": 0.0,
        "spin_h": random.uniform(14, 30),
    }


_CHANCES = {
    CycloneKind.EYE: 0.22,
    CycloneKind.COVERED: 0.2,
    CycloneKind.SHEARED: 0.17,
    CycloneKind.EXPOSED: 0.08,
    CycloneKind.DEPRESSION: 0.12,
    CycloneKind.LANDFALL: 0.08,
    CycloneKind.SUBTROPICAL: 0.06,
    CycloneKind.MEDICANE: 0.07,
}
_LATITUDES = {
    CycloneKind.DEPRESSION: (5, 24),
    CycloneKind.LANDFALL: (12, 36),
    CycloneKind.SUBTROPICAL: (20, 42),
    CycloneKind.MEDICANE: (31, 45),
    CycloneKind.DEEP_LOW: (32, 60),
    CycloneKind.CONVECTIVE_SYSTEM: (0, 45),
    CycloneKind.CIRRUS_SWIRL: (10, 38),
}
_SHAPES: dict[CycloneKind, Callable[[np.random.Generator], dict[str, Any]]] = {
    CycloneKind.EYE: _eye,
    CycloneKind.COVERED: _covered,
    CycloneKind.SHEARED: _sheared,
    CycloneKind.EXPOSED: _exposed,
    CycloneKind.DEPRESSION: _depression,
    CycloneKind.LANDFALL: _landfall,
    CycloneKind.SUBTROPICAL: _subtropical,
    CycloneKind.MEDICANE: _medicane,
    CycloneKind.DEEP_LOW: _deep_low,
    CycloneKind.CONVECTIVE_SYSTEM: _convective_system,
    CycloneKind.CIRRUS_SWIRL: _cirrus_swirl,
}
