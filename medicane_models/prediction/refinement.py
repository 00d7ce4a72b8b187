"""A tracker's heat map times a position that is known beforehand: the first guess.

A cell of a heat map stands for a normal distribution about its middle, as wide as the pyramid that
the head spreads it over; the guess is a normal distribution, too. Their product is therefore a sum
of normals in closed form, exact for any guess, be it narrower than a cell or wider than the tile.

Letters: B clips, R and K rows and columns of cells, N = R K of them.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.prediction.track_positions import positions_at
from medicane_models.runtimes.interface import Centres

__all__ = ["OPERATIONAL_KM", "FirstGuess", "HeatMapTrust", "HeatMaps", "refined"]

OPERATIONAL_KM = 48.0
"""Mean distance of operational first guesses from the best track (arXiv:2409.16507)."""

TYPICAL_HEIGHT = 100.0  # of a heat map's peak above a flat map
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

    A map p of N cells counts as p^g / Σ p^g with g = power · (N max p / TYPICAL_HEIGHT)^slope.

    Attributes:
        power: above 1 where maps are broader than their errors, below it where they are too sure.
        slope: above 0 where sharp maps deserve more trust than they show, and broad ones less.
    """

    power: float = 1.0
    slope: float = 0.0

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
        return cls(power=config.guess_power, slope=config.guess_slope)


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

    @classmethod
    def of(cls, config: MedicaneConfig, probability: Float[np.ndarray, "B R K"]) -> "HeatMaps":
        """Those of a model."""
        return cls(
            probability=probability,
            cell_px=config.heatmap_stride,
            first_px=config.heatmap_first_px,
        )

    def take(self, rows: slice | Int[np.ndarray, " n"]) -> "HeatMaps":
        """Those of some clips."""
        return replace(self, probability=self.probability[rows])

    def log_trusted(self, trust: HeatMapTrust) -> Float[np.ndarray, "B R K"]:
        """Logarithm of what is believed of each cell, against that of the highest."""
        peak = self.probability.max(axis=(1, 2), keepdims=True).astype(float)
        height = peak * self.probability[0].size / TYPICAL_HEIGHT
        with np.errstate(divide="ignore"):
            return trust.power * height**trust.slope * np.log(self.probability / peak)

    def apart(
        self, points: Float[np.ndarray, "B 2"]
    ) -> tuple[Float[np.ndarray, "B 1 K"], Float[np.ndarray, "B R 1"]]:
        """How far columns lie to the right of points and rows below them, px."""
        rows, columns = (
            np.arange(count) * self.cell_px + self.first_px for count in self.probability.shape[1:]
        )
        x, y = points[:, :1, None], points[:, 1:, None]
        return columns[None, None, :] - x, rows[None, :, None] - y

    @property
    def within_cell(self) -> float:
        """Variance inside a cell along each axis, px²: that of a pyramid two cells wide."""
        return self.cell_px**2 / 6


def refined(maps: HeatMaps, guesses: Centres, trust: HeatMapTrust) -> Centres:
    """Mean and covariance of each map times its guess.

    Args:
        maps: of B clips.
        guesses: B positions in tile pixels with their covariances, px².
        trust: in the maps.
    """
    within = np.eye(2) * maps.within_cell
    precision = np.linalg.inv(guesses.covariance + within)  # (B, 2, 2)
    x, y = maps.apart(guesses.center)
    xx, xy, yy = (precision[:, i, j, None, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    weight = maps.log_trusted(trust) - (xx * x**2 + 2 * xy * x * y + yy * y**2) / 2
    weight = np.exp(weight - weight.max(axis=(1, 2), keepdims=True))
    mean, spread = _moments(weight / weight.sum(axis=(1, 2), keepdims=True), x, y)
    kept = np.eye(2) - within @ precision  # share of a cell's distance from the guess that stays
    return Centres(
        guesses.center + np.einsum("bij,bj->bi", kept, mean),
        kept @ (spread @ np.swapaxes(kept, 1, 2) + within),
    )


def _moments(
    weight: Float[np.ndarray, "B R K"],
    x: Float[np.ndarray, "B 1 K"],
    y: Float[np.ndarray, "B R 1"],
) -> tuple[Float[np.ndarray, "B 2"], Float[np.ndarray, "B 2 2"]]:
    """Mean and covariance of (x, y) under weights that add up to 1."""
    over_x, over_y = weight.sum(axis=1), weight.sum(axis=2)
    x, y = x[:, 0], y[:, :, 0]
    mean = np.stack([(over_x * x).sum(axis=1), (over_y * y).sum(axis=1)], axis=1)
    x, y = x - mean[:, :1], y - mean[:, 1:]
    xy = np.einsum("br,brk,bk->b", y, weight, x, optimize=True)
    spread = [(over_x * x**2).sum(axis=1), xy, xy, (over_y * y**2).sum(axis=1)]
    return mean, np.stack(spread, axis=1).reshape(-1, 2, 2)
