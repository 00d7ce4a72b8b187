"""What agencies' files call a cyclone that no agency has numbered."""

import re
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from string import ascii_uppercase

import pandas as pd

from medicane_models.domain.basins import atcf_basins
from medicane_models.errors import ConfigurationError

__all__ = ["StormId", "number_storms"]

ATCF_ID = re.compile(r"([A-Z]{2})(\d{2})(\d{4})")
SOUTHERN_SEASON_BEGINS = 7  # July: what follows is counted to the next year


@dataclass(frozen=True, kw_only=True)
class StormId:
    """A cyclone's name in ATCF, such as AL092011.

    Attributes:
        basin: code of ATCF.
        number: within basin and season; 01 … 99 are agencies', a letter and a digit are no one's.
        season: the year; south of the equator that in which it ends.
    """

    basin: str
    number: str
    season: int

    def __post_init__(self) -> None:
        if not (re.fullmatch("[A-Z]{2}", self.basin) and re.fullmatch(r"\w\d+", self.number)):
            raise ConfigurationError(f"{self} is no storm of ATCF; give a basin and a number")

    def __str__(self) -> str:
        return f"{self.basin}{self.number}{self.season}"


def number_storms(tracks: pd.DataFrame) -> dict[Hashable, StormId]:
    """The name in ATCF of each track of a table, in the order of their first times.

    A track that is called so keeps its name, so that a refined best track is still that storm. The
    others are A0, B0, … Z0, A1, … in their basin and season: numbers that no agency gives, so that
    they are never mistaken for one of its storms.
    """
    firsts = tracks.sort_values(["time", "track_id"]).drop_duplicates("track_id")
    basins = atcf_basins(firsts["lon"], firsts["lat"]).tolist()
    counts: Counter[tuple[str, int]] = Counter()
    ids: dict[Hashable, StormId] = {}
    for basin, first in zip(basins, firsts.to_dict("records"), strict=True):
        season = _season(first["time"], first["lat"])
        known = ATCF_ID.fullmatch(str(first["track_id"]))
        if known:
            basin, number, season = known[1], known[2], int(known[3])
        else:
            turn, letter = divmod(counts[basin, season], len(ascii_uppercase))
            number = f"{ascii_uppercase[letter]}{turn}"
            counts[basin, season] += 1
        ids[first["track_id"]] = StormId(basin=basin, number=number, season=season)
    return ids


def _season(time: pd.Timestamp, lat: float) -> int:
    return time.year + int(lat < 0 and time.month >= SOUTHERN_SEASON_BEGINS)
