"""A tracker's heat map times a position that is known beforehand: the first guess.

A cell of a heat map stands for a normal distribution about its middle, as wide as the pyramid that
the head spreads it over; the guess is a normal distribution, too. Their product is therefore a sum
of normals in closed form, exact for any guess, be it narrower than a cell or wider than the tile.

Letters: B clips, R and K rows and columns of cells, N = R K cells.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.prediction.track_positions import positions_at
from medicane_models.runtimes.interface import Centres

__all__ = ["OPERATIONAL_KM", "FirstGuess", "HeatMapTrust", "HeatMaps", "refined"]

OPERATIONAL_KM = 48.0
"""Mean distance of operational first guesses from the best track (arXiv:2409.16507)."""


MAX_GAP_HOURS = 12.0  # from a position of an advisory's forecast to the next


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstGuess:
    """Where cyclones are thought to be before the scene is looked at.

    Attributes:
        tracks: ``track_id, time, lon, lat`` as `verification.best_tracks.read_tracks` returns them.
        mean_km: how far off they are on average, if errors are normal and alike along all axes.
        source: what the tracks are called in messages.
    """

    tracks: pd.DataFrame
    mean_km: float = OPERATIONAL_KM
    source: str = "the first guess"

    def __post_init__(self) -> None:
        if not 0 < self.mean_km < math.inf:
            raise ConfigurationError(
                f"the first guess is {self.mean_km} km off on average; give kilometres above 0"
            )

    @property
    def sigma_km(self) -> float:
        """Standard deviation of its error along each axis."""
        return self.mean_km / math.sqrt(math.pi / 2)  # the mean of a Rayleigh distribution

    def at(self, times: pd.DatetimeIndex) -> pd.DataFrame:
        """``time, track_id, lon, lat`` of the tracks alive then, between their positions."""
        return positions_at(self.tracks, times, max_gap_hours=MAX_GAP_HOURS)


@dataclass(frozen=True, kw_only=True)
class HeatMapTrust:
    """How far a heat map is believed beside a first guess.

    The map p of N cells counts as (1 - f) p^power / Σ p^power + f / N.

    Attributes:
        power: above 1 where maps are broader than their errors, below 1 where they are too sure.
        floor: probability f that the map says nothing on where the centre is.
    """

    power: float = 1.0
    floor: float = 0.0

    @classmethod
    def of(cls, config: MedicaneConfig) -> "HeatMapTrust":
        """As fitted on validation storms; the map as it is where it never was.

        Raises:
            ConfigurationError: the model is no tracker whose heat map tells where the centre is.
        """
        if config.head != "heatmap" or config.heatmap_offset:
            raise ConfigurationError(
                "a first guess needs a tracker with a heat map whose cells keep their places "
                f"(head heatmap, heatmap_offset false), and this one's are {config.head} and "
                f"{config.heatmap_offset}"
            )
        return cls(power=config.guess_power, floor=config.guess_floor)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatMaps:
    """Distributions of centres over tiles.

    Attributes:
        probability: of each cell; 1 in all of a clip.
        cell_px: pixels along each side of a cell.
        first_px: tile pixel, x and y alike, of the middle of the first cell.
    """

    probability: Float[np.ndarray, "B R K"]
    cell_px: int
    first_px: float

    def trusted(self, trust: HeatMapTrust) -> Float[np.ndarray, "B N"]:
        """Probabilities as far as they are believed."""
        flat = self.probability.reshape(len(self.probability), -1).astype(float)
        flat = (flat / flat.max(axis=1, keepdims=True)) ** trust.power
        flat /= flat.sum(axis=1, keepdims=True)
        return (1 - trust.floor) * flat + trust.floor / flat.shape[1]

    @property
    def middles(self) -> Float[np.ndarray, "N 2"]:
        """Tile pixels (x, y) of the cells' middles."""
        rows, columns = np.indices(self.probability.shape[1:]) * self.cell_px + self.first_px
        return np.stack([columns.ravel(), rows.ravel()], axis=1)

    @property
    def within_cell(self) -> Float[np.ndarray, "2 2"]:
        """Variance inside a cell, px²: that of a pyramid two cells wide."""
        return np.eye(2) * self.cell_px**2 / 6


def refined(maps: HeatMaps, guesses: Centres, trust: HeatMapTrust) -> Centres:
    """Mean and covariance of each map times its guess.

    Args:
        maps: of B clips.
        guesses: B positions in tile pixels with their covariances, px².
        trust: in the maps.
    """
    within, middles = maps.within_cell, maps.middles
    precision = np.linalg.inv(guesses.covariance + within)  # (B, 2, 2)
    apart = middles - guesses.center[:, None]  # (B, N, 2)
    exponent = -0.5 * np.einsum("bni,bij,bnj->bn", apart, precision, apart)
    with np.errstate(divide="ignore"):
        weight = np.log(maps.trusted(trust)) + exponent
    weight = np.exp(weight - weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = np.einsum("bn,bni->bi", weight, apart)
    apart = apart - mean[:, None]
    spread = np.einsum("bn,bni,bnj->bij", weight, apart, apart)
    kept = np.eye(2) - within @ precision  # share of a cell's distance from the guess that stays
    return Centres(
        guesses.center + np.einsum("bij,bj->bi", kept, mean),
        kept @ (spread @ np.swapaxes(kept, 1, 2) + within),
    )
