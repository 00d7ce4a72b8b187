"""What a variant may lose before it is refused."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medicane_models.runtimes.onnx_metadata import Precision

__all__ = ["Tolerance", "faults"]


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """From where on a variant is refused.

    Attributes:
        logits: largest difference of logits, embeddings and reconstructed pixels; of outputs
            whose root mean square exceeds 1, relative to that. Infinite in int8, which is judged
            by what is decided on its logits; where nothing is, the caller must give a number.
        same_decisions: least share of simulated and given clips that are decided alike.
        centre_km: longest shift of a tracker's centre, 90th percentile over a set of simulated or
            given clips.
        radius: relative difference of a radius, 90th percentile over such a set.
    """

    logits: float
    same_decisions: float
    centre_km: float
    radius: float

    @classmethod
    def of(cls, precision: Precision, **given: float | None) -> "Tolerance":
        """The usual one of a precision, with what the caller gave."""
        return cls(**{**_USUAL[precision], **{k: v for k, v in given.items() if v is not None}})


_USUAL: Mapping[Precision, Mapping[str, float]] = {
    "fp32": {"logits": 1e-4, "same_decisions": 0.99, "centre_km": 0.1, "radius": 0.005},
    "fp16": {"logits": 2e-2, "same_decisions": 0.99, "centre_km": 1.0, "radius": 0.02},
    "bf16": {"logits": 1e-1, "same_decisions": 0.99, "centre_km": 1.0, "radius": 0.05},
    "int8": {"logits": np.inf, "same_decisions": 0.99, "centre_km": 1.0, "radius": 0.05},
}


def faults(
    measured: Mapping[str, Any], judged: tuple[str, ...], tolerance: Tolerance
) -> tuple[str, ...]:
    """What exceeds a tolerance, in words; none if the variant is accepted.

    Args:
        measured: as `medicane_export.comparing.parity.compare` returned it.
        judged: sets whose decisions and centres count; of the others only numbers do.
        tolerance: from where on to refuse.
    """
    found = {name: measured[name] for name in judged if name in measured}
    return (
        *_unjudged(found, tolerance),
        *_numbers(measured, tolerance),
        *_radii(found, tolerance),
        *_choices(found, tolerance),
        *_centres(found, tolerance),
    )


_FREE = ("logits", "embedding", "tokens", "reconstruction")


def _unjudged(found: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    """Neither a number nor a decision or centre would refuse it, however wrong it is."""
    decided = any("different_decisions" in one or "centre_km" in one for one in found.values())
    if tolerance.logits == np.inf and not decided:
        yield (
            "no decision and no centre was there to judge it by; give simulated clips or --clips "
            "to a head, and --tolerance-logits to anything else"
        )


def _numbers(measured: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    for where, found in measured.items():
        for name, values in found["outputs"].items():
            # infinite where a number is missing, which no tolerance allows
            within = values["scaled"] <= tolerance.logits and values["scaled"] < np.inf
            if name in _FREE and not within:
                yield (
                    f"{name} differs by {values['scaled']:.2g} on {where} clips, "
                    f"more than {tolerance.logits:g}"
                )


def _radii(measured: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    for where, found in measured.items():
        radii = {name: v for name, v in found["outputs"].items() if name.startswith("radius")}
        for name, values in radii.items():
            if not values["relative"] < np.inf:
                yield f"{name} is missing for some {where} clips, for which PyTorch gives one"
            elif not values["relative_p90"] <= tolerance.radius:
                yield (
                    f"{name} differs by {values['relative_p90']:.2%} (90th percentile) on {where} "
                    f"clips, more than {tolerance.radius:.1%}"
                )


def _choices(measured: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    decided = [found for found in measured.values() if "different_decisions" in found]
    clips = sum(found["clips"] for found in decided)
    different = sum(found["different_decisions"] for found in decided)
    if clips and 1 - different / clips < tolerance.same_decisions:
        yield (
            f"{different} of {clips} clips are decided differently, "
            f"more than {1 - tolerance.same_decisions:.1%}"
        )


def _centres(measured: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    for where, found in measured.items():
        if "centre_km" in found and not found["centre_km"]["p90"] <= tolerance.centre_km:
            yield (
                f"the centre moves by {found['centre_km']['p90']:.2g} km (90th percentile) on "
                f"{where} clips, more than {tolerance.centre_km:g} km"
            )
