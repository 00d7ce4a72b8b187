"""Changed pictures, and what they do to errors."""

import numpy as np
import pytest
import torch
from sample_stores import PROCESSOR

from medicane_models.verification.matching import Blocks
from medicane_training.scores.robustness import CHANGES, changed_codes, changed_errors
from medicane_training.store.clip_store import encode

KM = 10.0


def kelvin() -> np.ndarray:
    rows, columns = np.indices((40, 40))
    frame = 250 + 30 * np.sin(rows / 6) * np.cos(columns / 7)
    return np.stack([np.full_like(frame, np.nan), frame])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("10 K warmer", lambda k: k + 10),
        ("10 K colder", lambda k: k - 10),
        ("contrast x 1.25", lambda k: 250 + (k - 250) * 1.25),
    ],
)
def test_calibrations_differ_by_what_their_names_say(name, expected):
    np.testing.assert_allclose(CHANGES[name](kelvin(), KM), expected(kelvin()))


def test_greys_do_not_know_how_warm_it_is():
    change = CHANGES["8-bit grey, stretched anew"]
    plain, warmer = change(kelvin(), KM), change(kelvin() + 7, KM)
    np.testing.assert_allclose(plain, warmer, atol=100 / 255 + 1e-6)
    assert (np.nanmin(plain), np.nanmax(plain)) == (195.0, 295.0)
    assert len(np.unique(plain[1])) <= 256


@pytest.mark.parametrize("name", [name for name in CHANGES if name.startswith("pixels")])
def test_another_sharpness_keeps_places_and_missing_frames(name):
    changed = CHANGES[name](kelvin(), KM)
    assert np.isnan(changed[0]).all()
    inner = changed[1, 4:-4, 4:-4]
    assert abs(inner - kelvin()[1, 4:-4, 4:-4]).mean() < 3


def test_coarser_pixels_blur_more():
    loss = [abs(CHANGES[f"pixels of {km} km"](kelvin(), KM) - kelvin())[1, 4:-4, 4:-4].mean()
            for km in (15, 20)]  # fmt: skip
    assert 0 < loss[0] < loss[1]


def test_codes_are_those_of_the_changed_kelvin():
    stretched = np.array([[0.25, np.nan], [0.5, 0.999]])[None, None, None]  # 280 K, -, 250 K, 190 K
    codes = changed_codes(torch.from_numpy(encode(stretched)), PROCESSOR, CHANGES["10 K colder"])
    expected = encode(np.array([[0.25 + 1 / 12, np.nan], [0.5 + 1 / 12, 1.0]]))
    assert abs(codes[0, 0, 0].numpy().astype(int) - expected).max() <= 1


def test_the_change_of_the_median_is_in_percent_with_an_interval_over_storms():
    plain = np.array([10.0, 20.0, 30.0, 40.0])
    storms = Blocks(np.array(list("abcd")), np.full(4, fill_value=True))
    found = changed_errors(plain, 1.2 * plain, storms)
    assert (found["clips"], found["storms"]) == (4, 4)
    assert found["percent"]["value"] == pytest.approx(20)
    assert found["percent"]["low"] == pytest.approx(20)
