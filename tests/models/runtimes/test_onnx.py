import json
import os
import subprocess

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from absent import run_without
from onnx_files import PROCESSOR, SIZES, cold_position, cold_scene, write_onnx

from medicane_export.graphs.tracing import metadata_of, save_onnx, trace
from medicane_export.loaded_model import LoadedModel
from medicane_models import MedicanePredictor, MedicaneProcessor, OnnxPredictor
from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    MedicaneError,
    MissingFileError,
)
from medicane_models.network.auto import model_class
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.runtimes import onnx as onnx_runtime
from medicane_models.runtimes.interface import Runtime
from medicane_models.runtimes.onnx import OnnxModel, OnnxRuntime, batch_size_for, find_onnx
from medicane_models.runtimes.onnx_session import OnnxSettings, open_session
from medicane_models.simulation import simulate_scene


def clips(count: int) -> np.ndarray:
    return np.random.default_rng(count).random((count, 4, 1, 32, 32), dtype=np.float32)


def detector(models, **settings) -> OnnxModel:
    path = models[0] / "model.onnx"
    return OnnxModel(path, ["probabilities"], device="cpu", settings=OnnxSettings(**settings))


def probabilities(model: OnnxModel, given: np.ndarray) -> np.ndarray:
    return np.concatenate([out["probabilities"][:, 1] for out in model.run(given)])


def run_without_torch(code: str, *arguments: object) -> subprocess.CompletedProcess:
    return run_without(["torch", "timm"], code, *arguments)


def test_detections_tracks_and_products_need_no_torch(models, tmp_path):
    cold_scene().to_netcdf(tmp_path / "scene.nc")
    code = """
from pathlib import Path
from medicane_models import OnnxPredictor
from medicane_models.prediction.publishing import replacing_products
predictor = OnnxPredictor.from_pretrained(*sys.argv[1:3], device="cpu")
with replacing_products(Path(sys.argv[4])) as writer:
    run = predictor.stream(sys.argv[3], pictures=True)
    for clip in run:
        writer.add(clip, run)
    writer.write(run.link())
assert "torch" not in sys.modules
"""
    done = run_without_torch(code, *models, tmp_path / "scene.nc", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "detections.csv").query("detected")
    tracks = pd.read_csv(tmp_path / "out" / "tracks.csv")
    lon, lat = cold_position()
    assert len(table) == 4  # two overlapping tiles, at 01:00 and at the newest frame
    for found in (table, tracks):
        assert found.lon.to_numpy() == pytest.approx(lon, abs=1e-3)
        assert found.lat.to_numpy() == pytest.approx(lat, abs=1e-3)
    assert len(list((tmp_path / "out" / "maps").iterdir())) == 2


@pytest.mark.parametrize("runtime", [[], ["--runtime", "onnx"]])
def test_the_command_needs_no_torch(models, tmp_path, runtime):
    cold_scene().to_netcdf(tmp_path / "scene.nc")
    code = "from medicane_models.cli import main\nmain()"
    done = run_without_torch(
        code, "predict", tmp_path / "scene.nc", "--out", tmp_path / "out", *runtime,
        "--model", models[0], "--tracker", models[1] / "model.onnx", "--threads", "1",
        "--device", "cpu", "--no-plot", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert sum(row["detected"] for row in printed["detections"]) == 4
    assert printed["provenance"]["detector"]["name"] == str(models[0])
    assert printed["provenance"]["device"].startswith("cpu (onnxruntime")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Random models with answers that vary, as PyTorch and as ONNX reads them."""
    folder = tmp_path_factory.mktemp("exported")
    grid = PROCESSOR.grid.window(0, 0, 64, 40)
    processor = MedicaneProcessor.airmass(tile_size=32, num_frames=4, grid=grid)
    sizes = SIZES | {"in_channels": 3}
    for task in ("classification", "tracking"):
        torch.manual_seed(3)
        model = model_class(task)(MedicaneConfig(task=task, **sizes)).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.mul_(2000 if name == "head.weight" else 4)
        model.processor = processor
        model.save_pretrained(folder / task)
        kinds = {"input_form": "normalised"}
        source = LoadedModel.load(folder / task)
        graph_model, graph = trace(source, **kinds)
        told = metadata_of(
            source, graph, contents="head", precision="fp32", opset=20, **kinds
        ).to_properties()
        save_onnx(graph_model, folder / task / "model.onnx", told)
    return folder / "classification", folder / "tracking"


def test_onnx_gives_what_torch_gives(exported):
    scene, _ = simulate_scene(hours=1, grid=PROCESSOR.grid.window(0, 0, 64, 40), seed=3)

    def judged(kind, threshold):
        predictor = kind.from_pretrained(*exported, device="cpu", threshold=threshold)
        return predictor.predict(scene, every_minutes=30)

    probability = np.sort(judged(MedicanePredictor, 0.5).table.probability)
    widest = np.diff(probability).argmax()  # a decision there is one that rounding cannot turn
    threshold = probability[widest : widest + 2].mean()
    given, expected = (judged(kind, threshold) for kind in (OnnxPredictor, MedicanePredictor))
    ours, theirs = given.table, expected.table
    assert (theirs.probability - threshold).abs().min() > 1e-3
    assert np.ptp(theirs.probability) > 0.1  # the model is not constant
    assert ours.detected.tolist() == theirs.detected.tolist()
    assert 0 < ours.detected.sum() < len(ours)
    np.testing.assert_allclose(ours.probability, theirs.probability, atol=1e-5)
    for axis in ("center_x", "center_y"):
        np.testing.assert_allclose(ours[axis], theirs[axis], atol=1e-3)
    for radius in ("radius_50_km", "radius_95_km"):
        np.testing.assert_allclose(ours[radius], theirs[radius], rtol=1e-4)
    assert given.tracks.track_id.tolist() == expected.tracks.track_id.tolist()
    assert given.provenance["processor"] == expected.provenance["processor"]
    assert given.provenance["settings"] == expected.provenance["settings"]


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_batches_of_any_size_give_the_same(models, batch_size):
    given = clips(12)
    model = detector(models, batch_size=batch_size)
    for _ in range(2):  # buffers are used again
        assert probabilities(model, given) == pytest.approx(given[:, -1].max((1, 2, 3)), abs=1e-7)


def test_centres_come_with_their_covariance(models):
    runtime = OnnxRuntime(*(folder / "model.onnx" for folder in models), device="cpu")
    given = clips(3)
    centres = runtime.centres(given)
    rows, columns = zip(
        *(np.unravel_index(clip[-1, 0].argmax(), (32, 32)) for clip in given), strict=True
    )
    assert centres.center.tolist() == np.stack([columns, rows], 1).tolist()
    assert centres.covariance.tolist() == [[[4, 0], [0, 4]]] * 3
    assert isinstance(runtime, Runtime)


class RecordedBinding:
    """Passes on to onnxruntime and keeps the shapes."""

    def __init__(self, binding):
        self.binding, self.shapes = binding, []

    def bind_input(self, name, kind, number, dtype, shape, pointer):
        self.shapes.append(shape)
        self.binding.bind_input(name, kind, number, dtype, shape, pointer)

    def bind_output(self, *arguments):
        self.binding.bind_output(*arguments)


def test_a_recorded_graph_sees_one_shape_only(models, monkeypatch):
    settings = OnnxSettings(batch_size=4, cuda_graph=True)
    monkeypatch.setattr(
        onnx_runtime, "open_session", lambda path, *_: open_session(path, "cpu", OnnxSettings())
    )
    model = OnnxModel(models[0] / "model.onnx", ["probabilities"], settings=settings)
    recorded = RecordedBinding(model._memory.binding)
    run = model._session.run_with_iobinding
    monkeypatch.setattr(model._memory, "binding", recorded)
    monkeypatch.setattr(model._session, "run_with_iobinding", lambda b: run(b.binding))
    given = clips(7)
    assert probabilities(model, given) == pytest.approx(given[:, -1].max((1, 2, 3)), abs=1e-7)
    assert recorded.shapes == [[4, 4, 1, 32, 32]]


def test_a_clip_of_another_shape_is_refused_not_stretched(models):
    with pytest.raises(ConfigurationError, match=r"shape \(4, 1, 1, 32\).* reads \(4, 1, 32, 32\)"):
        probabilities(detector(models), clips(1)[:, :, :, :1])


def test_int8_on_cuda_is_refused_not_run_by_the_cpu(tmp_path, monkeypatch):
    path = write_onnx(tmp_path / "model_int8.onnx", "classification", precision="int8")
    session, _ = open_session(path, "cpu")
    monkeypatch.setattr(onnx_runtime, "open_session", lambda *_: (session, "cuda"))
    with pytest.raises(ConfigurationError, match="run it on device cpu, or give fp16"):
        OnnxModel(path, ["probabilities"], device="cuda")


def test_warming_up_leaves_no_trace(models):
    model = detector(models, batch_size=2)
    assert model.warm_up() > 0
    assert probabilities(model, clips(1)) == pytest.approx(clips(1)[:, -1].max(), abs=1e-7)


def test_a_run_that_fails_is_one_sentence(models, monkeypatch):
    def exhausted(_):
        raise RuntimeError("Failed to allocate memory for requested buffer of size 99")

    model = detector(models, batch_size=2)
    monkeypatch.setattr(model._session, "run_with_iobinding", exhausted)
    with pytest.raises(MedicaneError, match=r"failed on cpu with 2 clips at once \(Failed to al"):
        probabilities(model, clips(5))


def test_threads_reach_the_session(models):
    session = detector(models, threads=3)._session
    assert session.get_session_options().intra_op_num_threads == 3
    assert session.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize(("asked", "taken"), [(3, 3), (None, len(os.sched_getaffinity(0)))])
def test_a_runtime_tells_its_threads(models, asked, taken):
    file = models[0] / "model.onnx"
    assert OnnxRuntime(file, None, settings=OnnxSettings(threads=asked)).threads == taken


def test_weights_in_a_file_of_their_own_are_found(models, tmp_path):
    (tmp_path / "split").mkdir()
    model = onnx.load(models[0] / "model.onnx")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(500, np.float32), "one"))
    constant = next(node for node in model.graph.node if node.output[0] == "one")
    model.graph.node.remove(constant)
    model.graph.node.insert(4, onnx.helper.make_node("ReduceMax", ["one"], ["unit"], keepdims=0))
    next(node for node in model.graph.node if node.op_type == "Sub").input[0] = "unit"
    onnx.save(
        model, tmp_path / "split" / "model.onnx", save_as_external_data=True, size_threshold=0,
        location="model.onnx.data",
    )  # fmt: skip
    (tmp_path / "split").rename(tmp_path / "moved")
    found = OnnxModel(find_onnx(tmp_path / "moved"), ["probabilities"], device="cpu")
    assert probabilities(found, clips(2)) == pytest.approx(clips(2)[:, -1].max((1, 2, 3)), abs=1e-7)


def test_a_graph_on_the_cpu_is_refused(models):
    with pytest.raises(ConfigurationError, match="cuda_graph needs device cuda, not cpu"):
        detector(models, batch_size=2, cuda_graph=True)


def test_a_model_that_was_never_exported_says_how_to(tmp_path):
    with pytest.raises(
        MissingFileError, match="run: medicane-export onnx medicane-tiny-detector --out DIR, and"
    ):
        find_onnx("medicane-tiny-detector")
    with pytest.raises(CheckpointError, match="does not exist; give an exported file"):
        find_onnx(tmp_path / "absent.onnx")


def test_a_folder_gives_the_precision_asked_for(models, tmp_path):
    path = write_onnx(tmp_path / "model_int8.onnx", "classification", precision="int8")
    assert find_onnx(tmp_path, precision="int8") == path
    with pytest.raises(MissingFileError, match=r"no model_fp16\.onnx; run: .* --precision fp16"):
        find_onnx(tmp_path, precision="fp16")


@pytest.mark.parametrize(("free", "clips_at_once"), [(100e9, 4), (1e9, 1), (0, 1), (1.5e9, 2)])
def test_batches_fit_into_half_of_the_free_memory(monkeypatch, free, clips_at_once):
    monkeypatch.setattr(onnx_runtime, "free_memory_bytes", lambda _: int(free))
    # base: 1568 tokens, 12 heads: attention weights 2 · 12 · 1568² · 4 bytes = 236 MB,
    # features (6 · 768 + 2 · 3072) · 1568 · 4 bytes = 67 MB, clips 2 · 9.6 MB: 323 MB
    assert batch_size_for(MedicaneConfig.preset("base"), "cpu") == clips_at_once
