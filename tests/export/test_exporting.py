"""The command as a whole: what is written, what is refused, what is left alone."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from export_models import PROCESSOR, tiny_folder, tiny_source
from typer.testing import CliRunner

from medicane_export import exporting
from medicane_export.cli import app
from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_export.parity import open_session
from medicane_export.verdicts import Tolerance, faults
from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    MissingExtraError,
    OutputError,
)
from medicane_models.onnx_format import OnnxMetadata
from medicane_models.simulation import simulate_scene

QUICK = {"count": 3}
OPERATORS = ("LayerNormalization", "Softmax", "MatMul", "Gelu")


@pytest.fixture(scope="module")
def every_precision(tmp_path_factory):
    """A detector in four precisions, compared on random, simulated and given clips."""
    out = tmp_path_factory.mktemp("all")
    scene = tmp_path_factory.mktemp("scene") / "scene.zarr"
    simulated, _ = simulate_scene(hours=0.5, grid=PROCESSOR.grid, seed=5)
    simulated.drop_encoding().to_zarr(scene, zarr_format=2)
    request = OnnxRequest(precisions=("fp32", "fp16", "bf16", "int8"), clips=(str(scene),), **QUICK)
    return out, export_onnx(tiny_source(), out, request, lambda _: None)


def test_every_variant_is_there_and_accepted(every_precision):
    out, variants = every_precision
    assert [variant.file for variant in variants] == [
        "model.onnx",
        "model_fp16.onnx",
        "model_bf16.onnx",
        "model_int8.onnx",
    ]
    assert all((out / variant.file).is_file() and not variant.faults for variant in variants)
    assert {path.name for path in out.iterdir() if path.suffix != ".onnx"} == {
        "README.md",
        "config.json",
        "parity.json",
        "preprocessor_config.json",
    }


def test_parity_tells_clips_batch_sizes_and_machine(every_precision):
    out, _ = every_precision
    document = json.loads((out / "parity.json").read_text())
    sets = document["variants"]["model.onnx"]["sets"]
    assert len(sets) == 3
    assert set(sets["random"]["largest_by_batch_size"]) == {"1", "3", "8"}
    assert sets["simulated"]["clips"] == 3
    assert document["machine"]["torch"] == torch.__version__.partition("+")[0]


def test_lower_precision_differs_more_but_little(every_precision):
    _, variants = every_precision
    worst = [variant.details["sets"]["random"]["outputs"]["logits"]["max"] for variant in variants]
    assert 0 < worst[0] < worst[1] < worst[2] < 0.1


def test_half_precision_multiplies_in_half_and_normalises_in_full(every_precision):
    out, _ = every_precision
    graph = onnx.shape_inference.infer_shapes(onnx.load(out / "model_fp16.onnx")).graph
    values = (*graph.value_info, *graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    inputs = {op: {kinds[n.input[0]] for n in graph.node if n.op_type == op} for op in OPERATORS}
    full, half = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    assert inputs == {
        "LayerNormalization": {full},
        "Softmax": {full},
        "MatMul": {full, half},  # the patch embedding stays
        "Gelu": {half},
    }


def test_bf16_holds_weights_of_half_the_size(every_precision):
    out, _ = every_precision
    graph = onnx.load(out / "model_bf16.onnx").graph
    products = {name for n in graph.node if n.op_type == "MatMul" for name in n.input}
    kinds = [t.data_type for t in graph.initializer if t.name in products]
    assert kinds.count(onnx.TensorProto.BFLOAT16) == 2 * 6 - 1  # the last is a Gemm


def test_int8_says_how_it_was_made(every_precision):
    out, _ = every_precision
    session = open_session(out / "model_int8.onnx")
    properties = session.get_modelmeta().custom_metadata_map
    metadata = OnnxMetadata.from_properties(properties, "model_int8.onnx")
    assert metadata.precision == "int8"
    assert metadata.quantisation.startswith("dynamic")


def test_static_ranges_come_from_calibration_clips(tmp_path):
    request = OnnxRequest(precisions=("int8",), calibrate="simulated", **QUICK)
    (variant,) = export_onnx(tiny_source(), tmp_path / "out", request, lambda _: None)
    assert not variant.faults
    assert variant.details["quantisation"].endswith("calibrated on 3 simulated clips")
    operators = {n.op_type for n in onnx.load(tmp_path / "out" / variant.file).graph.node}
    assert "QuantizeLinear" in operators


def test_a_refused_variant_is_kept_apart_and_what_was_there_stays(every_precision, tmp_path):
    out = shutil.copytree(every_precision[0], tmp_path / "out")
    before = (out / "model.onnx").read_bytes()
    model = tiny_folder(tmp_path / "model")
    options = ["--out", str(out), "--clip-count", "0", "--tolerance-logits", "1e-12"]
    done = CliRunner().invoke(app, ["onnx", str(model), *options])
    assert done.exit_code == 1
    assert "logits differs by" in done.output
    assert (out / "model.onnx").read_bytes() == before
    assert (out / "refused" / "model.onnx").is_file()
    variants = json.loads((out / "parity.json").read_text())["variants"]
    assert variants["model.onnx"]["accepted"]
    assert not variants["refused/model.onnx"]["accepted"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"thesis\.tex"):
        export_onnx(tiny_source(), tmp_path, OnnxRequest(count=0), lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_full_disk_is_told_and_leaves_nothing_half(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("onnx_ir.save", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export_onnx(tiny_source(), tmp_path / "out", OnnxRequest(count=0), lambda _: None)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r'pip install "medicane-models\[export\]"'):
        exporting.trace(tiny_source(), input_form="normalised")


def test_an_unknown_precision_is_refused_before_anything_is_loaded(tmp_path):
    done = CliRunner().invoke(app, ["onnx", "x", "--out", str(tmp_path), "--precision", "fp8"])
    assert isinstance(done.exception, ConfigurationError)
    assert "'fp8'" in str(done.exception)


def test_an_unknown_model_is_told(tmp_path):
    done = CliRunner().invoke(app, ["onnx", "./nowhere", "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, CheckpointError)
    assert "./nowhere is not a folder" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_help_is_light():
    code = (
        "import sys\nfrom medicane_export.cli import app\n"
        "try: app(['onnx', '--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "onnx", "onnxruntime", "numpy"}


def measured(**changes):
    outputs = {"logits": {"scaled": 0.0, "relative": 0.0}}
    return {"simulated": {"clips": 100, "outputs": outputs, **changes}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"different_decisions": 2}, "2 of 100 clips are decided differently"),
        ({"centre_km": {"p90": 1.5}}, "the centre moves by 1.5 km"),
        ({"outputs": {"radius_50_km": {"scaled": 0, "relative": 0.4}}}, "radius_50_km differs"),
        ({"outputs": {"logits": {"scaled": np.nan, "relative": 0}}}, "logits differs by nan"),
    ],
)
def test_what_exceeds_the_tolerance_is_said(changes, words):
    tolerance = Tolerance.of("fp16")
    assert faults(measured(different_decisions=1), ("simulated",), tolerance) == ()
    (fault,) = faults(measured(**changes), ("simulated",), tolerance)
    assert words in fault


def test_decisions_on_random_clips_do_not_count():
    noise = {"random": measured(different_decisions=90)["simulated"]}
    assert faults(noise, (), Tolerance.of("fp32")) == ()
