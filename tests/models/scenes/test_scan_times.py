from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from raw_files import ABI_GRID, write_abi
from scene_files import GRID, cf_dataset, kelvin, times

from medicane_models.domain import Grid
from medicane_models.errors import SceneError
from medicane_models.scenes import open_scene, pixel_time, scene_grid
from medicane_models.scenes.readers.recording import Frame, ScanTimes
from medicane_models.scenes.scan_times import scan_coordinates

NOON = pd.Timestamp("2020-09-07 12:00")
SECOND = pd.Timedelta(seconds=1)
FRAMES = [
    Frame(NOON, "seen", lambda grid: np.empty(0), scan=ScanTimes(NOON, NOON + 500 * SECOND)),
    Frame(NOON, "unknown", lambda grid: np.empty(0)),
]
SOURCE = replace(GRID, height=101)  # so that rows are 5 s apart


def outer_times(target: Grid) -> list[np.ndarray]:
    return [values for _, values, _ in scan_coordinates(FRAMES, SOURCE, target).values()]


@pytest.mark.parametrize(("row", "height"), [(0, 101), (20, 11), (7, 1), (100, 1)])
def test_rows_of_a_cropped_grid_are_seen_when_those_of_the_whole_are(row, height):
    north, south = outer_times(SOURCE.window(2, row, 4, height))
    assert north[0] == NOON + 5 * row * SECOND
    assert south[0] == NOON + 5 * (row + height - 1) * SECOND


def test_a_frame_without_scan_times_has_none():
    assert all(np.isnat(values[1]) for values in outer_times(SOURCE))


def test_rows_on_another_projection_are_seen_with_those_they_cross():
    west, north_edge = SOURCE.pixel_to_lonlat(4, 30)
    target = Grid.lonlat(
        west=float(west), east=float(west), south=float(north_edge) - 0.5, north=float(north_edge),
        step_degrees=0.1,
    )  # fmt: skip
    north, south = outer_times(target)
    rows = [float(SOURCE.lonlat_to_pixel(west, target.y[row])[1]) for row in (0, -1)]
    for seen, row in zip((north[0], south[0]), rows, strict=True):
        assert abs(seen - (NOON + 5 * row * SECOND)) < SECOND / 1000


def test_rows_that_are_not_on_the_source_have_no_time():
    elsewhere = Grid.full_disk(180.0).window(1800, 1800, 5, 5)
    assert all(np.isnat(values).all() for values in outer_times(elsewhere))


def scene_of(scan: tuple[str, str], height: int = 5) -> xr.Dataset:
    told = {
        name: ("time", np.array([time, "NaT"], "datetime64[ns]"))
        for name, time in zip(("scan_time_north", "scan_time_south"), scan, strict=True)
    }
    return xr.Dataset(coords={"time": times("2020", 2), "y": np.arange(height), **told})


def test_pixels_are_seen_linearly_between_the_outer_rows():
    scene = scene_of(("2020-01-01T00:08", "2020-01-01T00:00"))
    seen = pixel_time(scene, [0, 0, 0, 1], [0, 1.5, 4, 2])
    expected = ["2020-01-01T00:08", "2020-01-01T00:05", "2020-01-01T00:00", "NaT"]
    np.testing.assert_array_equal(seen, np.array(expected, "datetime64[ns]"))


def test_the_one_row_of_a_scene_has_its_time():
    scene = scene_of(("2020-01-01T00:08", "2020-01-01T00:08"), height=1)
    assert pixel_time(scene, 0, 0) == np.datetime64("2020-01-01T00:08")


def test_scan_times_outlive_saving_and_cropping(tmp_path):
    pytest.importorskip("satpy")
    values = np.linspace(200, 300, 1200).reshape(30, 40)
    write_abi(tmp_path, "2020-09-07 20:00:20", "2020-09-07 20:09:50", values)
    scene = open_scene(tmp_path, channels=["IR_108"], reader="abi_l1b")
    scene.to_netcdf(tmp_path / "saved.nc")
    window = scene_grid(scene).window(3, 10, 6, 7)
    again = open_scene(tmp_path / "saved.nc", domain=window, channels=["IR_108"])
    rows = np.arange(7)
    assert window.offset_in(ABI_GRID) == (3, 10)
    apart = pixel_time(again, 0, rows) - pixel_time(scene, 0, rows + 10)
    assert (abs(apart) <= np.timedelta64(2, "ns")).all()


@pytest.mark.parametrize(
    ("told", "match"),
    [
        (("time", [5, 6]), "scan_time_north of the dataset is no CF time"),
        (((), np.datetime64("2020", "ns")), "hold 1 and 1 times for 2 frames"),
    ],
)
def test_scan_times_that_are_none_are_refused(told, match):
    dataset = cf_dataset(kelvin(2), times("2020", 2))
    wrong = dataset.assign_coords(scan_time_north=told, scan_time_south=told)
    with pytest.raises(SceneError, match=match):
        open_scene(wrong)


def test_a_scene_whose_files_tell_no_scan_times_can_be_saved(tmp_path):
    scene = open_scene(cf_dataset(kelvin(2), times("2020", 2)))
    assert np.isnat(scene["scan_time_north"]).all()
    scene.to_netcdf(tmp_path / "a.nc")
    scene.to_zarr(tmp_path / "a.zarr")
    for saved in ("a.nc", "a.zarr"):
        assert np.isnat(open_scene(tmp_path / saved)["scan_time_south"]).all()
