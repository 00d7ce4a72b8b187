"""Kinds of weather among the clips, and how frequent each truly is.

A store may hold only a share of the calm hours and a loader draws the rare kinds more often; the
``weight`` of a clip, the number of clips of all weather it stands for, undoes both.
"""

import numpy as np
import pandas as pd
from jaxtyping import Bool

from medicane_models.errors import ConfigurationError
from medicane_training.store.labels import CYCLONE, IGNORE, NEIGHBOUR, NO_CYCLONE

__all__ = ["STRATA", "log_odds_shift", "rates", "strata_of", "true_rate"]

STRATA = ("cyclone", "neighbour", "cyclone_hour", "same_place", "cloudy", "clear", "ignored")
"""``cyclone``: label 1. ``neighbour``: touches or overlaps the tile of one at the same time.
``cyclone_hour``: other tiles while a storm is in the domain. ``same_place``: tiles where one was
seen at another time. ``cloudy``, ``clear``: all others, by their cloud index. ``ignored``: label
-1, also every clip of a store without tracks. Local planes, which have no neighbours and no places
to come back to, are ``cyclone``, ``cloudy``, ``clear`` or ``ignored``."""

CLOUDY = 0.1


def strata_of(index: pd.DataFrame, tile_size: int) -> pd.Series:
    """The stratum of each clip, from its time, offset, label and cloud index.

    Where no clip is labelled (all are -1), only ``cloudy`` and ``clear`` are told apart.
    """
    label = index["label"].to_numpy()
    weather = np.where(index["cloud_index"] > CLOUDY, "cloudy", "clear")
    if (label == IGNORE).all():
        return pd.Series(weather, index=index.index, dtype="str")
    if "sample" in index.columns:
        kinds = [label == IGNORE, label == CYCLONE]
        chosen = np.select(kinds, ["ignored", "cyclone"], default=weather)
        return pd.Series(chosen, index=index.index, dtype="str")
    cyclones = index.loc[label == CYCLONE]
    storm_ends = index.loc[label != NO_CYCLONE, "end"].unique()
    here = pd.MultiIndex.from_arrays([index["tile_x"], index["tile_y"]])
    choices = {
        "ignored": label == IGNORE,
        "cyclone": label == CYCLONE,
        "neighbour": (label == NEIGHBOUR) | _touches(index, cyclones, tile_size),
        "cyclone_hour": index["end"].isin(storm_ends).to_numpy(),
        "same_place": here.isin(here[label == CYCLONE]),
    }
    chosen = np.select(list(choices.values()), list(choices), default=weather)
    return pd.Series(chosen, index=index.index, dtype="str")


def _touches(index: pd.DataFrame, cyclones: pd.DataFrame, size: int) -> Bool[np.ndarray, " n"]:
    columns = ["end", "tile_x", "tile_y"]
    rows = index[columns].assign(row=np.arange(len(index)))
    pairs = rows.merge(cyclones[columns], on="end", suffixes=("", "_cyclone"))
    apart = np.maximum(
        abs(pairs["tile_x"] - pairs["tile_x_cyclone"]),
        abs(pairs["tile_y"] - pairs["tile_y_cyclone"]),
    )
    touching = np.zeros(len(index), bool)
    touching[pairs.loc[apart <= size, "row"].to_numpy()] = True
    return touching


def rates(index: pd.DataFrame) -> dict[str, object]:
    """What ``rates.json`` holds: the true rate of cyclones, and by stratum how many clips.

    ``stored`` are rows of the index, ``clips`` those of all weather, ``cyclones`` those of all
    weather with label 1.
    """
    cyclones = index["weight"].where(index["label"] == CYCLONE, 0.0)
    counted = index.assign(stored=1, clips=index["weight"].astype(float), cyclones=cyclones)
    sums = dict.fromkeys(("stored", "clips", "cyclones"), "sum")
    strata = counted.groupby("stratum").agg(sums)
    return {"true_rate": true_rate(index), "strata": strata.to_dict("index")}


def true_rate(index: pd.DataFrame) -> float:
    """Share of cyclones among all tiles and hours of all weather whose label is known."""
    known = index.loc[index["label"] != IGNORE]
    total = known["weight"].sum()
    return float(known.loc[known["label"] == CYCLONE, "weight"].sum() / total) if total else np.nan


def log_odds_shift(*, true_share: float, sampled_share: float) -> float:
    """What to add to a logit learned at one share of cyclones so that it holds at another.

    log(π/(1-π)) - log(s/(1-s)): Saerens et al. 2002, doi 10.1162/089976602753284446, in closed form
    for two classes whose appearance does not depend on how they are sampled.

    Raises:
        ConfigurationError: if a share is not between 0 and 1.
    """
    shares = np.array([true_share, sampled_share], float)
    if not ((shares > 0) & (shares < 1)).all():
        raise ConfigurationError(
            f"shares of cyclones {true_share} and {sampled_share} must lie between 0 and 1"
        )
    odds = np.log(shares / (1 - shares))
    return float(odds[0] - odds[1])
