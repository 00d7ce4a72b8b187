"""What a run is: one frozen recipe, complete before the first step, saved as ``run.yaml``.

A setting that is unknown, impossible, or that nothing would read is an error.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import Task
from medicane_training.recipes.data_sections import DataSettings
from medicane_training.recipes.model_fields import check_changes
from medicane_training.recipes.sections import (
    ClassificationSettings,
    EngineSettings,
    MaskingSettings,
    ModelSettings,
    OptimizerSettings,
    TrackingSettings,
    TrainingSettings,
)

__all__ = ["ClassificationRecipe", "FlowName", "Recipe", "SpecializationRecipe", "TrackingRecipe"]

FlowName = Literal["specialize", "classify", "track"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the three flows share."""

    flow: ClassVar[FlowName]
    task: ClassVar[Task]

    model: ModelSettings
    data: DataSettings
    optimizer: OptimizerSettings
    training: TrainingSettings
    engine: EngineSettings = field(default_factory=EngineSettings)

    def __post_init__(self) -> None:
        check_changes(self.task, self.model.changes, from_scratch=self.model.init is None)
        if self.optimizer.warmup_epochs > self.training.epochs:
            raise ConfigurationError(
                f"optimizer.warmup_epochs is {self.optimizer.warmup_epochs} and training.epochs "
                f"{self.training.epochs}; the warm-up must fit in"
            )


@dataclass(frozen=True, kw_only=True)
class SpecializationRecipe(Recipe):
    """Continued masked pretraining on satellite clips."""

    flow: ClassVar[FlowName] = "specialize"
    task: ClassVar[Task] = "pretraining"

    masking: MaskingSettings = field(default_factory=MaskingSettings)


@dataclass(frozen=True, kw_only=True)
class ClassificationRecipe(Recipe):
    """Is there a cyclone's centre in the tile?"""

    flow: ClassVar[FlowName] = "classify"
    task: ClassVar[Task] = "classification"

    classification: ClassificationSettings = field(default_factory=ClassificationSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classification.train == "head" and self.optimizer.layer_decay != 1:
            raise ConfigurationError(
                f"optimizer.layer_decay is {self.optimizer.layer_decay} and classification.train "
                "head leaves one layer; set layer_decay to 1, or train all"
            )
        if self.classification.train == "head" and self.engine.gradient_checkpointing:
            raise ConfigurationError(
                "engine.gradient_checkpointing saves nothing where classification.train is head, "
                "since the blocks keep nothing for gradients; set it to false, or train all"
            )


@dataclass(frozen=True, kw_only=True)
class TrackingRecipe(Recipe):
    """Where is the centre in the last frame?"""

    flow: ClassVar[FlowName] = "track"
    task: ClassVar[Task] = "tracking"

    tracking: TrackingSettings = field(default_factory=TrackingSettings)
