"""What heat maps add to first guesses, and how far to trust the maps there.

Letters: n clips, d draws, R and K rows and columns of heatmap cells.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from medicane_models.prediction.refinement import (
    OPERATIONAL_KM,
    FirstGuess,
    HeatMaps,
    HeatMapTrust,
    refined,
)
from medicane_models.runtimes.interface import Centres
from medicane_models.verification.matching import Blocks
from medicane_training.scores.intervals import Score, with_intervals

__all__ = ["DRAWS", "first_guess_errors", "first_guess_scores", "fit_trust"]

DRAWS = 8
"""First guesses of a clip."""

GuessErrors = Mapping[str, Float[np.ndarray, "n d"]]

MOST_CLIPS = 1000  # of a fit of two numbers
BATCH = 64  # clips at once, of thousands of cells each
LOG_SD = 1.0  # of the normal priors on a trust's parameters, which weigh as much as a clip or so


def fit_trust(maps: HeatMaps, truth: Float[np.ndarray, "n 2"]) -> HeatMapTrust:
    """The trust under which the true centres are likeliest.

    Args:
        maps: of validation clips.
        truth: in tile pixels.
    """
    from scipy.optimize import minimize

    some = np.linspace(0, len(truth) - 1, min(len(truth), MOST_CLIPS)).round().astype(int)
    maps, near = maps.take(some), _near(maps, truth[some])

    def surprise(parameters: Float[np.ndarray, "2"]) -> float:
        believed = np.exp(maps.log_trusted(_trust(parameters)))
        density = (believed * near).sum(axis=(1, 2)) / believed.sum(axis=(1, 2))
        prior = np.square(parameters).sum() / (2 * LOG_SD**2)
        return float(prior - np.log(np.maximum(density, np.finfo(float).tiny)).sum())

    return _trust(minimize(surprise, [0.1, 0.1], method="Nelder-Mead").x)


def _trust(parameters: Float[np.ndarray, "2"]) -> HeatMapTrust:
    power, slope = parameters.tolist()
    return HeatMapTrust(power=float(np.exp(power)), slope=slope)


def _near(maps: HeatMaps, truth: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n R K"]:
    """Density of each cell's normal distribution at the true centre, per px²."""
    x, y = maps.apart(truth)
    variance = maps.within_cell
    return np.exp(-0.5 * (x**2 + y**2) / variance) / (2 * np.pi * variance)


def first_guess_errors(
    maps: HeatMaps,
    truth: Float[np.ndarray, "n 2"],
    *,
    km_per_px: float,
    trust: HeatMapTrust,
    mean_km: float = OPERATIONAL_KM,
    seed: int = 0,
) -> GuessErrors:
    """Kilometres that guesses drawn around the truth are off, before and after.

    Args:
        maps: of the clips.
        truth: centres in tile pixels.
        km_per_px: of local planes, whose pixels are alike.
        trust: in the maps.
        mean_km: distance of the guesses on average; they are normal and alike along all axes.
        seed: of the draws.
    """
    sigma = FirstGuess(tracks=pd.DataFrame(), mean_km=mean_km).sigma_km / km_per_px
    drawn = np.random.default_rng(seed).normal(0, sigma, (DRAWS, *truth.shape))
    found = [np.concatenate(list(_refined(maps, truth + apart, sigma, trust))) for apart in drawn]
    return {
        "first guess": km_per_px * np.hypot(*np.moveaxis(drawn, -1, 0)).T,
        "refined": km_per_px * np.stack([np.hypot(*(each - truth).T) for each in found], axis=1),
    }


def _refined(
    maps: HeatMaps, guesses: Float[np.ndarray, "n 2"], sigma: float, trust: HeatMapTrust
) -> Iterator[Float[np.ndarray, "_ 2"]]:
    for start in range(0, len(guesses), BATCH):
        rows = slice(start, start + BATCH)
        center = guesses[rows]
        covariance = np.broadcast_to(np.eye(2) * sigma**2, (len(center), 2, 2))
        yield refined(maps.take(rows), Centres(center, covariance), trust).center


def first_guess_scores(
    errors: GuessErrors, classes: Shaped[np.ndarray, " n"] | None, blocks: Blocks
) -> dict[str, Any]:
    """``mean_km, median_km, rms_km`` of all clips and by class, with 95 % intervals by storm.

    Returns:
        ``scores`` by method and, where there are classes, ``by_intensity``, a row a class.
    """
    everything = {"scores": _scores(errors, blocks)}
    if classes is None:
        return everything
    rows = []
    for name in (each for each in np.unique(classes) if each != ""):
        here = np.flatnonzero(classes == name)
        own = {method: error[here] for method, error in errors.items()}
        rows.append({"intensity": str(name), "clips": len(here), **_scores(own, blocks.take(here))})
    return everything | {"by_intensity": rows}


def _scores(errors: GuessErrors, blocks: Blocks) -> dict[str, Mapping[str, Score]]:
    return {
        name: with_intervals(lambda rows, error=error: _summary(error[rows]), blocks)
        for name, error in errors.items()
    }


def _summary(error_km: Float[np.ndarray, "k d"]) -> dict[str, float]:
    return {
        "mean_km": float(error_km.mean()),
        "median_km": float(np.median(error_km)),
        "rms_km": float(np.sqrt(np.square(error_km).mean())),
    }
