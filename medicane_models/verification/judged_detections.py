"""Detections held against the storms in their tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medicane_models.verification.along_across import along_across_km
from medicane_models.verification.cases import Case
from medicane_models.verification.matching import distance_km, storms_at, storms_in_tiles
from medicane_models.verification.pairing import lonlat, of_all_runs

__all__ = ["JudgedDetections", "judge_detections", "pooled_detections"]


@dataclass(frozen=True, kw_only=True)
class JudgedDetections:
    """Rows that all scores of detections are made of; ``run`` counts the predictions, from 0.

    Attributes:
        tiles: the detections, with ``happened``, whether a storm is in the tile, ``run`` and
            ``sensor``; of those with a centre and a storm also the nearest ``storm``, its
            ``intensity`` and ``organisation``, and the errors as `pairing.with_errors` calls them.
        storms: a row a storm, time and tile that holds it; whether it was ``detected``.
    """

    tiles: pd.DataFrame
    storms: pd.DataFrame

    @property
    def centres(self) -> pd.DataFrame:
        """The tiles with a centre and a storm."""
        return self.tiles.loc[self.tiles["error_km"].notna()]


def judge_detections(case: Case) -> JudgedDetections:
    """Pair each tile with every storm that it holds."""
    rows, settings = case.rows, case.settings
    times = pd.DatetimeIndex(rows["time"].unique()).sort_values()
    storms = storms_at(times, case.near, tolerance_minutes=settings.tolerance_minutes)
    row, storm = storms_in_tiles(rows, storms, settings.geometry)
    tiles = rows.assign(happened=np.isin(np.arange(len(rows)), row), sensor=case.sensor)
    there = storms.iloc[storm].assign(detected=rows["detected"].to_numpy()[row])
    centres = _centres(tiles.iloc[row], there, case)
    return JudgedDetections(tiles=tiles.join(centres), storms=there)


def pooled_detections(parts: Sequence[JudgedDetections]) -> JudgedDetections:
    """Several as one."""
    return JudgedDetections(
        **{name: of_all_runs([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    )


def _centres(rows: pd.DataFrame, storms: pd.DataFrame, case: Case) -> pd.DataFrame:
    """Of each tile with a centre the nearest of its storms, and the errors."""
    here, there = lonlat(rows), lonlat(storms)
    along, across = along_across_km(there, storms["heading"].to_numpy(float), here)
    before = lonlat(storms, "lon_before", "lat_before")
    centres = pd.DataFrame(
        {
            "storm": storms["storm"].to_numpy(),
            "intensity": storms["intensity"].to_numpy(),
            "organisation": storms["organisation"].to_numpy(),
            "error_km": distance_km(here, there),
            "along_km": along,
            "across_km": across,
            "tile_centre_error_km": distance_km(case.settings.geometry.centres(rows), there),
            "true_centre_1h_before_error_km": distance_km(before, there),
        },
        index=rows.index,
    )
    centres = centres.dropna(subset="error_km").sort_values("error_km")
    return centres.loc[~centres.index.duplicated()]
