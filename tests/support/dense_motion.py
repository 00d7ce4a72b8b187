"""Motion along one axis as one dense least-squares problem, to hold filter and smoother to."""

from typing import Any

import numpy as np
from scipy.linalg import expm

from medicane_models.prediction.motion import MotionModel


def dense_estimate(hours, fixes, deviation, model: MotionModel):
    """Expected states and their covariance, (n, 3) and (3n, 3n), of fixes along one axis.

    The states are position, velocity and lasting error; the first position is unknown.
    """
    first = np.diag([1 / model.speed_km_per_hour, 1]) @ np.eye(2, 3 * len(hours), 1)
    rows: list[Any] = [first]
    values: list[Any] = [np.zeros(2)]
    lasting = np.sqrt(model.lasting_share) * deviation
    for number, (place, error, share) in enumerate(zip(fixes, deviation, lasting, strict=True)):
        seen = np.zeros((1, 3 * len(hours)))
        seen[0, [3 * number, 3 * number + 2]] = 1, share
        spread = error * np.sqrt(1 - model.lasting_share)
        rows.append(seen / spread)
        values.append([place / spread])
    for number, step in enumerate(np.diff(hours)):
        forward, noise = van_loan(step, model)
        moved = np.zeros((3, 3 * len(hours)))
        moved[:, 3 * number : 3 * number + 6] = np.c_[-forward, np.eye(3)]
        rows.append(np.linalg.solve(np.linalg.cholesky(noise), moved))
        values.append(np.zeros(3))
    design = np.concatenate(rows)
    states = np.linalg.lstsq(design, np.concatenate(values))[0]
    return states.reshape(-1, 3), np.linalg.inv(design.T @ design)


def van_loan(step, model: MotionModel):
    """Transition and noise by the equations of motion (doi 10.1109/TAC.1978.1101743)."""
    drift = np.array([[0, 1, 0], [0, 0, 0], [0, 0, -1 / model.error_hours]])
    diffusion = np.diag([model.wandering, model.acceleration_noise, 2 / model.error_hours])
    block = expm(np.block([[-drift, diffusion], [np.zeros((3, 3)), drift.T]]) * step)
    forward = block[3:, 3:].T
    return forward, forward @ block[:3, 3:]
