import numpy as np
import pytest

from medicane_models.errors import ConfigurationError
from medicane_models.verification.block_bootstrap import bootstrap
from medicane_models.verification.matching import Blocks
from medicane_models.verification.measures import joint, mean_of


def test_whole_storms_are_drawn():
    storms = np.repeat(["a", "b", "c"], [5, 1, 3])
    drawn = []
    bootstrap(lambda rows: drawn.append(rows) or {}, storms, samples=50)
    for rows in drawn[1:]:
        times, n = np.unique(rows, return_counts=True)
        assert all(len(set(n[np.isin(times, np.flatnonzero(storms == s))])) <= 1 for s in "abc")
        storm_draws = sum((rows == first).sum() for first in (0, 5, 6))
        assert storm_draws == 3


def test_as_many_storms_of_each_kind_are_drawn_as_there_are():
    storms = np.array(["ianos", "week 1", "week 2", "apollo"])
    calm = np.array([False, True, True, False])
    numbers = bootstrap(lambda rows: {"calm": float(calm[rows].sum())}, storms, strata=calm)
    assert numbers["calm"] == (2, 2, 2)


def test_interval_of_a_mean_of_storms_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    storm_means = np.random.default_rng(5).normal(100, 30, 40)
    values, storms = np.repeat(storm_means, 24), np.repeat(np.arange(40), 24)
    ours = bootstrap(lambda rows: {"mean": float(values[rows].mean())}, storms, samples=4000)[
        "mean"
    ]
    theirs = stats.bootstrap((storm_means,), np.mean, method="percentile", rng=0, n_resamples=4000)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.6)
    assert ours.high - ours.low == pytest.approx(2 * 1.96 * 30 / np.sqrt(40), rel=0.25)


def test_one_storm_gives_a_value_without_an_interval():
    found = bootstrap(lambda rows: {"n": float(len(rows))}, np.array(["a", "a"]))["n"]
    assert found.value == 2
    assert np.isnan([found.low, found.high]).all()


def test_an_impossible_level_is_refused():
    with pytest.raises(ConfigurationError, match="level 1"):
        bootstrap(lambda _: {}, np.array(["a", "b"]), level=1.0)


def measure(values, storms):
    blocks = Blocks(np.array(storms, dtype=object), np.full(len(storms), True))
    return joint(blocks, [mean_of({"mean": np.array(values)}, blocks)])


def test_a_constant_lead_has_a_paired_interval_of_no_width():
    ours = measure([1.0, 5.0, 9.0, 30.0], list("abcd"))
    theirs = measure([0.0, 4.0, 8.0, 29.0], list("abcd"))
    assert ours.minus(theirs).scored()["mean"] == (1, 1, 1)
    assert ours.scored()["mean"].high - ours.scored()["mean"].low > 10


def test_differences_are_drawn_from_the_storms_of_both():
    both = measure([1.0, 2.0, 3.0], list("abc")).minus(measure([1.0, 2.0, 4.0], list("bcd")))
    assert both.names.tolist() == list("abcd")
    assert both.values() == {"mean": pytest.approx(2 - 7 / 3)}


@pytest.mark.parametrize(
    "names", [["ianos", "week 1", "week 2"], ["ianos", "apollo", "week 1"], ["ianos"]]
)
def test_nothing_that_is_alone_of_its_kind_has_an_interval(names):
    stormy = np.array([not name.startswith("week") for name in names])
    blocks = Blocks(np.array(names, dtype=object), stormy)
    values = np.arange(len(names), dtype=float)
    ours = joint(blocks, [mean_of({"mean": values}, blocks)]).scored()["mean"]
    rows = bootstrap(lambda drawn: {"mean": values[drawn].mean()}, blocks.label, strata=stormy)
    for found in (ours, rows["mean"]):
        assert found.value == values.mean()
        assert np.isnan([found.low, found.high]).all()
