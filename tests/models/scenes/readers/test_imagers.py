"""Native files of imagers and products, read as their agencies write them."""

import numpy as np
import pytest
import xarray as xr
from imager_files import (
    GOES_EAST,
    abi_dataset,
    abi_name,
    abi_radiance,
    abi_temperature,
    gridsat_dataset,
    hursat_dataset,
    merged_ir_dataset,
    write_abi_band,
)

from medicane_models.domain import Grid
from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.opening import open_scene, scene_grid

LON = np.arange(140.0, 160, 0.07)
LAT = np.arange(-20.0, -5, 0.07)
START = "2020-09-01T12:00:20"
AIRMASS = ["WV_062", "WV_073", "IR_097", "IR_108"]


def field(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Whole hundredths of kelvin, as packed files hold them."""
    random = np.random.default_rng(seed).integers(20000, 30000, (height, width))
    return (random / 100).astype(np.float32)


def test_abi_radiances_become_kelvin(tmp_path):
    kelvin = field(6, 8)
    path = tmp_path / abi_name("L1b-RadF", 13, START)
    abi_dataset(START, abi_radiance(kelvin, 13), band=13).to_netcdf(path)
    scene = open_scene(path)
    assert list(scene.data_vars) == ["IR_108"]
    np.testing.assert_allclose(scene["IR_108"][0], kelvin, atol=0.05)
    assert (scene.attrs["sensor"], scene.attrs["platform"]) == ("abi", "G16")
    assert scene_grid(scene).offset_in(GOES_EAST) == (0, 0)


def test_radiances_without_coefficients_are_refused(tmp_path):
    dataset = abi_dataset(START, abi_radiance(field(6, 8), 13), band=13)
    dataset.drop_vars("planck_fk2").to_netcdf(tmp_path / "a.nc")
    with pytest.raises(SceneError, match=r"Rad of a\.nc has the units 'mW m-2 .*planck_fk1"):
        open_scene(tmp_path / "a.nc")


def test_space_without_radiance_is_missing(tmp_path):
    dataset = abi_dataset(START, abi_radiance(field(6, 8), 13), band=13)
    dataset["Rad"][0, 0], dataset["Rad"][0, 1] = -0.5, np.nan
    dataset.to_netcdf(tmp_path / "a.nc")
    scene = open_scene(tmp_path / "a.nc").load()
    assert int(np.isnan(scene["IR_108"]).sum()) == 2


def test_abi_s_time_is_the_end_of_its_scan(tmp_path):
    scene = open_scene(write_abi_band(tmp_path, START, 13, field(6, 8)))
    assert scene["time"].to_numpy()[0] == np.datetime64("2020-09-01T12:09:50")
    assert scene.attrs["time_convention"] == "end_of_scan"


def test_the_middle_of_a_scan_alone_is_refused():
    dataset = abi_dataset(START, abi_temperature(field(6, 8)), band=13).drop_vars("time_bounds")
    del dataset.attrs["time_coverage_end"]
    with pytest.raises(SceneError, match="t of the dataset is the middle of a scan whose end"):
        open_scene(xr.decode_cf(dataset))


def test_all_bands_in_one_file():
    values = {f"CMI_C{band:02d}": field(6, 8, band) for band in (8, 10, 12, 13, 14)}
    variables = {k: v for name in values for k, v in abi_temperature(values[name], name).items()}
    scene = open_scene(xr.decode_cf(abi_dataset(START, variables)))
    assert list(scene.data_vars) == AIRMASS
    np.testing.assert_array_equal(scene["IR_108"][0], values["CMI_C13"])


def test_files_of_one_band_come_together(tmp_path):
    for hour in (12, 13):
        for band in (8, 10, 12, 13):
            start = f"2020-09-01T{hour}:00:20"
            write_abi_band(tmp_path, start, band, field(6, 8, band), seconds=570 + band / 16)
    scene = open_scene(tmp_path)
    assert list(scene.data_vars) == AIRMASS
    assert scene.sizes["time"] == 2
    np.testing.assert_allclose(scene["WV_073"][1], field(6, 8, 10), atol=1e-3)
    assert "and 3 more files" in scene.attrs["source"]


def test_a_slot_without_a_band_is_told_and_missing(tmp_path):
    for hour, bands in ((12, (8, 10, 12, 13)), (13, (8, 10, 13))):
        for band in bands:
            write_abi_band(tmp_path, f"2020-09-01T{hour}:00:20", band, field(6, 8))
    with pytest.warns(SceneWarning, match=r"slot of .*13:09 UTC\) lacks IR_097 and is missing"):
        assert open_scene(tmp_path).sizes["time"] == 1


def test_of_files_of_other_bands_the_wanted_one_is_taken(tmp_path):
    for band in (8, 13):
        write_abi_band(tmp_path, START, band, field(6, 8, band))
    scene = open_scene(tmp_path, channels=["IR_108"])
    assert list(scene.data_vars) == ["IR_108"]
    np.testing.assert_allclose(scene["IR_108"][0], field(6, 8, 13), atol=1e-3)


def test_a_band_given_twice_is_told(tmp_path):
    first = write_abi_band(tmp_path, START, 13, field(6, 8))
    (tmp_path / f"copy_{first.name}").write_bytes(first.read_bytes())
    write_abi_band(tmp_path, START, 8, field(6, 8))
    with pytest.warns(SceneWarning, match="IR_108 twice at one time"):
        open_scene(tmp_path, channels=["WV_062", "IR_108"])


def test_gridsat(tmp_path):
    kelvin = field(LAT.size, LON.size)
    path = tmp_path / "GRIDSAT-B1.2015.01.01.03.v02r01.nc"
    gridsat_dataset(kelvin, "2015-01-01T03:00", LON, LAT).to_netcdf(path)
    scene = open_scene(path)
    np.testing.assert_allclose(scene["IR_108"][0, ::-1], kelvin, atol=1e-3)
    assert scene["time"].to_numpy()[0] == np.datetime64("2015-01-01T03:00")
    told = [scene.attrs[name] for name in ("sensor", "platform", "time_convention")]
    assert told == ["gridsat-b1", "unknown", "start_of_scan"]


def test_a_domain_across_the_seam_of_a_global_grid():
    lon, lat = np.arange(-180.0, 179.9, 0.5), np.arange(-70.0, 70.1, 0.5)
    kelvin = 250 + 30 * np.cos(np.radians(lon)) + np.zeros((lat.size, 1))
    dataset = gridsat_dataset(kelvin, "2015-01-01T03:00", lon, lat)
    domain = Grid.lonlat(west=175, south=-20, east=185, north=-10, step_degrees=0.5)
    scene = open_scene(dataset, domain=domain)
    expected = 250 + 30 * np.cos(np.radians(domain.x))
    np.testing.assert_allclose(scene["IR_108"][0, 5], expected, atol=1e-3)


@pytest.mark.parametrize("first", [-180.0, 0.0])
def test_longitudes_of_the_globe_may_start_anywhere(first):
    lon, lat = first + np.arange(0.0, 359.9, 0.5), np.arange(-70.0, 70.1, 0.5)
    kelvin = 250 + 30 * np.sin(np.radians(lon)) + np.zeros((lat.size, 1))
    domain = Grid.lonlat(west=-5, south=30, east=5, north=40, step_degrees=0.5)
    scene = open_scene(gridsat_dataset(kelvin, "2015", lon, lat), domain=domain)
    expected = 250 + 30 * np.sin(np.radians(domain.x))
    np.testing.assert_allclose(scene["IR_108"][0, 5], expected, atol=1e-3)


def test_merged_infrared_has_two_images_a_file():
    kelvin = np.stack([field(LAT.size, LON.size, seed) for seed in (0, 1)])
    scene = open_scene(merged_ir_dataset(kelvin, "2015-01-01T03:00", LON, LAT))
    assert scene["time"].dt.minute.to_numpy().tolist() == [0, 30]
    np.testing.assert_array_equal(scene["IR_108"][:, ::-1], kelvin)
    told = [scene.attrs[name] for name in ("sensor", "time_convention")]
    assert told == ["merged-ir", "start_of_scan"]


def test_another_sensor_s_tb_is_not_taken_for_merged_infrared():
    kelvin = field(LAT.size, LON.size)[None]
    dataset = merged_ir_dataset(kelvin, "2015", LON, LAT).assign_attrs(sensor="SSMIS")
    with pytest.raises(SceneError, match="no brightness temperature"):
        open_scene(dataset)


def test_hursat_across_the_180th_meridian(tmp_path):
    kelvin = field(31, 31)
    hursat_dataset(kelvin, "2011-01-21T12:00", (-179.5, -14)).to_netcdf(tmp_path / "a.nc")
    scene = open_scene(tmp_path / "a.nc")
    np.testing.assert_allclose(scene["IR_108"][0, ::-1], kelvin, atol=1e-3)
    assert scene["time"].to_numpy()[0] == np.datetime64("2011-01-21T12:00")
    told = [scene.attrs[name] for name in ("sensor", "platform", "time_convention")]
    assert told == ["hursat-b1", "GOES-11", "start_of_scan"]
    west, _, east, _ = scene_grid(scene).extent
    assert west < 180 < east


def test_frames_around_a_storm_lie_on_one_grid(tmp_path):
    centres = [(179.0, -14.0), (179.0 + 0.07 * 10, -14.0 + 0.07 * 4)]
    for hour, centre in zip((0, 3), centres, strict=True):
        dataset = hursat_dataset(field(31, 31, hour), f"2011-01-21T0{hour}:00", centre)
        dataset.to_netcdf(tmp_path / f"storm{hour}.nc")
    scene = open_scene(tmp_path).load()
    assert scene["IR_108"].shape == (2, 35, 41)
    np.testing.assert_allclose(scene["IR_108"][0, 4:, :31], field(31, 31, 0)[::-1], atol=2e-3)
    np.testing.assert_allclose(scene["IR_108"][1, :31, 10:], field(31, 31, 3)[::-1], atol=2e-3)
    assert int(np.isnan(scene["IR_108"]).sum()) == 2 * (35 * 41 - 31 * 31)


def test_files_may_count_longitudes_from_greenwich_or_from_the_180th_meridian(tmp_path):
    for hour, turn in ((0, 0), (3, 360)):
        dataset = merged_ir_dataset(
            field(12, 12, hour)[None], f"2015-01-01T0{hour}", LON[:12] - 320, LAT[:12]
        )
        lon = ("lon", dataset["lon"].to_numpy() + turn, dataset["lon"].attrs)
        dataset.assign_coords(lon=lon).to_netcdf(tmp_path / f"{hour}.nc")
    scene = open_scene(tmp_path)
    assert scene["IR_108"].shape == (2, 12, 12)
    np.testing.assert_allclose(scene["IR_108"][1, ::-1], field(12, 12, 3), atol=1e-3)


def test_a_storm_that_crosses_the_180th_meridian_stays_in_one_piece(tmp_path):
    for hour, lon in ((0, 177.0), (3, -177.0)):
        dataset = hursat_dataset(field(31, 31, hour), f"2011-01-21T0{hour}:00", (lon, -14.0))
        dataset.to_netcdf(tmp_path / f"{hour}.nc")
    scene = open_scene(tmp_path)
    west, _, east, _ = scene_grid(scene).extent
    assert (west, east) == pytest.approx((175.915, 184.085), abs=0.1)
    assert np.isfinite(scene["IR_108"]).sum(("y", "x")).min() > 30 * 29


def test_of_two_satellites_at_one_time_the_nearer_is_taken(tmp_path):
    for name, zenith, seed in (("a", 50.0, 0), ("b", 30.0, 1)):
        dataset = hursat_dataset(
            field(31, 31, seed), "2011-01-21", (150, 10), satellite=name, view_zenith=zenith
        )
        dataset.to_netcdf(tmp_path / f"{name}.nc")
    with pytest.warns(SceneWarning, match=r"same time twice, the first is kept: b\.nc"):
        scene = open_scene(tmp_path)
    np.testing.assert_allclose(scene["IR_108"][0, ::-1], field(31, 31, 1), atol=1e-3)


def test_real_hursat_files(shared_data):
    scene = open_scene(shared_data / "hursat").load()
    assert scene["time"].dt.strftime("%d %H").to_numpy().tolist() == ["21 12", "22 03", "22 18"]
    assert scene.attrs["platform"] == "GOES-11, MTSAT-1R"
    path = min((shared_data / "hursat").glob("*.nc"))
    with xr.open_dataset(path) as file:
        lon, lat = float(file["CentLon"][0]), float(file["CentLat"][0])
        x, y = scene_grid(scene).lonlat_to_pixel(lon, lat)
        centre = file["IRWIN"][0].isel(lat=150, lon=150)
    found = scene["IR_108"][0, round(float(y)), round(float(x))]
    assert float(found) == pytest.approx(float(centre), abs=0.5)
