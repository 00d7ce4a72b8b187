import numpy as np
import pytest
import xarray as xr
from scene_files import CHANNELS, GRID, cf_dataset, kelvin, times

from medicane_models.domain import Grid
from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.opening import open_scene, scene_grid

GOES = Grid(
    crs="+proj=geos +h=35786023 +lon_0=-75 +a=6378137 +b=6356752.31414 +sweep=x",
    width=8,
    height=6,
    x_origin=-1e6,
    y_origin=3e6,
    x_step=2004.0,
    y_step=-2004.0,
)


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


def test_netcdf_with_a_grid_mapping(tmp_path):
    values = kelvin(2)
    cf_dataset(values, times("2020", 2)).to_netcdf(tmp_path / "a.nc")
    scene = open_scene(tmp_path / "a.nc")
    assert list(scene.data_vars) == CHANNELS
    assert scene_grid(scene).offset_in(GRID) == (0, 0)
    np.testing.assert_array_equal(scene["WV_073"], values + 1)


def test_what_open_scene_returns_can_be_saved_and_opened(tmp_path):
    scene = open_scene(cf_dataset(kelvin(2), times("2020", 2)), domain=GRID.window(1, 1, 4, 3))
    scene.to_netcdf(tmp_path / "a.nc")
    again = open_scene(tmp_path / "a.nc")
    xr.testing.assert_allclose(again.load(), scene.load())
    assert again["crs"].attrs["grid_mapping_name"] == "geostationary"
    assert again.attrs | {"source": ""} == scene.attrs | {"source": ""}


def test_zarr_that_follows_cf(tmp_path):
    values = kelvin(2)
    cf_dataset(values, times("2020", 2)).to_zarr(tmp_path / "a.zarr", zarr_format=2)
    np.testing.assert_array_equal(open_scene(tmp_path / "a.zarr")["WV_062"], values)


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


def test_an_unknown_grid_mapping_is_refused():
    dataset = cf_dataset(kelvin(1), times("2020", 1))
    dataset["projection"].attrs = {"grid_mapping_name": "flat"}
    with pytest.raises(SceneError, match="is no CF grid mapping"):
        open_scene(dataset)


def test_celsius_becomes_kelvin():
    scene = open_scene(cf_dataset(kelvin(1) - 273.15, times("2020", 1), units="degC"))
    np.testing.assert_allclose(scene["WV_062"], kelvin(1), rtol=1e-6)


@pytest.mark.parametrize("units", ["W m-2 sr-1 um-1", "1", ""])
def test_other_units_are_refused(units):
    with pytest.raises(SceneError, match="read in K or degrees Celsius"):
        open_scene(cf_dataset(kelvin(1), times("2020", 1), units=units))


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
    scene = open_scene(cf_dataset(kelvin(1), times("2020", 1), names=names, grid=GOES))
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


def test_channels_of_different_sizes_are_refused():
    fine = cf_dataset(kelvin(1), times("2020", 1), names=["IR_108"])
    coarse = fine.isel(x=slice(0, 8, 2)).rename(x="x2", IR_108="WV_062")
    coarse["x2"].attrs["standard_name"] = "projection_x_coordinate"
    with pytest.raises(SceneError, match="differ in size"):
        open_scene(xr.merge([fine, coarse]), channels=["WV_062", "IR_108"])


def test_a_single_time_may_be_a_scalar():
    dataset = cf_dataset(kelvin(1), times("2020", 1)).isel(time=0)
    assert open_scene(dataset)["time"].values == times("2020", 1).values


def test_the_end_of_the_scan_is_taken_where_the_file_tells_it():
    dataset = cf_dataset(kelvin(1), times("2020", 1)).isel(time=0).rename(time="t")
    dataset = dataset.assign_attrs(time_coverage_end="2020-01-01T00:04:57.3Z")
    assert open_scene(dataset)["time"].values == np.datetime64("2020-01-01T00:04:57.3")


def test_without_times_it_is_refused():
    with pytest.raises(SceneError, match="no time coordinate"):
        open_scene(cf_dataset(kelvin(1), times("2020", 1)).isel(time=0, drop=True))


@pytest.mark.parametrize(
    ("attributes", "convention"),
    [
        ({}, "end_of_scan"),
        ({"time_convention": "start_of_scan"}, "start_of_scan"),
        ({"time_coverage_start": "2020-01-01T00:00:00Z"}, "end_of_scan"),
        (
            {
                "time_coverage_start": "2020-01-01T00:00:00Z",
                "time_coverage_end": "2020-01-01T00:05:00Z",
            },
            "start_of_scan",
        ),
        ({"time_coverage_start": "", "time_coverage_end": " "}, "end_of_scan"),
    ],
)
def test_what_times_mark(attributes, convention):
    dataset = cf_dataset(kelvin(1), times("2020", 1)).assign_attrs(attributes)
    assert open_scene(dataset).attrs["time_convention"] == convention


def test_a_day_of_images_is_not_taken_for_scans_that_start():
    attributes = {"time_coverage_start": "2020-01-01", "time_coverage_end": "2020-01-02"}
    dataset = cf_dataset(kelvin(3), times("2020", 3)).assign_attrs(attributes)
    assert open_scene(dataset).attrs["time_convention"] == "end_of_scan"


def test_airmass_in_memory():
    colours = np.random.default_rng(0).random((2, 6, 8, 3)).astype(np.float32)
    dataset = cf_dataset(kelvin(2), times("2020", 2), names=["other"])
    attributes = {"grid_mapping": "projection"}
    dataset["airmass"] = (("time", "y", "x", "rgb"), colours, attributes)
    scene = open_scene(dataset)
    assert list(scene.data_vars) == ["airmass"]
    np.testing.assert_array_equal(scene["airmass"], colours)


def test_colours_beyond_0_to_1_are_refused_when_read():
    colours = np.random.default_rng(0).integers(0, 256, (1, 6, 8, 3))
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["other"])
    dataset["airmass"] = (("time", "y", "x", "rgb"), colours, {"grid_mapping": "projection"})
    with pytest.raises(SceneError, match="0 … 1"):
        open_scene(dataset).load()


def test_dask_in_memory_stays_lazy():
    values = kelvin(4)
    scene = open_scene(cf_dataset(values, times("2020", 4)).chunk(time=2))
    assert scene["IR_108"].chunks == ((1, 1, 1, 1), (6,), (8,))
    np.testing.assert_array_equal(scene["IR_108"], values + 3)


def test_empty_frames_are_named_when_read():
    values = kelvin(2)
    values[1] = np.nan
    with pytest.warns(SceneWarning, match=r"the dataset \(2020-01-01 00:05 UTC\) is black, const"):
        open_scene(cf_dataset(values, times("2020", 2))).load()


def test_truncated_netcdf_is_named(tmp_path):
    cf_dataset(kelvin(1), times("2020", 1)).to_netcdf(tmp_path / "a_202001010000.nc")
    broken = tmp_path / "a_202001010005.nc"
    cf_dataset(kelvin(1), times("2020", 1)).to_netcdf(broken)
    broken.write_bytes(broken.read_bytes()[:3000])
    with pytest.warns(SceneWarning, match=r"a_202001010005\.nc \(2020-01-01 00:05 UTC\)"):
        assert open_scene(tmp_path).sizes["time"] == 1


def test_files_of_different_satellites_are_refused(tmp_path):
    cf_dataset(kelvin(1), times("2020", 1)).to_netcdf(tmp_path / "a.nc")
    cf_dataset(kelvin(1), times("2021", 1), grid=GOES).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(SceneError, match=r"a\.nc and b\.nc have different"):
        open_scene(tmp_path)


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
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=names, grid=GOES)
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


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "all_leap"])
def test_a_model_s_calendar_is_refused_as_such(calendar, tmp_path):
    index = xr.date_range("2020", periods=1, calendar=calendar, use_cftime=True)
    cf_dataset(kelvin(1), index).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(SceneError, match=r"time of a\.nc has the calendar .* a model's"):
        open_scene(tmp_path / "a.nc")


@pytest.mark.parametrize("year", ["1600", "1850", "2300", "9999"])
def test_years_without_satellites_are_refused(year, tmp_path):
    index = xr.date_range(year, periods=1, use_cftime=True, calendar="standard")
    cf_dataset(kelvin(1), index).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(SceneError, match=rf"holds the year {year}, of which no satellite"):
        open_scene(tmp_path / "a.nc")


def storm_files(folder, count: int = 3, step: int = 1) -> np.ndarray:
    """Windows of one field that move eastwards, a file each; the field itself."""
    whole = kelvin(1, GRID.window(0, 0, 8 + step * count, 6))
    for hour in range(count):
        left = step * hour
        window = GRID.window(left, 0, 8, 6)
        values = whole[..., left : left + 8]
        dataset = cf_dataset(values, times(f"2020-01-01T0{hour}", 1), grid=window)
        dataset.to_netcdf(folder / f"storm{hour}.nc")
    return whole[0]


def test_frames_that_follow_a_storm_lie_on_their_union(tmp_path):
    whole = storm_files(tmp_path)
    scene = open_scene(tmp_path).load()
    assert scene_grid(scene).offset_in(GRID) == (0, 0)
    assert scene["WV_062"].shape == (3, 6, 10)
    for hour in range(3):
        np.testing.assert_array_equal(
            scene["WV_062"][hour, :, hour : hour + 8], whole[:, hour : hour + 8]
        )
        assert int(scene["WV_062"][hour].isnull().sum()) == 12


def test_frames_that_follow_a_storm_are_cut_to_the_chosen_times(tmp_path):
    storm_files(tmp_path)
    scene = open_scene(tmp_path, start="2020-01-01T01:00")
    assert scene_grid(scene).offset_in(GRID) == (1, 0)
    assert scene.sizes["x"] == 9


def test_frames_that_leave_the_domain_are_named(tmp_path):
    whole = storm_files(tmp_path, step=5)
    scene = open_scene(tmp_path, domain=GRID.window(0, 0, 4, 6))
    np.testing.assert_array_equal(scene["WV_062"][0], whole[:, :4])
    with pytest.warns(SceneWarning, match=r"storm1\.nc .* lies outside the domain; the frame is"):
        assert scene["WV_062"][1].isnull().all()


@pytest.mark.parametrize(("left", "start"), [(100, None), (0, "2020-01-01T02:00")])
def test_a_domain_that_no_moving_frame_shows_is_refused(tmp_path, left, start):
    storm_files(tmp_path, step=5)
    with pytest.raises(SceneError, match="does not overlap"):
        open_scene(tmp_path, domain=GRID.window(left, 0, 4, 4), start=start)


def test_frames_too_far_apart_for_memory_name_the_remedy(tmp_path, monkeypatch):
    storm_files(tmp_path)
    monkeypatch.setattr("medicane_models.scenes.readers.recording.MOST_UNION_PIXELS", 50)
    with pytest.raises(SceneError, match=r"storm0\.nc .* storm2\.nc .* 10 × 6 pixels.*--domain"):
        open_scene(tmp_path)


def test_a_turn_between_longitudes_makes_no_other_satellite(tmp_path):
    for year, longitude in ((2020, -137), (2021, 223)):
        grid = Grid.from_dict(GOES.to_dict() | {"crs": GOES.crs.replace("-75", str(longitude))})
        names = ["C08", "C10", "C12", "C13"]
        dataset = cf_dataset(kelvin(1), times(str(year), 1), grid=grid, names=names)
        dataset.assign_attrs(sub_satellite_longitude=longitude).to_netcdf(tmp_path / f"{year}.nc")
    scene = open_scene(tmp_path)
    assert scene.sizes["time"] == 2
    assert scene.attrs["sub_satellite_longitude"] == -137


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
