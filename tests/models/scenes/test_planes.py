import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

from medicane_models.domain import (
    EARTH_RADIUS_KM,
    MEDITERRANEAN,
    Grid,
    great_circle_km,
    local_plane,
    satellite_zenith,
)
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.planes import planes_covering, unjudged_share

ARCTIC = Grid(
    crs="+proj=stere +lat_0=90 +lon_0=0 +ellps=WGS84",
    width=400,
    height=400,
    x_origin=-4e6,
    y_origin=4e6,
    x_step=2e4,
    y_step=-2e4,
)
GRIDS = {
    "Mediterranean": MEDITERRANEAN,
    "full disk": Grid.full_disk(140.7),
    "sector at the limb": Grid.full_disk(0).window(300, 500, 900, 600),
    "across the 180th meridian": Grid.lonlat(
        west=170, south=-20, east=195, north=15, step_degrees=0.1
    ),
    "0 … 360": Grid.lonlat(west=0, south=-70, east=359.5, north=70, step_degrees=0.5),
    "the globe": Grid.lonlat(west=-180, south=-90, east=179.5, north=90, step_degrees=0.5),
    "a pole": ARCTIC,
    "far north": Grid.lonlat(west=-40, south=60, east=60, north=88, step_degrees=0.25),
}


def mesh_of(grid):
    """Points over a grid, which of them are seen, and which of these lie at a border."""
    pixels = (np.linspace(-0.5, length - 0.5, 81) for length in (grid.width, grid.height))
    lon, lat = grid.pixel_to_lonlat(*np.meshgrid(*pixels))
    seen = np.isfinite(lon) & np.isfinite(lat)
    if grid.sub_satellite_longitude is not None:
        seen &= satellite_zenith(lon, lat, grid.sub_satellite_longitude) <= 75
    framed = np.pad(seen, 1)
    if grid.is_geographic and grid.width * grid.x_step >= 360:
        framed[:, [0, -1]] = framed[:, [1, -2]]  # there is no border at its sides
    return lon, lat, seen, seen & ~binary_erosion(framed)[1:-1, 1:-1]


def chords(lon, lat):
    """Points on the unit sphere."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def beyond_rim(grid, rim_km):
    """Points of the extent that are further than a rim from its border."""
    lon, lat, seen, border = mesh_of(grid)
    points = chords(lon[seen], lat[seen])
    distance, _ = KDTree(chords(lon[border], lat[border])).query(points)
    far = 2 * np.arcsin(distance / 2) * EARTH_RADIUS_KM >= rim_km
    return lon[seen][far], lat[seen][far]


def is_in_an_inner_part(lon, lat, planes, reach_px):
    """Whether points lie within ``reach_px`` of the middle row and column of some plane."""
    inside = np.zeros(lon.shape, dtype=bool)
    for plane in planes:
        x, y = plane.lonlat_to_pixel(lon, lat)
        middle = (plane.width - 1) / 2
        inside |= (abs(x - middle) <= reach_px) & (abs(y - middle) <= reach_px)
    return inside


@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_all_but_a_rim_of_the_extent_lies_in_inner_parts(grid, overlap):
    assert covered_points(grid, overlap).all()
    assert covered_points(grid, overlap).size


def covered_points(grid, overlap):
    """Which points of the extent outside its rim lie in inner parts of planes."""
    size, km = 64, 30
    planes = planes_covering(grid, size=size, km=km, overlap=overlap)
    lon, lat = beyond_rim(grid, overlap / 2 * size * km)
    return is_in_an_inner_part(lon, lat, planes, (1 - overlap) / 2 * size + 0.01)


@pytest.mark.parametrize("seed", range(8))
def test_inner_parts_cover_boxes_of_any_place_and_size(seed):
    random = np.random.default_rng(seed)
    south, west = random.uniform(-85, 60), random.uniform(-180, 180)
    high, wide = random.uniform(5, 85 - south), random.uniform(5, 200)
    grid = Grid.lonlat(
        west=west, south=south, east=west + wide, north=south + high, step_degrees=0.5
    )
    assert covered_points(grid, random.uniform(0.1, 0.7)).all()


@pytest.mark.parametrize("name", ["the globe", "a pole"])
def test_a_pole_is_no_border(name):
    planes = planes_covering(GRIDS[name], size=64, km=30)
    poles = np.array([90, -90] if name == "the globe" else [90])
    assert is_in_an_inner_part(np.zeros(poles.shape), poles, planes, 16.01).all()


@pytest.mark.parametrize("share", [0.3, 0.98])
@pytest.mark.parametrize("centre", [(12, 40), (179.9, -30), (0, 88)])
def test_an_extent_smaller_than_a_plane_has_one_in_its_middle(centre, share):
    grid = local_plane(*centre, size=round(112 * share), km=10)
    (plane,) = planes_covering(grid, size=112, km=10)
    x, y = plane.lonlat_to_pixel(*centre)
    assert (x, y) == pytest.approx((55.5, 55.5), abs=0.6)


def test_a_band_at_the_equator_has_as_few_planes_as_fit_side_by_side():
    degrees_of_a_plane = 112 * 10 / 111.195
    reach, rim = 0.25 * degrees_of_a_plane, 0.25 * degrees_of_a_plane
    half = 1.9 * reach / 2 + rim - 0.05
    grid = Grid.lonlat(west=0, south=-half, east=40, north=half, step_degrees=0.1)
    planes = planes_covering(grid, size=112, km=10)
    assert len(planes) == np.ceil((40.1 - 2 * rim) / (2 * reach))


def test_planes_of_a_disk_show_enough_of_it():
    grid = Grid.full_disk(-75)
    for plane in planes_covering(grid, size=112, km=10):
        lon, lat = plane.pixel_to_lonlat(*np.meshgrid(np.arange(112), np.arange(112)))
        assert (satellite_zenith(lon, lat, -75) <= 75).mean() > 0.15


def test_a_satellite_s_place_limits_a_grid_in_degrees():
    globe = GRIDS["the globe"]
    planes = planes_covering(globe, size=64, km=20, sub_satellite_longitude=140.7)
    assert 0 < len(planes) < len(planes_covering(globe, size=64, km=20)) / 2
    centres = np.array([plane.pixel_to_lonlat(31.5, 31.5) for plane in planes])
    assert great_circle_km(*centres.T, 140.7, 0).max() < 8000


def test_planes_of_the_south_are_mirrored_and_rows_run_northwards():
    planes = planes_covering(GRIDS["across the 180th meridian"], size=64, km=20)
    latitudes = np.array([plane.pixel_to_lonlat(31.5, 31.5)[1] for plane in planes])
    assert np.array_equal([plane.y_step > 0 for plane in planes], latitudes < 0)
    assert (np.diff(latitudes.round(4)) >= 0).all()


@pytest.mark.parametrize("overlap", [-0.1, 1.0, np.nan])
def test_impossible_overlaps_are_refused(overlap):
    with pytest.raises(ConfigurationError, match="overlap"):
        planes_covering(MEDITERRANEAN, size=64, km=20, overlap=overlap)


def test_a_scene_behind_the_horizon_has_no_planes():
    with pytest.raises(SceneError, match="nothing of the scene"):
        planes_covering(MEDITERRANEAN, size=64, km=20, sub_satellite_longitude=-160)


def test_planes_cover_no_more_than_the_latitudes_asked_for():
    globe = GRIDS["the globe"]
    planes = planes_covering(globe, size=64, km=20, latitude_limit=50)
    tropics = Grid.lonlat(west=-180, south=-50, east=180, north=50, step_degrees=0.5)
    lon, lat = beyond_rim(tropics, 0.25 * 64 * 20)
    assert is_in_an_inner_part(lon, lat, planes, 16.01).all()
    latitudes = np.array([plane.pixel_to_lonlat(31.5, 31.5)[1] for plane in planes])
    assert abs(latitudes).max() < 50
    with pytest.raises(SceneError, match="within 10° of the equator"):
        planes_covering(MEDITERRANEAN, size=64, km=20, latitude_limit=10)


@pytest.mark.parametrize(
    ("west", "south", "east", "north", "share"),
    [
        (0, 10, 20, 20, 0.0),
        (0, 40, 20, 60, None),
        (0, 60, 20, 70, 1.0),
        (0, 89.9, 1, 90, 1.0),
    ],
)
def test_the_share_that_is_not_judged_is_of_ground(west, south, east, north, share):
    globe = Grid.lonlat(west=-180, south=-90, east=180, north=90, step_degrees=1)
    asked = Grid.lonlat(west=west, south=south, east=east, north=north, step_degrees=0.1)
    found = unjudged_share(asked, globe, latitude_limit=50)
    if share is None:  # of a band the ground goes as the sines of its latitudes
        sines = np.sin(np.radians([40, 50, 60]))
        share = (sines[2] - sines[1]) / (sines[2] - sines[0])
    assert found == pytest.approx(share, abs=0.02)
