"""Draws that weigh storms, data sets and hard weather."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from medicane_models.errors import ConfigurationError
from medicane_training.clips.sampling import balanced
from medicane_training.recipes.data_sections import DataSettings


@pytest.fixture(scope="module")
def index():
    """Storms of 1 to 100 clips in two data sets, and 500 clips of weather, ever colder."""
    sizes = {"a": (100, "x"), "b": (25, "x"), "c": (4, "y"), "d": (1, "y")}
    storms = [
        {"storm": name, "stratum": "cyclone", "dataset": source}
        for name, (size, source) in sizes.items()
        for _ in range(size)
    ]
    calm = [
        {"storm": "", "stratum": "clear", "dataset": "xy"[n % 2], "coldness": 280.0 - n / 10}
        for n in range(500)
    ]
    return pd.DataFrame([*storms, *calm]).assign(spirality=lambda t: -t["coldness"])


def drawn(index: pd.DataFrame, **options) -> pd.DataFrame:
    order = balanced(
        index, range(len(index)), samples=2000, seed=0, shares={"cyclone": 1, "clear": 1}, **options
    )
    return index.iloc[np.concatenate([order(epoch) for epoch in range(5)])]


def share(values: pd.Series) -> dict[str, float]:
    return values[values != ""].value_counts(normalize=True).to_dict()


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_storms_are_drawn_by_a_power_of_their_clips(index, power):
    weights = {name: n**power for name, n in {"a": 100, "b": 25, "c": 4, "d": 1}.items()}
    expected = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    assert share(drawn(index, storm_power=power)["storm"]) == pytest.approx(expected, abs=2e-3)


def test_data_sets_have_their_shares_in_every_stratum(index):
    table = drawn(index, datasets={"x": 3.0, "y": 1.0}, storm_power=0.5)
    for name in ("cyclone", "clear"):
        of_stratum = table.loc[table["stratum"] == name, "dataset"]
        assert share(of_stratum) == pytest.approx({"x": 0.75, "y": 0.25}, abs=2e-3)
    assert share(table["storm"])["a"] == pytest.approx(0.75 * 10 / 15, abs=2e-3)


def test_the_hardest_fifth_has_its_share_and_no_clip_comes_too_soon(index):
    table = drawn(index, hard=0.6)
    calm = table[table["stratum"] == "clear"]
    assert (calm["coldness"] <= 240).mean() == pytest.approx(0.6, abs=0.01)
    one = balanced(index, range(130, 630), samples=300, seed=0, shares={"clear": 1}, hard=0.3)(0)
    assert max(Counter(one.tolist()).values()) == 1


def test_small_shares_are_drawn_now_and_then(index):
    """Of two draws an epoch from four storms each has its turn."""
    order = balanced(index, range(130), samples=2, seed=0, shares={"cyclone": 1})
    seen = Counter(index["storm"].iloc[row] for epoch in range(400) for row in order(epoch))
    assert all(abs(count - 200) < 60 for count in seen.values())


def test_a_data_set_without_a_share_is_refused(index):
    with pytest.raises(ConfigurationError, match="no share above 0 to y; the training clips are"):
        drawn(index, datasets={"x": 1.0})
    with pytest.raises(ConfigurationError, match="the store names none"):
        drawn(index.drop(columns="dataset"), datasets={"x": 1.0})


def test_settings_that_a_shuffled_order_would_not_read_are_refused():
    with pytest.raises(ConfigurationError, match=r"data\.storm_power and data\.hard belong to"):
        DataSettings(store="s", storm_power=0.5, hard=0.3)
    with pytest.raises(ConfigurationError, match=r"data\.hard is 1\.5; give a share"):
        DataSettings(store="s", order="balanced", hard=1.5)
