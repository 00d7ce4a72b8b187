import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medicane_models.files import json_text, to_plain, write_json

NOON = "2020-03-01T12:00:00Z"


@dataclass(frozen=True)
class Place:
    """Something with fields."""

    name: str
    at: tuple[float, float]


class Side(Enum):
    """Something to choose from."""

    LEFT = "left"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2020, 3, 1, 12), NOON),
        (datetime(2020, 3, 1, 12, tzinfo=UTC), NOON),
        (datetime(2020, 3, 1, 14, tzinfo=timezone(timedelta(hours=2))), NOON),
        (pd.Timestamp("2020-03-01 12:00"), NOON),
        (np.datetime64("2020-03-01T12:00", "ns"), NOON),
        (np.array(["2020-03-01T12:00"], "datetime64[ns]"), [NOON]),
        (np.datetime64("NaT"), None),
        (pd.NaT, None),
        (float("nan"), None),
        (-np.inf, None),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array([1.0, np.nan]), [1.0, None]),
        (Path("a") / "b", "a/b"),
        (Side.LEFT, "left"),
        ({1: (2, None)}, {"1": [2, None]}),
        (Place("Ianos", (np.nan, 38.0)), {"name": "Ianos", "at": [None, 38.0]}),
    ],
)
def test_values_become_what_json_has(value, expected):
    assert to_plain(value) == expected
    assert json.loads(json_text([value])) == [expected]


def test_what_json_cannot_say_is_refused():
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_text(object())


def test_a_file_is_whole_or_as_it_was(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "new" / "a.json", object())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"a": 1}
