"""Classes of organisation of drawn storms."""

import numpy as np
import pytest
from sample_stores import sample_store

from medicane_training.scores.organisation import ORGANISATIONS, organisation_of, organisations

SIZE, KM = 80, 10.0
ROWS, COLUMNS = np.indices((SIZE, SIZE))


def overcast(x: float, y: float, radius_km: float = 200.0, kelvin: float = 200.0) -> np.ndarray:
    """A cold disc over a warm sea."""
    away = np.hypot(COLUMNS - x, ROWS - y) * KM
    return np.where(away < radius_km, kelvin, 290.0)


def with_spot(kelvin: np.ndarray, radius_km: float, value: float = 260.0) -> np.ndarray:
    """A spot in the middle."""
    away = np.hypot(COLUMNS - 40, ROWS - 40) * KM
    return np.where(away < radius_km, value, kelvin)


CENTRE = np.array([40.0, 40.0])


@pytest.mark.parametrize(
    ("kelvin", "expected"),
    [
        (with_spot(overcast(40, 40), 15), "eye"),
        (with_spot(overcast(40, 40), 65), "eye"),  # a wide one
        (overcast(40, 40), "embedded"),
        (overcast(54, 40, 120), "sheared"),  # exposed beside its overcast
        (with_spot(overcast(40, 40, 90), 300, 225.0), "embedded"),
        (with_spot(overcast(55, 40, 80), 60, 225.0), "curved band"),
        (np.full((SIZE, SIZE), np.nan), ""),
    ],
)
def test_a_storm_is_classed_by_the_cloud_around_its_centre(kelvin, expected):
    assert organisation_of(kelvin, CENTRE, pixel_km=KM) == expected


def test_classes_are_the_same_for_greys_that_are_guessed_warmer():
    warmer = with_spot(overcast(40, 40), 15) + 10
    assert organisation_of(warmer, CENTRE, pixel_km=KM) == "eye"


def test_a_centre_beside_the_picture_has_no_class():
    assert organisation_of(overcast(40, 40), np.array([-9.0, 40.0]), pixel_km=KM) == ""


def test_clips_of_a_store_are_classed_around_their_targets(tmp_path):
    store = sample_store(tmp_path / "s.zarr")
    rows = np.flatnonzero(store.clips["label"] == 1)[:6]
    assert set(organisations(store, rows)) <= set(ORGANISATIONS)
    assert organisations(store, rows).tolist() == ["embedded"] * 6  # discs without an eye
