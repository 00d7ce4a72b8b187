import numpy as np
import pytest
from scipy import stats

from medicane_models.prediction.uncertainty import normal_radius


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.95, 0.999])
def test_limits_are_rayleigh_and_normal(probability):
    circular = normal_radius(np.diag([4.0, 4.0]), probability)
    assert circular == pytest.approx(2 * stats.rayleigh.ppf(probability), rel=1e-4)
    flat = normal_radius(np.diag([4.0, 0.0]), probability)
    assert flat == pytest.approx(2 * stats.norm.ppf((1 + probability) / 2), rel=1e-4)


def test_share_inside_matches_a_quadrature_of_the_density():
    covariance = np.array([[9.0, 3.0], [3.0, 4.0]])
    radius = normal_radius(covariance, 0.95)
    axis = np.linspace(-radius, radius, 1201)
    x, y = np.meshgrid(axis, axis)
    density = stats.multivariate_normal(cov=covariance).pdf(np.dstack((x, y)))
    share = density[np.hypot(x, y) <= radius].sum() * (axis[1] - axis[0]) ** 2
    assert share == pytest.approx(0.95, abs=1e-3)


def test_unknown_stays_unknown_and_batches_broadcast():
    covariance = np.stack([np.full((2, 2), np.nan), np.eye(2), np.zeros((2, 2))])
    radii = normal_radius(covariance, 0.5)
    assert radii == pytest.approx([np.nan, np.sqrt(2 * np.log(2)), 0], rel=1e-4, nan_ok=True)
