import numpy as np
import pytest
from scipy.special import expit, log_softmax

from medicane_models.verification.scores import Contingency, expected_calibration_error
from medicane_training.scores.calibration import (
    Calibration,
    best_threshold,
    calibrated,
    deployment_weights,
    fit_calibration,
)
from medicane_training.store.strata import log_odds_shift

ONES = np.ones(4)


def overconfident(n: int, *, temperature: float, shift: float = 0.0, seed: int = 0):
    """Logits whose true probabilities are those of the calibration with these numbers."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, 2))
    margin = (logits[:, 1] - logits[:, 0] + shift) / temperature
    return logits, rng.random(n) < expit(margin)


def test_a_known_temperature_and_shift_are_found_again():
    logits, truth = overconfident(100_000, temperature=2.5, shift=-3.0)
    found = fit_calibration(logits, truth, np.ones(len(truth)))
    assert found.temperature == pytest.approx(2.5, rel=0.02)
    assert found.shift == pytest.approx(-3.0, rel=0.02)


def test_the_fit_is_that_of_scikit_learns_logistic_regression():
    linear = pytest.importorskip("sklearn.linear_model")
    logits, truth = overconfident(4000, temperature=2.0, shift=1.0)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(truth))
    model = linear.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit((logits[:, 1] - logits[:, 0])[:, None], truth, sample_weight=weight)
    found = fit_calibration(logits, truth, weight)
    assert 1 / found.temperature == pytest.approx(model.coef_[0, 0], rel=2e-3)
    assert found.shift / found.temperature == pytest.approx(model.intercept_[0], rel=1e-2)


def test_undoing_a_balanced_sample_is_the_closed_form():
    """Half cyclones in the clips, 2 % in the weather: the shift is that of the log-odds."""
    rng = np.random.default_rng(2)
    truth = rng.random(100_000) < 0.5
    score = rng.normal(np.where(truth, 1.0, -1.0), 1.0)  # its log-odds at 50 % are 2 · score
    logits = np.stack([-score, score], axis=1)
    weight = deployment_weights(truth, np.ones(len(truth)), 0.02)
    found = fit_calibration(logits, truth, weight)
    expected = log_odds_shift(true_share=0.02, sampled_share=0.5)
    assert found.temperature == pytest.approx(1, rel=0.03)
    assert found.shift / found.temperature == pytest.approx(expected, rel=0.03)


def test_a_rare_event_leaves_the_temperature_to_the_clips_not_to_the_prior():
    """At one cyclone in 5000 tiles the 60 cyclones of the sample still tell the temperature."""
    truth = np.arange(660) < 60
    weight = deployment_weights(truth, np.ones(660), 2e-4)
    found = []
    for seed in range(20):
        score = np.random.default_rng(seed).normal(np.where(truth, 2.0, -2.0), 2.0)
        logits = np.stack([np.zeros(660), 3 * score], axis=1)  # the log-odds times 3
        found.append(fit_calibration(logits, truth, weight).temperature)
    assert np.median(found) == pytest.approx(3, rel=0.2)


def test_the_mean_probability_is_the_rate():
    logits, truth = overconfident(3000, temperature=3.0, shift=2.0)
    weight = deployment_weights(truth, np.ones(len(truth)), 0.01)
    probability = calibrated(logits, fit_calibration(logits, truth, weight))
    assert np.average(probability, weights=weight) == pytest.approx(0.01, rel=1e-4)


def test_fitting_makes_unseen_clips_more_reliable():
    logits, truth = overconfident(4000, temperature=4.0)
    found = fit_calibration(logits[:2000], truth[:2000], np.ones(2000))
    before, after = (
        expected_calibration_error(calibrated(logits[2000:], one), truth[2000:])
        for one in (Calibration(), found)
    )
    assert before > 0.1
    assert after < 0.04


def test_three_classes_share_a_temperature_and_only_cyclones_shift():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, (100_000, 3))
    shifted = (logits + np.array([0, 1.5, 0])) / 2.0
    cyclone = np.exp(log_softmax(shifted, axis=1))[:, 1]
    found = fit_calibration(logits, rng.random(len(logits)) < cyclone, np.ones(len(logits)))
    assert (found.temperature, found.shift) == pytest.approx((2.0, 1.5), rel=0.03)
    np.testing.assert_allclose(
        calibrated(logits, Calibration(temperature=2.0, shift=1.5)), cyclone, rtol=1e-12
    )


def test_clips_told_apart_perfectly_keep_a_bounded_temperature(caplog):
    logits = np.array([[2.0, -2.0], [1.0, -1.0], [-1.0, 1.0], [-2.0, 2.0]])
    found = fit_calibration(logits, np.array([False, False, True, True]), ONES)
    assert 0.1 < found.temperature < 1
    assert "told apart without an error" in caplog.text


@pytest.mark.parametrize("truth", [True, False])
def test_one_kind_of_clips_leaves_the_fallback(truth, caplog):
    fallback = Calibration(shift=-2.0)
    found = fit_calibration(np.zeros((4, 2)), np.full(4, truth), ONES, fallback=fallback)
    assert found == fallback
    assert "cannot be fitted" in caplog.text


def test_the_fit_is_deterministic():
    logits, truth = overconfident(500, temperature=2.0)
    assert fit_calibration(logits, truth, np.ones(500)) == fit_calibration(
        logits, truth, np.ones(500)
    )


@pytest.mark.parametrize("score", ["csi", "hss", "balanced_accuracy"])
def test_no_threshold_is_better(score):
    rng = np.random.default_rng(4)
    truth = rng.random(300) < 0.2
    ranking = (rng.normal(truth, 1.0, 300)).round(1)  # with ties
    weight = rng.uniform(0.5, 5, 300)
    chosen = best_threshold(ranking, truth, weight, score)
    every = np.append(np.unique(ranking), 99)
    scores = [
        Contingency.from_labels(truth, ranking >= one, weight).scores()[score] for one in every
    ]
    found = Contingency.from_labels(truth, ranking >= chosen, weight).scores()[score]
    assert found == pytest.approx(np.nanmax(scores))


def test_the_threshold_lies_midway_between_two_values():
    ranking, truth = np.array([0.1, 0.2, 0.6, 0.9]), np.array([False, False, True, True])
    assert best_threshold(ranking, truth, ONES, "csi") == pytest.approx(0.4)
    assert best_threshold(ranking, ~truth, ONES, "csi") == 0.1


def test_there_is_no_threshold_without_both_kinds():
    assert best_threshold(np.arange(4.0), np.full(4, True), ONES, "csi") is None


def test_deployment_weights_give_the_rate_and_keep_relations():
    truth = np.array([True, True, False, False])
    weight = np.array([1.0, 3.0, 2.0, 6.0])
    assert deployment_weights(truth, weight, None) is weight
    found = deployment_weights(truth, weight, 0.1)
    assert found[truth].sum() / found.sum() == pytest.approx(0.1)
    assert found[1] / found[0] == pytest.approx(3)
    assert found[3] / found[2] == pytest.approx(3)
