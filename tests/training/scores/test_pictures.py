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
    radii = np.tile([20.0, 50.0], (50, 1))
    draw_calibration(error, radii, (0.4, 0.95), tmp_path / "calibration.png")
    wind = np.append(np.nan, random.uniform(20, 120, 49))
    draw_errors(wind, {"model": error, "nothing": np.full(50, np.nan)}, tmp_path / "errors.png")
    probability = random.random(50)
    draw_precision_recall(probability, probability > 0.4, 0.5, tmp_path / "pr.png")
    draw_precision_recall(probability, probability > 0.4, 1.0, tmp_path / "none.png")
    for path in tmp_path.iterdir():
        assert imread(path).std() > 0.01
