import pytest
from onnx_files import PROCESSOR, SIZES, write_onnx

from medicane_models import MedicanePredictor, OnnxPredictor
from medicane_models.errors import ConfigurationError, MissingFileError
from medicane_models.hub import AIRMASS_DETECTOR, AIRMASS_TRACKER, TRACKER
from medicane_models.network.auto import model_class
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.prediction import model_loading
from medicane_models.runtimes.interface import TorchRuntime
from medicane_models.runtimes.onnx import OnnxRuntime
from medicane_models.runtimes.onnx_session import OnnxSettings


def torch_folder(folder, task: str = "classification"):
    model = model_class(task)(MedicaneConfig(task=task, **SIZES))
    model.processor = PROCESSOR
    model.save_pretrained(folder)
    return folder


def exported_file(folder, task: str = "classification"):
    return write_onnx(folder / "detector.onnx", task)


def exported_folder(folder, task: str = "classification"):
    return write_onnx(folder / "model.onnx", task).parent


def both(folder, task: str = "classification"):
    return exported_folder(torch_folder(folder, task), task)


@pytest.mark.parametrize(
    ("made", "runtime", "expected"),
    [
        (torch_folder, "auto", TorchRuntime),
        (exported_file, "auto", OnnxRuntime),
        (exported_folder, "auto", OnnxRuntime),
        (both, "auto", TorchRuntime),
        (both, "onnx", OnnxRuntime),
    ],
)
def test_the_runtime_follows_from_what_is_given(tmp_path, made, runtime, expected):
    detector = made(tmp_path)
    predictor = MedicanePredictor.from_pretrained(detector, None, runtime=runtime, device="cpu")
    assert isinstance(predictor.runtime, expected)


def test_without_torch_what_is_exported_runs_on_onnxruntime(tmp_path, monkeypatch):
    monkeypatch.setattr(model_loading, "find_spec", lambda name: None)
    predictor = MedicanePredictor.from_pretrained(both(tmp_path), None, device="cpu")
    assert isinstance(predictor.runtime, OnnxRuntime)


def test_one_exported_model_takes_both_to_onnxruntime(tmp_path):
    detector, tracker = both(tmp_path / "a"), exported_file(tmp_path / "b", "tracking")
    predictor = MedicanePredictor.from_pretrained(detector, tracker, device="cpu")
    assert isinstance(predictor.runtime, OnnxRuntime)
    with pytest.raises(MissingFileError, match="medicane-export onnx"):
        MedicanePredictor.from_pretrained(torch_folder(tmp_path / "c"), tracker, device="cpu")


def test_the_onnx_predictor_is_the_same_on_onnxruntime(tmp_path):
    predictor = OnnxPredictor.from_pretrained(both(tmp_path), None, device="cpu")
    assert isinstance(predictor.runtime, OnnxRuntime)
    with pytest.raises(MissingFileError, match=f"medicane-export onnx {AIRMASS_DETECTOR}"):
        OnnxPredictor.from_pretrained(AIRMASS_DETECTOR, device="cpu")


def test_the_embedded_tracker_is_taken_where_it_reads_the_same_clips(tmp_path):
    assert MedicanePredictor.from_pretrained(device="cpu").tracker.name == TRACKER
    airmass = MedicanePredictor.from_pretrained(AIRMASS_DETECTOR, device="cpu")
    assert airmass.tracker.name == AIRMASS_TRACKER
    alone = MedicanePredictor.from_pretrained(torch_folder(tmp_path), device="cpu")
    assert alone.tracker is None
    assert "read different clips" in alone.untracked


def test_a_tracker_that_is_named_must_fit(tmp_path):
    with pytest.raises(ConfigurationError, match="read different clips"):
        MedicanePredictor.from_pretrained(torch_folder(tmp_path), AIRMASS_TRACKER, device="cpu")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"device": "tensorrt"}, "add --runtime onnx"),
        ({"settings": OnnxSettings(batch_size=2)}, "settings but threads"),
        ({"settings": OnnxSettings(batch_size=2)}, "are for exported models"),
        ({"precision": "fp16"}, "are for exported models"),
    ],
)
def test_torch_refuses_what_only_onnxruntime_knows(options, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        MedicanePredictor.from_pretrained(**options)
