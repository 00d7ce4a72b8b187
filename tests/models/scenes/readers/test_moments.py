import numpy as np
import pytest
import xarray as xr
from scene_files import cf_dataset, kelvin, times

from medicane_models.errors import SceneError
from medicane_models.scenes.opening import open_scene


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
