import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medicane_models.domain import Grid, geostationary_crs, local_plane, satellite_zenith
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.plane_sampling import PlaneSampler
from medicane_models.scenes.planes import planes_covering

HALF_DISK_M = 5.5e6


def disk(pixels, longitude=-75.0):
    """A full disk of that many rows and columns."""
    step = 2 * HALF_DISK_M / pixels
    first = -HALF_DISK_M + step / 2
    return Grid(
        crs=geostationary_crs(longitude), width=pixels, height=pixels,
        x_origin=first, y_origin=-first, x_step=step, y_step=-step,
    )  # fmt: skip


def pixels_of(grid):
    return np.meshgrid(np.arange(grid.width), np.arange(grid.height))


def lonlat_frame(grid):
    """Longitude and latitude as a scene would hold them."""
    return np.stack(grid.pixel_to_lonlat(*pixels_of(grid))).astype(np.float32)


def texture(grid):
    """Kelvin, smooth and fine at once: a deviation of 16 K in blobs of 1, 3, 10 and 40 pixels."""
    random = np.random.default_rng(3)
    kelvin = np.full((grid.height, grid.width), 260, dtype=np.float32)
    for radius, deviation in ((1, 3), (3, 5), (10, 8), (40, 12)):
        noise = gaussian_filter(random.standard_normal(kelvin.shape), radius, mode="wrap")
        kelvin += deviation / noise.std() * noise
    return kelvin


def brute_force(grid, plane, kelvin, samples=20):
    """The mean of samples² nearest pixels in each pixel of a plane."""
    within = (np.arange(samples) + 0.5) / samples - 0.5
    x = (np.arange(plane.width)[:, None] + within).ravel()
    columns, rows = grid.lonlat_to_pixel(*plane.pixel_to_lonlat(*np.meshgrid(x, x)))
    seen = grid.contains(columns, rows)
    rows, columns = (np.rint(np.where(seen, v, 0)).astype(int) for v in (rows, columns))
    values = np.where(seen, kelvin[rows, columns], np.nan)
    return values.reshape(plane.height, samples, plane.width, samples).mean(axis=(1, 3))


def sampled(grid, plane, kelvin, **options):
    return PlaneSampler(grid, [plane], **options)(kelvin[None])[0, 0]


FINE = {
    "below the satellite": (disk(2200), (-75, 0)),
    "slantwise": (disk(2200), (-50, 35)),
    "at the limb": (disk(2200), (-20, -40)),
    "in degrees at 60°N": (
        Grid.lonlat(west=-30, south=45, east=50, north=75, step_degrees=0.04),
        (10, 60),
    ),
    "in degrees, finer eastwards": (
        Grid(crs="+proj=longlat +R=6371008.8", width=1200, height=300, x_origin=-30, y_origin=30,
             x_step=0.05, y_step=-0.2),
        (0, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("grid", "centre"), FINE.values(), ids=FINE)
def test_finer_pixels_are_averaged_over_the_area(grid, centre):
    plane, kelvin = local_plane(*centre, size=48, km=20), texture(grid)
    difference = sampled(grid, plane, kelvin) - brute_force(grid, plane, kelvin)
    assert np.isfinite(difference).any()
    assert np.sqrt(np.nanmean(difference**2)) < 0.25


@pytest.mark.parametrize("km", [2, 5, 11])
def test_coarser_pixels_are_interpolated_bilinearly(km):
    grid = Grid.lonlat(west=0, south=-5, east=10, north=5, step_degrees=0.5)
    plane = local_plane(5, 0.5, size=20, km=km)
    longitude, latitude = sampled_lonlat = PlaneSampler(grid, [plane])(lonlat_frame(grid))[0]
    assert np.allclose(sampled_lonlat, plane.pixel_to_lonlat(*pixels_of(plane)), atol=1e-4)
    assert longitude.shape == latitude.shape == (20, 20)


@pytest.mark.parametrize("km", [3, 6, 9, 12, 30])
def test_a_constant_stays_one_at_any_ratio_of_pixels(km):
    grid = disk(1000)
    plane = local_plane(-60, 30, size=32, km=km)
    kelvin = np.full((grid.height, grid.width), 273.15, dtype=np.float32)
    assert sampled(grid, plane, kelvin) == pytest.approx(273.15, abs=1e-4)


def test_a_plane_of_a_disk_lies_where_it_says():
    grid = disk(1000)
    plane = local_plane(-40, 35, size=48, km=20)
    found = PlaneSampler(grid, [plane])(lonlat_frame(grid))[0]
    assert np.allclose(found, plane.pixel_to_lonlat(*pixels_of(plane)), atol=0.03)


@pytest.mark.parametrize("step_degrees", [0.5, 0.7], ids=["whole turn", "part of a column over"])
@pytest.mark.parametrize(("west", "lon"), [(-180, 180), (-180, -179), (0, 0.5), (0, -0.5)])
def test_planes_across_the_seam_of_longitudes(west, lon, step_degrees):
    columns = round(360 / step_degrees) - 1
    grid = Grid.lonlat(
        west=west, south=-30, east=west + columns * step_degrees, north=30,
        step_degrees=step_degrees,
    )  # fmt: skip
    plane = local_plane(lon, 10, size=40, km=10)
    east_of_seam = (lonlat_frame(grid)[0] - west + 180) % 360 - 180  # runs on across the seam
    expected, _ = plane.pixel_to_lonlat(*pixels_of(plane))
    found = sampled(grid, plane, east_of_seam)
    assert np.allclose(found, (expected - west + 180) % 360 - 180, atol=0.3)


@pytest.mark.parametrize("lat", [90, -90, 88])
def test_planes_at_a_pole_see_all_around(lat):
    grid = Grid.lonlat(west=0, south=-90, east=359, north=90, step_degrees=1)
    plane = local_plane(25, lat, size=41, km=20)
    found = PlaneSampler(grid, [plane])(lonlat_frame(grid))[0, 1]
    _, expected = plane.pixel_to_lonlat(*pixels_of(plane))
    assert np.allclose(found, expected, atol=0.5)


def test_a_mirrored_scene_gives_the_same_pixels():
    north = disk(600)
    south = Grid.from_dict(north.to_dict() | {"y_origin": -north.y_origin, "y_step": -north.y_step})
    kelvin = texture(north)
    one = sampled(north, local_plane(-60, 28, size=40, km=20), kelvin)
    other = sampled(south, local_plane(-60, -28, size=40, km=20), kelvin)
    assert np.allclose(one, other, atol=1e-3)


def test_a_pixel_is_missing_when_less_than_half_of_it_was_seen():
    grid = Grid.lonlat(west=-5, south=-5, east=5, north=5, step_degrees=0.05)
    plane = local_plane(0, 0, size=21, km=20)
    kelvin = texture(grid)
    kelvin[:, 100:] = np.nan  # the first of which begins at 0.025°W
    found = sampled(grid, plane, kelvin)
    assert np.isfinite(found[:, :10]).all()
    assert np.isnan(found[:, 10:]).all()
    mean_of_seen = found[:, 9]
    assert ((mean_of_seen > 150) & (mean_of_seen < 350)).all()


def test_what_lies_beyond_the_scene_is_missing():
    grid = Grid.lonlat(west=0, south=0, east=10, north=10, step_degrees=0.1)
    plane = local_plane(0, 0, size=40, km=10)
    found = sampled(grid, plane, texture(grid))
    assert np.isfinite(found[:20, 20:]).all()
    assert np.isnan(found[21:]).all()
    assert np.isnan(found[:, :19]).all()


@pytest.mark.parametrize("grid", [disk(600, 0.0), Grid.lonlat(
    west=-90, south=-90, east=90, north=90, step_degrees=0.5
)], ids=["geostationary", "told"])  # fmt: skip
def test_pixels_at_the_limb_are_missing(grid):
    plane = local_plane(64, 5, size=40, km=40)  # whose centre is still seen
    found = sampled(grid, plane, texture(grid), sub_satellite_longitude=0.0)
    zenith = satellite_zenith(*plane.pixel_to_lonlat(*pixels_of(plane)), 0.0)
    assert np.array_equal(np.isfinite(found), zenith <= 75)


@pytest.mark.parametrize(("lon", "any_seen"), [(-83, True), (-100, False), (120, False)])
def test_planes_whose_centre_is_not_seen(lon, any_seen):
    grid = disk(600, 0.0)
    found = sampled(grid, local_plane(lon, 0, size=40, km=100), texture(grid))
    assert np.isfinite(found).any() == any_seen


def test_one_thread_and_two_channels_give_what_two_and_one_give():
    grid = disk(600)
    planes = planes_covering(grid, size=40, km=60)
    kelvin = texture(grid)
    both = PlaneSampler(grid, planes)(np.stack([kelvin, kelvin - 5]))
    alone = PlaneSampler(grid, planes, threads=2)(kelvin[None])
    assert np.array_equal(both[:, :1], alone, equal_nan=True)
    assert np.nanmax(abs(both[:, 0] - both[:, 1] - 5)) < 1e-3


def test_memory_does_not_grow_with_frames():
    grid = disk(300)
    sampler = PlaneSampler(grid, planes_covering(grid, size=32, km=200))
    kelvin = texture(grid)[None]
    sampler(kelvin)
    tracemalloc.start()
    sampler(kelvin)
    _, of_one = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for _ in range(5):
        sampler(kelvin)
    _, of_five = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert of_five < 1.1 * of_one + 100_000


def test_frames_of_another_grid_are_refused():
    grid = disk(100)
    sampler = PlaneSampler(grid, [local_plane(-75, 0, size=16, km=100)])
    with pytest.raises(SceneError, match="not of the grid"):
        sampler(np.zeros((1, 100, 99), dtype=np.float32))


@pytest.mark.parametrize("sizes", [(), (16, 32)])
def test_planes_are_of_one_size(sizes):
    planes = [local_plane(-75, 0, size=size, km=100) for size in sizes]
    with pytest.raises(ConfigurationError, match="one size"):
        PlaneSampler(disk(100), planes)
