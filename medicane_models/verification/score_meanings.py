"""What scores say, in words."""

from medicane_models.verification.pairing import METHODS

__all__ = ["meaning"]

MEANINGS = {
    "pod": "probability of detection: hits / (hits + misses)",
    "far": "false alarm ratio: false alarms / (hits + false alarms)",
    "csi": "critical success index: hits / (hits + false alarms + misses)",
    "hss": "Heidke skill score: share right beyond chance; 0 is chance, 1 perfect",
    "ets": "equitable threat score: csi without the hits of chance; 0 is chance, 1 perfect",
    "balanced_accuracy": "mean of the shares right with and without a cyclone; 0.5 is chance",
    "accuracy": "share of cases that are right",
    "frequency_bias": "alarms for each cyclone; above 1 there are too many",
    "pofd": "probability of false detection: share of the cases without a cyclone that alarm",
    "base_rate": "share of cases with a cyclone",
    "alarm_rate": "share of cases with an alarm",
    "brier": "Brier score: mean squared error of the probability; 0 is best",
    "brier_skill": "by how much it beats the base rate; 1 is perfect, below 0 it is worse",
    "reliability": "part of brier: how far frequencies are from probabilities; 0 is best",
    "resolution": "part of brier: how much frequencies differ from the base rate; high is best",
    "uncertainty": "part of brier: base rate × (1 - base rate), given by nature",
    "within_bins": "part of brier: spread of the probabilities inside the ten bins",
    "ece": "expected calibration error: mean gap of frequency and probability; 0 is best",
    "roc_area": "chance that a case with a cyclone has the higher probability; 0.5 is chance",
    "pr_area": "average precision over all thresholds; the base rate is chance",
    "mean_km": "mean distance to the true centre",
    "median_km": "half of the distances are smaller",
    "p90_km": "nine in ten distances are smaller",
    "along_mean_km": "mean distance ahead of the true centre, along its motion; 0 is best",
    "along_abs_km": "mean of this distance's size",
    "across_mean_km": "mean distance to the right of the true motion; 0 is best",
    "across_abs_km": "mean of this distance's size, right or left",
    "within_radius_50": "share of true centres inside the 50 % circle; 0.5 is honest",
    "within_radius_95": "share of true centres inside the 95 % circle; 0.95 is honest",
    "storm_pod": "share of the storms that any track follows",
    "false_tracks_per_100_h": "tracks without a storm in 100 scene hours: the usual step a time, "
    "at most --every of predict",
    "onset_mean_h": "how much later than the storm its tracks begin, hours; below 0 earlier",
    "onset_abs_h": "mean of this time's size, hours",
    "decay_mean_h": "how much later than the storm its tracks end, hours; below 0 earlier",
    "decay_abs_h": "mean of this time's size, hours",
}


def meaning(score: str) -> str:
    """What a score says, in one line."""
    for prefix, method in {**METHODS, "always_": "of an alarm in every case"}.items():
        if prefix and score.startswith(prefix):
            return f"{MEANINGS[score.removeprefix(prefix)]}, {method}"
    return MEANINGS[score]
