"""How much a tracker's error changes with pictures of another calibration, grey scale or sharpness.

Every change is made of the kelvin of clips on local planes, before they are stretched again.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8

from medicane_models.domain import local_plane
from medicane_models.errors import ConfigurationError
from medicane_models.scenes.plane_sampling import PlaneSampler
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.verification.matching import Blocks
from medicane_training.scores.intervals import with_intervals
from medicane_training.store.clip_store import decode, encode
from medicane_training.store.cloud_bands import CloudBand

__all__ = ["CHANGES", "Change", "changed_codes", "changed_errors"]

ClipKelvin = Float[np.ndarray, "T H W"]

Change = Callable[[ClipKelvin, float], ClipKelvin]
"""From kelvin and the kilometres of a pixel to other kelvin."""

MIDDLE_K = 250.0
GREY_PERCENTILES, GREY_K = (0.3, 96.0), (195.0, 295.0)


def _warmer(kelvin: ClipKelvin, _: float, *, by: float) -> ClipKelvin:
    return kelvin + by


def _steeper(kelvin: ClipKelvin, _: float, *, gain: float) -> ClipKelvin:
    return MIDDLE_K + (kelvin - MIDDLE_K) * gain


def as_grey(kelvin: ClipKelvin, _: float = 0.0) -> ClipKelvin:
    """Each frame in 8 bits between its own percentiles, whose kelvin are only guessed."""
    grey = [_grey(frame) for frame in kelvin]
    low, high = GREY_K
    return (low + (high - low) * np.stack(grey)).astype(kelvin.dtype)


def _grey(frame: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    if np.isnan(frame).all():
        return frame
    cold, warm = np.nanpercentile(frame, GREY_PERCENTILES)
    return np.rint(255 * ((frame - cold) / max(warm - cold, 1.0)).clip(0, 1)) / 255


def as_seen_at(kelvin: ClipKelvin, pixel_km: float, *, km: float) -> ClipKelvin:
    """As an imager with pixels of ``km`` would give them to the same plane."""
    there, back = _samplers(kelvin.shape[-1], pixel_km, km)
    return back(there(kelvin)[0])[0]


@lru_cache
def _samplers(size: int, pixel_km: float, km: float) -> tuple[PlaneSampler, PlaneSampler]:
    own = local_plane(0.0, 0.0, size=size, km=pixel_km)
    other = local_plane(0.0, 0.0, size=round(size * pixel_km / km), km=km)
    return PlaneSampler(own, [other]), PlaneSampler(other, [own])


def _bound(function: Callable[..., ClipKelvin], **options: float) -> Change:
    return lambda kelvin, pixel_km: function(kelvin, pixel_km, **options)


CHANGES: Mapping[str, Change] = {
    "10 K warmer": _bound(_warmer, by=10.0),
    "10 K colder": _bound(_warmer, by=-10.0),
    "contrast x 1.25": _bound(_steeper, gain=1.25),
    "contrast x 0.75": _bound(_steeper, gain=0.75),
    "8-bit grey, stretched anew": as_grey,
    **{f"pixels of {km:g} km": _bound(as_seen_at, km=km) for km in (4.0, 8.0, 15.0, 20.0)},
}
"""By name. A contrast is about 250 K; a sensor's pixels are averaged, or interpolated, to those of
the plane as those of a scene are."""


def changed_codes(
    codes: UInt8[torch.Tensor, "B T C H W"],
    processor: MedicaneProcessor,
    change: Change,
) -> UInt8[torch.Tensor, "B T C H W"]:
    """Clips of one band as they would be stored of changed pictures.

    Raises:
        ConfigurationError: if clips have more bands.
    """
    if len(processor.bands) > 1:
        raise ConfigurationError(
            f"changed pictures are of one band, and the clips have {len(processor.bands)}"
        )
    band, km = CloudBand.of(processor), processor.grid.x_step / 1000
    kelvin = band.kelvin(decode(codes.cpu().numpy()))
    changed = np.stack([change(frames, km) for frames in kelvin])
    stretched = ((changed - band.low) / (band.high - band.low)).clip(0, 1)
    return torch.from_numpy(encode(stretched)[:, :, None])


def changed_errors(
    plain_km: Float[np.ndarray, " n"], changed_km: Float[np.ndarray, " n"], blocks: Blocks
) -> dict[str, Any]:
    """Clips, storms, both medians, and by how many percent the median grows, with intervals."""
    errors = pd.DataFrame({"plain": plain_km, "changed": changed_km})

    def statistic(rows: np.ndarray) -> dict[str, float]:
        plain, changed = errors.iloc[rows].median()
        percent = 100 * (changed / plain - 1)
        return {"plain_km": plain, "changed_km": changed, "percent": percent}

    counts = {"clips": len(errors), "storms": len(set(blocks.label))}
    return {**counts, **with_intervals(statistic, blocks)}
