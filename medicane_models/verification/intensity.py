"""Classes of how strong a storm is."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

__all__ = ["class_names", "intensity_column", "row_classes"]

INTENSITIES: Mapping[str, tuple[tuple[float, ...], str]] = {
    "wind_kt": ((35.0, 64.0, 83.0), "kt"),
    "pressure_hpa": ((985.0, 1000.0), "hPa"),
    "intensity": ((0.33, 0.67), "of its greatest"),
}
"""Columns of tracks that tell how strong a storm is, in the order of preference, where their
classes part, and the unit. 35, 64 and 83 kt part depressions, storms, hurricanes of category 1 and
stronger ones; between 985 and 1000 hPa lie most medicanes; simulated storms have an intensity of 0
to 1."""


def intensity_column(tracks: pd.DataFrame) -> str | None:
    """The column that tells how strong storms are, if there is one."""
    return next((name for name in INTENSITIES if name in tracks.columns), None)


def row_classes(tracks: pd.DataFrame) -> Shaped[np.ndarray, " n"]:
    """The class of each row by the first of the columns that it knows, "" if it knows none."""
    found = np.full(len(tracks), "", dtype=object)
    for column in reversed([name for name in INTENSITIES if name in tracks.columns]):
        words = class_names(column, tracks[column].to_numpy(float))
        found = np.where(words == "", found, words)
    return found.astype(str)


def class_names(column: str, values: Float[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Classes in words, "" for NaN."""
    limits, unit = INTENSITIES[column]
    ends = ["0", *(f"{limit:g}" for limit in limits)]
    words = np.array(
        [
            *(f"{low} … {high} {unit}" for low, high in pairwise(ends)),
            f"{ends[-1]} {unit} and more",
        ]
    )
    return np.where(np.isnan(values), "", words[np.digitize(values, limits)])
