"""A heat map times a first guess, against closed forms."""

import numpy as np
import pandas as pd
import pytest

from medicane_models import MedicaneConfig
from medicane_models.errors import ConfigurationError
from medicane_models.prediction.refinement import FirstGuess, HeatMaps, HeatMapTrust, refined
from medicane_models.runtimes.interface import Centres

CELL, CELLS, FIRST = 2, 72, -7.5
PLAIN = HeatMapTrust()


def normal_map(mean, covariance) -> HeatMaps:
    """A map whose density, with the width of its cells, is this normal."""
    rows, columns = np.indices((CELLS, CELLS)) * CELL + FIRST
    apart = np.stack([columns, rows], axis=-1) - mean
    inverse = np.linalg.inv(np.asarray(covariance) - np.eye(2) * CELL**2 / 6)
    density = np.exp(-0.5 * np.einsum("rki,ij,rkj->rk", apart, inverse, apart))
    return HeatMaps(probability=density[None] / density.sum(), cell_px=CELL, first_px=FIRST)


def guess(x, y, sigma) -> Centres:
    covariance = np.eye(2)[None] * sigma**2
    return Centres(np.array([[x, y]], float), covariance)


FLAT = HeatMaps(probability=np.full((1, 72, 72), 1 / 72**2), cell_px=CELL, first_px=FIRST)


def test_the_product_of_two_normals_is_the_closed_form():
    mean, covariance = np.array([50.3, 61.7]), np.array([[30.0, 8.0], [8.0, 20.0]])
    told = guess(56.0, 55.0, 5.0)
    found = refined(normal_map(mean, covariance), told, PLAIN)
    precision = np.linalg.inv(covariance) + np.linalg.inv(told.covariance[0])
    expected = np.linalg.inv(precision)
    centre = expected @ (
        np.linalg.solve(covariance, mean) + np.linalg.solve(told.covariance[0], told.center[0])
    )
    np.testing.assert_allclose(found.center[0], centre, atol=1e-3)
    np.testing.assert_allclose(found.covariance[0], expected, atol=1e-3)


def test_a_guess_that_says_nothing_changes_nothing():
    mean, covariance = np.array([50.3, 61.7]), np.array([[30.0, 8.0], [8.0, 20.0]])
    found = refined(normal_map(mean, covariance), guess(10.0, 90.0, 1e6), PLAIN)
    np.testing.assert_allclose(found.center[0], mean, atol=1e-3)
    np.testing.assert_allclose(found.covariance[0], covariance, atol=1e-3)


@pytest.mark.parametrize("trust", [PLAIN, HeatMapTrust(power=3.0, slope=0.5)])
def test_a_sure_guess_is_returned_from_between_the_cells(trust):
    found = refined(normal_map([50.3, 61.7], np.eye(2) * 9), guess(52.123, 60.456, 1e-4), trust)
    np.testing.assert_allclose(found.center[0], [52.123, 60.456], atol=1e-3)
    np.testing.assert_allclose(found.covariance[0], np.zeros((2, 2)), atol=1e-6)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_flat_map_returns_the_guess(power):
    found = refined(FLAT, guess(52.123, 60.456, 4.0), HeatMapTrust(power=power))
    np.testing.assert_allclose(found.center[0], [52.123, 60.456], atol=1e-6)
    np.testing.assert_allclose(found.covariance[0], np.eye(2) * 16, atol=1e-4)


def test_a_map_that_vanishes_at_the_guess_still_gives_a_number():
    probability = np.zeros((1, 72, 72))
    probability[0, 5, 5] = 1.0
    point = HeatMaps(probability=probability, cell_px=CELL, first_px=FIRST)
    found = refined(point, guess(100.0, 100.0, 0.5), PLAIN)
    assert np.isfinite(found.center).all()


def test_the_guess_is_as_far_off_on_average_as_it_says():
    sigma = FirstGuess(tracks=pd.DataFrame(), mean_km=48.0).sigma_km
    drawn = np.random.default_rng(0).normal(0, sigma, (200_000, 2))
    assert np.hypot(*drawn.T).mean() == pytest.approx(48.0, rel=0.01)


@pytest.mark.parametrize("km", [0.0, -5.0, float("inf"), float("nan")])
def test_an_impossible_distance_is_refused(km):
    with pytest.raises(ConfigurationError, match="km off on average; give kilometres above 0"):
        FirstGuess(tracks=pd.DataFrame(), mean_km=km)


@pytest.mark.parametrize("other", [{"head": "regression"}, {"heatmap_offset": True}])
def test_a_tracker_without_a_plain_heat_map_is_refused(other):
    with pytest.raises(ConfigurationError, match="needs a tracker with a heat map"):
        HeatMapTrust.of(MedicaneConfig(task="tracking", **other))
