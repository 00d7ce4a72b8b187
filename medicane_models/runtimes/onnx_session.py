"""Sessions of onnxruntime: on the device asked for, or not at all."""

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from medicane_models.choices import OnnxDevice
from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.files import require_regular
from medicane_models.runtimes.accelerators import (
    PROVIDERS,
    DeviceError,
    import_onnxruntime,
    nvidia_driver,
    onnxruntime_build,
    provider_finding,
)

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["DEFAULTS", "OnnxDevice", "OnnxSettings", "Place", "open_session"]

log = logging.getLogger(__name__)

Place = Literal["cpu", "cuda", "tensorrt"]
ERRORS_ONLY = 3  # of onnxruntime's own log
EXACT = {"use_tf32": 0}  # onnxruntime would cut float32 products to 10 bits on CUDA, PyTorch not


@dataclass(frozen=True, kw_only=True)
class OnnxSettings:
    """How sessions run.

    Attributes:
        threads: of one operation on the CPU; None takes a thread a core.
        batch_size: clips in one run at most; None takes what the free memory allows.
        cuda_graph: record a run and replay it, for device "cuda"; every run then takes exactly
            ``batch_size`` clips, the last ones padded.
        provider_options: for the device's provider, for example
            ``{"trt_engine_cache_enable": True, "trt_engine_cache_path": "engines"}``, or
            ``{"use_tf32": 1}`` for CUDA, where float32 is otherwise exact as in PyTorch.
    """

    threads: int | None = None
    batch_size: int | None = None
    cuda_graph: bool = False
    provider_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("threads", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(
                    f"{name} is {value}; give a number from 1, or leave it out"
                )
        if "device_id" in self.provider_options:
            raise ConfigurationError("device_id cannot be set; choose with CUDA_VISIBLE_DEVICES")
        if self.cuda_graph and self.batch_size is None:
            raise ConfigurationError("cuda_graph needs batch_size: a graph is of one fixed shape")


DEFAULTS = OnnxSettings()


def open_session(
    path: Path | bytes, device: OnnxDevice | str, settings: OnnxSettings = DEFAULTS
) -> tuple["InferenceSession", Place]:
    """A session that runs where it was asked to, and that place.

    Args:
        path: of the file, or its content.
        device: "auto" takes CUDA if it really loads, else the CPU, and logs which and why.
        settings: threads and the provider's options.

    Raises:
        CheckpointError: the file cannot be run.
        DeviceError: its provider does not work here.
        ConfigurationError: the device is unknown.
        MissingExtraError: onnxruntime is not installed.
    """
    if device not in get_args(OnnxDevice):
        raise ConfigurationError(f"device {device!r} is none of {', '.join(get_args(OnnxDevice))}")
    if settings.cuda_graph and device != "cuda":
        raise ConfigurationError(f"cuda_graph needs device cuda, not {device}")
    if device == "auto":
        with suppress(_ProviderError):
            return _session(path, "cuda", settings), "cuda"
        if nvidia_driver() is not None:
            log.warning("taking the CPU, not the GPU: %s", provider_finding("cuda"))
    place: Place = "cpu" if device == "auto" else cast("Place", device)
    try:
        return _session(path, place, settings), place
    except _ProviderError as error:
        raise DeviceError(place, str(error), provider_finding(place)) from error


class _ProviderError(Exception):
    """A provider that was asked for is not what the session runs on."""


def _session(path: Path | bytes, device: Place, settings: OnnxSettings) -> "InferenceSession":
    onnxruntime, provider = import_onnxruntime(), PROVIDERS[device]
    if provider not in onnxruntime_build().providers:
        raise _ProviderError
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = settings.threads or 0
    providers = [(provider, _provider_options(device, settings))]
    if device == "tensorrt":
        providers.append((PROVIDERS["cuda"], EXACT))  # for what TensorRT cannot do
    name = "the model" if isinstance(path, bytes) else str(path)
    source = path if isinstance(path, bytes) else str(path)
    try:
        if isinstance(path, Path):
            require_regular(path)
        # onnxruntime would go on elsewhere when the provider fails, now or in a later run
        session = onnxruntime.InferenceSession(source, options, providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's errors have no common class but this
        if device == "cpu":
            raise CheckpointError(
                f"{name} cannot be run by {onnxruntime_build()} ({_first_line(error)}); copy it "
                "again, with the .data beside it if it has one, or export it anew"
            ) from error
        raise _ProviderError(_first_line(error)) from error
    if session.get_providers()[0] != provider:
        raise _ProviderError
    return session


def _provider_options(device: str, settings: OnnxSettings) -> dict[str, Any]:
    exact = EXACT if device == "cuda" else {}
    options = {**exact, **settings.provider_options}
    return options | {"enable_cuda_graph": True} if settings.cuda_graph else options


def _first_line(error: Exception) -> str:
    """What onnxruntime says, without the place in its source code."""
    line = str(error).strip().partition("\n")[0]
    return re.sub(r"^/onnxruntime_src\S+ .*?\) ", "", line)
