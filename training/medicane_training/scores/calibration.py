"""Temperature, prior and threshold of a classifier, fitted on validation clips.

A classifier is trained where cyclones are much more frequent than in all weather. What is fitted
here makes the released model's softmax(logits / temperature) a probability at the deployment rate.
"""

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax

from medicane_models.verification.scores import Contingency
from medicane_training.store.labels import CYCLONE

__all__ = [
    "Calibration",
    "best_threshold",
    "calibrated",
    "deployment_weights",
    "fit_calibration",
]

LOG_TEMPERATURE_SD = 1.0
"""Of the normal prior on the logarithm of the temperature, about 0: a factor of 7 either way is
two standard deviations. It weighs as much as one clip of the rarer kind or so, and alone keeps the
temperature of clips that are told apart without an error from becoming 0."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Probability of a cyclone from logits l: softmax((l + shift · [cyclone]) / temperature).

    Attributes:
        temperature: above 0.
        shift: of the cyclone's logit, before the temperature.
    """

    temperature: float = 1.0
    shift: float = 0.0


def calibrated(
    logits: Float[np.ndarray, "n classes"], calibration: Calibration
) -> Float[np.ndarray, " n"]:
    """Probabilities of a cyclone."""
    scale = 1 / calibration.temperature
    return expit(_margin(logits, scale) + calibration.shift * scale)


def deployment_weights(
    truth: Bool[np.ndarray, " n"], weight: Float[np.ndarray, " n"], rate: float | None
) -> Float[np.ndarray, " n"]:
    """Weights of clips whose cyclones are as frequent as in all weather.

    Args:
        truth: whether a clip is one of a cyclone.
        weight: clips of all weather that each stands for.
        rate: share of cyclones; None takes that of ``weight``.

    Returns:
        The weights, cyclones and others each scaled to the rate if both are there.
    """
    total, cyclones = weight.sum(), weight[truth].sum()
    if rate is None or cyclones in (0, total):
        return weight
    others = (1 - rate) * total / (total - cyclones)
    return weight * np.where(truth, rate * total / cyclones, others)


def fit_calibration(
    logits: Float[np.ndarray, "n classes"],
    truth: Bool[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    *,
    fallback: Calibration | None = None,
) -> Calibration:
    """Temperature and shift with the greatest likelihood of what happened.

    For two classes that is Platt's (1999) scaling of the logit by maximum likelihood, with weights,
    and with a weak prior on the temperature, `LOG_TEMPERATURE_SD`. Of three classes the temperature
    holds for all and the shift for cyclones, judged by the probability of a cyclone alone.

    Args:
        logits: as the head gives them.
        truth: whether there was a cyclone.
        weight: at the deployment rate, of positive sum.
        fallback: returned, with a word in the log, where only one kind of clips is there.
    """
    if truth.all() or not truth.any():
        log.warning(
            "validation holds %s, so temperature and threshold cannot be fitted",
            "only cyclones" if truth.any() else "no cyclone",
        )
        return fallback or Calibration()
    logits = logits.astype(np.float64)
    if _margin(logits, 1.0)[truth].min() > _margin(logits, 1.0)[~truth].max():
        log.warning(
            "the %d validation clips are told apart without an error, which leaves the temperature "
            "to its prior; probabilities near 0 and 1 are not to be relied on",
            len(truth),
        )
    # however rare cyclones are, each clip counts for one against the prior, or more
    share = weight / min(weight[truth].mean(), weight[~truth].mean())

    def objective(parameters: Float[np.ndarray, "2"]) -> tuple[float, Float[np.ndarray, "2"]]:
        log_scale, offset = parameters
        scale = np.exp(log_scale)
        margin = _margin(logits, scale) + offset
        loss = share @ np.logaddexp(0, np.where(truth, -margin, margin))
        slope = share * (expit(margin) - truth)
        gradient = np.array([slope @ _margin_slope(logits, scale) * scale, slope.sum()])
        gradient[0] += log_scale / LOG_TEMPERATURE_SD**2
        return loss + (log_scale / LOG_TEMPERATURE_SD) ** 2 / 2, gradient

    found = minimize(
        objective, np.zeros(2), jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8}
    )
    temperature = float(np.exp(-found.x[0]))
    return Calibration(temperature=temperature, shift=float(found.x[1]) * temperature)


def best_threshold(
    ranking: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    score: str,
) -> float | None:
    """The midpoint between two values of ``ranking`` from which on alarms score best.

    Only midpoints below a cyclone's value are tried: raising the threshold to the next cyclone
    loses no hit and no score that grows with hits and falls with false alarms. Of equally good
    ones the highest is taken. Below the lowest value there is none to meet halfway; it is itself
    the threshold, if a cyclone has it.

    Args:
        ranking: a clip with more of it is likelier one of a cyclone.
        truth: whether there was a cyclone.
        weight: of each clip.
        score: of :meth:`medicane_models.verification.scores.Contingency.scores`.

    Returns:
        None where there is no cyclone or nothing else.
    """
    if truth.all() or not truth.any():
        return None
    values, place = np.unique(ranking, return_inverse=True)
    hits, false_alarms = (
        np.bincount(place, weight * cases, len(values))[::-1].cumsum()[::-1]
        for cases in (truth, ~truth)
    )
    below = np.append(values[:1], (values[1:] + values[:-1]) / 2)
    best: tuple[float, float] | None = None
    for index in np.unique(place[truth])[::-1]:
        table = Contingency(
            hits=float(hits[index]),
            false_alarms=float(false_alarms[index]),
            misses=float(hits[0] - hits[index]),
            correct_negatives=float(false_alarms[0] - false_alarms[index]),
        )
        found = table.scores()[score]
        if best is None or found > best[0]:
            best = found, float(below[index])
    return None if best is None else best[1]


def _margin(logits: Float[np.ndarray, "n classes"], scale: float) -> Float[np.ndarray, " n"]:
    """Log-odds of a cyclone against all other classes together."""
    others = np.delete(logits, CYCLONE, axis=1)
    return scale * logits[:, CYCLONE] - logsumexp(scale * others, axis=1)


def _margin_slope(logits: Float[np.ndarray, "n classes"], scale: float) -> Float[np.ndarray, " n"]:
    """Its derivative by the scale."""
    others = np.delete(logits, CYCLONE, axis=1)
    return logits[:, CYCLONE] - (softmax(scale * others, axis=1) * others).sum(axis=1)
