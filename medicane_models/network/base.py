"""What all models share: saving, strict loading, another head on their backbone, upload."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from medicane_models.errors import CheckpointError, MissingFileError
from medicane_models.hub import WEIGHTS_NAME, HubOptions, resolve_file, split_options, upload
from medicane_models.network.cards import model_card
from medicane_models.network.configuration import MedicaneConfig, Task
from medicane_models.network.presets import UNTRAINED
from medicane_models.network.weights import (
    CONVERT,
    as_type,
    check_finite,
    check_names,
    check_shapes,
    enumerated,
    read_weights,
    write_weights,
)
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = ["LoadReport", "MedicaneModel", "load_backbone", "load_strictly"]

BACKBONE = ("patch_embed.", "blocks.")


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of each tensor when a backbone was taken over.

    Attributes:
        loaded: names in the model that were filled.
        dropped: names in the source that the model has no place for.
        fresh: names in the model that keep their initial values.
    """

    loaded: tuple[str, ...]
    dropped: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{len(self.loaded)} tensors loaded; dropped: {enumerated(self.dropped) or 'none'}; "
            f"fresh: {enumerated(self.fresh) or 'none'}"
        )


class MedicaneModel(nn.Module):
    """A model with a configuration, that is read from and written to folders and the Hub.

    Attributes:
        task: what models of the class do.
        config: what the model is.
        processor: what makes its clips, read and saved with the model; None if nobody said.
    """

    task: ClassVar[Task]
    config: MedicaneConfig
    processor: MedicaneProcessor | None = None

    @classmethod
    def from_pretrained(
        cls, id_or_dir: str | Path, *, dtype: torch.dtype = torch.float32, **options: Any
    ) -> Self:
        """Load a model and its processor in evaluation mode; every tensor must be there and fit.

        Args:
            id_or_dir: local folder, short name of an embedded model, or Hub id.
            dtype: type of the parameters, whatever they are stored as.
            **options: those of `medicane_models.hub.HubOptions`, such as ``revision="v2"``, say
                where to look; all others are fields of the configuration to change, for example
                ``num_frames=8``. Positions are interpolated, and the processor makes such clips,
                too; it is None for those that are not square.

        Raises:
            CheckpointError: a file is missing, or the weights do not fit the model or are not
                finite.
            ConfigurationError: the configuration or a change to it is not valid.
        """
        at, changes = split_options(options)
        config = MedicaneConfig.from_pretrained(id_or_dir, **at)
        if config.task != cls.task:
            raise CheckpointError(
                f"{id_or_dir} holds a {config.task} model; load it with AutoMedicaneModel, or "
                f"reuse its backbone with {cls.__name__}.from_backbone"
            )
        weights = read_weights(resolve_file(id_or_dir, WEIGHTS_NAME, **at))
        model = load_strictly(cls, config.resized(**changes), weights, str(id_or_dir), dtype)
        model.processor = _processor(id_or_dir, at)
        if model.processor is not None and model.config.clip_shape != config.clip_shape:
            model.processor = _resized(model.processor, model.config)
        return model

    def compiled(self, **options: Any) -> nn.Module:
        """What trains or runs faster on the weights of this model, after some time of compiling.

        Args:
            **options: of `torch.compile`.

        Returns:
            A module around this one; of a model for pretraining this one, changed in place. Save
            and load this one, whose weights keep their names.
        """
        return cast(nn.Module, torch.compile(self, **options))

    @classmethod
    def from_backbone(cls, id_or_dir: str | Path, **options: Any) -> tuple[Self, LoadReport]:
        """Start a new model on the patch embedding and blocks of another, in training mode.

        Args:
            id_or_dir: as in `from_pretrained`; its task may differ.
            **options: as in `from_pretrained`, for example ``head="heatmap"``.

        Returns:
            The model, and what was loaded, dropped and started fresh.

        Raises:
            CheckpointError: a tensor of the backbone is missing or does not fit.
        """
        at, changes = split_options(options)
        config = MedicaneConfig.from_pretrained(id_or_dir, **at)
        model = cls(config.resized(**{"task": cls.task, **UNTRAINED} | changes))
        weights = read_weights(resolve_file(id_or_dir, WEIGHTS_NAME, **at))
        return model, load_backbone(model, weights, str(id_or_dir))

    def save_pretrained(self, directory: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Write weights, configuration and, if there is one, the processor.

        Args:
            directory: created if needed.
            dtype: type of the stored parameters; None keeps theirs.
        """
        state = {
            name: as_type(tensor.detach(), dtype).cpu().contiguous()
            for name, tensor in self.state_dict().items()
        }
        write_weights(Path(directory) / WEIGHTS_NAME, state)
        if self.processor is not None:
            self.processor.save_pretrained(Path(directory))
        self.config.save_pretrained(directory)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        token: str | bool | None = None,
        private: bool = False,
        revision: str | None = None,
        commit_message: str = "Upload model",
        card: str | None = None,
    ) -> str:
        """Upload weights, configuration, processor and a model card in one commit.

        Args:
            repo_id: owner/name; created if needed.
            token: Hub token; None uses the stored one.
            private: visibility of a repository that is created.
            revision: branch to commit to; it must exist.
            commit_message: title of the commit.
            card: text of README.md; None generates one from the configuration.

        Returns:
            The hash of the commit.

        Raises:
            MedicaneError: as :func:`medicane_models.hub.upload`.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            made = upload(
                folder,
                repo_id,
                token=token,
                private=private,
                revision=revision,
                message=commit_message,
                texts={
                    "README.md": card
                    or model_card(self.config, name=repo_id, processor=self.processor)
                },
            )
        return made.commit


def _processor(id_or_dir: str | Path, at: HubOptions) -> MedicaneProcessor | None:
    try:
        return MedicaneProcessor.from_pretrained(id_or_dir, **at)
    except MissingFileError:
        return None


def _resized(processor: MedicaneProcessor, config: MedicaneConfig) -> MedicaneProcessor | None:
    """The processor for clips of another size or length."""
    height, width = config.frame_size
    if height != width:
        return None
    return processor.resized(tile_size=width, num_frames=config.num_frames)


M = TypeVar("M", bound=MedicaneModel)


def load_strictly(
    cls: Callable[[MedicaneConfig], M],
    config: MedicaneConfig,
    weights: Mapping[str, Tensor],
    source: str,
    dtype: torch.dtype = torch.float32,
    *,
    remedy: str = CONVERT,
) -> M:
    """Build a model from exactly these weights, in evaluation mode.

    Args:
        cls: class of the model.
        config: its configuration.
        weights: tensors by name.
        source: what to call them in an error.
        dtype: type of the parameters.
        remedy: what to do about missing or unexpected tensors.

    Raises:
        CheckpointError: a tensor is missing, unexpected, of another shape or not finite; all are
            counted and the first named.
    """
    # on the meta device nothing is initialised that the weights replace anyway
    with torch.device("meta"):
        model = cls(config)
    expected = model.state_dict()
    check_names(expected, weights, source, remedy)
    check_shapes(expected, weights, source)
    state = {name: as_type(weights[name], dtype) for name in expected}
    check_finite(state, source)
    model.load_state_dict(state, assign=True)
    return model.to(dtype).eval()


def load_backbone(
    model: MedicaneModel, weights: Mapping[str, Tensor], source: str, *, remedy: str = CONVERT
) -> LoadReport:
    """Copy patch embedding and blocks, and ``fc_norm`` where both have one, into ``model``.

    Args:
        model: a model under any head.
        weights: tensors of any task's model, in this package's names.
        source: what to call them in an error.
        remedy: what to do about missing or unexpected tensors.

    Raises:
        CheckpointError: a tensor of the backbone is missing, unexpected, of another shape or not
            finite.
    """
    named = {backbone_name(name): name for name in weights}
    places = {backbone_name(name): name for name in model.state_dict()}
    shared = [name for name in places if name.startswith((*BACKBONE, "fc_norm."))]
    required = [name for name in shared if name.startswith(BACKBONE)]
    offered = [name for name in named if name.startswith(BACKBONE)]
    check_names(required, offered, source, remedy)
    taken = {places[name]: weights[named[name]] for name in shared if name in named}
    check_shapes(model.state_dict(), taken, source)
    check_finite(taken, source)
    model.load_state_dict(taken, strict=False)
    return LoadReport(
        loaded=tuple(taken),
        dropped=tuple(name for plain, name in named.items() if plain not in shared),
        fresh=tuple(name for name in model.state_dict() if name not in taken),
    )


def backbone_name(name: str) -> str:
    """A tensor's name without the ``encoder.`` of pretraining models."""
    inner = name.removeprefix("encoder.")
    return inner if inner.startswith(BACKBONE) else name
