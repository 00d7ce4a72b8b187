"""How organised a storm looks, by the picture and its true centre alone; no network is asked.

Where the coldest mean over 60 km lies within 300 km of the true centre, how much warmer the centre
itself is, and whether it is a warm spot in a cold ring tell four classes. All are differences of
temperatures, so that pictures whose greys are only guessed to be kelvin are classed alike.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from medicane_training.scores.baselines import (
    COLDEST_BOX_KM,
    LEAST_SEEN,
    coldest_mean_kelvin,
    coldest_place,
    last_frame_kelvin,
)
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.cloud_bands import CloudBand

__all__ = ["ORGANISATIONS", "organisation_of", "organisations"]

ORGANISATIONS = ("eye", "embedded", "curved band", "sheared")
"""``eye``: the warmest spot within 30 km of the centre is at least 10 K warmer than nine tenths of
a ring around it, the coldest one 30 km wide within 160 km, which is no more than 25 K warmer than
the coldest cloud. ``embedded``: the 60 km around the centre are within 20 K of the coldest cloud.
``sheared``: they are at least 40 K warmer than it, or it lies at least 150 km away and they are at
least 30 K warmer. ``curved band``: all between."""

REACH_KM = 300.0
EYE_KM, RING_WIDTH_KM = 30.0, 30.0
RINGS_KM = np.arange(40.0, 131.0, 15.0)  # their inner radii
EYE_K, AROUND, RING_K = 10.0, 0.9, 25.0
EMBEDDED_K, EXPOSED_K, APART_K = 20.0, 40.0, 30.0
APART_KM = 150.0


def organisation_of(
    kelvin: Float[np.ndarray, "H W"], centre: Float[np.ndarray, " 2"], *, pixel_km: float
) -> str:
    """One of ORGANISATIONS; "" where too little around the centre is seen.

    Args:
        kelvin: brightness temperature, NaN where missing.
        centre: the true one, pixels (x, y).
        pixel_km: size of a pixel.
    """
    rows, columns = np.indices(kelvin.shape)
    away_km = np.hypot(columns - centre[0], rows - centre[1]) * pixel_km
    core, inner = kelvin[away_km <= COLDEST_BOX_KM / 2], kelvin[away_km <= RINGS_KM[0]]
    if not core.size or np.isnan(inner).mean() > 1 - LEAST_SEEN:
        return ""
    near, sizes = np.where(away_km <= REACH_KM, kelvin, np.nan), (pixel_km, pixel_km)
    coldest, place = coldest_mean_kelvin(near, sizes), coldest_place(near, sizes)
    warmer, apart_km = np.nanmean(core) - coldest, np.hypot(*(place - centre)) * pixel_km
    if _has_eye(kelvin, away_km, coldest):
        return "eye"
    if warmer <= EMBEDDED_K:
        return "embedded"
    if warmer >= EXPOSED_K or (apart_km >= APART_KM and warmer >= APART_K):
        return "sheared"
    return "curved band"


def _has_eye(
    kelvin: Float[np.ndarray, "H W"], away_km: Float[np.ndarray, "H W"], coldest: float
) -> bool:
    spot = np.nanmax(kelvin[away_km <= EYE_KM])
    rings = [kelvin[(away_km >= r) & (away_km < r + RING_WIDTH_KM)] for r in RINGS_KM]
    seen = [ring for ring in rings if np.isfinite(ring).mean() >= AROUND]
    if not seen:
        return False
    ring = min(seen, key=lambda ring: float(np.nanmean(ring)))
    return bool((ring <= spot - EYE_K).mean() >= AROUND and np.nanmean(ring) - coldest <= RING_K)


def organisations(
    store: ClipStore, clips: Sequence[int] | Int[np.ndarray, " n"]
) -> Shaped[np.ndarray, " n"]:
    """The class of each clip of a store of local planes by its newest frame."""
    band, km = CloudBand.of(store.processor), store.grid.x_step / 1000
    targets = store.clips[["target_x", "target_y"]].to_numpy(float)
    found = [
        organisation_of(last_frame_kelvin(store, int(clip), band), targets[clip], pixel_km=km)
        for clip in clips
    ]
    return np.array(found, dtype=str)
