import logging

import onnxruntime
import pytest

from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.runtimes import onnx_session
from medicane_models.runtimes.accelerators import OnnxRuntimeBuild
from medicane_models.runtimes.onnx import OnnxModel
from medicane_models.runtimes.onnx_session import OnnxSettings, open_session

CUDA_BUILD = OnnxRuntimeBuild(
    package="onnxruntime-gpu",
    version="9.9",
    cuda="13.0",
    providers=("CUDAExecutionProvider", "CPUExecutionProvider"),
    missing_libraries=("libcublasLt.so.13",),
)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this build has CUDA"
)
def test_cuda_that_is_not_there_is_refused_with_what_is(models):
    with pytest.raises(ConfigurationError) as caught:
        OnnxModel(models[0] / "model.onnx", ["probabilities"], device="cuda")
    said = str(caught.value)
    assert "device cuda was asked for" in said
    assert f"onnxruntime {onnxruntime.__version__} offers only" in said
    assert "CPUExecutionProvider" in said
    assert 'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "medicane-models[gpu]"' in (
        said
    )


@pytest.fixture
def listed_but_not_loading(monkeypatch):
    """A build that says it has CUDA, and sessions that end on the CPU, as the real ones do."""
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda source, options, _, **more: session(source, options, ["CPUExecutionProvider"]),
    )
    for module in ("accelerators", "onnx_session"):
        monkeypatch.setattr(
            f"medicane_models.runtimes.{module}.onnxruntime_build", lambda: CUDA_BUILD
        )
        monkeypatch.setattr(f"medicane_models.runtimes.{module}.nvidia_driver", lambda: "a driver")
    monkeypatch.setattr("medicane_models.runtimes.accelerators.onnx_runtimes", lambda: {"a": "1"})


def test_a_session_that_ends_elsewhere_is_refused(models, listed_but_not_loading):
    with pytest.raises(ConfigurationError, match=r"does not find libcublasLt\.so\.13; run: pip"):
        open_session(models[0] / "model.onnx", "cuda")


def test_auto_takes_the_cpu_and_says_why(models, listed_but_not_loading, caplog):
    with caplog.at_level(logging.WARNING):
        _, place = open_session(models[0] / "model.onnx", "auto")
    assert place == "cpu"
    assert "taking the CPU, not the GPU" in caplog.text
    assert "libcublasLt.so.13" in caplog.text


@pytest.mark.parametrize("given", [{}, {"use_tf32": 1}])
def test_auto_takes_cuda_where_it_loads_exact_unless_told(models, monkeypatch, given):
    class OnCuda:
        def __init__(self, source, options, providers, **more):
            self.providers, self.more = providers, more

        def get_providers(self):
            return [name for name, _ in self.providers] + ["CPUExecutionProvider"]

    monkeypatch.setattr(onnx_session, "onnxruntime_build", lambda: CUDA_BUILD)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnCuda)
    settings = OnnxSettings(provider_options=given)
    session, place = open_session(models[0] / "model.onnx", "auto", settings)
    assert place == "cuda"
    assert session.providers == [("CUDAExecutionProvider", {"use_tf32": 0} | given)]
    assert session.more == {"enable_fallback": 0}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"threads": 0}, "threads is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"cuda_graph": True}, "cuda_graph needs batch_size"),
        ({"provider_options": {"device_id": 1}}, "choose with CUDA_VISIBLE_DEVICES"),
    ],
)
def test_impossible_settings_are_refused(settings, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        OnnxSettings(**settings)


def test_unknown_devices_are_refused(models):
    with pytest.raises(ConfigurationError, match="'tpu' is none of auto, cpu, cuda, tensorrt"):
        open_session(models[0] / "model.onnx", "tpu")


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 40)
    with pytest.raises(CheckpointError, match=r"model\.onnx cannot be run by onnxruntime"):
        open_session(tmp_path / "model.onnx", "cpu")
