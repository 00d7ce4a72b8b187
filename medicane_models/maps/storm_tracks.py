"""A track as pages and animations show it: its fixes, its pictures, its forecasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain import Grid
from medicane_models.maps.wording import Fix, Forecast

__all__ = ["ShownTrack", "StormPicture"]


@dataclass(frozen=True, kw_only=True, eq=False)
class StormPicture:
    """A picture around a fix.

    Attributes:
        taken: when.
        content: WebP.
        plane: the grid of its pixels, the first row the northernmost.
    """

    taken: pd.Timestamp
    content: bytes
    plane: Grid


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownTrack:
    """A track on a page.

    Attributes:
        name: its id.
        anchor: the id of its section.
        fixes: sorted by time.
        pictures: one a fix, or None.
        forecasts: from its fixes, by their times.
        standing: those of them that hold now, the nearest first.
        color: of its line on the map.
    """

    name: str
    anchor: str
    fixes: Sequence[Fix]
    pictures: Sequence[StormPicture | None]
    forecasts: Mapping[pd.Timestamp, Sequence[Forecast]]
    standing: Sequence[Forecast]
    color: str

    @property
    def times(self) -> list[pd.Timestamp]:
        """Of the fixes."""
        return [fix["time"] for fix in self.fixes]

    @property
    def has_edges(self) -> bool:
        """Whether it may reach beyond the scene."""
        return any(fix["edge"] for fix in self.fixes)

    def values(self, name: str) -> Float[np.ndarray, " n"]:
        """A column of the fixes; NaN where there is none."""
        return np.array([fix.get(name, np.nan) for fix in self.fixes], float)

    @property
    def lonlat(self) -> Float[np.ndarray, "2 n"]:
        """Longitudes and latitudes of the fixes."""
        return np.stack([self.values("lon"), self.values("lat")])

    @property
    def way(self) -> Float[np.ndarray, "2 n"]:
        """The same of the smoothed track; a fix that is not smoothed is a point of it."""
        smooth = np.stack([self.values("smooth_lon"), self.values("smooth_lat")])
        return np.where(np.isfinite(smooth), smooth, self.lonlat)
