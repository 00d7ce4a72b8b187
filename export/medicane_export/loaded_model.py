"""A model to export, with what goes with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from medicane_models.errors import CheckpointError
from medicane_models.hub import HubOptions, resolve_revision
from medicane_models.network.auto import AutoMedicaneModel
from medicane_models.network.base import MedicaneModel
from medicane_models.scenes.processing import PREPROCESSOR_FILE, MedicaneProcessor

__all__ = ["LoadedModel"]


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model to export and where it came from.

    Attributes:
        model: in evaluation mode, float32.
        processor: None if it was saved without one.
        name: folder, embedded name or Hub id.
        revision: its commit on the Hub, if it came from there.
    """

    model: MedicaneModel
    processor: MedicaneProcessor | None
    name: str
    revision: str | None

    @classmethod
    def load(cls, name: str | Path, **hub_options: Unpack[HubOptions]) -> "LoadedModel":
        """Read a model and, if there is one, its processor.

        Raises:
            CheckpointError: there is no such model, or its files do not fit one another.
        """
        model = AutoMedicaneModel.from_pretrained(name, **hub_options)
        _check_clips(model, name)
        return cls(
            model=model,
            processor=model.processor,
            name=str(name),
            revision=resolve_revision(name, **hub_options),
        )


def _check_clips(model: MedicaneModel, name: str | Path) -> None:
    """Refuse a processor that makes other clips than the model reads."""
    processor = model.processor
    if processor is None:
        return
    if processor.clip_shape != model.config.clip_shape:
        raise CheckpointError(
            f"{name} reads clips of shape {model.config.clip_shape} (T, C, H, W), its processor "
            f"makes {processor.clip_shape}; correct config.json or {PREPROCESSOR_FILE} there"
        )
