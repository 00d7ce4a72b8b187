"""What is drawn block by block is what comes of repeating rows, whatever is scored."""

import numpy as np
import pytest

from medicane_models.verification.block_bootstrap import bootstrap
from medicane_models.verification.matching import Blocks
from medicane_models.verification.measures import (
    distance_scores,
    joint,
    mean_of,
    probabilities,
    yes_no,
)
from medicane_models.verification.scores import Contingency, error_summary, probability_scores

RANDOM = np.random.default_rng(0)
N = 400
PROBABILITY = RANDOM.random(N).round(2)  # many ties
HAPPENED = RANDOM.random(N) < PROBABILITY**2
FORECAST = PROBABILITY > 0.6
ERROR = np.where(RANDOM.random(N) < 0.2, np.nan, RANDOM.gamma(2, 20, N))
BLOCKS = Blocks(np.sort(RANDOM.choice(list("abcdefgh"), N)).astype(object), np.arange(N) > N // 2)
BLOCKS = BLOCKS._replace(stormy=BLOCKS.label > "d")


def means(rows):
    known = ERROR[rows][~np.isnan(ERROR[rows])]
    return {"mean": float(known.mean())}


CASES = {
    "yes_no": (
        yes_no(HAPPENED, FORECAST, BLOCKS),
        lambda rows: Contingency.from_labels(HAPPENED[rows], FORECAST[rows]).scores(),
    ),
    "probabilities": (
        probabilities(PROBABILITY, HAPPENED, BLOCKS, what="cases"),
        lambda rows: probability_scores(PROBABILITY[rows], HAPPENED[rows]),
    ),
    "errors": (
        joint(BLOCKS, [distance_scores(ERROR, BLOCKS)]),
        lambda rows: error_summary(ERROR[rows]),
    ),
    "mean_of": (joint(BLOCKS, [mean_of({"mean": ERROR}, BLOCKS)]), means),
}


@pytest.mark.parametrize("what", CASES)
def test_a_measure_is_the_bootstrap_of_its_rows(what):
    measure, statistic = CASES[what]
    ours = measure.scored(samples=60, seed=3)
    theirs = bootstrap(statistic, BLOCKS.label, strata=BLOCKS.stormy, samples=60, seed=3)
    assert ours.keys() == theirs.keys()
    for name, interval in theirs.items():
        assert tuple(ours[name]) == pytest.approx(tuple(interval), abs=1e-12), name


@pytest.mark.parametrize("score", ["far", "csi"])
def test_an_alarm_in_every_case_is_a_baseline(score):
    values = yes_no(HAPPENED, FORECAST, BLOCKS, always=True).values()
    always = Contingency.from_labels(HAPPENED, np.full(N, True)).scores()
    assert values[f"always_{score}"] == pytest.approx(always[score])


def test_scores_of_no_row_are_unknown():
    none = Blocks(np.zeros(0, dtype=object), np.zeros(0, dtype=bool))
    for measure in (
        joint(none, [distance_scores(np.zeros(0), none), mean_of({"mean": np.zeros(0)}, none)]),
        probabilities(np.zeros(0), np.zeros(0, dtype=bool), none, what="cases"),
    ):
        assert np.isnan(list(measure.values().values())).all()
