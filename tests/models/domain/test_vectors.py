import numpy as np
import pyproj
import pytest

from medicane_models.domain import east_and_north, lonlat_of, unit_vectors

PLACES = np.array([[0, 0], [179.9, -45], [-180, 89.9], [12.5, 38], [-77, -90]], dtype=float).T


def test_vectors_are_geocentric_coordinates():
    cart = pyproj.Transformer.from_pipeline("+proj=cart +R=1")
    expected = np.stack(cart.transform(*PLACES, np.zeros(5)), axis=-1)
    assert unit_vectors(*PLACES) == pytest.approx(expected, abs=1e-12)


def test_longitudes_and_latitudes_come_back():
    lon, lat = lonlat_of(7.0 * unit_vectors(*PLACES[:, :4]))
    assert np.cos(np.radians(lon - PLACES[0, :4])) == pytest.approx(1)
    assert lat == pytest.approx(PLACES[1, :4], abs=1e-9)


def test_east_and_north_point_where_the_places_change():
    lon, lat = PLACES[:, :4]
    towards = (unit_vectors(lon + 1e-6, lat), unit_vectors(lon, lat + 1e-6))
    for found, moved in zip(east_and_north(lon, lat), towards, strict=True):
        step = moved - unit_vectors(lon, lat)
        assert found == pytest.approx(step / np.linalg.norm(step, axis=-1, keepdims=True), abs=1e-5)
