"""Saving, strict loading, reuse of a backbone under another head, and upload.

Only safetensors are written and read here; `network.conversion` reads other formats.
"""

import importlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medicane_models.errors import CheckpointError
from medicane_models.files import replacing
from medicane_models.hub import resolve_file
from medicane_models.network.configuration import MedicaneConfig, Task

__all__ = [
    "WEIGHTS_NAME",
    "AutoMedicaneModel",
    "LoadReport",
    "MedicaneModel",
    "load_backbone",
    "load_strictly",
    "model_class",
    "read_weights",
    "write_weights",
]

WEIGHTS_NAME = "model.safetensors"
BACKBONE = ("patch_embed.", "blocks.")
CONVERT = "to convert a foreign checkpoint run `medicane convert`"


class Processor(Protocol):
    """Anything that is saved beside the weights."""

    def save_pretrained(self, directory: Path, /) -> Any:
        """Write the processor's files."""
        ...


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
            f"{len(self.loaded)} tensors loaded; dropped: {_some(self.dropped) or 'none'}; "
            f"fresh: {_some(self.fresh) or 'none'}"
        )


class MedicaneModel(nn.Module):
    """A model with a configuration, that is read from and written to folders and the Hub.

    Attributes:
        config: what the model is.
        processor: saved with the model if it is set; it has ``save_pretrained(directory)``.
    """

    task: ClassVar[Task]
    config: MedicaneConfig
    processor: Processor | None = None

    def __init_subclass__(cls, *, task: Task | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if task is not None:
            cls.task = task
            _CLASSES[task] = cls

    @classmethod
    def from_pretrained(
        cls,
        id_or_dir: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str = "",
        dtype: torch.dtype = torch.float32,
        **changes: Any,
    ) -> Self:
        """Load a model in evaluation mode; every tensor must be there and fit.

        Args:
            id_or_dir: local folder, short name of an embedded model, or Hub id.
            revision: branch, tag or commit on the Hub.
            token: Hub token; None uses the stored one.
            cache_dir: where downloads are kept.
            local_files_only: look only at what is already on this machine.
            force_download: download again even if the cache has it.
            subfolder: folder inside the model's folder or repository.
            dtype: type of the parameters, whatever they are stored as.
            changes: fields of the configuration to change, for example ``num_frames=8``;
                positions are interpolated.

        Raises:
            CheckpointError: a file is missing, or the weights do not fit the model.
            ConfigurationError: the configuration or a change to it is not valid.
        """
        place: dict[str, Any] = {
            "revision": revision,
            "token": token,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
            "force_download": force_download,
            "subfolder": subfolder,
        }
        config = MedicaneConfig.from_pretrained(id_or_dir, **place)
        if config.task != cls.task:
            raise CheckpointError(
                f"{id_or_dir} holds a {config.task} model; load it with AutoMedicaneModel, or "
                f"reuse its backbone with {cls.__name__}.from_backbone"
            )
        weights = read_weights(resolve_file(id_or_dir, WEIGHTS_NAME, **place))
        return load_strictly(cls, config.resized(**changes), weights, str(id_or_dir), dtype)

    @classmethod
    def from_backbone(
        cls, id_or_dir: str | Path, *, place: Mapping[str, Any] | None = None, **changes: Any
    ) -> tuple[Self, LoadReport]:
        """Start a new model on the patch embedding and blocks of another, in training mode.

        Args:
            id_or_dir: as in `from_pretrained`; its task may differ.
            place: where to look, as `medicane_models.hub.resolve_file` takes it.
            changes: fields of the configuration that differ, for example ``head="heatmap"``.

        Returns:
            The model, and what was loaded, dropped and started fresh.

        Raises:
            CheckpointError: a tensor of the backbone is missing or does not fit.
        """
        place = place or {}
        config = MedicaneConfig.from_pretrained(id_or_dir, **place)
        untrained = {"trained_on": None, "temperature": 1.0, "error_covariance_px": None}
        model = cls(config.resized(**{"task": cls.task} | untrained | changes))
        weights = read_weights(resolve_file(id_or_dir, WEIGHTS_NAME, **place))
        return model, load_backbone(model, weights, str(id_or_dir))

    def save_pretrained(self, directory: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Write weights, configuration and, if there is one, the processor.

        Args:
            directory: created if needed.
            dtype: type of the stored parameters; None keeps theirs.
        """
        state = {
            name: tensor.detach().to("cpu", dtype).contiguous()
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
        """
        from huggingface_hub import HfApi

        from medicane_models.network.cards import model_card

        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            text = card or model_card(self.config, name=repo_id)
            (Path(folder) / "README.md").write_text(text, "utf-8")
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                revision=revision,
                commit_message=commit_message,
            )
        return commit.oid


class AutoMedicaneModel:
    """Picks the class of a model from its ``config.json``."""

    @staticmethod
    def from_pretrained(
        id_or_dir: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str = "",
        **options: Any,
    ) -> MedicaneModel:
        """Load whichever model a folder, an embedded model or a Hub repository holds.

        The arguments and errors are those of `MedicaneModel.from_pretrained`.
        """
        place: dict[str, Any] = {
            "revision": revision,
            "token": token,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
            "force_download": force_download,
            "subfolder": subfolder,
        }
        config = MedicaneConfig.from_pretrained(id_or_dir, **place)
        return model_class(config.task).from_pretrained(id_or_dir, **place, **options)


def model_class(task: Task) -> type[MedicaneModel]:
    """The class whose weights a configuration describes."""
    importlib.import_module("medicane_models.network.pretraining")  # which fills the table
    return _CLASSES[task]


_CLASSES: dict[Task, type[MedicaneModel]] = {}
M = TypeVar("M", bound=MedicaneModel)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file by name.

    Raises:
        CheckpointError: the file is not a complete safetensors file.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors by name to a safetensors file, whole or not at all.

    Raises:
        OutputError: if the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(dict(weights), temporary, metadata={"format": "pt"})
        temporary.chmod(mode)  # safetensors makes files that only their owner may read


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
        CheckpointError: a tensor is missing, unexpected or of another shape; all are counted and
            the first named.
    """
    # on the meta device nothing is initialised that the weights replace anyway
    with torch.device("meta"):
        model = cls(config)
    expected = model.state_dict()
    check_names(expected, weights, source, remedy)
    check_shapes(expected, weights, source)
    model.load_state_dict({name: weights[name].to(dtype) for name in expected}, assign=True)
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
        CheckpointError: a tensor of the backbone is missing, unexpected or of another shape.
    """
    named = {backbone_name(name): name for name in weights}
    places = {backbone_name(name): name for name in model.state_dict()}
    shared = [name for name in places if name.startswith((*BACKBONE, "fc_norm."))]
    required = [name for name in shared if name.startswith(BACKBONE)]
    offered = [name for name in named if name.startswith(BACKBONE)]
    check_names(required, offered, source, remedy)
    taken = {places[name]: weights[named[name]] for name in shared if name in named}
    check_shapes(model.state_dict(), taken, source)
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


def check_names(expected: Any, given: Any, source: str, remedy: str = CONVERT) -> None:
    """Refuse weights whose names are not exactly the ``expected`` ones."""
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    if missing or unexpected:
        raise CheckpointError(
            f"{source} does not fit the model: missing {_some(missing) or 'none'}; "
            f"unexpected {_some(unexpected) or 'none'}; {remedy}"
        )


def check_shapes(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights of other shapes than ``expected``."""
    wrong = [
        f"{name} is {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
        for name, tensor in given.items()
        if tensor.shape != expected[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{source} does not fit the model: {_some(wrong)}; make the configuration agree"
        )


def _some(names: Any, limit: int = 4) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
