"""What a graph becomes in each precision."""

import numpy as np
import onnx
import pytest
from export_models import QUICK, tiny_source
from onnx import TensorProto, helper, numpy_helper

from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_export.graphs.int8 import quantize_statically
from medicane_export.graphs.networks import normalised_graph
from medicane_export.graphs.tracing import OPSET, metadata_of
from medicane_export.sample_clips import ClipSet
from medicane_models.diagnosis.headers import onnx_properties
from medicane_models.runtimes.onnx_metadata import OnnxMetadata

OPERATORS = ("LayerNormalization", "Softmax", "MatMul", "Gelu")


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
    properties = onnx_properties(out / "model_int8.onnx")
    metadata = OnnxMetadata.from_properties(properties, "model_int8.onnx")
    assert metadata.precision == "int8"
    assert metadata.quantisation.startswith("dynamic")


def test_int8_takes_the_linear_maps_of_the_blocks_and_no_other(every_precision):
    out, _ = every_precision
    kinds = [node.op_type for node in onnx.load(out / "model_int8.onnx").graph.node]
    assert kinds.count("MatMulInteger") == 2 * 6  # query, key, value, projection and two of the MLP
    assert kinds.count("MatMul") == 2 * 2 + 2  # of attention, patch embedding, head


def test_the_shape_of_a_weight_is_told_by_the_weight_alone(every_precision):
    out, _ = every_precision
    graph = onnx.load(out / "model.onnx").graph
    assert not {value.name for value in graph.value_info} & {t.name for t in graph.initializer}


@pytest.mark.parametrize("stem", ["convolutional", "residual"])
def test_models_with_a_stem_are_exported_in_every_precision(stem, tmp_path):
    source = tiny_source("tracking", stem=stem, heatmap_features=True, heatmap_stride=2)
    request = OnnxRequest(precisions=("fp32", "fp16", "int8"), **QUICK)
    variants = export_onnx(source, tmp_path / "out", request, lambda _: None)
    assert [variant.faults for variant in variants] == [()] * 3
    quantised = onnx.load(tmp_path / "out" / "model_int8.onnx").graph
    operators = [node.op_type for node in quantised.node]
    assert "Conv" in operators
    assert "ConvInteger" not in operators


def test_static_ranges_come_from_calibration_clips(tmp_path):
    request = OnnxRequest(precisions=("int8",), calibrate="simulated", **QUICK)
    (variant,) = export_onnx(tiny_source(), tmp_path / "out", request, lambda _: None)
    assert not variant.faults
    assert variant.details["quantisation"].endswith(
        "calibrated on 3 simulated clips, means of their extremes"
    )
    operators = {n.op_type for n in onnx.load(tmp_path / "out" / variant.file).graph.node}
    assert "QuantizeLinear" in operators


def test_a_static_range_ends_at_the_mean_of_the_clips_extremes(tmp_path):
    product = helper.make_node("MatMul", ["pixel_values", "weight"], ["logits"], "product")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1, 1, 1, 2])
        for name in ("pixel_values", "logits")
    ]
    weight = numpy_helper.from_array(np.eye(2, dtype=np.float32), "weight")
    graph = helper.make_graph([product], "one", ends[:1], ends[1:], [weight])
    opset = [helper.make_opsetid("", OPSET)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "full")
    source = tiny_source()
    metadata = metadata_of(
        source,
        normalised_graph(source.model, "head"),
        contents="head",
        input_form="normalised",
        precision="int8",
        opset=OPSET,
    )
    clips = ClipSet(name="two", pixel_values=np.full((2, 1, 1, 1, 2), 1, np.float32))
    clips.pixel_values[1] = 3
    quantize_statically(tmp_path / "full", tmp_path / "int8", [], metadata, clips)
    stored = onnx.load(tmp_path / "int8").graph.initializer
    scales = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored}
    assert scales["pixel_values_scale"] == pytest.approx(2 / 255)


def test_every_precision_is_made_of_weights_in_a_file_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("medicane_export.graphs.tracing.SINGLE_FILE_BYTES", 1000)
    precisions = ("fp32", "bf16", "int8")
    request = OnnxRequest(precisions=precisions, calibrate="simulated", count=1)
    variants = export_onnx(tiny_source(), tmp_path, request, lambda _: None)
    assert not any(variant.faults for variant in variants)
    assert all((tmp_path / f"{variant.file}.data").is_file() for variant in variants)


def test_int8_of_a_model_whose_weights_lay_beside_it_is_one_file(
    every_precision, tmp_path, monkeypatch
):
    sizes = {one.details["precision"]: one.details["bytes"] for one in every_precision[1]}
    between = (sizes["fp32"] + sizes["int8"]) // 2
    monkeypatch.setattr("medicane_export.graphs.tracing.SINGLE_FILE_BYTES", between)
    request = OnnxRequest(precisions=("int8",), **QUICK)
    (variant,) = export_onnx(tiny_source(), tmp_path, request, lambda _: None)
    assert not variant.faults
    assert not list(tmp_path.glob("*.data"))
