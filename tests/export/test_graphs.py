"""Traced graphs, run by onnxruntime, against the package and against pyproj."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pyproj
import pytest
import torch
from export_models import GRID, PROCESSOR, tiny_source

from medicane_export.comparing.reference import example_masks, torch_outputs
from medicane_export.graphs import tracing
from medicane_export.graphs.tracing import OPSET, metadata_of, save_onnx, trace
from medicane_export.sample_clips import random_clips
from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.prediction.uncertainty import normal_radius
from medicane_models.runtimes.onnx_metadata import OnnxMetadata

TEMPERATURE = 2.5
FINE = {"heatmap_features": True, "heatmap_stride": 2}


def exported(path, source, input_form="normalised", contents="head"):
    """A freshly exported file."""
    model, graph = trace(source, input_form=input_form, contents=contents)
    kinds = {"contents": contents, "input_form": input_form, "precision": "fp32", "opset": OPSET}
    file = path / f"{contents}_{input_form}.onnx"
    save_onnx(model, file, metadata_of(source, graph, **kinds).to_properties())
    return file


def opened(file):
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def run(session, **feeds):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    """Brightness temperatures in, places on the ground out."""
    return opened(exported(tmp_path_factory.mktemp("tracker"), tiny_source("tracking"), "kelvin"))


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory):
    source = tiny_source(temperature=TEMPERATURE)
    return exported(tmp_path_factory.mktemp("detector"), source, "kelvin")


@pytest.fixture(scope="module")
def detector(detector_file):
    return opened(detector_file)


@pytest.fixture(scope="module")
def clips():
    return random_clips(tiny_source().model.config, PROCESSOR, count=5)


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_a_detector_takes_any_number_of_clips(detector, clips, batch):
    expected = torch_outputs(tiny_source(temperature=TEMPERATURE), "head", clips)
    found = run(detector, brightness_temperature=clips.kelvin[:batch])
    np.testing.assert_allclose(found["logits"], expected["logits"][:batch], atol=1e-4)
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"][:batch], atol=1e-5)


def test_temperature_is_in_the_graph(detector, clips):
    found = run(detector, brightness_temperature=clips.kelvin)
    softmax = torch.from_numpy(found["logits"] / TEMPERATURE).softmax(-1)
    np.testing.assert_allclose(found["probabilities"], softmax, rtol=1e-5)


def test_a_tracker_gives_what_the_predictor_computes(tracker, clips):
    expected = torch_outputs(tiny_source("tracking"), "head", clips)
    found = run(tracker, brightness_temperature=clips.kelvin, tile_offset=clips.tile_offset)
    np.testing.assert_allclose(found["center"], expected["center"], atol=1e-3)
    for radius in ("radius_50_km", "radius_95_km"):
        np.testing.assert_allclose(found[radius], expected[radius], rtol=1e-3)


def test_longitude_and_latitude_are_pyprojs(tracker, clips):
    found = run(tracker, brightness_temperature=clips.kelvin, tile_offset=clips.tile_offset)
    x, y = (found["center"] + clips.tile_offset).T.astype(float)
    back = pyproj.Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)
    lonlat = back.transform(GRID.x_origin + GRID.x_step * x, GRID.y_origin + GRID.y_step * y)
    inside = GRID.contains(x, y)
    assert inside.any()
    np.testing.assert_allclose(found["lonlat"][inside], np.array(lonlat).T[inside], atol=2e-3)


def test_beyond_the_grid_there_is_no_place_but_a_centre(tracker, clips):
    far = clips.tile_offset + 1000
    found = run(tracker, brightness_temperature=clips.kelvin, tile_offset=far)
    assert np.isfinite(found["center"]).all()
    assert np.isnan(found["lonlat"]).all()
    assert np.isnan(found["radius_95_km"]).all()


def test_a_covariance_that_was_never_measured_gives_no_radius(tmp_path, clips):
    source = tiny_source("tracking", head="regression")
    session = opened(exported(tmp_path, source, "kelvin"))
    found = run(session, brightness_temperature=clips.kelvin, tile_offset=clips.tile_offset)
    assert np.isfinite(found["center"]).all()
    assert np.isnan(found["radius_50_km"]).all()


def test_a_missing_frame_is_filled_from_the_earlier_of_the_two_nearest(detector):
    kelvin = random_clips(
        tiny_source().model.config, replace(PROCESSOR, max_missing=0), count=1, seed=3
    ).kelvin
    gap, filled = kelvin.copy(), kelvin.copy()
    gap[:, 2], filled[:, 2] = np.nan, kelvin[:, 1]
    found = run(detector, brightness_temperature=gap)
    assert found["missing_frames"].tolist() == [1]
    expected = run(detector, brightness_temperature=filled)
    np.testing.assert_allclose(found["logits"], expected["logits"], rtol=1e-5)


def test_too_many_missing_frames_give_no_answer(detector, clips):
    kelvin = clips.kelvin[:2].copy()
    kelvin[0, :3] = np.nan
    found = run(detector, brightness_temperature=kelvin)
    assert found["missing_frames"][0] == np.isnan(kelvin[0]).all((1, 2, 3)).sum() > 1
    assert np.isnan(found["probabilities"][0]).all()
    assert np.isfinite(found["probabilities"][1]).all()


@pytest.mark.parametrize("task", ["classification", "pretraining"])
def test_embeddings_are_the_encoders(tmp_path, clips, task):
    source = tiny_source(task)
    session = opened(exported(tmp_path, source, contents="embeddings"))
    found = run(session, pixel_values=clips.pixel_values)
    expected = torch_outputs(source, "embeddings", clips)
    np.testing.assert_allclose(found["tokens"], expected["tokens"], atol=1e-4)
    np.testing.assert_allclose(found["embedding"], expected["embedding"], atol=1e-4)


def test_reconstruction_is_the_models_where_the_mask_hides(tmp_path, clips):
    source = tiny_source("pretraining")
    masks = example_masks(source, len(clips))
    session = opened(exported(tmp_path, source, contents="reconstruction"))
    found = run(session, pixel_values=clips.pixel_values, mask=masks)["reconstruction"]
    expected = torch_outputs(source, "reconstruction", clips)["reconstruction"]
    np.testing.assert_allclose(found[masks], expected[masks], atol=1e-4)


def test_the_file_says_what_it_is(tracker):
    properties = tracker.get_modelmeta().custom_metadata_map
    metadata = OnnxMetadata.from_properties(properties, "the file")
    source = tiny_source("tracking")
    assert metadata.config == source.model.config
    assert metadata.processor == PROCESSOR
    assert [info.name for info in metadata.inputs] == [i.name for i in tracker.get_inputs()]
    assert [info.name for info in metadata.outputs] == [o.name for o in tracker.get_outputs()]
    for info, output in zip(metadata.outputs, tracker.get_outputs(), strict=True):
        assert list(info.shape) == output.shape
    assert json.loads(properties["medicane.channels"]) == ["WV_062", "WV_073", "IR_097", "IR_108"]
    assert json.loads(properties["medicane.grid"])["affine_of_centres"][2] == GRID.x_origin


def test_no_local_path_is_in_a_file(detector_file):
    content = detector_file.read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content


def test_large_weights_lie_beside_the_graph(detector_file, tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "SINGLE_FILE_BYTES", 1000)
    save_onnx(onnx_ir.load(detector_file), tmp_path / "model.onnx", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    graph = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph
    entries = [entry for tensor in graph.initializer for entry in tensor.external_data]
    assert {entry.value for entry in entries if entry.key == "location"} == {"model.onnx.data"}
    onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("task", "contents", "input_form", "names"),
    [
        ("pretraining", "head", "normalised", "--what embeddings"),
        ("tracking", "reconstruction", "normalised", "reconstructs nothing"),
        ("pretraining", "reconstruction", "kelvin", "--input normalised"),
    ],
)
def test_what_a_model_does_not_have_is_refused(task, contents, input_form, names):
    with pytest.raises(ConfigurationError, match=names):
        trace(tiny_source(task), input_form=input_form, contents=contents)


STEMS = [
    ("classification", "head", {"stem": "convolutional"}),
    ("tracking", "head", {"stem": "convolutional", "head": "regression"}),
    ("tracking", "head", {"stem": "convolutional", "heatmap_offset": True, **FINE}),
    ("tracking", "head", {"stem": "residual", **FINE}),
    ("classification", "head", {"stem": "residual", "newest_only": True}),
    ("pretraining", "reconstruction", {"stem": "residual"}),
]


@pytest.mark.parametrize(("task", "contents", "changes"), STEMS)
def test_stems_give_what_the_package_computes_without_norms_in_the_graph(
    tmp_path, clips, task, contents, changes
):
    source = tiny_source(task, tubelet_size=1, **changes)
    file = exported(tmp_path, source, contents=contents)
    assert not any(node.op_type == "BatchNormalization" for node in onnx.load(file).graph.node)
    feeds, kept = {"pixel_values": clips.pixel_values}, slice(None)
    if contents == "reconstruction":
        feeds["mask"] = kept = example_masks(source, len(clips))
    found, expected = run(opened(file), **feeds), torch_outputs(source, contents, clips)
    for name, values in found.items():
        largest = np.nan_to_num(np.abs(expected[name])).max().clip(1)
        np.testing.assert_allclose(
            values[kept], expected[name][kept], rtol=0, atol=1e-4 * largest, err_msg=name
        )


def test_kelvin_needs_a_processor():
    with pytest.raises(ConfigurationError, match=r"preprocessor_config\.json"):
        trace(tiny_source(processor=None), input_form="kelvin")


def test_an_opset_that_the_exporter_cannot_write_is_refused():
    with pytest.raises(ConfigurationError, match="18 or more"):
        trace(tiny_source(), input_form="normalised", opset=11)
    with pytest.raises(ConfigurationError, match=r"opset is 99, which torch .* cannot write"):
        trace(tiny_source(), input_form="normalised", opset=99)


def test_a_number_of_clips_that_the_exporter_fixed_is_refused():
    fixed = """<ir_version: 10, opset_import: ["" : 20]>
    graph (float[2,3] pixel_values) => (float[2,3] y) { y = Relu(pixel_values) }"""
    with pytest.raises(CheckpointError, match="fixed the number of clips in pixel_values"):
        tracing._check_free_batch(onnx_ir.from_onnx_text(fixed))


def test_interpolated_quantiles_are_hoyts():
    from medicane_export.graphs.ground import radius_quantiles

    table = radius_quantiles()
    ratios = np.random.default_rng(0).random(50)
    covariance = np.zeros((50, 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = 1, ratios**2
    steps = np.linspace(0, 1, table.shape[1])
    for values, share in zip(table, (0.5, 0.95), strict=True):
        expected = normal_radius(covariance, share)
        np.testing.assert_allclose(np.interp(ratios, steps, values), expected, rtol=1e-4)
