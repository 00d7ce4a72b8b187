"""Pixels at longitudes and latitudes of their own: against fields known in closed form."""

import gc
import tracemalloc

import numpy as np
import pyproj
import pytest
import xarray as xr
from scene_files import times

from medicane_models.domain import Grid
from medicane_models.errors import SceneError
from medicane_models.scenes.opening import open_scene, scene_grid


def places(
    lon_0: float, lat_0: float, *, turned: float = 25.0, km: float = 5.0, shape: tuple = (60, 80)
) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of a raster turned clockwise around a point, on the ellipsoid."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in shape)
    column, row = np.meshgrid(columns, rows)
    azimuth = np.degrees(np.arctan2(column, -row)) + turned
    distance = 1000 * km * np.hypot(column, row)
    centre = np.full(azimuth.shape, lon_0), np.full(azimuth.shape, lat_0)
    lon, lat, _ = pyproj.Geod(ellps="WGS84").fwd(*centre, azimuth, distance)
    return np.asarray(lon), np.asarray(lat)


def field(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Smooth on the sphere, so that no longitude is special."""
    lon, lat = np.radians(lon), np.radians(lat)
    vectors = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    return 250 + 20 * np.sin(30 * vectors[0]) + 15 * np.cos(25 * vectors[1] + 20 * vectors[2])


def swath_dataset(lon: np.ndarray, lat: np.ndarray, **attributes: object) -> xr.Dataset:
    kelvin = field(lon, lat)[None].astype(np.float32)
    return xr.Dataset(
        {"IR_108": (("time", "row", "column"), kelvin, {"units": "K"})},
        {
            "time": times("2020", 1),
            "lon": (("row", "column"), lon, {"units": "degrees_east"}),
            "lat": (("row", "column"), lat, {"units": "degrees_north"}),
        },
        attributes,
    )


@pytest.mark.parametrize(
    ("lon_0", "lat_0"), [(15, 40), (179.5, -15), (-180, 10), (20, 84), (359, -70), (0, 89.5)]
)
def test_the_field_is_where_its_places_are(lon_0, lat_0):
    scene = open_scene(swath_dataset(*places(lon_0, lat_0))).load()
    grid = scene_grid(scene)
    columns, rows = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    expected = field(*grid.pixel_to_lonlat(columns, rows))
    found = scene["IR_108"][0].to_numpy()
    error = np.abs(found - expected)[np.isfinite(found)]
    assert error.size > 0.5 * found.size
    assert np.quantile(error, 0.97) < 0.05
    assert error.max() < 0.4  # half a pixel beyond the outermost, as everywhere


def test_pixels_are_as_large_as_the_swath_s_own():
    grid = scene_grid(open_scene(swath_dataset(*places(15, 40, km=7))))
    assert grid.x_step == -grid.y_step == pytest.approx(7000, rel=0.01)
    assert grid.projection.to_cf()["grid_mapping_name"] == "azimuthal_equidistant"


def test_points_beside_the_swath_are_missing():
    lon, lat = places(15, 40)
    scene = open_scene(swath_dataset(lon, lat)).load()
    share = float(np.isfinite(scene["IR_108"]).mean())
    grid = scene_grid(scene)
    assert share == pytest.approx(60 * 80 / (grid.width * grid.height), rel=0.02)


def test_a_missing_pixel_and_places_off_the_earth_make_nothing_up():
    lon, lat = places(15, 40, turned=0)
    dataset = swath_dataset(lon, lat)
    dataset["IR_108"][0, 30, 40] = np.nan
    dataset["lon"][:5], dataset["lat"][:5] = -999, -999
    scene = open_scene(dataset).load()
    gaps = np.isnan(scene["IR_108"][0].sel(x=slice(-1e5, 1e5), y=slice(1e5, -1e5)))
    assert 1 <= int(gaps.sum()) <= 9
    assert float(scene["IR_108"].min()) > 200


def test_a_domain_of_a_swath_is_cut_out():
    domain = Grid.lonlat(west=179.5, south=-15, east=180.5, north=-14, step_degrees=0.05)
    scene = open_scene(swath_dataset(*places(180, -15)), domain=domain)
    columns, rows = np.meshgrid(domain.x, domain.y)
    np.testing.assert_allclose(scene["IR_108"][0], field(columns, rows), atol=0.1)


def test_a_regular_grid_told_in_two_dimensions_stays_one():
    lon, lat = np.meshgrid(np.arange(5, 9, 0.5), np.arange(35, 38, 0.5))
    scene = open_scene(swath_dataset(lon, lat))
    assert scene_grid(scene).projection.is_geographic
    np.testing.assert_allclose(scene["IR_108"][0, ::-1], field(lon, lat), rtol=1e-6)


def test_files_of_one_view_are_one_scene(tmp_path):
    lon, lat = places(15, 40)
    for hour in (0, 1):
        dataset = swath_dataset(lon, lat).assign_coords(time=times(f"2020-01-01T0{hour}", 1))
        dataset.to_netcdf(tmp_path / f"{hour}.nc")
    scene = open_scene(tmp_path)
    assert scene.sizes["time"] == 2
    np.testing.assert_array_equal(scene["IR_108"][0], scene["IR_108"][1])


def test_memory_does_not_grow_with_the_files_of_a_moving_view(tmp_path):
    for hour in range(6):
        lon, lat = places(150.0 + hour, 10.0, shape=(150, 150))
        dataset = swath_dataset(lon, lat).assign_coords(time=times(f"2020-01-01T{hour:02}", 1))
        dataset.to_netcdf(tmp_path / f"{hour}.nc")
    scene = open_scene(tmp_path)
    tracemalloc.start()
    held = []
    for hour in range(6):
        scene.isel(time=hour).compute(scheduler="synchronous")
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[-1] - held[1] < 8 * 150 * 150  # no file keeps as much as a number a pixel


def test_numbers_of_rows_and_columns_are_no_projection():
    dataset = swath_dataset(*places(15, 40)).rename(row="y", column="x")
    dataset = dataset.assign_coords(x=np.arange(80), y=np.arange(60))
    assert scene_grid(open_scene(dataset)).x_step == pytest.approx(5000, rel=0.01)


@pytest.mark.parametrize(
    ("lon", "lat", "reason"),
    [
        (np.full((4, 4), 10.0), np.full((4, 4), 45.0), "evenly spaced|span no area"),
        (np.full((4, 4), -999.0), np.full((4, 4), -999.0), "none lies on it"),
        (np.linspace(-180, 179, 16).reshape(4, 4), np.zeros((4, 4)), "around the Earth|11000 km"),
        (np.array([[1.0, 2.1, 3.3]]), np.array([[1.0, 2.0, 3.0]]), "at least 2 × 2"),
    ],
)
def test_places_that_make_no_picture_are_refused(lon, lat, reason):
    with pytest.raises(SceneError, match=reason):
        open_scene(swath_dataset(lon, lat))


def test_a_real_file_with_matrices_of_places(shared_data):
    from scipy.io import loadmat

    path = shared_data / "storms_single" / "20200208T083000_ir.mat"
    saved = loadmat(path, squeeze_me=True, struct_as_record=False)["aSetSaved"]
    dataset = swath_dataset(saved.lonMatrix, saved.latMatrix)
    dataset["IR_108"] = (
        ("time", "row", "column"),
        saved.tb[None].astype(np.float32),
        {"units": "K"},
    )
    scene = open_scene(dataset).load()
    grid = scene_grid(scene)
    tree_row, tree_column = np.unravel_index(
        np.argmin(np.hypot(saved.lonMatrix - 116.72, saved.latMatrix + 20.78)), saved.tb.shape
    )
    nearest = saved.lonMatrix[tree_row, tree_column], saved.latMatrix[tree_row, tree_column]
    x, y = (round(float(v)) for v in grid.lonlat_to_pixel(*nearest))
    near = saved.tb[tree_row - 1 : tree_row + 2, tree_column - 1 : tree_column + 2]
    assert near.min() <= float(scene["IR_108"][0, y, x]) <= near.max()
