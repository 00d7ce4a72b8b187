import numpy as np
import pytest
from scene_files import GRID, STEP_M
from scipy.ndimage import map_coordinates

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.scenes.resampling import Crop, place


def shifted(x: float, y: float, width: int = 8, height: int = 6) -> Grid:
    """GRID moved by x columns and y rows."""
    return Grid(
        crs=GRID.crs,
        width=width,
        height=height,
        x_origin=GRID.x_origin + x * STEP_M,
        y_origin=GRID.y_origin - y * STEP_M,
        x_step=STEP_M,
        y_step=-STEP_M,
    )


def placed(pixels: np.ndarray, target: Grid, source: Grid = GRID) -> np.ndarray:
    placement = place(source, target)
    offset = placement.window.offset_in(source)
    assert offset is not None
    x, y = offset
    window = pixels[y : y + placement.window.height, x : x + placement.window.width]
    return placement(window[None].astype(np.float32))[0]


def plane() -> np.ndarray:
    rows, columns = np.mgrid[:6, :8]
    return 10.0 * columns + rows


def test_a_plane_is_interpolated_exactly():
    values = placed(plane(), shifted(1.25, 2.5, 4, 3))
    np.testing.assert_allclose(values, placed(plane() + 15.0, shifted(1, 2, 4, 3)) - 15 + 3.0)


def test_pixels_within_half_a_pixel_take_the_edge():
    values = placed(plane(), shifted(-0.4, -0.4))
    assert values[0, 0] == 0
    assert values[0, 1] == pytest.approx(6)
    assert np.isfinite(values).all()


def test_pixels_beyond_half_a_pixel_are_missing():
    values = placed(plane(), shifted(0.6, 0.6))
    assert np.isnan(values[-1]).all()
    assert np.isnan(values[:, -1]).all()
    assert np.isfinite(values[:-1, :-1]).all()


def test_a_missing_pixel_spoils_what_it_has_weight_in():
    pixels = plane()
    pixels[3, 4] = np.nan
    missing = np.argwhere(np.isnan(placed(pixels, shifted(0.25, 0.0, 7, 6))))
    assert missing.tolist() == [[3, 3], [3, 4]]


def test_nothing_outside_the_neighbours_is_needed():
    window = place(GRID, shifted(2.5, 1.5, 3, 2)).window
    assert window.offset_in(GRID) == (2, 1)
    assert (window.width, window.height) == (4, 3)


@pytest.mark.parametrize("first", [0, 100])
def test_a_part_of_the_globe_is_cropped_and_no_more_is_needed(first):
    globe = Grid.lonlat(west=-180, south=-60, east=179.5, north=60, step_degrees=0.5)
    target = globe.window(first, 10, globe.width - first, 100)
    assert isinstance(place(globe, target), Crop)
    pixels = np.random.default_rng(0).random((globe.height, globe.width)).astype(np.float32)
    np.testing.assert_array_equal(placed(pixels, target, globe), pixels[10:110, first:])


def test_another_satellite_sees_what_scipy_interpolates():
    source = Grid.full_disk(0).window(1500, 400, 900, 500)
    target = MEDITERRANEAN.window(200, 100, 60, 40)
    pixels = np.random.default_rng(0).random((500, 900)).astype(np.float32)
    columns, rows = np.meshgrid(np.arange(60), np.arange(40))
    x, y = source.lonlat_to_pixel(*target.pixel_to_lonlat(columns, rows))
    expected = map_coordinates(pixels, [y, x], order=1)
    np.testing.assert_allclose(placed(pixels, target, source), expected, atol=2e-6)


def test_longitude_and_latitude_from_a_satellite():
    source = Grid.full_disk(0).window(1500, 200, 1200, 900)
    target = Grid.lonlat(west=0, south=35, east=10, north=45, step_degrees=0.25)
    columns, rows = np.meshgrid(np.arange(1200), np.arange(900))
    _, latitude = source.pixel_to_lonlat(columns, rows)
    values = placed(latitude, target, source)
    np.testing.assert_allclose(values, np.repeat(target.y[:, None], 41, axis=1), atol=1e-4)
