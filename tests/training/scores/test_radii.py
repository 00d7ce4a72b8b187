import numpy as np
import pytest

from medicane_models.prediction.uncertainty import RADIUS_SHARES, calibrated_radii
from medicane_training.scores.radii import fit_radii

RNG = np.random.default_rng(0)
TRUE_KM = np.exp(RNG.uniform(np.log(10), np.log(100), 4000))
ERRORS = TRUE_KM * RNG.rayleigh(size=4000)
NORMAL = np.sqrt(-2 * np.log1p(-np.array(RADIUS_SHARES)))
STORMS = np.arange(4000) // 10


@pytest.mark.parametrize(("factor", "power"), [(1.0, 1.0), (3.0, 1.0), (0.2, 1.6), (8.0, 0.5)])
def test_radii_hold_what_they_say_at_all_sizes(factor, power):
    radii = (TRUE_KM[:, None] * NORMAL / factor) ** (1 / power)
    found = calibrated_radii(radii, fit_radii(radii, ERRORS, STORMS))
    for part in (TRUE_KM < 30, TRUE_KM >= 30):
        inside = (ERRORS[:, None] <= found)[part].mean(0)
        assert inside == pytest.approx(RADIUS_SHARES, abs=0.03)


def test_storms_count_alike_however_long_they_were():
    radii = TRUE_KM[:, None] * NORMAL
    errors = np.where(STORMS == 0, 100.0, 1.0) * ERRORS
    rows = np.concatenate([np.tile(np.flatnonzero(STORMS == 0), 500), np.arange(4000)])
    found = fit_radii(radii[rows], errors[rows], STORMS[rows])
    expected = fit_radii(radii, errors, STORMS)
    assert np.array(found) == pytest.approx(np.array(expected), rel=0.05)


def test_few_storms_change_little_and_none_nothing():
    radii = np.full((3, 2), 50.0)
    (factor, power), _ = fit_radii(radii, np.full(3, 5.0), np.zeros(3))
    assert 0.1 < factor * 50**power / 50 < 1
    assert np.array(fit_radii(radii[:0], np.empty(0), np.empty(0))) == pytest.approx(1.0)
    assert np.array(fit_radii(radii * np.nan, np.ones(3), np.zeros(3))) == pytest.approx(1.0)
