"""Graphs of models that read local planes: marks of what is missing, and places on Earth."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from export_models import tiny_source
from plane_scenes import grid_around, scene
from sample_stores import KM, SAMPLE_SIZE, SIZE, picture, sample, sample_store
from scene_files import cf_dataset, letterbox, write_png

from medicane_export.comparing.reference import torch_outputs
from medicane_export.exporting import export_onnx
from medicane_export.graphs.tracing import OPSET, metadata_of, save_onnx, trace
from medicane_export.request import OnnxRequest
from medicane_export.sample_clips import given_clips, random_clips, simulated_clips
from medicane_models import MedicanePredictor, MedicaneProcessor
from medicane_models.domain import MEDITERRANEAN, great_circle_km
from medicane_models.prediction.refinement import FirstGuess
from medicane_models.scenes.processing import airmass_bands

PROCESSOR = MedicaneProcessor.planes(size=32, km=30.0, num_frames=4)
SOURCES = {
    "classification": tiny_source("classification", PROCESSOR, in_channels=2, views="flips"),
    "tracking": tiny_source(
        "tracking",
        PROCESSOR,
        in_channels=2,
        views="eight",
        radius_calibration=((0.4, 1.2), (2.0, 0.9)),
    ),
}


def session_of(path, task, input_form="kelvin"):
    source = SOURCES[task]
    model, graph = trace(source, input_form=input_form, contents="head")
    kinds = {"contents": "head", "input_form": input_form, "precision": "fp32", "opset": OPSET}
    file = path / f"{task}.onnx"
    save_onnx(model, file, metadata_of(source, graph, **kinds).to_properties())
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    return session_of(tmp_path_factory.mktemp("tracker"), "tracking")


@pytest.fixture(scope="module")
def clips():
    return random_clips(SOURCES["tracking"].model.config, PROCESSOR, count=8)


def run(session, **feeds):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def test_centres_are_where_the_package_places_them_in_both_hemispheres(tracker, clips):
    expected = torch_outputs(SOURCES["tracking"], "head", clips)
    found = run(tracker, brightness_temperature=clips.kelvin, plane_center=clips.plane_center)
    assert (clips.plane_center[:, 1] < 0).any()
    np.testing.assert_allclose(found["center"], expected["center"], atol=1e-3)
    assert great_circle_km(*found["lonlat"].T, *expected["lonlat"].T).max() < 0.1
    for name in ("radius_50_km", "radius_95_km"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3)


def test_missing_pixels_and_frames_are_marked_in_the_graph(tracker, clips):
    kelvin = clips.kelvin.copy()
    kelvin[:, 1] = np.nan
    kelvin[:, 3, :, :6] = np.nan
    frames = (310 - kelvin) / 120
    pixels = PROCESSOR.normalise(np.clip(frames, 0, 1))
    found = run(tracker, brightness_temperature=kelvin, plane_center=clips.plane_center)
    marked = type(clips)(name="marked", pixel_values=pixels, plane_center=clips.plane_center)
    expected = torch_outputs(SOURCES["tracking"], "head", marked)
    np.testing.assert_allclose(found["center"], expected["center"], atol=1e-3)
    assert (found["missing_frames"] >= 1).all()


def test_a_clip_without_its_newest_frame_is_refused(tracker, clips):
    kelvin = clips.kelvin.copy()
    kelvin[0, -1] = np.nan
    found = run(tracker, brightness_temperature=kelvin, plane_center=clips.plane_center)
    assert np.isnan(found["center"][0]).all()
    assert np.isfinite(found["center"][1:]).all()


def test_simulated_clips_are_planes_too():
    clips = simulated_clips(PROCESSOR, count=2)
    assert clips is not None
    assert clips.pixel_values.shape == (2, *PROCESSOR.clip_shape)
    assert clips.plane_center is not None


def test_stored_samples_lie_where_they_were_taken_and_their_gaps_stay_gaps(tmp_path):
    short = [sample(str(n), n, stretched=picture(n, frames=2), lat=20.0 * n - 30) for n in range(4)]
    stored = sample_store(tmp_path / "store.zarr", short)
    config = tiny_source("tracking", stored.processor, in_channels=2).model.config
    count = len(stored.clips)
    clips = given_clips(str(stored.path), config, stored.processor, count=count)
    assert (stored.rows[:, :2] == -1).all()
    assert (clips.pixel_values[:, :2] == 0).all()  # neither values nor marks of the last frame
    assert (clips.pixel_values[:, 2:, 1] == 1).all()
    # on the plane, distances from its centre are true
    offset = stored.clips[["tile_x", "tile_y"]].to_numpy() + (SIZE - SAMPLE_SIZE) / 2
    places = stored.clips[["plane_lon", "plane_lat"]].to_numpy()
    away = great_circle_km(*clips.plane_center.T, *places.T)
    assert away == pytest.approx(KM * np.hypot(*offset.T), abs=0.01)


AIRMASS = MedicaneProcessor.airmass_planes(size=32, km=30.0)
AIRMASS_CONFIG = tiny_source("tracking", AIRMASS, in_channels=4).model.config


@pytest.mark.parametrize("sensor", ["seviri", "abi"])
def test_airmass_planes_are_stretched_as_their_sensor_needs(tmp_path, sensor):
    times = pd.date_range("2021-01-01", periods=2, freq="h", unit="ns")
    grid = MEDITERRANEAN.window(300, 0, 700, 420)
    kelvin = np.full((2, grid.height, grid.width), 225.0, np.float32)
    kelvin += np.linspace(0, 9, grid.width, dtype=np.float32)
    told = {"platform": "x", "sensor": sensor, "time_convention": "end_of_scan"}
    cf_dataset(kelvin, times, grid=grid).assign_attrs(told).to_netcdf(tmp_path / "scene.nc")
    clips = given_clips(str(tmp_path / "scene.nc"), AIRMASS_CONFIG, AIRMASS, count=2)
    red, green, _, seen = clips.pixel_values[0, -1, :, 16, 16]
    bands = airmass_bands(sensor)[:2]  # channels are a kelvin apart, in the order of files
    colours = [(-1.0 - band.low) / (band.high - band.low) for band in bands]
    expected = (np.array(colours) - AIRMASS.mean[:2]) / AIRMASS.std[:2]
    np.testing.assert_allclose([red, green, seen], [*expected, 1.0], atol=1e-3)
    assert (clips.kelvin is None) == (sensor == "abi")  # a graph has the limits of its own sensor


def test_airmass_pictures_are_clips_of_planes(tmp_path):
    for hour in range(2):
        write_png(tmp_path, f"2021-01-01 {hour:02}:00", letterbox())
    clips = given_clips(str(tmp_path), AIRMASS_CONFIG, AIRMASS, count=2)
    assert clips.kelvin is None
    assert clips.pixel_values.shape == (2, *AIRMASS.clip_shape)
    assert (clips.pixel_values[:, -1, 3] == 1).any()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Predictors of the same models, exported and in torch."""
    folder = tmp_path_factory.mktemp("pairs")
    for task, source in SOURCES.items():
        request = OnnxRequest(precisions=("fp32",), count=2)
        export_onnx(source, folder / task, request, lambda _: None)
        source.model.processor = PROCESSOR
        source.model.save_pretrained(folder / f"torch-{task}")
    return [
        MedicanePredictor.from_pretrained(
            folder / f"{kind}classification", folder / f"{kind}tracking", threshold=1e-6
        )
        for kind in ("", "torch-")
    ]


def test_an_exported_pair_predicts_as_torch_does(pairs):
    seen = scene((20.9, -35.3), grid_around(20.0, -36.0))  # off the axis, or two peaks are equal
    tables = [pair.predict(seen).table[["probability", "lon", "lat"]] for pair in pairs]
    np.testing.assert_allclose(*tables, atol=1e-3)


def test_an_exported_pair_refines_first_guesses_as_torch_does(pairs):
    at = (20.0, -36.0)
    seen = scene(at, grid_around(*at))
    tracks = pd.DataFrame({"track_id": "x", "time": seen.time, "lon": 20.5, "lat": -36.3})
    guess = FirstGuess(tracks=tracks)
    tables = [pair.predict(seen, first_guess=guess).tracks for pair in pairs]
    assert (tables[0]["guess_distance_km"] > 0).all()
    pd.testing.assert_frame_equal(*tables, atol=1e-2)
