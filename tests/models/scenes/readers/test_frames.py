import numpy as np
import pytest
from scene_files import cf_dataset, kelvin, times

from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.opening import open_scene


@pytest.mark.parametrize(
    ("values", "units"),
    [
        (kelvin(1) - 273.15, "degrees Celsius"),
        ((kelvin(1) - 200) / 110, r"values normalised to 0 … 1"),
        (np.round((kelvin(1) - 200) * 2.4), r"counts of 0 … 255"),
    ],
)
def test_other_units_called_kelvin_are_refused_when_read(values, units):
    scene = open_scene(cf_dataset(values, times("2020", 1), names=["IR_108"]), channels=["IR_108"])
    span = f"from {values.min():.6g} to {values.max():.6g}"
    with pytest.raises(SceneError, match=rf"IR_108 of the dataset \(2020.* {span}, .* {units}"):
        scene.load()


def test_gaps_filled_with_0_are_not_taken_for_counts():
    values = np.round(kelvin(1)).clip(200, 250)
    values[0, 0, 0] = 0
    scene = open_scene(cf_dataset(values, times("2020", 1), names=["IR_108"]), channels=["IR_108"])
    with pytest.warns(SceneWarning, match="1 pixels outside 100 … 400 K are missing"):
        assert scene["IR_108"].isnull().sum() == 1


def test_doubtful_temperatures_are_counted_by_channel():
    values = kelvin(1)
    values[0, 0, :2] = 145
    scene = open_scene(cf_dataset(values, times("2020", 1), names=["IR_108"]), channels=["IR_108"])
    with pytest.warns(SceneWarning, match=r"2 pixels outside 150 … 340 K .* \(2 of IR_108"):
        np.testing.assert_array_equal(scene["IR_108"], values)


def test_colours_beyond_0_to_1_are_refused_when_read():
    colours = np.random.default_rng(0).integers(0, 256, (1, 6, 8, 3))
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["other"])
    dataset["airmass"] = (("time", "y", "x", "rgb"), colours, {"grid_mapping": "projection"})
    with pytest.raises(SceneError, match="0 … 1"):
        open_scene(dataset).load()


def test_empty_frames_are_named_when_read():
    values = kelvin(2)
    values[1] = np.nan
    with pytest.warns(SceneWarning, match=r"the dataset \(2020-01-01 00:05 UTC\) is black, const"):
        open_scene(cf_dataset(values, times("2020", 2))).load()
