"""The class of a model from its configuration."""

from pathlib import Path
from typing import Any

from medicane_models.hub import split_options
from medicane_models.network.base import MedicaneModel
from medicane_models.network.configuration import MedicaneConfig, Task
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.pretraining import MedicaneForPreTraining

__all__ = ["AutoMedicaneModel", "model_class"]


class AutoMedicaneModel:
    """Picks the class of a model from its ``config.json``."""

    @staticmethod
    def from_pretrained(id_or_dir: str | Path, **options: Any) -> MedicaneModel:
        """Load whichever model a folder, an embedded model or a Hub repository holds.

        The arguments and errors are those of `MedicaneModel.from_pretrained`.
        """
        at, _ = split_options(options)
        config = MedicaneConfig.from_pretrained(id_or_dir, **at)
        return model_class(config.task).from_pretrained(id_or_dir, **options)


def model_class(task: Task) -> type[MedicaneModel]:
    """The class whose weights a configuration describes."""
    return _CLASSES[task]


_CLASSES: dict[Task, type[MedicaneModel]] = {
    cls.task: cls
    for cls in (MedicaneForPreTraining, MedicaneForVideoClassification, MedicaneForTracking)
}
