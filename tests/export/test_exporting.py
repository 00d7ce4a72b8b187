"""The command as a whole: what is written, what is refused, what is left alone."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pyproj
import pytest
import torch
from clip_stores import PROCESSOR as STORE_PROCESSOR
from clip_stores import small_store
from export_models import GRID, PROCESSOR, tiny_folder, tiny_source
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from medicane_export import exporting
from medicane_export.cli import app
from medicane_export.comparing import parity
from medicane_export.comparing.verdicts import Tolerance, faults
from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_export.graphs.int8 import quantize_statically
from medicane_export.graphs.networks import normalised_graph
from medicane_export.graphs.tracing import OPSET, metadata_of
from medicane_export.loaded_model import LoadedModel
from medicane_export.sample_clips import ClipSet, simulated_clips
from medicane_models.diagnosis.headers import onnx_properties
from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    MissingExtraError,
    OutputError,
    SceneError,
)
from medicane_models.runtimes.onnx_metadata import OnnxMetadata
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
    variant = json.loads((out / "parity.json").read_text())["variants"]["model.onnx"]
    sets = variant["sets"]
    assert len(sets) == 3
    assert set(sets["random"]["largest_by_batch_size"]) == {"1", "3", "8"}
    assert sets["simulated"]["clips"] == 3
    assert variant["machine"]["torch"] == torch.__version__.partition("+")[0]


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


def test_a_refused_variant_is_kept_apart_and_what_was_there_stays(every_precision, tmp_path):
    out = shutil.copytree(every_precision[0], tmp_path / "out")
    before = (out / "model.onnx").read_bytes()
    model = tiny_folder(tmp_path / "model")
    options = ["--out", str(out), "--clip-count", "0", "--tolerance-logits", "1e-12", "--overwrite"]
    done = CliRunner().invoke(app, ["onnx", str(model), *options])
    assert done.exit_code == 1
    assert "logits differs by" in done.output
    assert (out / "model.onnx").read_bytes() == before
    assert (out / "refused" / "model.onnx").is_file()
    variants = json.loads((out / "parity.json").read_text())["variants"]
    assert variants["model.onnx"]["accepted"]
    assert not variants["refused/model.onnx"]["accepted"]


def test_an_interrupted_export_leaves_whole_files_and_can_be_repeated(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    out, request = tmp_path / "out", OnnxRequest(precisions=("fp32", "fp16"), count=0)
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "in_half", interrupt)
        with pytest.raises(KeyboardInterrupt):
            export_onnx(tiny_source(), out, request, lambda _: None)
    found = {path.name for path in out.iterdir()}
    assert found == {"config.json", "preprocessor_config.json", "parity.json", "model.onnx"}
    assert len(export_onnx(tiny_source(), out, request, lambda _: None, overwrite=True)) == 2


def test_a_variant_is_replaced_only_when_told_and_others_are_added(tmp_path):
    def export(*precisions, **options):
        request = OnnxRequest(precisions=precisions, count=0, seed=1)
        return export_onnx(tiny_source(), tmp_path, request, lambda _: None, **options)

    export("fp32")
    export("fp16")
    (tmp_path / "model.onnx").write_text("old")
    (tmp_path / "model.onnx.data").write_text("old")
    with pytest.raises(ConfigurationError, match=r"model\.onnx exists; .* --overwrite"):
        export("fp32")
    assert (tmp_path / "model.onnx").read_text() == "old"
    export("fp32", overwrite=True)
    assert onnx_properties(tmp_path / "model.onnx")
    assert {path.name for path in tmp_path.glob("*.onnx*")} == {"model.onnx", "model_fp16.onnx"}


def test_what_was_compared_is_printed_as_json(tmp_path):
    model = tiny_folder(tmp_path / "model")
    arguments = ["onnx", str(model), "--out", str(tmp_path / "out"), "--clip-count", "0", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--threads", "1"])
    assert done.exit_code == 0, done.exception
    printed = json.loads(done.stdout)
    assert printed["model.onnx"]["faults"] == []
    assert set(printed["model.onnx"]["sets"]) == {"random"}


def test_a_tracker_is_judged_by_the_radii_the_predictor_draws(tmp_path):
    source = tiny_source("tracking")
    (variant,) = export_onnx(source, tmp_path / "out", OnnxRequest(count=2), lambda _: None)
    outputs = variant.details["sets"]["simulated"]["outputs"]
    assert {"lonlat", "radius_50_km", "radius_95_km"} <= set(outputs)


def test_a_centre_that_is_put_elsewhere_on_the_ground_has_moved():
    x, y = np.array([[10.0, 20.0], [5.0, 500.0]])
    lon, lat = GRID.pixel_to_lonlat(x, y)
    expected = {"center": np.stack((x, y), 1), "lonlat": np.stack((lon, lat), 1)}
    expected["lonlat"][1] = np.nan  # off the grid
    given = expected | {"lonlat": expected["lonlat"] + [0.0, 0.01]}
    clips = ClipSet(
        name="one", pixel_values=np.zeros((2, 1, 1, 1, 1)), tile_offset=np.zeros((2, 2), int)
    )
    _, _, metres = pyproj.Geod(ellps="WGS84").inv(lon[0], lat[0], lon[0], lat[0] + 0.01)
    moved = parity._shift_km(given, expected, clips, PROCESSOR)
    assert moved == pytest.approx([metres / 1000, 0], rel=3e-3)


def test_a_clip_store_is_compared_where_it_can_be(tmp_path):
    small_store(tmp_path / "store.zarr")
    source, said = tiny_source(processor=STORE_PROCESSOR, in_channels=1), []
    request = OnnxRequest(
        input_forms=("normalised", "kelvin"), clips=(str(tmp_path / "store.zarr"),), count=4
    )
    plain, kelvin = export_onnx(source, tmp_path / "out", request, said.append)
    assert plain.details["sets"][str(tmp_path / "store.zarr")]["clips"] == 4
    assert str(tmp_path / "store.zarr") not in kelvin.details["sets"]
    assert f"{tmp_path / 'store.zarr'} holds no temperatures: not compared in kelvin" in said


def test_a_scene_of_another_cadence_is_named(tmp_path):
    scene, _ = simulate_scene(hours=2, grid=PROCESSOR.grid, cadence_minutes=15.0)
    scene.drop_encoding().to_zarr(tmp_path / "slow.zarr", zarr_format=2)
    request = OnnxRequest(clips=(str(tmp_path / "slow.zarr"),), count=1)
    with pytest.raises(SceneError, match="a frame every 15 min, the model reads one every 5 min"):
        export_onnx(tiny_source(), tmp_path / "out", request, lambda _: None)


def test_clips_to_compare_on_need_a_count():
    with pytest.raises(ConfigurationError, match=r"leaves nothing of scene\.zarr"):
        OnnxRequest(clips=("scene.zarr",), count=0)


def test_a_grid_that_shows_no_whole_tile_has_no_simulated_clips(monkeypatch):
    monkeypatch.setattr("medicane_export.sample_clips.MOST_SCENES", 0)
    limb = replace(PROCESSOR, grid=replace(GRID, y_origin=5.55e6))
    assert simulated_clips(limb, count=1) is None


def test_a_card_keeps_the_licence_of_the_weights(tmp_path):
    model = tiny_folder(tmp_path / "model")
    (model / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# A model\n")
    export_onnx(LoadedModel.load(model), tmp_path / "out", OnnxRequest(count=0), lambda _: None)
    assert "license: cc-by-nc-4.0" in (tmp_path / "out" / "README.md").read_text()


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
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r'pip install "medicane-models\[export\]"'):
        exporting.trace(tiny_source(), input_form="normalised")


def test_an_unknown_precision_is_refused_before_anything_is_loaded(tmp_path):
    done = CliRunner().invoke(
        app, ["onnx", "medicane-tiny-detector", "--out", str(tmp_path), "--precision", "fp8"]
    )
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


def radius(**values):
    return {"outputs": {"radius_50_km": {"scaled": 0, **values}}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"different_decisions": 2}, "2 of 100 clips are decided differently"),
        ({"centre_km": {"p90": 1.5}}, "the centre moves by 1.5 km"),
        (radius(relative=0.5, relative_p90=0.4), "radius_50_km differs by 40.00%"),
        (radius(relative=np.inf, relative_p90=0.0), "radius_50_km is missing for some"),
        ({"outputs": {"logits": {"scaled": np.nan, "relative": 0}}}, "logits differs by nan"),
    ],
)
def test_what_exceeds_the_tolerance_is_said(changes, words):
    tolerance = Tolerance.of("fp16")
    assert faults(measured(different_decisions=1), ("simulated",), tolerance) == ()
    (fault,) = faults(measured(**changes), ("simulated",), tolerance)
    assert words in fault


def test_a_centre_or_radius_may_jump_on_one_clip_of_many():
    rare = radius(relative=0.5, relative_p90=0.01) | {"centre_km": {"p90": 0.02, "max": 50.0}}
    assert faults(measured(**rare), ("simulated",), Tolerance.of("int8")) == ()


def test_int8_without_a_decision_to_judge_it_by_is_refused():
    (fault,) = faults(measured(), ("simulated",), Tolerance.of("int8"))
    assert "--tolerance-logits" in fault
    assert faults(measured(), ("simulated",), Tolerance.of("int8", logits=0.1)) == ()


def test_a_number_that_is_missing_is_beyond_any_tolerance():
    missing = {"logits": {"scaled": np.inf, "relative": np.inf}}
    found = measured(outputs=missing, different_decisions=0)
    assert "logits differs by inf" in faults(found, ("simulated",), Tolerance.of("int8"))[0]


def test_decisions_on_random_clips_do_not_count():
    noise = {"random": measured(different_decisions=90)["simulated"]}
    assert faults(noise, (), Tolerance.of("fp32")) == ()
