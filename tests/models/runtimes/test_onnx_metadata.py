import json
from dataclasses import replace

import pytest
from onnx_files import PROCESSOR, metadata, write_onnx

from medicane_models import OnnxPredictor
from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.runtimes.onnx_metadata import OnnxMetadata


def test_files_tell_the_kind_of_data_and_older_ones_that_nobody_said():
    properties = metadata("classification").to_properties()
    assert properties["medicane.data_kind"] == "real"
    assert OnnxMetadata.from_properties(properties, "file").config.data_kind == "real"
    older = json.loads(properties["medicane.config"])
    del older["data_kind"]
    properties |= {"medicane.config": json.dumps(older)}
    assert OnnxMetadata.from_properties(properties, "file").config.data_kind is None


NEWER = metadata("classification").to_properties() | {"medicane.format": "2"}


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"properties": {}}, CheckpointError, "has no metadata of medicane-models; make it with"),
        ({"properties": NEWER}, CheckpointError, "has format 2, this version reads 1; upgrade"),
        ({"input_form": "kelvin"}, ConfigurationError, "takes temperatures in kelvin"),
        ({"processor": None}, ConfigurationError, "has no processor"),
        ({"processor": replace(PROCESSOR, num_frames=5)}, ConfigurationError, "processor makes"),
        ({"processor": replace(PROCESSOR, sensor="abi")}, ConfigurationError, "read different cli"),
    ],
)
def test_files_that_do_not_fit_are_refused(models, tmp_path, changes, error, complaint):
    path = write_onnx(tmp_path / "model.onnx", "classification", **changes)
    with pytest.raises(error, match=complaint):
        OnnxPredictor.from_pretrained(path, models[1], device="cpu")


def test_a_tracker_cannot_take_the_detector_s_place(models):
    with pytest.raises(ConfigurationError, match="is a tracking model with the outputs center"):
        OnnxPredictor.from_pretrained(models[1], models[1], device="cpu")
