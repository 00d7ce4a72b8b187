"""On which clips a variant is compared with PyTorch, how, and what it may lose."""

import json
from dataclasses import replace

import numpy as np
import pyproj
import pytest
import torch
from clip_stores import PROCESSOR as STORE_PROCESSOR
from clip_stores import small_store
from export_models import GRID, PROCESSOR, tiny_source

from medicane_export.comparing import parity
from medicane_export.comparing.verdicts import Tolerance, faults
from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_export.sample_clips import ClipSet, simulated_clips
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.simulation import simulate_scene


def test_parity_tells_clips_batch_sizes_and_machine(every_precision):
    out, _ = every_precision
    variant = json.loads((out / "parity.json").read_text())["variants"]["model.onnx"]
    sets = variant["sets"]
    assert len(sets) == 3
    assert set(sets["random"]["largest_by_batch_size"]) == {"1", "3", "8"}
    assert sets["simulated"]["clips"] == 3
    assert variant["machine"]["torch"] == torch.__version__.partition("+")[0]


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
