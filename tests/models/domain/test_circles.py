import numpy as np
import pyproj
import pytest

from medicane_models.domain.circles import circle_polygons

GEOD = pyproj.Geod(ellps="WGS84")
PLACES = [
    *((18.0, 37.0, 90.0), (179.9, -17.0, 120.0), (-179.2, 60.0, 300.0), (180.0, 0.0, 50.0)),
    *((10.0, 89.0, 300.0), (-120.0, -88.0, 400.0), (100.0, 87.0, 300.0), (0.0, 90.0, 50.0)),
    *((-180.0, 45.0, 10.0), (5.0, -89.9, 11.5), (170.0, 70.0, 1500.0)),
]


def signed_area(ring):
    x, y = ring[:-1].T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


@pytest.mark.parametrize(("lon", "lat", "radius"), PLACES)
def test_parts_are_closed_counter_clockwise_and_within_180_degrees(lon, lat, radius):
    for part in circle_polygons(lon, lat, radius):
        assert part[0].tolist() == part[-1].tolist()
        assert signed_area(part) > 0
        assert (abs(part) <= (180, 90)).all()


@pytest.mark.parametrize(("lon", "lat", "radius"), PLACES)
def test_they_hold_what_is_within_the_radius_and_nothing_else(lon, lat, radius):
    shapely = pytest.importorskip("shapely")
    parts = shapely.MultiPolygon([shapely.Polygon(p) for p in circle_polygons(lon, lat, radius)])
    random = np.random.default_rng(0)
    apart = random.uniform(0, 2 * radius, 2000)
    apart = apart[abs(apart / radius - 1) > 0.006]
    x, y, _ = GEOD.fwd(
        np.full(len(apart), lon),
        np.full(len(apart), lat),
        random.uniform(0, 360, len(apart)),
        apart * 1000,
    )
    assert shapely.is_valid(parts)
    far = abs(y) < 89.95  # edges are straight on the map, which beside a pole is not short
    assert (shapely.contains_xy(parts, x, y) == (apart < radius))[far].all()


@pytest.mark.parametrize(
    ("place", "count"),
    [((18.0, 37.0, 90.0), 1), ((179.9, -17.0, 120.0), 2), ((10.0, 89.0, 300.0), 1)],
)
def test_a_circle_is_cut_only_where_it_crosses_the_antimeridian(place, count):
    assert len(circle_polygons(*place)) == count


def test_a_pole_is_reached_along_the_antimeridian():
    (north,), (south,) = circle_polygons(10.0, 89.0, 300.0), circle_polygons(10.0, -89.0, 300.0)
    assert {(180.0, 90.0), (-180.0, 90.0)} <= set(map(tuple, north))
    assert {(180.0, -90.0), (-180.0, -90.0)} <= set(map(tuple, south))


def test_corners_lie_on_the_circle():
    (part,) = circle_polygons(18.0, 37.0, 90.0)
    there = np.full(len(part), 18.0), np.full(len(part), 37.0)
    assert GEOD.inv(*there, *part.T)[2] == pytest.approx(90_000)


@pytest.mark.parametrize("radius", [np.nan, 0.0, 0.01])
def test_where_no_radius_is_known_there_is_no_circle(radius):
    assert circle_polygons(18.0, 37.0, radius) == []
