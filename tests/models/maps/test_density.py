"""How many tracks pass near every place."""

import numpy as np
import pandas as pd
import pytest
from pyproj import Geod

from medicane_models.domain import Grid
from medicane_models.maps.density import density_map, tracks_near

SPHERE = Geod(a=6371008.8, b=6371008.8)


def tracks(**places) -> pd.DataFrame:
    rows = [(name, *place) for name, track in places.items() for place in track]
    return pd.DataFrame(rows, columns=["track_id", "lon", "lat"]).assign(
        time=pd.Timestamp("2020-09-17", tz="UTC")
    )


def test_tracks_count_once_where_the_geodesic_distance_is_short():
    random = np.random.default_rng(0)
    found = tracks(a=[(179.5, 12.0), (-179.8, 13.0)], b=[(-178.0, 14.0)], c=[(20.0, 88.0)])
    lon, lat = random.uniform(-180, 180, 400), np.degrees(np.arcsin(random.uniform(-1, 1, 400)))
    lon[:200], lat[:200] = 180 + random.uniform(-6, 6, 200), random.uniform(7, 19, 200)
    expected = np.zeros(400, int)
    for _, rows in found.groupby("track_id"):
        away = [
            SPHERE.inv(lon, lat, np.full(400, place[0]), np.full(400, place[1]))[2]
            for place in rows[["lon", "lat"]].to_numpy().tolist()
        ]
        expected += np.min(away, axis=0) <= 300e3
    assert expected.max() == 2
    np.testing.assert_array_equal(tracks_near(found, lon, lat), expected)


@pytest.mark.parametrize("some", [tracks(a=[(20.0, 36.0)], b=[(20.5, 36.0)]), tracks()])
def test_a_map_tells_the_greatest_count_and_may_be_empty(some):
    grid = Grid.lonlat(west=10, south=30, east=30, north=42, step_degrees=0.2)
    figure = density_map(grid, some, title="two tracks")
    scale = figure.axes[1]
    assert scale.get_ylim() == (0, 2 if len(some) else 1)
    assert scale.get_ylabel() == f"tracks within 300 km, of {len(some)}"
