import json

import numpy as np
import pytest
import xarray as xr

from medicane_models.domain import MEDITERRANEAN
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.processing import MedicaneProcessor


def frame(**kelvin: float) -> xr.Dataset:
    return xr.Dataset(
        {name: (("y", "x"), np.full((2, 3), value, "f4")) for name, value in kelvin.items()}
    )


@pytest.fixture
def processor() -> MedicaneProcessor:
    return MedicaneProcessor.airmass()


def test_airmass_of_a_known_pixel(processor):
    stretched = processor.stretch(frame(WV_062=230.0, WV_073=240.0, IR_097=250.0, IR_108=270.0))
    # (-10 + 25) / 25, (-20 + 40) / 45, (243 - 230) / 35
    assert stretched[:, 1, 2] == pytest.approx([0.6, 20 / 45, 13 / 35], abs=1e-6)


def test_stretch_clips_to_the_unit_interval(processor):
    stretched = processor.stretch(frame(WV_062=260.0, WV_073=230.0, IR_097=200.0, IR_108=300.0))
    assert stretched[:, 0, 0].tolist() == [1.0, 0.0, 0.0]


def test_a_pixel_missing_in_one_channel_is_missing_in_all_bands(processor):
    kelvin = frame(WV_062=230.0, WV_073=240.0, IR_097=250.0, IR_108=270.0)
    kelvin["IR_097"][0, 1] = np.nan
    stretched = processor.stretch(kelvin)
    assert np.isnan(stretched[:, 0, 1]).all()
    assert np.isfinite(stretched).sum() == 3 * 5


def test_normalised_input_has_the_research_statistics(processor):
    image = np.tile(np.float32([1.0, 0.0, 0.406])[:, None, None], (2, 1, 4, 4))
    normalised = processor.normalise(image)
    assert normalised[0, :, 0, 0] == pytest.approx([(1 - 0.485) / 0.229, -0.456 / 0.224, 0.0])
    assert normalised.dtype == np.float32


def test_missing_pixels_become_the_mean(processor):
    assert (processor.normalise(np.full((3, 2, 2), np.nan, "f4")) == 0).all()


def test_ready_airmass_pictures_are_read_as_they_are(processor):
    rgb = np.random.default_rng(0).random((2, 3, 3), dtype=np.float32)
    scene = xr.Dataset({"airmass": (("y", "x", "rgb"), rgb)})
    assert np.array_equal(processor.stretch(scene), np.moveaxis(rgb, -1, 0))


def test_single_channel_shows_cold_clouds_bright():
    processor = MedicaneProcessor.infrared("IR_108", low=310, high=190)
    assert processor.channels == ("IR_108",)
    assert processor.stretch(frame(IR_108=250.0))[0, 0, 0] == pytest.approx(0.5)


def test_another_sensor_gets_its_own_limits(processor):
    green = processor.for_sensor("ahi").bands[1]
    assert (green.low, green.high) == (-43.2, 6.7)


def test_a_recipe_of_one_sensor_refuses_another():
    with pytest.raises(SceneError, match="IR_108 of seviri, the scene comes from ahi"):
        MedicaneProcessor.infrared("IR_108").for_sensor("ahi")


@pytest.mark.parametrize("make", [MedicaneProcessor.airmass, MedicaneProcessor.infrared])
def test_save_and_load_keeps_everything(make, tmp_path):
    processor = make(num_frames=8, cadence_minutes=15, grid=MEDITERRANEAN.window(0, 0, 300, 300))
    processor.save_pretrained(tmp_path)
    assert MedicaneProcessor.from_pretrained(tmp_path) == processor
    assert [path.name for path in tmp_path.iterdir()] == ["preprocessor_config.json"]


def test_unknown_key_in_the_file_is_refused_by_name(processor, tmp_path):
    text = json.dumps({**processor.to_dict(), "gamma": 2.0})
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"preprocessor_config.json.*gamma"):
        MedicaneProcessor.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"std": (1.0, 0.0, 1.0)}, "std is .* each a number above 0"),
        ({"mean": (0.5,)}, "3 bands, 1 means"),
        ({"max_missing": 16}, r"give 0 … 15"),
        ({"cadence_minutes": 0.0}, "cadence_minutes is 0.0; give a number above 0"),
    ],
)
def test_impossible_settings_are_refused(overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        MedicaneProcessor.airmass(**overrides)


@pytest.mark.parametrize("make", [MedicaneProcessor.airmass, MedicaneProcessor.infrared])
def test_a_scene_that_does_not_tell_its_sensor_is_refused(make):
    with pytest.raises(SceneError, match='attribute "sensor" of the files, such as "seviri"'):
        make().for_sensor("unknown")


@pytest.mark.parametrize(
    "change",
    [
        {"time_convention": "end of scan"},
        {"recipe": "airmas"},
        {"sensor": "sevir"},
        {"cadence_minutes": "5"},
        {"num_frames": True},
        {"bands": []},
    ],
)
def test_misspelt_fields_of_the_file_are_refused(change, processor, tmp_path):
    text = json.dumps(processor.to_dict() | change)
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ConfigurationError, match=f"processor: .*{next(iter(change))}"):
        MedicaneProcessor.from_pretrained(tmp_path)


def test_planes_mark_missing_pixels_in_a_channel_of_their_own():
    processor = MedicaneProcessor.planes(size=8, num_frames=1, max_missing=0)
    values = np.full((1, 1, 8, 8), 0.75, np.float32)
    values[0, 0, 0, 0] = np.nan
    clip = processor.normalise(values)
    assert clip.shape == processor.clip_shape == (1, 2, 8, 8)
    assert clip[0, 0, 1, 1] == pytest.approx((0.75 - 0.5) / 0.25)
    assert clip[0, :, 0, 0].tolist() == [0, 0]
    assert clip[0, 1].sum() == 63


@pytest.mark.parametrize("sensor", ["seviri", "abi", "unknown"])
def test_planes_are_read_from_any_sensor(sensor):
    processor = MedicaneProcessor.planes()
    assert processor.for_sensor(sensor) == processor


def test_planes_are_alike_everywhere_so_their_grid_is_no_other():
    with pytest.raises(ConfigurationError, match="plane of 112 × 112 pixels around 0°E 0°N"):
        MedicaneProcessor.planes(grid=MEDITERRANEAN)
    assert MedicaneProcessor.planes(km=4.0).grid.pixel_size_km(55.5, 55.5) == pytest.approx((4, 4))


def test_planes_are_saved_and_named_like_the_others(tmp_path):
    processor = MedicaneProcessor.named("planes", size=64, km=8.0, high=180.0, num_frames=2)
    processor.save_pretrained(tmp_path)
    assert MedicaneProcessor.from_pretrained(tmp_path) == processor
    assert processor.bands[0].high == 180.0


def test_airmass_planes_are_named_and_read_other_sensors_like_the_airmass_rgb(tmp_path):
    processor = MedicaneProcessor.named("airmass-planes", size=64, km=8.0, num_frames=2)
    processor.save_pretrained(tmp_path)
    assert MedicaneProcessor.from_pretrained(tmp_path) == processor
    assert processor.clip_shape == (2, 4, 64, 64)
    assert processor.uses_planes
    assert processor.for_sensor("abi").bands == MedicaneProcessor.airmass("abi").bands


def test_a_scene_without_the_channels_is_refused_with_what_it_has():
    scene = xr.Dataset({"IR_108": ("time", [280.0])}, attrs={"source": "2 frames of a.nc"})
    with pytest.raises(SceneError, match=r"reads WV_062, .* of 2 frames of a\.nc has IR_108; give"):
        MedicaneProcessor.airmass().check_channels(scene)
    MedicaneProcessor.infrared().check_channels(scene)


def test_ready_pictures_stand_for_the_channels_of_the_airmass_rgb_only():
    pictures = xr.Dataset({"airmass": ("rgb", [0.0, 0.5, 1.0])})
    MedicaneProcessor.airmass().check_channels(pictures)
    with pytest.raises(SceneError, match="has airmass"):
        MedicaneProcessor.infrared().check_channels(pictures)
