"""What a predictor knows of its models, whatever runs them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medicane_models.errors import ConfigurationError
from medicane_models.hub import resolve_revision, snapshot
from medicane_models.network.configuration import SIMULATED, MedicaneConfig, Task
from medicane_models.runtimes.onnx import OnnxModel
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = ["ModelDescription", "check_pair"]

NEVER_TRAINED = "UNTRAINED, the weights are random: probabilities and centres mean nothing"
UNSAID = "nobody said what it was trained on, real scenes or simulated ones"
ON_REAL_SCENES = "trained on simulated scenes: what it says of real ones is not to be relied on"


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """Where a model came from, what it is, and how scenes become its clips.

    Attributes:
        name: folder, file, embedded name or Hub id.
        revision: commit on the Hub, if it came from there.
        config: its configuration.
        processor: its processor.

    Raises:
        ConfigurationError: if the processor's clips are not of the configuration's shape.
    """

    name: str
    revision: str | None
    config: MedicaneConfig
    processor: MedicaneProcessor

    def __post_init__(self) -> None:
        made = self.processor.clip_shape
        if self.config.clip_shape != made:
            raise ConfigurationError(
                f"{self.name} reads clips of shape {self.config.clip_shape} (T, C, H, W), its "
                f"processor makes {made}; correct config.json or preprocessor_config.json there"
            )

    @classmethod
    def in_folder(cls, name: str | Path, **hub_options: Any) -> "ModelDescription":
        """Of a folder, an embedded model or a Hub repository, without its weights."""
        return cls(
            name=str(name),
            revision=resolve_revision(name, **hub_options),
            config=MedicaneConfig.from_pretrained(name, **hub_options),
            processor=MedicaneProcessor.from_pretrained(name, **hub_options),
        )

    @classmethod
    def exported(cls, name: str | Path, model: OnnxModel) -> "ModelDescription":
        """Of an exported file, from its own metadata."""
        metadata = model.metadata
        if metadata.processor is None:
            raise ConfigurationError(
                f"{model.path} has no processor, so nothing says how scenes become its clips; save "
                "a preprocessor_config.json beside the model and export it again"
            )
        return cls(
            name=str(name),
            revision=snapshot(model.path) or metadata.revision,
            config=metadata.config,
            processor=metadata.processor,
        )

    @property
    def trained(self) -> bool:
        """Whether it was ever trained."""
        return self.config.trained_on is not None

    @property
    def label(self) -> str:
        """Its name, marked if it was never trained."""
        return self.name if self.trained else f"{self.name} (UNTRAINED)"

    def caution(self, platform: str) -> str | None:
        """Why its numbers may mean nothing on scenes of a platform; None if they should."""
        if self.config.trained_on is None:
            return NEVER_TRAINED
        if self.config.data_kind is None:
            return UNSAID
        is_warned = self.config.data_kind == SIMULATED and platform != SIMULATED
        return ON_REAL_SCENES if is_warned else None

    def provenance(self) -> dict[str, str | None]:
        """Name, revision and training data, ready for JSON."""
        return {
            "name": self.name,
            "revision": self.revision,
            "trained_on": self.config.trained_on,
            "data_kind": self.config.data_kind,
        }


def check_pair(detector: ModelDescription, tracker: ModelDescription | None) -> None:
    """Refuse models of other tasks, or that read other clips than one another.

    Raises:
        ConfigurationError: naming what differs.
    """
    _check_task(detector, "classification")
    if tracker is None:
        return
    _check_task(tracker, "tracking")
    own, other = detector.processor.to_dict(), tracker.processor.to_dict()
    differing = [key for key in own if key != "max_missing" and own[key] != other[key]]
    if differing:
        raise ConfigurationError(
            f"detector and tracker read different clips ({', '.join(differing)} differ); "
            "choose two models with the same processor, or no tracker"
        )


def _check_task(model: ModelDescription, task: Task) -> None:
    if model.config.task != task:
        raise ConfigurationError(
            f"{model.name} is a {model.config.task} model; a {task} model is needed here"
        )
