"""Which flow carries out a recipe."""

import importlib
from typing import Any

from medicane_training.config import Recipe
from medicane_training.flow import Flow

__all__ = ["make_flow"]

_FLOWS = {
    "specialize": ("specialization", "SpecializationFlow"),
    "classify": ("classification", "ClassificationFlow"),
    "track": ("tracking", "TrackingFlow"),
}


def make_flow(recipe: Recipe) -> Flow[Any]:
    """The flow of a recipe, with its store opened and cut into parts."""
    module, name = _FLOWS[recipe.flow]
    cls = getattr(importlib.import_module(f"medicane_training.{module}"), name)
    return cls.open(recipe)
