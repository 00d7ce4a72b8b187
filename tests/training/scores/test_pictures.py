"""Pictures of scores."""

import numpy as np
from matplotlib.image import imread

from medicane_training.scores.pictures import (
    draw_calibration,
    draw_errors,
    draw_precision_recall,
)


def test_pictures_of_scores_are_drawn(tmp_path):
    random = np.random.default_rng(0)
    error = random.rayleigh(20, 50)
    half, most = ({"value": v, "low": v - 0.1, "high": np.nan} for v in (0.5, 0.9))
    rows = [{"wind": "weak", "clips": 3, "coverage_50": half, "coverage_95": most}]
    draw_calibration(rows, tmp_path / "calibration.png")
    wind = np.append(np.nan, random.uniform(20, 120, 49))
    draw_errors(wind, {"model": error, "nothing": np.full(50, np.nan)}, tmp_path / "errors.png")
    probability = random.random(50)
    draw_precision_recall(probability, probability > 0.4, 0.5, tmp_path / "pr.png")
    draw_precision_recall(probability, probability > 0.4, 1.0, tmp_path / "none.png")
    for path in tmp_path.iterdir():
        assert imread(path).std() > 0.01
