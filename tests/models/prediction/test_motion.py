import numpy as np
import pytest

from medicane_models.domain import great_circle_km
from medicane_models.errors import ConfigurationError
from medicane_models.prediction.motion import MotionModel, deviation_km, places_km
from tests.support.dense_motion import dense_estimate, van_loan

MODEL = MotionModel()
HOURS = np.array([0.0, 1.0, 2.0, 5.0, 5.5])
DEVIATION = np.array([20.0, 40.0, 10.0, 25.0, 30.0])


def filtered(fixes):
    motion = MODEL.started(fixes[:1], DEVIATION[:1])
    for number, step in enumerate(np.diff(HOURS), start=1):
        here = slice(number, number + 1)
        motion = MODEL.seen(MODEL.later(motion, np.array([step])), fixes[here], DEVIATION[here])
    return motion


def test_the_filter_is_least_squares_over_all_fixes():
    fixes = np.random.default_rng(0).normal(0, 50, (5, 3))
    motion = filtered(fixes)
    for axis in range(3):
        states, covariance = dense_estimate(HOURS, fixes[:, axis], DEVIATION, MODEL)
        assert motion.mean[0, :, axis] == pytest.approx(states[-1], rel=1e-6)
        assert motion.covariance[0] == pytest.approx(covariance[-3:, -3:], rel=1e-6)


@pytest.mark.parametrize("hours", [0.25, 1.0, 12.0])
def test_transitions_solve_the_equations_of_motion(hours):
    for found, expected in zip(
        MODEL.transition(np.array(hours)), van_loan(hours, MODEL), strict=True
    ):
        assert found == pytest.approx(expected, rel=1e-9)


def test_residuals_of_constant_velocity_are_those_that_were_measured():
    hours = np.array([1, 3, 6, 12])
    expected = np.sqrt(2 * MODEL.wandering * hours + 2 / 3 * MODEL.acceleration_noise * hours**3)
    assert expected == pytest.approx([15, 26, 51, 113], rel=0.1)  # 18 Mediterranean cyclones


def test_fixes_are_expected_as_wide_as_model_draws_them():
    rng = np.random.default_rng(1)
    motion = filtered(rng.normal(0, 50, (5, 3)))
    state = rng.multivariate_normal(motion.mean[0, :, 0], motion.covariance[0], 200_000)
    deviation, share = np.array([33.0]), MODEL.lasting_share
    fleeting = rng.normal(0, deviation * np.sqrt(1 - share), len(state))
    seen = state[:, 0] + deviation * np.sqrt(share) * state[:, 2] + fleeting
    assert seen.var() == pytest.approx(MODEL.fix_variance(motion, deviation)[0], rel=0.01)
    assert seen.mean() == pytest.approx(MODEL.expected_fix(motion, deviation)[0, 0], abs=0.5)


def test_radii_are_those_of_normal_errors():
    error = np.random.default_rng(2).normal(0, 30, (200_000, 2))
    radius = np.quantile(np.hypot(*error.T), 0.95)
    assert deviation_km(np.array([radius])) == pytest.approx(30, rel=0.01)


def test_places_are_as_far_apart_as_on_the_sphere():
    lon, lat = np.array([179.9, -179.9]), np.array([10.0, 10.1])
    chord = np.linalg.norm(np.diff(places_km(lon, lat), axis=0))
    assert chord == pytest.approx(great_circle_km(lon[0], lat[0], lon[1], lat[1]), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acceleration_noise": 0.0}, r"acceleration_noise is 0\.0"),
        ({"error_hours": np.nan}, "error_hours is nan"),
        ({"lasting_share": 1.0}, "lasting_share is 1; give less"),
    ],
)
def test_impossible_models_are_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        MotionModel(**change)
