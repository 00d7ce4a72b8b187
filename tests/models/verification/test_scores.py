import numpy as np
import pytest

from medicane_models.errors import ConfigurationError
from medicane_models.verification.scores import (
    Contingency,
    brier_decomposition,
    brier_score,
    error_summary,
    expected_calibration_error,
    precision_recall_area,
    probability_scores,
    reliability_table,
    roc_area,
)


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    probability = rng.beta(0.5, 2, 3000).round(2)  # two decimals: many ties
    return probability, rng.random(3000) < probability**1.5


def table(hits, false_alarms, misses, correct_negatives):
    return Contingency(
        hits=hits,
        false_alarms=false_alarms,
        misses=misses,
        correct_negatives=correct_negatives,
    )


def test_stored_scores_of_the_research_system_for_all_of_2023():
    misses, false_alarms = 8, 15_768  # 191 cyclones among 89 316 tiles and hours
    scores = table(183, false_alarms, misses, 89_316 - 191 - false_alarms).scores()
    assert round(scores["pod"], 3) == 0.958
    assert round(scores["far"], 4) == 0.9885
    assert round(scores["csi"], 4) == 0.0115
    assert round(scores["hss"], 4) == 0.0185
    assert round(scores["balanced_accuracy"], 3) == 0.891


def test_stored_scores_of_the_research_system_for_three_held_out_cyclones():
    scores = table(194, 404, 6, 1796).scores()
    names = ("pod", "far", "csi", "hss", "balanced_accuracy")
    assert [round(scores[name], 3) for name in names] == [0.970, 0.676, 0.321, 0.413, 0.893]


def test_contingency_scores_agree_with_the_library_scores():
    library = pytest.importorskip("scores.categorical")
    xr = pytest.importorskip("xarray")
    rng = np.random.default_rng(1)
    truth, forecast = rng.random((2, 500)) < [[0.2], [0.3]]
    reference = library.BinaryContingencyManager(
        fcst_events=xr.DataArray(forecast.astype(float)),
        obs_events=xr.DataArray(truth.astype(float)),
    )
    scores = Contingency.from_labels(truth, forecast).scores()
    same = {
        "pod": reference.probability_of_detection(),
        "far": reference.false_alarm_ratio(),
        "csi": reference.critical_success_index(),
        "hss": reference.heidke_skill_score(),
        "ets": reference.equitable_threat_score(),
        "frequency_bias": reference.frequency_bias(),
        "pofd": reference.probability_of_false_detection(),
        "accuracy": reference.accuracy(),
        "base_rate": reference.base_rate(),
        "alarm_rate": reference.forecast_rate(),
    }
    assert {name: scores[name] for name in same} == pytest.approx(
        {name: float(value) for name, value in same.items()}
    )


def test_balanced_accuracy_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    truth, forecast = np.random.default_rng(2).random((2, 300)) < [[0.1], [0.3]]
    expected = metrics.balanced_accuracy_score(truth, forecast)
    scores = Contingency.from_labels(truth, forecast).scores()
    assert scores["balanced_accuracy"] == pytest.approx(expected)


def test_what_is_undefined_is_nan_not_zero():
    calm = table(0, 0, 0, 50).scores()
    assert np.isnan([calm[name] for name in ("pod", "far", "csi", "hss", "frequency_bias")]).all()
    assert calm["accuracy"] == 1
    positions = table(3, 1, 1, None).scores()
    assert positions["csi"] == 0.6
    assert np.isnan([positions[name] for name in ("hss", "pofd", "balanced_accuracy")]).all()


def test_rank_scores_agree_with_scikit_learn(sample):
    metrics = pytest.importorskip("sklearn.metrics")
    probability, truth = sample
    assert roc_area(*sample) == pytest.approx(metrics.roc_auc_score(truth, probability))
    expected = metrics.average_precision_score(truth, probability)
    assert precision_recall_area(*sample) == pytest.approx(expected)


def test_roc_area_is_the_mann_whitney_statistic(sample):
    stats = pytest.importorskip("scipy.stats")
    probability, truth = sample
    u = stats.mannwhitneyu(probability[truth], probability[~truth]).statistic
    assert roc_area(*sample) == pytest.approx(u / truth.sum() / (~truth).sum())


def test_brier_score_and_its_parts_by_hand():
    probability = np.array([0.1, 0.1, 0.1, 0.1, 0.8, 0.8])
    truth = np.array([False, False, False, True, True, True])
    assert brier_score(probability, truth) == pytest.approx((3 * 0.01 + 0.81 + 2 * 0.04) / 6)
    parts = brier_decomposition(probability, truth)
    assert parts["reliability"] == pytest.approx((4 * 0.15**2 + 2 * 0.2**2) / 6)
    assert parts["resolution"] == pytest.approx((4 * 0.25**2 + 2 * 0.5**2) / 6)
    assert parts["uncertainty"] == pytest.approx(0.25)
    assert parts["within_bins"] == pytest.approx(0, abs=1e-15)


def test_brier_score_agrees_with_scikit_learn(sample):
    metrics = pytest.importorskip("sklearn.metrics")
    probability, truth = sample
    scores = probability_scores(*sample)
    assert scores["brier"] == pytest.approx(metrics.brier_score_loss(truth, probability))
    whole = scores["reliability"] - scores["resolution"] + scores["uncertainty"]
    assert scores["brier"] == pytest.approx(whole + scores["within_bins"])


def test_reliability_table_agrees_with_scikit_learn(sample):
    calibration = pytest.importorskip("sklearn.calibration")
    probability = np.random.default_rng(3).random(2000)
    truth = np.random.default_rng(4).random(2000) < probability
    observed, forecast = calibration.calibration_curve(truth, probability, n_bins=10)
    bins = reliability_table(probability, truth)
    assert bins["observed_frequency"].tolist() == pytest.approx(observed.tolist())
    assert bins["mean_probability"].tolist() == pytest.approx(forecast.tolist())
    assert bins["n"].sum() == 2000


def test_calibration_error_by_hand_and_values_on_borders():
    probability = np.array([0.0, 0.3, 0.35, 1.0])
    truth = np.array([False, True, False, True])
    assert reliability_table(probability, truth)["low"].tolist() == [0, 0.3, 0.9]
    assert expected_calibration_error(probability, truth) == pytest.approx(2 * (0.5 - 0.325) / 4)


def test_scores_of_no_case_are_nan():
    nothing = np.zeros(0), np.zeros(0, dtype=bool)
    assert np.isnan(list(probability_scores(*nothing).values())).all()
    assert np.isnan(list(error_summary(np.array([np.nan])).values())).all()
    assert reliability_table(*nothing).empty


def test_errors_are_summarised_without_the_unknown():
    errors = np.array([np.nan, *np.arange(11.0)])
    assert error_summary(errors) == {"mean_km": 5, "median_km": 5, "p90_km": 9}


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigurationError, match="1 bin or more"):
        reliability_table(np.array([0.5]), np.array([True]), bins=0)


def test_weights_count_cases_several_times(sample):
    """A weight of 3 is what three equal cases are, in every score."""
    probability, truth = sample[0][:300], sample[1][:300]
    weight = np.random.default_rng(6).integers(1, 5, 300)
    many = np.repeat(np.arange(300), weight)
    repeated = probability_scores(probability[many], truth[many])
    weighted = probability_scores(probability, truth, weight=weight.astype(float))
    assert weighted == pytest.approx(repeated)
    forecast = probability > 0.3
    assert Contingency.from_labels(truth, forecast, weight.astype(float)).scores() == pytest.approx(
        Contingency.from_labels(truth[many], forecast[many]).scores()
    )


def test_a_weighted_reliability_table_still_counts_cases(sample):
    probability, truth = sample
    weight = np.random.default_rng(7).uniform(0.5, 2, len(truth))
    bins = reliability_table(probability, truth, weight=weight)
    first = probability < 0.1
    assert bins["n"][0] == first.sum()
    expected = np.average(truth[first], weights=weight[first])
    assert bins["observed_frequency"][0] == pytest.approx(expected)


def test_plain_counts_are_whole_numbers(sample):
    counts = vars(Contingency.from_labels(sample[1], sample[0] > 0.3))
    assert {type(count) for count in counts.values()} == {int}
