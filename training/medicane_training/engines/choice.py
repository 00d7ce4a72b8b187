"""Which engine carries out a recipe."""

from medicane_models.network.base import MedicaneModel
from medicane_training.engines.deepspeed import DeepSpeedEngine
from medicane_training.engines.interface import Engine
from medicane_training.engines.optim import Rates
from medicane_training.engines.plain import PlainEngine
from medicane_training.ranks import Ranks
from medicane_training.recipes.kinds import Recipe

__all__ = ["make_engine"]


def make_engine(model: MedicaneModel, recipe: Recipe, ranks: Ranks, rates: Rates) -> Engine:
    """What trains ``model`` as the recipe says, with random numbers of the seed and the rank.

    Arguments are those of :class:`Engine`.

    Raises:
        ConfigurationError: a setting cannot be kept here.
        MissingExtraError: DeepSpeed is asked for and not installed.
    """
    kind = DeepSpeedEngine if recipe.engine.backend == "deepspeed" else PlainEngine
    return kind(model, recipe, ranks, rates)
