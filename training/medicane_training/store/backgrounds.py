"""Calm samples of real scenes, into which simulated cyclones are laid.

Letters: T frames, S rows and columns of a sample.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain import Tile
from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import SIMULATED
from medicane_training.store.clip_store import ClipStore, decode
from medicane_training.store.cloud_bands import CloudBand

__all__ = ["Background", "Backgrounds", "KelvinFrames"]

SEEN, SEEN_KM = 0.9, 500.0  # share of the square around the middle that a background must show

KelvinFrames = Float[np.ndarray, "T S S"]


class Background(NamedTuple):
    """A calm sample of a real scene."""

    kelvin: KelvinFrames
    lon: float
    lat: float
    end: pd.Timestamp
    source: str
    sample: str


class Backgrounds:
    """Calm samples of a store whose middle is seen."""

    def __init__(self, store: ClipStore, leave_out: Collection[str] = ()) -> None:
        samples = store.samples
        calm = (samples["storm"] == "") & samples["other_x"].isna() & samples["end"].notna()
        calm &= ~samples["dataset"].isin(list(leave_out)) & (samples["dataset"] != SIMULATED)
        self.store, self.samples = store, samples.loc[calm & samples["plane_lon"].notna()]
        if self.samples.empty:
            raise ConfigurationError(
                f"{store.path} has no calm sample that may be a background; give another store"
            )

    def draw(self, random: np.random.Generator) -> Background:
        """One of them.

        Raises:
            ConfigurationError: if none shows enough.
        """
        for index in random.permutation(len(self.samples)).tolist():
            sample = self.samples.iloc[index]
            kelvin = self._kelvin(sample["rows"])
            if self._shows_enough(kelvin[-1]):
                place = float(sample["plane_lon"]), float(sample["plane_lat"])
                return Background(
                    kelvin, *place, sample["end"], str(sample["source"]), str(sample["sample"])
                )
        raise ConfigurationError(f"no calm sample of {self.store.path} shows enough")

    def _kelvin(self, rows: np.ndarray) -> KelvinFrames:
        grid = self.store.grid
        codes = np.empty((len(rows), 1, grid.height, grid.width), np.uint8)
        self.store.read_frames(rows, Tile(0, 0), out=codes)
        return CloudBand.of(self.store.processor).kelvin(decode(codes))

    def _shows_enough(self, newest: Float[np.ndarray, "S S"]) -> bool:
        middle = len(newest) // 2
        reach = min(round(SEEN_KM * 1000 / self.store.grid.x_step), middle)
        around = newest[middle - reach : middle + reach, middle - reach : middle + reach]
        return bool(np.isfinite(around).mean() >= SEEN)
