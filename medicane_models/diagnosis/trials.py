"""Models run once on every runtime at hand, to see whether they work."""

import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medicane_models.errors import MissingExtraError
from medicane_models.hub import DETECTOR
from medicane_models.runtimes.accelerators import PROVIDERS, DeviceError, onnxruntime_build
from medicane_models.runtimes.onnx import OnnxModel, find_onnx
from medicane_models.runtimes.onnx_session import Place, open_session

__all__ = ["THREE_NODES", "Trial", "try_onnx", "try_torch"]

THREE_NODES = b64decode(
    "CAg6VwoOCgF4CgF4EgFzIgNNdWwKDgoBcwoBeBIBdCIDQWRkCgwKAXQSAXkiBFJlbHUSBXRocmVlWg8KAXgSCgoICAES"
    "BAoCCANiDwoBeRIKCggIARIECgIIA0IECgAQDQ=="
)
"""An ONNX model of three nodes, y = relu(x · x + x) for three float32."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One model run once.

    Attributes:
        runtime: torch or onnxruntime.
        device: where.
        model: what ran.
        seconds: from loading to the answer; None if there was none.
        error: why not.
        remedy: what to do then.
    """

    runtime: str
    device: str
    model: str
    seconds: float | None = None
    error: str | None = None
    remedy: str = "run it alone to see all of the error"

    def __str__(self) -> str:
        result = self.error if self.seconds is None else f"{self.seconds:.2f} s from load to answer"
        return f"{self.runtime} on {self.device}, {self.model}: {result}"


def try_torch() -> Trial:
    """The embedded detector on a random clip, on the GPU if torch sees one."""

    def probabilities() -> tuple[str, np.ndarray]:
        import torch

        from medicane_models.network.auto import AutoMedicaneModel
        from medicane_models.runtimes.interface import pick_device

        device = pick_device("auto")
        model = AutoMedicaneModel.from_pretrained(DETECTOR).to(device)
        clip = torch.from_numpy(_random_clip(model.config.clip_shape)[None]).to(device)
        with torch.inference_mode():
            return str(device), model(clip).probabilities.cpu().numpy()

    return _tried("torch", "auto", DETECTOR, probabilities, _are_probabilities)


def try_onnx() -> Iterator[Trial]:
    """Three nodes on every provider, and the embedded detector."""
    try:
        providers = onnxruntime_build().providers
    except MissingExtraError:
        return
    for device in ("cpu", "cuda", "tensorrt"):
        if PROVIDERS[device] in providers:
            yield _tried(
                "onnxruntime", device, "three nodes", lambda at=device: _three(at), _is_three
            )
    path = find_onnx(DETECTOR)
    yield _tried("onnxruntime", "auto", DETECTOR, lambda: _exported(path), _are_probabilities)


def _tried(
    runtime: str,
    device: str,
    model: str,
    run: Callable[[], tuple[str, np.ndarray]],
    right: Callable[[np.ndarray], bool],
) -> Trial:
    started = time.perf_counter()
    try:
        device, answer = run()
    except DeviceError as error:
        told = error.finding
        return Trial(
            runtime=runtime, device=device, model=model, error=told.text, remedy=told.remedy
        )
    except Exception as error:  # whatever it is, it is what the user wants to know
        return Trial(runtime=runtime, device=device, model=model, error=str(error))
    seconds = time.perf_counter() - started
    if not right(answer):
        wrong = f"answers {answer.tolist()}, which cannot be"
        return Trial(runtime=runtime, device=device, model=model, error=wrong)
    return Trial(runtime=runtime, device=device, model=model, seconds=seconds)


def _three(device: Place) -> tuple[str, np.ndarray]:
    session, place = open_session(THREE_NODES, device)
    (answer,) = session.run(None, {"x": np.array([-2, 1, 3], np.float32)})
    return place, np.asarray(answer)


def _is_three(answer: np.ndarray) -> bool:
    return bool(np.allclose(answer, [2, 2, 12]))


def _exported(path: Path) -> tuple[str, np.ndarray]:
    model = OnnxModel(path, ["probabilities"])
    (outputs,) = model.run([_random_clip(model.metadata.config.clip_shape)])
    return model.device, outputs["probabilities"]


def _are_probabilities(answer: np.ndarray) -> bool:
    return bool(np.allclose(answer.sum(-1), 1, atol=1e-3))


def _random_clip(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
