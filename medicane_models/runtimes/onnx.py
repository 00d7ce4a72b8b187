"""Exported models on onnxruntime, without torch: on the device asked for, or not at all.

Letters: B clips, T frames, C bands, H rows, W columns.
"""

import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    MedicaneError,
    MissingFileError,
    MissingModelError,
)
from medicane_models.hub import resolve_file
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.runtimes.accelerators import (
    free_memory_bytes,
    import_onnxruntime,
    onnxruntime_build,
)
from medicane_models.runtimes.interface import Centres, PixelValues, cyclone_index
from medicane_models.runtimes.onnx_metadata import OnnxMetadata, Precision, onnx_file_name
from medicane_models.runtimes.onnx_session import (
    DEFAULTS,
    OnnxDevice,
    OnnxSettings,
    Place,
    open_session,
)

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["OnnxModel", "OnnxRuntime", "find_onnx"]

log = logging.getLogger(__name__)

Outputs = dict[str, np.ndarray]

MOST_CLIPS = {"cpu": 4, "cuda": 32, "tensorrt": 32}  # larger ones gain little
MEMORY_SHARE = 0.5  # of the free memory that a batch may take


class OnnxModel:
    """One exported file in one session, with the memory of its inputs and outputs.

    Attributes:
        path: of the file.
        metadata: what it says about itself.
        device: where it runs, never "auto".
        batch_size: clips of one run at most.
    """

    def __init__(
        self,
        path: Path,
        outputs: Sequence[str],
        *,
        optional: Sequence[str] = (),
        device: OnnxDevice = "auto",
        settings: OnnxSettings = DEFAULTS,
    ) -> None:
        self.path = path
        self._session, place = open_session(path, device, settings)
        self.device: Place = place
        told = self._session.get_modelmeta().custom_metadata_map
        self.metadata = OnnxMetadata.from_properties(told, str(path))
        _check_variant(self.metadata, outputs, path)
        _check_precision(self.metadata, self.device, path)
        given = {info.name for info in self.metadata.outputs}
        outputs = [*outputs, *(name for name in optional if name in given)]
        self.batch_size = settings.batch_size or batch_size_for(self.metadata.config, self.device)
        self._fixed = settings.cuda_graph
        self._memory = _Memory(self._session, self.metadata, outputs, self.batch_size, self.device)

    def run(self, clips: Iterable[PixelValues]) -> Iterator[Outputs]:
        """Outputs of batches of at least one clip; no more than one batch is held.

        Raises:
            ConfigurationError: a clip has another shape than the model's.
            MedicaneError: onnxruntime fails, for example for want of memory.
        """
        remaining = iter(clips)
        while batch := list(islice(remaining, self.batch_size)):
            count = self._memory.fill(batch)
            self._memory.bind(self.batch_size if self._fixed else count)
            try:
                self._session.run_with_iobinding(self._memory.binding)
            except Exception as error:  # onnxruntime's errors have no common class but this
                raise MedicaneError(
                    f"{self.path} failed on {self.device} with {count} clips at once "
                    f"({str(error).strip()}); free memory there or set a smaller batch_size"
                ) from error
            yield self._memory.read(count)

    def warm_up(self) -> float:
        """Run one full batch of zeros; seconds that it took."""
        started = time.perf_counter()
        zeros = np.zeros(self.metadata.config.clip_shape, np.float32)
        list(self.run([zeros] * self.batch_size))
        return time.perf_counter() - started


class _Memory:
    """Input and outputs of a full batch, allocated once; smaller batches use their beginnings."""

    def __init__(
        self,
        session: "InferenceSession",
        metadata: OnnxMetadata,
        outputs: Sequence[str],
        batch_size: int,
        device: str,
    ) -> None:
        ort_value = import_onnxruntime().OrtValue
        self.kind = "cpu" if device == "cpu" else "cuda"
        (clips,) = metadata.inputs
        shapes = {info.name: info.shape[1:] for info in metadata.outputs}
        self.host = np.zeros((batch_size, *map(int, clips.shape[1:])), np.float32)  # B T C H W
        self.input = ort_value.ortvalue_from_numpy(self.host, self.kind, 0)
        self.outputs = {
            name: ort_value.ortvalue_from_shape_and_type(
                [batch_size, *shapes[name]], np.float32, self.kind, 0
            )
            for name in outputs
        }
        self.values = {clips.name: self.input} | self.outputs
        self.binding = session.io_binding()
        self.bound = 0

    def fill(self, clips: Sequence[PixelValues]) -> int:
        """Copy clips to the device; how many there were."""
        for place, clip in zip(self.host, clips, strict=False):
            if clip.shape != place.shape:  # numpy would repeat one band to fill three
                raise ConfigurationError(
                    f"a clip has the shape {clip.shape} (T, C, H, W), the model reads "
                    f"{place.shape}; make clips with the model's own processor"
                )
            place[...] = clip
        if self.kind != "cpu":
            self.input.update_inplace(self.host)
        return len(clips)

    def bind(self, count: int) -> None:
        """Let the next run take the first ``count`` clips."""
        if count == self.bound:
            return
        for name, value in self.values.items():
            bind = self.binding.bind_output if name in self.outputs else self.binding.bind_input
            shape = [count, *value.shape()[1:]]
            bind(name, self.kind, 0, np.float32, shape, value.data_ptr())
        self.bound = count

    def read(self, count: int) -> Outputs:
        """Outputs of the first ``count`` clips, float64 as the torch runtime gives them."""
        return {name: value.numpy()[:count].astype(float) for name, value in self.outputs.items()}


class OnnxRuntime:
    """A detector and, for centres, a tracker in onnxruntime on one device.

    Example:
        ``OnnxRuntime(Path("detector/model.onnx"), Path("tracker/model.onnx"), device="cuda")``
    """

    def __init__(
        self,
        detector: str | Path,
        tracker: str | Path | None,
        *,
        device: OnnxDevice = "auto",
        settings: OnnxSettings = DEFAULTS,
    ) -> None:
        self.detector = OnnxModel(
            Path(detector), ["probabilities"], device=device, settings=settings
        )
        self.tracker = (
            None
            if tracker is None
            else OnnxModel(
                Path(tracker),
                ["center", "covariance"],
                optional=["heatmap"],
                device=self.detector.device,
                settings=settings,
            )
        )
        self.threads = settings.threads or len(os.sched_getaffinity(0))
        self._cyclone = cyclone_index(self.detector.metadata.config)
        log.info("models run on %s, %d clips at once", self.device, self.detector.batch_size)

    @property
    def device(self) -> str:
        """Where they run, and in what."""
        return f"{self.detector.device} ({onnxruntime_build()})"

    def probabilities(
        self, clips: Iterable[PixelValues], *, rough_below: float = 0.0
    ) -> Float[np.ndarray, " B"]:
        """As :meth:`medicane_models.runtimes.interface.Runtime.probabilities`.

        A graph holds all its views: nothing is rough.
        """
        outputs = self.detector.run(clips)
        return np.concatenate([out["probabilities"][:, self._cyclone] for out in outputs])

    def centres(self, clips: Iterable[PixelValues]) -> Centres:
        """As :meth:`medicane_models.runtimes.interface.Runtime.centres`."""
        assert self.tracker is not None
        outputs = list(self.tracker.run(clips))
        maps = [out["heatmap"] for out in outputs if "heatmap" in out]
        return Centres(
            np.concatenate([out["center"] for out in outputs]),
            np.concatenate([out["covariance"] for out in outputs]),
            np.concatenate(maps) if maps else None,
        )

    def warm_up(self) -> float:
        """Run one batch through each, so that the first real one is not slower; seconds it took."""
        return self.detector.warm_up() + (self.tracker.warm_up() if self.tracker else 0.0)


def _check_variant(metadata: OnnxMetadata, outputs: Sequence[str], path: Path) -> None:
    """Refuse files that do not give ``outputs`` for clips as the processor makes them."""
    given = [info.name for info in metadata.outputs]
    if missing := [name for name in outputs if name not in given]:
        raise ConfigurationError(
            f"{path} is a {metadata.task} model with the outputs {', '.join(given)}; a model with "
            f"{' and '.join(missing)} is needed here"
        )
    if metadata.input_form != "normalised":
        raise ConfigurationError(
            f"{path} takes temperatures in {metadata.input_form}, which are for callers without "
            f"this package; give {onnx_file_name()} beside it"
        )


def _check_precision(metadata: OnnxMetadata, device: Place, path: Path) -> None:
    """Refuse int8 on CUDA: it lacks those operators, and the CPU would take them in silence."""
    if metadata.precision == "int8" and device == "cuda":
        raise ConfigurationError(
            f"{path} is int8, for which onnxruntime has no CUDA operators; run it on device cpu, "
            "or give fp16"
        )


def batch_size_for(config: MedicaneConfig, device: str) -> int:
    """Clips that fit into half of the memory that is free, at most as many as still speed up."""
    free, most = free_memory_bytes(device), MOST_CLIPS[device]
    return max(1, min(most, int(MEMORY_SHARE * free) // clip_bytes(config))) if free else 1


def clip_bytes(config: MedicaneConfig) -> int:
    """What the run of one clip holds at its peak, in float32.

    The clip twice (as it comes and cut into tokens), the residual, the queries, keys and values,
    the hidden features of an MLP, and the attention weights before and after the softmax, which
    not every provider fuses away.
    """
    tokens = config.num_tokens
    features = 6 * config.embed_dim + 2 * config.mlp_hidden_dim
    weights = 2 * config.num_heads * tokens**2
    return 4 * (2 * math.prod(config.clip_shape) + tokens * features + weights)


def find_onnx(source: str | Path, *, precision: Precision = "fp32", **hub_options: Any) -> Path:
    """The exported file of a model, with its external data beside it if it has any.

    Args:
        source: a file, a folder, an embedded model or a Hub id.
        precision: of the variant in a folder or repository.
        **hub_options: as :func:`medicane_models.hub.resolve_file` takes them.

    Raises:
        CheckpointError: there is none; it says how to make it.
    """
    if Path(source).suffix == ".onnx" or Path(source).is_file():
        if Path(source).is_file():
            return Path(source)
        raise MissingModelError(f"{source} does not exist; give an exported file or its folder")
    name = onnx_file_name(precision=precision)
    try:
        path = resolve_file(source, name, **hub_options)
    except MissingFileError as error:
        variant = "" if precision == "fp32" else f" --precision {precision}"
        raise MissingFileError(
            f"{source} holds no {name}; run: medicane-export onnx {source} --out DIR{variant}, "
            "and give DIR"
        ) from error
    with suppress(CheckpointError):
        resolve_file(source, f"{name}.data", **hub_options)
    return path
