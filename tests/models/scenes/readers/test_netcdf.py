import numpy as np
import pytest
import xarray as xr
from scene_files import CHANNELS, GRID, cf_dataset, kelvin, times

from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.opening import open_scene, scene_grid


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


def test_channels_of_different_sizes_are_refused():
    fine = cf_dataset(kelvin(1), times("2020", 1), names=["IR_108"])
    coarse = fine.isel(x=slice(0, 8, 2)).rename(x="x2", IR_108="WV_062")
    coarse["x2"].attrs["standard_name"] = "projection_x_coordinate"
    with pytest.raises(SceneError, match="differ in size"):
        open_scene(xr.merge([fine, coarse]), channels=["WV_062", "IR_108"])


def test_airmass_in_memory():
    colours = np.random.default_rng(0).random((2, 6, 8, 3)).astype(np.float32)
    dataset = cf_dataset(kelvin(2), times("2020", 2), names=["other"])
    attributes = {"grid_mapping": "projection"}
    dataset["airmass"] = (("time", "y", "x", "rgb"), colours, attributes)
    scene = open_scene(dataset)
    assert list(scene.data_vars) == ["airmass"]
    np.testing.assert_array_equal(scene["airmass"], colours)


def test_dask_in_memory_stays_lazy():
    values = kelvin(4)
    scene = open_scene(cf_dataset(values, times("2020", 4)).chunk(time=2))
    assert scene["IR_108"].chunks == ((1, 1, 1, 1), (6,), (8,))
    np.testing.assert_array_equal(scene["IR_108"], values + 3)


def test_truncated_netcdf_is_named(tmp_path):
    cf_dataset(kelvin(1), times("2020", 1)).to_netcdf(tmp_path / "a_202001010000.nc")
    broken = tmp_path / "a_202001010005.nc"
    cf_dataset(kelvin(1), times("2020", 1)).to_netcdf(broken)
    broken.write_bytes(broken.read_bytes()[:3000])
    with pytest.warns(SceneWarning, match=r"a_202001010005\.nc \(2020-01-01 00:05 UTC\)"):
        assert open_scene(tmp_path).sizes["time"] == 1
