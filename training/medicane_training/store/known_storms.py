"""What best tracks tell of a moment: where storms are, how strong, and how surely."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike

from medicane_models.domain import great_circle_km
from medicane_models.verification.best_tracks import positions_at
from medicane_training.store.labels import in_window

__all__ = ["STRENGTH", "KnownStorms"]

REMNANT = timedelta(hours=24)  # a storm is somewhere near before its first and after its last row
STRENGTH = ["wind_kt", "pressure_hpa"]
"""What tracks may tell of a storm beside its place."""
HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownStorms:
    """Every storm of a period.

    Attributes:
        tracks: as :func:`verification.best_tracks.read_tracks` returns them.
        max_gap_hours: positions farther apart than this are not joined.
    """

    tracks: pd.DataFrame
    max_gap_hours: float

    def at(self, time: pd.Timestamp) -> pd.DataFrame:
        """Storms at a time whose track is sure there.

        Returns:
            ``track_id, lon, lat``; ``wind_kt, pressure_hpa`` of the row nearest in time, NaN if
            unknown; and ``gap_hours`` to it.
        """
        near = self._within(time, timedelta(hours=self.max_gap_hours))
        found = positions_at(near, pd.DatetimeIndex([time]), max_gap_hours=self.max_gap_hours)
        found = found.loc[in_window(found, self.tracks)]
        away = abs(near["time"] - time)
        nearest = near.assign(gap_hours=away / HOUR).loc[away.sort_values(kind="stable").index]
        nearest = nearest.drop_duplicates("track_id").set_index("track_id")
        told = nearest.reindex(columns=[*STRENGTH, "gap_hours"])
        return found[["track_id", "lon", "lat"]].reset_index(drop=True).join(told, on="track_id")

    def distance_km(
        self, lon: ArrayLike, lat: ArrayLike, time: pd.Timestamp
    ) -> Float[np.ndarray, " n"]:
        """From points to where a storm was nearest within a day of the time; inf without one."""
        near = self._within(time, REMNANT)
        here = [np.atleast_1d(degrees)[:, None] for degrees in (lon, lat)]
        apart = great_circle_km(here[0], here[1], near["lon"].to_numpy(), near["lat"].to_numpy())
        return np.min(apart, axis=1, initial=np.inf)

    def _within(self, time: pd.Timestamp, reach: timedelta) -> pd.DataFrame:
        return self.tracks.loc[abs(self.tracks["time"] - time) <= reach]
