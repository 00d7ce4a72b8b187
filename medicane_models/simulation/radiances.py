"""From the layers of a sky to brightness temperatures of four channels.

Not radiative transfer: each channel sees the surface or a layer of its own through clouds that
count by their emissivity, mixed in kelvin. Clouds below the vapour are hidden from the water
vapour channels by a smooth minimum of cloud top and clear air, and IR_097 is IR_108 seen through
an ozone layer, with coefficients fitted to SEVIRI.
"""

import numpy as np
from jaxtyping import Float

from medicane_models.simulation.climate import ClimateColumn
from medicane_models.simulation.sky import Field, Sky, smoothstep

__all__ = ["CHANNELS", "brightness"]

CHANNELS = ("WV_062", "WV_073", "IR_097", "IR_108")
STRIP = 40


def brightness(sky: Sky, air: ClimateColumn, ground: Field) -> Float[np.ndarray, "channel y x"]:
    """Kelvin in the order of CHANNELS, over ground that has these kelvin under a clear sky.

    Computed by strips of rows that stay in the processor's cache.
    """
    height, width = ground.shape
    frame = np.empty((len(CHANNELS), height, width), np.float32)
    for first in range(0, height, STRIP):
        last = min(first + STRIP, height)
        rows = slice(max(first - 1, 0), min(last + 1, height))  # one more on each side to blur
        strip = _brightness(sky.strip(rows), air.strip(rows), ground[rows])
        for channel, kelvin in zip(frame, strip, strict=True):
            channel[first:last] = _blurred(kelvin)[first - rows.start : last - rows.start]
    return frame


def _brightness(sky: Sky, air: ClimateColumn, ground: Field) -> tuple[Field, Field, Field, Field]:
    infrared, vapour, deep = _clear(sky, air, ground)
    depth = air.sea - air.tropopause
    cold_ground = infrared - air.sea
    for opacity, height in (_low(sky), _middle(sky)):
        infrared += opacity * np.minimum(air.sea - height * depth - infrared, 0)
        deep += 0.35 * opacity * np.minimum(air.sea - height * depth - deep, 0)
        cold_ground *= 1 - opacity
    opacity, height = _high(sky)
    top = air.sea - height * depth
    infrared += opacity * np.minimum(top - infrared, 0)
    vapour += opacity * (_hidden(vapour, top + 1.0, 14.0) - vapour)
    deep += opacity * (_hidden(deep, top, 8.0) - deep)
    cold_ground *= 1 - opacity
    ozone = _through_ozone(infrared, sky.airmass, air.ozone) + 0.25 * cold_ground
    return vapour, deep, ozone, infrared


def _clear(sky: Sky, air: ClimateColumn, ground: Field) -> tuple[Field, Field, Field]:
    """IR_108, WV_062 and WV_073 without clouds.

    Moist air radiates from higher up, colder; polar air is cold throughout. Where the tropopause
    is low, dry air sinks: WV_062 sees deeper and is warm, so that it comes near WV_073.
    """
    polar = np.clip(sky.airmass, -1, 3)
    folded = smoothstep((sky.airmass - 0.1) / 1.0)
    vapour = air.wv_062 - 4.2 * sky.moisture - 2.2 * polar + 3.5 * folded
    deep = air.wv_073 - 2.0 * sky.moisture - 2.8 * polar + 0.5 * folded
    infrared = ground - 1.2 * sky.moisture - 1.5 * polar
    return infrared.astype(np.float32), vapour, deep


def _high(sky: Sky) -> tuple[Field, Field]:
    """Opacity and height of cirrus, fronts, storms and convection together."""
    cirrus = 0.85 * np.maximum(sky.high + 0.65 * sky.streaks, 0)
    shield = np.maximum(sky.shield * (1 + 0.4 * sky.streaks), 0)
    shield += np.minimum(sky.shield, 0.3) * np.maximum(sky.streaks, 0)
    thickness = cirrus + shield + 1e-4
    height = (
        cirrus * (0.62 + 0.3 * np.minimum(cirrus / 2, 1)) + shield * sky.shield_top
    ) / thickness
    opacity = 1 - np.exp(-thickness)
    ragged = 0.12 * sky.streaks + 0.2 * sky.lumps
    towers = np.clip(sky.cells + ragged * np.minimum(4 * sky.cells, 1), 0, None)
    solid = smoothstep((towers - 0.15) / 0.35)
    height = np.maximum(height, solid * np.minimum(0.6 + 0.45 * towers, 1.03))
    return opacity + (1 - opacity) * solid, height


def _middle(sky: Sky) -> tuple[Field, Field]:
    potential = sky.middle + 0.4 * sky.streaks + 0.22 * sky.lumps
    return smoothstep(potential / 1.2), 0.36 + 0.12 * np.clip(potential, 0, 1.5)


def _low(sky: Sky) -> tuple[Field, Field]:
    potential = sky.low + 0.65 * sky.lumps
    return smoothstep(potential / 0.9), 0.07 + 0.08 * np.clip(potential, 0, 1.5)


def _hidden(clear: Field, top: Field, width: float) -> Field:
    """A smooth minimum: clouds somewhat below the emitting vapour still cool a channel."""
    difference = clear - top
    return clear - 0.5 * (difference + np.sqrt(difference * difference + width * width))


def _through_ozone(infrared: Field, airmass: Field, ozone: Field) -> Field:
    """IR_097 = (1 - w) IR_108 + w T_ozone - c: a low tropopause brings more ozone, a larger w.

    c is what mixing radiances instead of kelvin would take away between 254 ± 40 K.
    """
    weight = 0.43 + 0.105 * smoothstep((airmass + 1.3) / 3.7)
    bent = 3.0 - (infrared - 254) ** 2 * (3.0 / 40**2)
    return infrared + weight * (ozone - infrared) - np.maximum(bent, 0)


def _blurred(kelvin: Field) -> Field:
    """SEVIRI's field of view, 4.8 km, is wider than its sampling, 3 km: weights 1 2 1."""
    for view in (kelvin, kelvin.T):
        beside = view[:-2] + view[2:]
        beside *= 0.25
        view[1:-1] *= 0.5
        view[1:-1] += beside
    return kelvin
