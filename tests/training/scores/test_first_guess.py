"""How far heat maps are trusted beside a first guess, and what they add to it."""

import numpy as np
import pytest

from medicane_models.prediction.refinement import HeatMaps, HeatMapTrust
from medicane_models.verification.matching import Blocks
from medicane_training.scores.first_guess import first_guess_errors, first_guess_scores, fit_trust

CELL, CELLS, FIRST = 2, 40, -7.5
N = CELLS**2


def maps_of(means, sigmas) -> HeatMaps:
    """A normal of its own width in each map."""
    rows, columns = np.indices((CELLS, CELLS)) * CELL + FIRST
    x, y = (np.asarray(each)[:, None, None] for each in np.transpose(means))
    squared = (columns - x) ** 2 + (rows - y) ** 2
    density = np.exp(-0.5 * squared / np.square(sigmas)[:, None, None])
    return HeatMaps(
        probability=density / density.sum((1, 2), keepdims=True), cell_px=CELL, first_px=FIRST
    )


def exponents(maps: HeatMaps, trust: HeatMapTrust) -> np.ndarray:
    return trust.power * (N * maps.probability.max((1, 2)) / 100) ** trust.slope


@pytest.mark.parametrize(
    "trust", [HeatMapTrust(power=2.0), HeatMapTrust(power=0.3), HeatMapTrust(power=2.0, slope=0.7)]
)
def test_the_trust_that_truths_were_drawn_with_is_found_again(trust):
    random = np.random.default_rng(0)
    means, sigmas = random.uniform(25, 40, (800, 2)), random.choice([2.0, 4.0, 8.0], 800)
    maps = maps_of(means, sigmas)
    # a normal to a power is narrower, and the width of a cell is added
    spread = np.sqrt(sigmas**2 / exponents(maps, trust) + CELL**2 / 6)
    truth = means + random.normal(size=(800, 2)) * spread[:, None]
    found = fit_trust(maps, truth)
    np.testing.assert_allclose(exponents(maps, found), exponents(maps, trust), rtol=0.2)


def test_a_single_clip_leaves_trust_to_its_prior():
    maps = maps_of([[30.0, 30.0]], [4.0])
    found = fit_trust(maps, np.array([[30.0, 30.0]]))
    assert 0.1 < exponents(maps, found)[0] < 20


def test_guesses_are_as_far_off_as_operational_ones_and_flat_maps_leave_them_so():
    flat = HeatMaps(probability=np.full((400, 40, 40), 1 / N), cell_px=CELL, first_px=FIRST)
    errors = first_guess_errors(
        flat, np.full((400, 2), 32.0), km_per_px=10.0, trust=HeatMapTrust(power=2.0)
    )
    assert errors["first guess"].mean() == pytest.approx(48.0, rel=0.02)
    np.testing.assert_allclose(errors["refined"], errors["first guess"], rtol=1e-3)


def test_errors_of_normal_maps_are_those_of_the_closed_form():
    random = np.random.default_rng(1)
    truth, sigma = np.full((800, 2), 32.0), 4.0
    maps = maps_of(truth + random.normal(size=(800, 2)) * sigma, np.full(800, sigma))
    errors = first_guess_errors(maps, truth, km_per_px=10.0, trust=HeatMapTrust())
    guess = 48 / np.sqrt(np.pi / 2)
    expected = np.sqrt(2 / (1 / guess**2 + 1 / (10 * sigma) ** 2))
    assert np.sqrt(np.square(errors["refined"]).mean()) == pytest.approx(expected, rel=0.03)


def test_draws_are_the_same_each_time():
    maps, truth = maps_of([[30.0, 31.0]], [4.0]), np.array([[32.0, 32.0]])
    twice = [
        first_guess_errors(maps, truth, km_per_px=10.0, trust=HeatMapTrust()) for _ in range(2)
    ]
    np.testing.assert_array_equal(twice[0]["refined"], twice[1]["refined"])


def test_scores_come_by_class_with_intervals_over_storms():
    error = np.array([[3.0, 5.0], [1.0, 1.0], [7.0, 7.0]])
    blocks = Blocks(np.array(["a", "b", "c"]), np.full(3, fill_value=True))
    found = first_guess_scores({"refined": error}, np.array(["weak", "weak", ""]), blocks)
    (weak,) = found["by_intensity"]
    assert (weak["intensity"], weak["clips"]) == ("weak", 2)
    assert weak["refined"]["mean_km"] == pytest.approx({"value": 2.5, "low": 1.0, "high": 4.0})
    assert weak["refined"]["rms_km"]["value"] == pytest.approx(3.0)
    assert found["scores"]["refined"]["median_km"]["value"] == pytest.approx(4.0)
