"""Which flow carries out a recipe."""

from typing import Any

from medicane_training.flows.classification import ClassificationFlow
from medicane_training.flows.interface import Flow
from medicane_training.flows.specialization import SpecializationFlow
from medicane_training.flows.tracking import TrackingFlow
from medicane_training.recipes.kinds import FlowName, Recipe

__all__ = ["make_flow"]

FLOWS: dict[FlowName, type[Flow[Any]]] = {
    "specialize": SpecializationFlow,
    "classify": ClassificationFlow,
    "track": TrackingFlow,
}


def make_flow(recipe: Recipe) -> Flow[Any]:
    """The flow of a recipe, with its store opened and cut into parts."""
    return FLOWS[recipe.flow].open(recipe)
