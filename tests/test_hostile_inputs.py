"""Some spoilt files of every kind; `benchmarks/hostile_inputs.py` tries thousands."""

import pytest
from hostile.kinds import KINDS
from hostile.running import trials

A_KIND, FIRST = 5, 7_000_000
HEAVY = 2  # of kinds that take seconds


@pytest.mark.slow
def test_spoilt_files_are_read_or_refused_in_a_sentence():
    counts = {name: HEAVY if kind.share < 0.5 else A_KIND for name, kind in KINDS.items()}
    inputs = [(name, FIRST + n) for name, count in counts.items() for n in range(count)]
    answers = list(trials(inputs))
    assert len(answers) == len(inputs) >= 180
    assert [answer for answer in answers if answer["outcome"] == "bad"] == []
