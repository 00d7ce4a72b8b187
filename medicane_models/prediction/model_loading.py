"""Load a detector and a tracker on the runtime that their files are for."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from medicane_models.choices import DeviceName, OnnxDevice, Precision, RuntimeName
from medicane_models.errors import ConfigurationError, MissingFileError, naming_extras
from medicane_models.hub import (
    AIRMASS_TRACKER,
    TILE_TRACKER,
    TRACKER,
    WEIGHTS_NAME,
    resolve_file,
)
from medicane_models.prediction.models import ModelDescription, check_pair
from medicane_models.runtimes.interface import Runtime, TorchRuntime, limit_threads
from medicane_models.runtimes.onnx import OnnxRuntime, find_onnx
from medicane_models.runtimes.onnx_metadata import onnx_file_name
from medicane_models.runtimes.onnx_session import DEFAULTS, OnnxSettings

if TYPE_CHECKING:
    from medicane_models.network.base import MedicaneModel

__all__ = [
    "LoadedModels",
    "ModelReference",
    "load_models",
    "load_with_embedded_tracker",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelReference:
    """A model that is asked for.

    Attributes:
        name: a folder, an exported file, an embedded name or a Hub id.
        hub_options: revision, token, cache_dir, local_files_only, force_download.
    """

    name: str | Path
    hub_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_exported(self) -> bool:
        """Whether it is a file for onnxruntime, or a place that holds one."""
        return self._is_file or self._holds(onnx_file_name())

    @property
    def has_weights(self) -> bool:
        """Whether it is a place that holds weights for torch."""
        return not self._is_file and self._holds(WEIGHTS_NAME)

    @property
    def _is_file(self) -> bool:
        return Path(self.name).suffix == ".onnx" or Path(self.name).is_file()

    def _holds(self, filename: str) -> bool:
        with suppress(MissingFileError):
            resolve_file(self.name, filename, **self.hub_options)
            return True
        return False

    def described(self) -> ModelDescription:
        """What its configuration and processor say."""
        return ModelDescription.in_folder(self.name, **self.hub_options)

    def model(self) -> "MedicaneModel":
        """The model in PyTorch."""
        from medicane_models.network.auto import AutoMedicaneModel

        return AutoMedicaneModel.from_pretrained(self.name, **self.hub_options)

    def onnx_file(self, precision: Precision) -> Path:
        """Its exported file."""
        return find_onnx(self.name, precision=precision, **self.hub_options)


class LoadedModels(NamedTuple):
    """A runtime and what its models are; ``untracked`` says why one has no tracker."""

    runtime: Runtime
    detector: ModelDescription
    tracker: ModelDescription | None
    untracked: str | None = None


def load_models(
    detector: ModelReference,
    tracker: ModelReference | None,
    *,
    runtime: RuntimeName = "auto",
    device: OnnxDevice = "auto",
    settings: OnnxSettings = DEFAULTS,
    precision: Precision = "fp32",
) -> LoadedModels:
    """Load both; ``runtime`` "auto" is onnxruntime where torch cannot run what is exported.

    Raises:
        CheckpointError: a file is missing or does not fit.
        ConfigurationError: the models do not fit one another, or an option the runtime.
        MissingExtraError: the runtime is not installed.
    """
    given = [detector] if tracker is None else [detector, tracker]
    if runtime == "auto":
        runtime = _runtime_for(given)
    if runtime == "onnx":
        return _on_onnxruntime(detector, tracker, device, settings, precision)
    _check_torch_takes(device, settings, precision)
    with naming_extras():
        limit_threads(settings.threads)
        return _on_torch(detector, tracker, cast("DeviceName", device))


def load_with_embedded_tracker(detector: ModelReference, **options: Any) -> LoadedModels:
    """Load a detector, and the embedded tracker that reads the same clips on the same runtime.

    Args:
        detector: the detector.
        **options: as :func:`load_models` takes them, as are the errors.
    """
    refusals = []
    for tracker in (TRACKER, AIRMASS_TRACKER, TILE_TRACKER):
        try:
            return load_models(detector, ModelReference(name=tracker), **options)
        except (ConfigurationError, MissingFileError) as error:
            refusals.append(f"{tracker} does not fit {detector.name}: {error}")
    alone = load_models(detector, None, **options)
    untracked = "; ".join(refusals)
    log.info("detecting without centres and tracks: %s", untracked)
    return alone._replace(untracked=untracked)


def _runtime_for(models: Sequence[ModelReference]) -> RuntimeName:
    """What "auto" means: "onnx" where an exported model has no weights or they have no torch."""
    has_torch = find_spec("torch") is not None
    others = (model for model in models if not (has_torch and model.has_weights))
    return "onnx" if any(model.is_exported for model in others) else "torch"


def _on_torch(
    detector: ModelReference, tracker: ModelReference | None, device: DeviceName
) -> LoadedModels:
    found, located = detector.described(), tracker and tracker.described()
    check_pair(found, located)  # before weights are read
    runtime = TorchRuntime(detector.model(), tracker and tracker.model(), device=device)
    return LoadedModels(runtime, found, located)


def _on_onnxruntime(
    detector: ModelReference,
    tracker: ModelReference | None,
    device: OnnxDevice,
    settings: OnnxSettings,
    precision: Precision,
) -> LoadedModels:
    paths = detector.onnx_file(precision), tracker and tracker.onnx_file(precision)
    runtime = OnnxRuntime(*paths, device=device, settings=settings)
    found = ModelDescription.exported(detector.name, runtime.detector)
    located = (
        ModelDescription.exported(tracker.name, runtime.tracker)
        if tracker and runtime.tracker
        else None
    )
    check_pair(found, located)
    return LoadedModels(runtime, found, located)


def _check_torch_takes(device: OnnxDevice, settings: OnnxSettings, precision: Precision) -> None:
    """Refuse what only onnxruntime knows."""
    if device == "tensorrt":
        raise ConfigurationError("device tensorrt runs exported models; add --runtime onnx")
    if replace(settings, threads=None) != DEFAULTS or precision != "fp32":
        raise ConfigurationError(
            "precision, and settings but threads, are for exported models; give runtime='onnx', or "
            "leave them out"
        )
