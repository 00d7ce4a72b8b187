from itertools import pairwise
from pathlib import Path

import numpy as np
import pyproj
import pytest
from matplotlib.path import Path as Polygon

import medicane_models
from medicane_models.domain import MEDITERRANEAN, Grid, geostationary_crs
from medicane_models.maps.coastlines import (
    coast_lines,
    graticule,
    land_mask,
    land_rings,
    visible_lines,
)

WORLD = Grid.lonlat(west=-180, south=-90, east=179.5, north=90, step_degrees=0.5)
PACIFIC = Grid.lonlat(west=0, south=-90, east=359.5, north=90, step_degrees=0.5)
MOLLWEIDE = Grid(
    crs="+proj=moll +lon_0=100",
    width=900,
    height=450,
    x_origin=-1.8e7,
    y_origin=9e6,
    x_step=4e4,
    y_step=-4e4,
)
COARSE_DISK = Grid(
    crs=geostationary_crs(0),
    width=464,
    height=464,
    x_origin=-5.556e6,
    y_origin=5.556e6,
    x_step=24003.2,
    y_step=-24003.2,
)

# points that any atlas gives to about 0.01°
CAPES = {
    "Tarifa, Strait of Gibraltar": (-5.609, 36.001),
    "Ceuta, Strait of Gibraltar": (-5.279, 35.899),
    "Capo Peloro, Strait of Messina": (15.652, 38.268),
    "Capo Passero": (15.150, 36.687),
    "Santa Maria di Leuca": (18.358, 39.795),
    "Cape Matapan": (22.483, 36.386),
    "Cap Bon": (11.051, 37.078),
    "Nile delta, Rosetta mouth": (30.365, 31.464),
    "Nile delta, Damietta mouth": (31.844, 31.525),
    "Cape Andreas, Cyprus": (34.596, 35.692),
}
CITIES = {
    "Rome": (12.50, 41.90),
    "Madrid": (-3.70, 40.42),
    "Milan": (9.19, 45.46),
    "Athens": (23.73, 38.05),
    "Ankara": (32.85, 39.93),
    "Constantine": (6.61, 36.37),
    "Enna, Sicily": (14.28, 37.57),
    "Nuoro, Sardinia": (9.33, 40.32),
    "Nicosia, Cyprus": (33.37, 35.17),
}
WATERS = {
    "Ionian Sea": (18.0, 36.5),
    "Gulf of Lion": (4.5, 42.5),
    "Tyrrhenian Sea": (12.0, 40.0),
    "Adriatic Sea": (15.0, 43.2),
    "Sea of Crete": (25.0, 36.0),
    "Gulf of Sidra": (18.5, 31.5),
    "Black Sea": (32.0, 43.0),
    "Bay of Biscay": (-4.0, 44.5),
    "Gulf of Taranto": (17.2, 40.0),
}


def distance_km(lines, grid, lon, lat):
    """To the nearest of the points laid every 0.02 px along polylines, on the WGS84 ellipsoid."""
    near = []
    x, y = grid.lonlat_to_pixel(lon, lat)
    for line in lines:
        close = np.abs(line - (x, y)).max(axis=1) < 20
        for start, end in pairwise(line):
            if close.any() and np.abs(start - (x, y)).max() < 20:
                near.append(start + np.linspace(0, 1, 50)[:, None] * (end - start))
    lons, lats = grid.pixel_to_lonlat(*np.concatenate(near).T)
    geod = pyproj.Geod(ellps="WGS84")
    return geod.inv(np.full_like(lons, lon), np.full_like(lats, lat), lons, lats)[2].min() / 1000


def area_km2(mask, grid):
    """Of a mask on a longitude/latitude grid, on the sphere."""
    cell = np.radians(grid.x_step) * np.radians(-grid.y_step) * 6371.0088**2
    return float((mask.sum(axis=1) * np.cos(np.radians(grid.y)) * cell).sum())


@pytest.fixture(scope="module")
def mediterranean_land():
    return land_mask(MEDITERRANEAN)


@pytest.mark.parametrize("name", CAPES)
def test_the_coast_passes_known_capes_within_two_kilometres(name):
    assert distance_km(coast_lines(MEDITERRANEAN), MEDITERRANEAN, *CAPES[name]) < 2


@pytest.mark.parametrize("name", CITIES)
def test_cities_are_on_land(name, mediterranean_land):
    x, y = np.rint(MEDITERRANEAN.lonlat_to_pixel(*CITIES[name])).astype(int)
    assert mediterranean_land[y, x]


@pytest.mark.parametrize("name", WATERS)
def test_seas_are_not_land(name, mediterranean_land):
    x, y = np.rint(MEDITERRANEAN.lonlat_to_pixel(*WATERS[name])).astype(int)
    assert not mediterranean_land[y, x]


def test_the_mask_agrees_with_a_test_of_points_against_the_polygons(mediterranean_land):
    x, y = np.random.default_rng(0).uniform((0, 0), (1289, 419), (3000, 2)).round().astype(int).T
    points = np.stack(MEDITERRANEAN.pixel_to_lonlat(x, y), axis=-1)
    low, high = points.min(axis=0), points.max(axis=0)
    inside = np.zeros(len(points), dtype=bool)
    for ring in land_rings():
        if (ring.max(axis=0) > low).all() and (ring.min(axis=0) < high).all():
            inside ^= Polygon(ring).contains_points(points)
    assert (mediterranean_land[y, x] != inside).mean() < 0.005


@pytest.mark.parametrize(
    ("box", "known_km2"),
    [((8.0, 38.8, 9.9, 41.28), 24_000), ((32.2, 34.5, 34.7, 35.75), 9_251)],
    ids=["Sardinia", "Cyprus"],
)
def test_islands_have_their_published_area(box, known_km2):
    west, south, east, north = box
    grid = Grid.lonlat(west=west, south=south, east=east, north=north, step_degrees=0.01)
    assert area_km2(land_mask(grid), grid) == pytest.approx(known_km2, rel=0.02)


def test_the_caspian_sea_is_no_land_and_its_shores_are():
    grid = Grid.lonlat(west=46, south=36, east=56, north=48, step_degrees=0.05)
    x, y = np.rint(grid.lonlat_to_pixel([50.5, 47.0, 55.5], [41.5, 41.0, 40.0])).astype(int)
    assert land_mask(grid)[y, x].tolist() == [False, True, True]


@pytest.mark.parametrize("grid", [WORLD, PACIFIC], ids=["world", "pacific"])
def test_land_goes_on_across_the_antimeridian_and_around_the_pole(grid):
    lon, lat = np.array([179.5, -179.5, 179.5, 0.0, 90.0]), [67.5, 67.5, -80.0, -85.0, -89.5]
    x, y = np.rint(grid.lonlat_to_pixel(lon, lat)).astype(int)
    assert land_mask(grid)[y, x % grid.width].tolist() == [True, True, False, True, True]


@pytest.mark.parametrize("grid", [WORLD, PACIFIC, MOLLWEIDE], ids=["world", "pacific", "mollweide"])
def test_no_line_crosses_the_map_where_the_world_is_cut(grid):
    longest = max(np.hypot(*np.diff(line, axis=0).T).max() for line in coast_lines(grid))
    assert longest < grid.width / 20


def test_no_coast_is_drawn_where_the_polygons_are_closed():
    lon, lat = np.concatenate([PACIFIC.pixel_to_lonlat(*v.T) for v in coast_lines(PACIFIC)], axis=1)
    assert lat.min() > -86
    assert not ((abs(lon) > 179.5) & (lat > 67) & (lat < 68.5)).any()


def test_lines_stay_on_the_disk():
    points = np.concatenate(coast_lines(COARSE_DISK))
    assert np.isfinite(points).all()
    assert np.hypot(*(points - 231.5).T).max() < 228


def test_the_mask_is_empty_off_the_disk():
    corner = land_mask(COARSE_DISK)[:40, :40]
    assert not corner.any()
    assert 0.1 < land_mask(COARSE_DISK).mean() < 0.4


def test_lines_leave_the_grid_by_at_most_one_step():
    grid = MEDITERRANEAN.window(600, 200, 100, 80)
    long_lines = [line for line in coast_lines(grid) if len(line) > 3]
    inner = np.concatenate([line[1:-1] for line in long_lines])
    assert len(inner) > 50
    assert grid.contains(*inner.T).all()


def test_a_mirrored_grid_has_the_mirrored_mask():
    grid = MEDITERRANEAN.window(500, 150, 300, 200)
    east = grid.x_origin + grid.x_step * (grid.width - 1)
    values = grid.to_dict() | {"x_origin": east, "x_step": -grid.x_step}
    assert (land_mask(Grid.from_dict(values)) == land_mask(grid)[:, ::-1]).mean() > 0.995


def test_a_line_is_cut_where_it_leaves_the_map():
    lon = np.array([5.0, 10.0, 15.0, 200.0, 201.0, 20.0, 25.0])
    lines = visible_lines(MEDITERRANEAN, lon, np.full(7, 38.0))
    assert [len(line) for line in lines] == [3, 2]


def test_a_line_is_cut_where_its_points_are_not_joined():
    lon, joined = np.array([5.0, 10.0, 15.0, 20.0]), np.array([True, False, True])
    assert len(visible_lines(MEDITERRANEAN, lon, np.full(4, 38.0), joined)) == 2


def test_graticule_ticks_stand_where_the_lines_cross_the_borders():
    crs = pyproj.Proj(MEDITERRANEAN.crs)
    meridians, parallels = graticule(MEDITERRANEAN)
    ticks = {line.label: line.ticks for line in (*meridians, *parallels)}
    (x,), (y,) = ticks["20°E"], ticks["40°N"]
    lon, _ = crs(*border_point(x, 419.5), inverse=True)
    _, lat = crs(*border_point(-0.5, y), inverse=True)
    assert (lon, lat) == (pytest.approx(20, abs=1e-3), pytest.approx(40, abs=1e-3))


def border_point(x, y):
    grid = MEDITERRANEAN
    return grid.x_origin + x * grid.x_step, grid.y_origin + y * grid.y_step


def test_graticule_names_hemispheres_and_the_zero_lines():
    meridians, parallels = graticule(COARSE_DISK)
    assert {"20°W", "0°", "20°E"} <= {line.label for line in meridians}
    assert {"20°S", "0°", "20°N"} <= {line.label for line in parallels}


def test_the_stored_coastlines_are_small_and_come_with_their_terms():
    folder = Path(medicane_models.__file__).parent / "maps"
    assert (folder / "coastlines.npz").stat().st_size < 700_000
    assert "public domain" in (folder / "coastlines.LICENSE").read_text()
