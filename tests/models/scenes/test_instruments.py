from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from scene_files import GRID, cf_dataset, kelvin, times

from medicane_models.domain import Grid
from medicane_models.errors import SceneError
from medicane_models.scenes.instruments import (
    IMAGERS,
    SEVIRI,
    band_text,
    imager_of,
    meanings,
    sensor_of_names,
    sensor_of_text,
)
from medicane_models.scenes.opening import open_scene

TELLTALE = {"fci": 0.0, "abi": -75.0, "ahi": 140.7, "ami": 128.2, "agri": 104.7}


def lonlat(name: str, **attributes: object) -> xr.Dataset:
    """One variable on longitudes and latitudes, which tell nothing of the satellite."""
    return xr.Dataset(
        {name: (("time", "lat", "lon"), kelvin(1), {"units": "K"} | attributes)},
        {
            "time": times("2020", 1),
            "lat": ("lat", 35 + 0.5 * np.arange(6), {"units": "degrees_north"}),
            "lon": ("lon", 5 + 0.5 * np.arange(8), {"units": "degrees_east"}),
        },
    )


def test_every_imager_has_one_infrared_window():
    for imager in IMAGERS:
        (window,) = [c for c in imager.channels if c.seviri == "IR_108"]
        assert 10.3 <= window.micrometres <= 11.5, imager.title


def test_bands_are_those_of_seviri_or_of_none():
    known = {channel.seviri for imager in IMAGERS for channel in imager.channels}
    assert known == {*SEVIRI, None}


@pytest.mark.parametrize(
    "imager", [one for one in IMAGERS if one.satpy_readers], ids=lambda one: one.title
)
def test_wavelengths_are_those_of_satpy(imager):
    satpy = pytest.importorskip("satpy")
    path = Path(satpy.__file__).parent / "etc" / "readers" / f"{imager.satpy_readers[0]}.yaml"
    datasets = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)["datasets"].values()
    told = {one["name"]: float(one["wavelength"][1]) for one in datasets if "wavelength" in one}
    for channel in imager.channels:
        assert told[channel.name] == pytest.approx(channel.micrometres, abs=0.21), channel


@pytest.mark.parametrize(
    ("text", "sensor"),
    [
        ("SEVIRI", "seviri"),
        ("GOES R Series Advanced Baseline Imager", "abi"),
        ("goes_imager", "goes imager"),
        ("GOES Imager", "goes imager"),
        ("insat3d_img", "insat"),
        ("mtsat2_imager", "mtsat"),
        ("Imager", None),
        ("Arabian sounder", None),
        ("SEVIRI, MVIRI", None),
    ],
)
def test_sensors_are_known_by_whole_words(text, sensor):
    assert sensor_of_text(text) == sensor


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("IR_108", "IR_108"), ("ir_105", "IR_108"), ("CMI_C13", "IR_108"), ("B13", "IR_108"),
        ("b13", "IR_108"), ("IR105", "IR_108"), ("10_7", "IR_108"), ("TIR1", "IR_108"),
        ("IMG_TIR1_TEMP", "IR_108"), ("IR1", "IR_108"), ("irwin_cdr", "IR_108"),
        ("IRWIN", "IR_108"), ("Tb", "IR_108"), ("IR", "IR_108"), ("IRWVP", "WV_062"),
        ("wv_73", "WV_073"), ("CMI_C14", "11.2 µm"), ("IR112", "11.23 µm"),
    ],
)  # fmt: skip
def test_names_of_bands(name, band):
    assert meanings(name) == {band}


def test_a_name_of_several_bands_has_them_all():
    assert meanings("C13") == {"IR_108", "IR_120"}
    assert meanings("VIS006") == frozenset()


@pytest.mark.parametrize(("sensor", "longitude"), TELLTALE.items())
def test_names_and_the_place_tell_the_sensor(sensor, longitude):
    imager = next(imager for imager in IMAGERS if imager.key == sensor)
    names = [channel.name for channel in imager.channels]
    assert sensor_of_names(names, longitude) == sensor


def test_names_of_seviri_and_of_several_imagers_tell_no_sensor():
    assert sensor_of_names(SEVIRI) is None
    assert sensor_of_names(["C12", "C13"]) is None
    assert sensor_of_names(["CMI_C13"]) == "abi"


@pytest.mark.parametrize(
    ("sensor", "platform", "name"),
    [("ABI", "G16", "C13"), ("AGRI", "FY-4A", "C12"), ("AGRI", "FY-4B", "C13")],
)
def test_the_sensor_and_the_platform_decide_what_a_name_means(sensor, platform, name):
    dataset = lonlat(name).assign_attrs(sensor=sensor, platform=platform)
    scene = open_scene(dataset)
    assert list(scene.data_vars) == ["IR_108"]
    assert scene.attrs["sensor"] == sensor.lower()


@pytest.mark.parametrize("attributes", [{}, {"sensor": "AGRI"}])
def test_a_name_that_the_sensor_must_decide_is_refused_without_it(attributes):
    with pytest.raises(SceneError, match=r"C13 of the dataset is IR_108 or IR_120, depending on"):
        open_scene(lonlat("C13").assign_attrs(attributes))


@pytest.mark.parametrize("name", ["C12", "C13"])
def test_a_band_where_another_is_wanted_is_not_taken(name):
    dataset = lonlat(name).assign_attrs(sensor="ABI" if name == "C12" else "AGRI", platform="FY-4A")
    with pytest.raises(SceneError, match=f"no brightness temperature .*there: {name}"):
        open_scene(dataset)


@pytest.mark.parametrize(
    "wavelength",
    [
        10.8,
        (9.8, 10.8, 11.8),
        np.array([9.8, 10.8, 11.8]),
        (9.8, 10.8, 11.8, "µm"),
        "10.8 µm (9.8-11.8 µm)",
        10800.0,
    ],
)
def test_a_variable_is_known_by_its_wavelength(wavelength):
    told = {"standard_name": "toa_brightness_temperature", "wavelength": wavelength}
    assert list(open_scene(lonlat("thermal", **told)).data_vars) == ["IR_108"]


def test_a_wavelength_may_be_a_scalar_coordinate():
    name = "sensor_band_central_radiation_wavelength"
    dataset = lonlat("thermal", standard_name="brightness_temperature")
    dataset = dataset.assign_coords({name: ((), 1.08e-5, {"units": "m"})})
    assert list(open_scene(dataset).data_vars) == ["IR_108"]


@pytest.mark.parametrize(
    "told", [{"wavelength": 10.8}, {"standard_name": "brightness_temperature"}]
)
def test_neither_a_wavelength_nor_a_standard_name_is_enough(told):
    with pytest.raises(SceneError, match="no brightness temperature"):
        open_scene(lonlat("thermal", **told))


@pytest.mark.parametrize("wavelength", [10**400, float("nan"), b"x", [], {}, "long"])
def test_a_wavelength_that_is_none_is_passed_over(wavelength):
    told = {"standard_name": "toa_brightness_temperature", "wavelength": wavelength}
    assert list(open_scene(lonlat("TIR1", **told)).data_vars) == ["IR_108"]


def test_a_wavelength_decides_between_the_meanings_of_a_name():
    told = {"standard_name": "toa_brightness_temperature", "wavelength": 10.8}
    assert list(open_scene(lonlat("C13", **told)).data_vars) == ["IR_108"]


def test_a_name_that_contradicts_the_wavelength_is_refused():
    told = {"standard_name": "toa_brightness_temperature", "wavelength": 6.2}
    with pytest.raises(SceneError, match=r"B13 of .* called like IR_108 .* wavelength of WV_062"):
        open_scene(lonlat("B13", **told))


def test_two_variables_of_one_band_are_refused_by_name():
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["IR_108", "ir_105"])
    with pytest.raises(SceneError, match="IR_108 and ir_105 of the dataset are both IR_108"):
        open_scene(dataset)


@pytest.mark.parametrize(
    ("names", "sensor"),
    [(["IR_108"], "unknown"), (["C13"], "abi"), (["WV", "TIR1", "TIR2"], "insat")],
)
def test_the_window_is_opened_alone_where_no_airmass_can_be_had(names, sensor):
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=names)
    if sensor != "unknown":
        dataset.attrs["sensor"] = sensor
    assert list(open_scene(dataset).data_vars) == ["IR_108"]


def test_an_incomplete_airmass_set_is_told():
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["WV_062", "WV_073", "IR_108"])
    with pytest.raises(SceneError, match=r"no brightness temperature IR_097"):
        open_scene(dataset)


def test_a_file_without_the_window_is_refused_with_what_is_there():
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["WV_062", "IR_120"])
    with pytest.raises(SceneError, match=r"no brightness temperature .*IR_108.*WV_062, IR_120"):
        open_scene(dataset)


def test_a_person_reads_the_band_in_the_imager_s_terms():
    assert band_text("abi", "G16", "IR_108") == "C13 of ABI (GOES-16 … 19), 10.35 µm"
    assert band_text("agri", "FY-4A", "IR_108") == "C12 of AGRI (FY-4A), 10.8 µm"
    assert band_text("agri", "", "IR_108") == "band of agri"
    assert band_text("unknown", "", "IR_108") == "imager unknown"


def test_an_unknown_sensor_is_no_imager():
    assert imager_of("unknown") is None
    assert imager_of("abi") is not None


def test_a_geostationary_place_decides_what_a_name_means():
    east = Grid.from_dict(GRID.to_dict() | {"crs": GRID.crs.replace("9.5", "-75")})
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["C13"], grid=east)
    assert open_scene(dataset).attrs["sensor"] == "abi"
