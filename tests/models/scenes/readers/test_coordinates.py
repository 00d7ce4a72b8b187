import numpy as np
import pytest
import xarray as xr
from imager_files import GOES_EAST
from scene_files import CHANNELS, GRID, cf_dataset, kelvin, times

from medicane_models.domain import Grid
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.opening import open_scene, scene_grid


def with_units(dataset: xr.Dataset, units: str, factor: float) -> xr.Dataset:
    """The coordinates in other units."""
    for axis in ("x", "y"):
        attributes = dataset[axis].attrs | {"units": units}
        dataset = dataset.assign_coords({axis: (axis, dataset[axis].values * factor, attributes)})
    return dataset


def lonlat(values: np.ndarray, first_longitude: float = 5.0) -> xr.Dataset:
    """Regular longitude and latitude, south first, without a grid mapping."""
    return xr.Dataset(
        {"IR_108": (("time", "lat", "lon"), values, {"units": "K"})},
        {
            "time": times("2020", len(values)),
            "lat": ("lat", 35 + 0.5 * np.arange(6), {"units": "degrees_north"}),
            "lon": ("lon", first_longitude + 0.5 * np.arange(8), {"units": "degrees_east"}),
        },
    )


@pytest.mark.parametrize(("units", "factor"), [("km", 1e-3), ("rad", 1 / 35785831)])
def test_coordinates_in_other_units_become_metres(units, factor):
    dataset = with_units(cf_dataset(kelvin(1), times("2020", 1)), units, factor)
    assert scene_grid(open_scene(dataset)).offset_in(GRID) == (0, 0)


def test_coordinates_without_units_are_refused():
    dataset = cf_dataset(kelvin(1), times("2020", 1))
    del dataset["x"].attrs["units"]
    with pytest.raises(SceneError, match="coordinate x of the dataset has the units 'missing'"):
        open_scene(dataset)


def test_rows_and_columns_in_any_order():
    values = kelvin(2)
    dataset = cf_dataset(values, times("2020", 2)).isel(x=slice(None, None, -1))
    scene = open_scene(dataset.isel(y=slice(None, None, -1)).transpose("x", "time", "y"))
    np.testing.assert_array_equal(scene["WV_062"], values)
    assert scene["WV_062"].dims == ("time", "y", "x")


def test_longitude_and_latitude_need_no_grid_mapping():
    values = kelvin(1)
    scene = open_scene(lonlat(values), channels=["IR_108"])
    np.testing.assert_array_equal(scene["IR_108"], values[:, ::-1])
    assert scene["y"].attrs["units"] == "degrees_north"
    assert scene_grid(scene).extent == pytest.approx((4.75, 34.75, 8.75, 37.75))


@pytest.mark.parametrize("box", ["6,36,7,37", (6, 36, 7, 37)])
def test_a_domain_may_be_a_box_in_degrees(box):
    scene = open_scene(lonlat(kelvin(1)), channels=["IR_108"], domain=box)
    np.testing.assert_array_equal(scene["x"], [6, 6.5, 7])
    np.testing.assert_array_equal(scene["y"], [37, 36.5, 36])


def test_open_scene_knows_no_words_for_domains():
    with pytest.raises(ConfigurationError, match="the domain 'native' is not WEST,SOUTH,EAST"):
        open_scene(lonlat(kelvin(1)), channels=["IR_108"], domain="native")


def test_longitudes_up_to_360_are_met():
    scene = open_scene(
        lonlat(kelvin(1), first_longitude=355),
        channels=["IR_108"],
        domain=Grid.lonlat(west=-4, south=36, east=-3, north=37, step_degrees=0.5),
    )
    assert np.isfinite(scene["IR_108"]).all()


def test_curved_longitude_and_latitude_are_refused():
    dataset = xr.Dataset(
        {"IR_108": (("time", "row", "column"), kelvin(1), {"units": "K"})},
        {"time": times("2020", 1), "lon": (("row", "column"), np.zeros((6, 8)))},
    )
    with pytest.raises(SceneError, match="resample it onto a regular grid first"):
        open_scene(dataset, channels=["IR_108"])


def test_a_projection_without_grid_mapping_is_refused():
    dataset = cf_dataset(kelvin(1), times("2020", 1))
    for name in CHANNELS:
        del dataset[name].attrs["grid_mapping"]
    with pytest.raises(SceneError, match="no grid_mapping"):
        open_scene(dataset)


@pytest.mark.parametrize(
    ("units", "told"),
    [
        (
            {"lat": None, "lon": None},
            "lat and lon of .* have no units; give units degrees_north and",
        ),
        ({"lon": None}, "lon of the dataset has no units; give units degrees_east"),
        ({"lat": None}, "lat of the dataset has no units; give units degrees_north"),
        (
            {"lat": "m", "lon": "m"},
            "lat and lon of .* have the units 'm'; give units degrees_north",
        ),
        ({"lat": "K"}, "lat of the dataset has the units 'K'; give units degrees_north"),
    ],
)
@pytest.mark.parametrize("mapping", [None, "latitude_longitude"])
def test_longitude_and_latitude_in_no_degrees_are_told_what_they_lack(units, told, mapping):
    dataset = lonlat(kelvin(1))
    for name, given in units.items():
        dataset[name].attrs = {} if given is None else {"units": given}
    if mapping:
        dataset["crs"] = ((), 0, {"grid_mapping_name": mapping})
        dataset["IR_108"].attrs["grid_mapping"] = "crs"
    with pytest.raises(SceneError, match=told):
        open_scene(dataset, channels=["IR_108"])


@pytest.mark.parametrize("centred", [False, True], ids=["nowhere", "around a moving storm"])
def test_pictures_without_places_are_told_what_to_add(centred):
    dataset = xr.Dataset({"IR_108": (("time", "y", "x"), kelvin(2), {"units": "K"})})
    dataset["time"] = times("2020", 2)
    if centred:
        dataset = dataset.assign_coords(lat=("time", [10.0, 11.0]), lon=("time", [130.0, 131.0]))
    with pytest.raises(SceneError, match="add those of its pixels, of pictures that move"):
        open_scene(dataset, channels=["IR_108"])


def test_further_dimensions_are_told_to_be_left():
    dataset = lonlat(kelvin(1)).expand_dims(member=2)
    with pytest.raises(SceneError, match=r"unknown dimensions \['member'\]; choose one of each"):
        open_scene(dataset, channels=["IR_108"])


def test_an_unknown_grid_mapping_is_refused():
    dataset = cf_dataset(kelvin(1), times("2020", 1))
    dataset["projection"].attrs = {"grid_mapping_name": "flat"}
    with pytest.raises(SceneError, match="is no CF grid mapping"):
        open_scene(dataset)


def test_longitude_and_latitude_are_known_by_their_units():
    dataset = lonlat(kelvin(1)).rename(lat="north", lon="east")
    assert open_scene(dataset, channels=["IR_108"]).sizes["x"] == 8


def test_longitude_and_latitude_may_lie_along_dimensions_without_coordinates():
    values = kelvin(1)
    dataset = lonlat(values).rename_dims(lat="row", lon="column").drop_indexes(["lat", "lon"])
    assert dataset["IR_108"].dims == ("time", "row", "column")
    scene = open_scene(dataset, channels=["IR_108"])
    np.testing.assert_array_equal(scene["IR_108"], values[:, ::-1])


@pytest.mark.parametrize("first", [358.0, 178.0])
def test_longitudes_that_wrap_are_read(first):
    dataset = lonlat(kelvin(1), first_longitude=first)
    wrapped = (
        dataset["lon"].values % 360 if first > 180 else (dataset["lon"].values + 180) % 360 - 180
    )
    dataset = dataset.assign_coords(lon=("lon", wrapped, dataset["lon"].attrs))
    scene = open_scene(dataset, channels=["IR_108"])
    np.testing.assert_array_equal(scene["IR_108"], kelvin(1)[:, ::-1])
    assert scene_grid(scene).extent[0] == pytest.approx(first - 0.25 - 360 * (first > 180))


def without_sweep(names: list[str]) -> xr.Dataset:
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=names, grid=GOES_EAST)
    for name in ("sweep_angle_axis", "fixed_angle_axis", "crs_wkt"):
        dataset["projection"].attrs.pop(name, None)
    return dataset


def test_the_sweep_of_a_known_sensor_needs_not_be_told():
    scene = open_scene(without_sweep(["C08", "C10", "C12", "C13"]))
    assert scene["crs"].attrs["sweep_angle_axis"] == "x"


def test_the_sweep_of_an_unknown_sensor_is_not_guessed():
    with pytest.raises(SceneError, match=r"projection of the dataset lacks sweep_angle_axis; add"):
        open_scene(without_sweep(CHANNELS))


@pytest.mark.parametrize("units", ["microradian", "microradians", "urad", "µrad"])
def test_scan_angles_in_microradians(units):
    dataset = with_units(cf_dataset(kelvin(1), times("2020", 1)), units, 1e6 / 35785831)
    assert scene_grid(open_scene(dataset)).offset_in(GRID) == (0, 0)
