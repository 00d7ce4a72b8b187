import numpy as np
import pytest
from imager_files import GOES_EAST
from scene_files import CHANNELS, cf_dataset, kelvin, times

from medicane_models.errors import SceneError
from medicane_models.scenes.opening import open_scene


def test_celsius_becomes_kelvin():
    scene = open_scene(cf_dataset(kelvin(1) - 273.15, times("2020", 1), units="degC"))
    np.testing.assert_allclose(scene["WV_062"], kelvin(1), rtol=1e-6)


@pytest.mark.parametrize("units", ["W m-2 sr-1 um-1", "1", ""])
def test_other_units_are_refused(units):
    with pytest.raises(SceneError, match="read in K or degrees Celsius"):
        open_scene(cf_dataset(kelvin(1), times("2020", 1), units=units))


@pytest.mark.parametrize(
    ("sensor", "names"),
    [
        ("fci", ["wv_63", "wv_73", "ir_97", "ir_105"]),
        ("abi", ["C08", "C10", "C12", "C13"]),
        ("abi", ["CMI_C08", "CMI_C10", "CMI_C12", "CMI_C13"]),
        ("ahi", ["B08", "B10", "B12", "B13"]),
    ],
)
def test_channels_of_other_sensors_get_seviri_names(sensor, names):
    scene = open_scene(cf_dataset(kelvin(1), times("2020", 1), names=names, grid=GOES_EAST))
    assert list(scene.data_vars) == CHANNELS
    assert scene.attrs["sensor"] == sensor
    assert scene.attrs["sub_satellite_longitude"] == -75


def test_channels_can_be_asked_for_by_the_sensors_names():
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["C08", "C13"])
    dataset.attrs["sensor"] = "ABI"  # C13 of AGRI is another band
    assert list(open_scene(dataset, channels=["C13"]).data_vars) == ["IR_108"]


def test_missing_channels_are_named_with_those_there():
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["WV_062", "VIS006"])
    with pytest.raises(SceneError, match=r"no brightness temperature IR_108 .*WV_062, VIS006"):
        open_scene(dataset, channels=["WV_062", "IR_108"])


@pytest.mark.parametrize(
    ("attributes", "sensor", "platform"),
    [
        ({}, "unknown", "unknown"),
        ({"platform": "GOES-13"}, "unknown", "GOES-13"),
        ({"instrument": "GOES Imager", "platform": ""}, "goes imager", "unknown"),
        ({"sensor": "SEVIRI", "platform_name": "MSG4"}, "seviri", "MSG4"),
    ],
)
def test_sensor_and_platform_are_what_the_file_says(attributes, sensor, platform):
    scene = open_scene(cf_dataset(kelvin(1), times("2020", 1)).assign_attrs(attributes))
    assert (scene.attrs["sensor"], scene.attrs["platform"]) == (sensor, platform)
