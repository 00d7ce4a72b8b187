"""The embedded infrared pair as it comes with the package for onnxruntime."""

import numpy as np
import pytest

from medicane_export.comparing.reference import torch_outputs
from medicane_export.loaded_model import LoadedModel
from medicane_export.sample_clips import random_clips
from medicane_models import MedicanePredictor, OnnxPredictor
from medicane_models.hub import DETECTOR, TRACKER, embedded_models
from medicane_models.prediction.run import GLANCE
from medicane_models.simulation import simulate_infrared


def test_without_torch_the_embedded_pair_finds_what_it_finds_with_it():
    scene, _ = simulate_infrared(hours=1, seed=3)
    plain, torched = OnnxPredictor.from_pretrained(), MedicanePredictor.from_pretrained()
    found, expected = (
        predictor.predict(scene, start="2021-02-10T01:00").table for predictor in (plain, torched)
    )
    columns = ["probability", "lon", "lat", "radius_50_km", "radius_95_km"]
    assert expected["detected"].any()
    glanced = expected["probability"] < GLANCE * torched.threshold
    same = {"atol": 1e-3, "rtol": 1e-3}
    np.testing.assert_allclose(found.loc[~glanced, columns], expected[~glanced][columns], **same)
    assert (found.loc[glanced, "probability"] < torched.threshold / 2).all()
    assert found["detected"].equals(expected["detected"])


@pytest.mark.parametrize("name", [DETECTOR, TRACKER])
def test_an_embedded_graph_is_of_the_embedded_weights(name):
    import onnxruntime

    source = LoadedModel.load(name)
    clips = random_clips(source.model.config, source.processor, count=4)
    session = onnxruntime.InferenceSession(
        embedded_models()[name] / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (given, *_) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, {given.name: clips.pixel_values}), strict=True))
    expected = torch_outputs(source, "head", clips)
    shared = outputs.keys() & expected.keys()
    assert shared
    for output in shared:
        np.testing.assert_allclose(outputs[output], expected[output], atol=1e-3, rtol=1e-3)
