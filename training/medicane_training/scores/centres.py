"""Errors of cyclone centres in kilometres, and the tables a final test makes of them.

Centres are (x, y) in pixels of their tile, tiles the (x, y) of their first pixel in the grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from medicane_models.domain import Grid, great_circle_km
from medicane_models.network.configuration import RadiusCalibration
from medicane_models.prediction.uncertainty import RADIUS_SHARES, error_radii
from medicane_models.verification.intensity import (
    class_names,
    intensity_column,
    row_classes,
)
from medicane_models.verification.matching import Blocks
from medicane_models.verification.scores import error_summary
from medicane_training.scores.intervals import Score, score_text, with_intervals

__all__ = [
    "RADIUS_COLUMNS",
    "JudgedCentres",
    "by_group",
    "classes_of_clips",
    "coverage_by_group",
    "error_km",
    "error_scores",
    "intensity_classes",
    "printed",
    "radii_km",
]

RADIUS_COLUMNS = tuple(f"radius_{100 * share:.0f}_km" for share in RADIUS_SHARES)
"""Of tables of judged clips."""

TilePixels = Float[np.ndarray, "n 2"]
PerClip = Float[np.ndarray, " n"]


def error_km(grid: Grid, tiles: TilePixels, found: TilePixels, truth: TilePixels) -> PerClip:
    """Great-circle distance between centres; NaN where one is not known."""
    here, there = (grid.pixel_to_lonlat(*(tiles + centres).T) for centres in (found, truth))
    return np.asarray(great_circle_km(*here, *there))


def radii_km(
    grid: Grid,
    tiles: TilePixels,
    found: TilePixels,
    covariance: Float[np.ndarray, "n 2 2"],
    calibration: RadiusCalibration | None = None,
) -> Float[np.ndarray, "n radii"]:
    """See `error_radii`; the covariance is in px²."""
    to_km = np.asarray(grid.jacobian_km(*(tiles + found).T))
    in_km = to_km @ covariance @ np.swapaxes(to_km, -1, -2)
    return error_radii(in_km, calibration)


@dataclass(frozen=True, kw_only=True)
class JudgedCentres:
    """What a model said of clips, a row a clip.

    Attributes:
        found: centres.
        truth: centres.
        covariance: of the error, px²; NaN where it was never measured.
        error_km: great-circle distance.
        radii_km: see :func:`radii_km`.
        loss: of the head.
    """

    found: TilePixels
    truth: TilePixels
    covariance: Float[np.ndarray, "n 2 2"]
    error_km: PerClip
    radii_km: Float[np.ndarray, "n radii"]
    loss: PerClip

    @classmethod
    def of(cls, table: pd.DataFrame) -> "JudgedCentres":
        """Of a table of judged clips, see `medicane_training.flows.tracking.JUDGED_COLUMNS`."""
        xx, xy, yy = table[["variance_x", "covariance_xy", "variance_y"]].to_numpy(float).T
        return cls(
            found=table[["x", "y"]].to_numpy(float),
            truth=table[["true_x", "true_y"]].to_numpy(float),
            covariance=np.stack([xx, xy, xy, yy], axis=-1).reshape(-1, 2, 2),
            error_km=table["error_km"].to_numpy(float),
            radii_km=table[list(RADIUS_COLUMNS)].to_numpy(float),
            loss=table["loss"].to_numpy(float),
        )

    def take(self, rows: Int[np.ndarray, " k"]) -> "JudgedCentres":
        """Those of some clips."""
        return replace(self, **{name: values[rows] for name, values in vars(self).items()})

    def coverage(self) -> dict[str, float]:
        """``coverage_50, coverage_95``, the shares of errors inside the radii."""
        return _coverage(self.error_km, self.radii_km)

    def scores(self) -> dict[str, float]:
        """Errors in km and px, the loss, and whether the radii tell the truth.

        ``coverage_50, coverage_95`` are the shares of errors inside the radii; ``radius_factor``,
        the root of the mean of eᵀ C⁻¹ e / 2, is what the radii would have to be multiplied by for
        errors e to be as large as their covariance C says. All NaN where C was never measured.
        """
        apart = self.found - self.truth
        return {
            **error_summary(self.error_km),
            "mean_px": float(np.hypot(*apart.T).mean()),
            "loss": float(self.loss.mean()),
            **self.coverage(),
            "radius_factor": _radius_factor(apart, self.covariance),
        }


def _coverage(error: PerClip, radii: Float[np.ndarray, "n radii"]) -> dict[str, float]:
    known = ~np.isnan(radii[:, 0])
    return {
        f"coverage_{100 * share:.0f}": float((error[known] <= radius[known]).mean())
        if known.any()
        else float("nan")
        for share, radius in zip(RADIUS_SHARES, radii.T, strict=True)
    }


def _radius_factor(apart: TilePixels, covariance: Float[np.ndarray, "n 2 2"]) -> float:
    known = np.isfinite(covariance).all(axis=(1, 2))
    if not known.any():
        return float("nan")
    whitened = np.linalg.solve(covariance[known], apart[known, :, None])[..., 0]
    return float(np.sqrt((apart[known] * whitened).sum(1).mean() / 2))


def error_scores(error: PerClip, blocks: Blocks) -> Mapping[str, Score]:
    """``mean_km, median_km, p90_km`` of the known errors with 95 % intervals by storm."""
    known = np.flatnonzero(~np.isnan(error))
    if not known.size:
        nothing = {"value": np.nan, "low": np.nan, "high": np.nan}
        return dict.fromkeys(error_summary(error), nothing)
    some = error[known]
    return with_intervals(lambda rows: error_summary(some[rows]), blocks.take(known))


def printed(
    scores: Mapping[str, Mapping[str, Score]],
    errors: Mapping[str, PerClip],
    storms: Shaped[np.ndarray, " n"],
) -> list[dict[str, str]]:
    """A row a method: clips and storms that it has a centre for, kilometres and their intervals."""
    columns = {"mean_km": "mean km", "median_km": "median km", "p90_km": "90 % km"}
    rows = []
    for name, error in errors.items():
        known = ~np.isnan(error)
        count = {"clips": str(known.sum()), "storms": str(len(np.unique(storms[known])))}
        texts = {title: score_text(scores[name][key], ".0f") for key, title in columns.items()}
        rows.append({"method": name, **count, **texts})
    return rows


def by_group(
    errors: Mapping[str, PerClip], groups: Shaped[np.ndarray, " n"], what: str
) -> list[dict[str, Any]]:
    """Mean, median and 90th percentile of each method within each group; "" belongs to none."""
    rows = []
    for group in (name for name in np.unique(groups) if name != ""):
        here = groups == group
        summaries = {name: error_summary(error[here]) for name, error in errors.items()}
        rows.append({what: str(group), "clips": int(here.sum())} | summaries)
    return rows


def intensity_classes(
    tracks: pd.DataFrame, ends: pd.Series, storms: pd.Series, *, max_hours: float = 3.0
) -> Shaped[np.ndarray, " n"]:
    """How strong each clip's storm was, in words, by the track's nearest time; "" if unknown.

    Args:
        tracks: as `verification.best_tracks.read_tracks` returns them.
        ends: of the clips, UTC.
        storms: of the clips.
        max_hours: a time of the track farther off than this says nothing.
    """
    column = intensity_column(tracks)
    if column is None:
        return np.full(len(ends), "", dtype=str)
    known = tracks.loc[tracks[column].notna(), ["time", "track_id", column]]
    asked = pd.DataFrame({"time": ends.to_numpy(), "track_id": storms.to_numpy()})
    found = pd.merge_asof(
        asked.rename_axis("row").reset_index().sort_values("time"),
        known.sort_values("time"),
        on="time",
        by="track_id",
        direction="nearest",
        tolerance=timedelta(hours=max_hours),
    )
    return class_names(column, found.sort_values("row")[column].to_numpy(float))


def classes_of_clips(clips: pd.DataFrame) -> Shaped[np.ndarray, " n"]:
    """As `intensity_classes`, of clips of local planes, which tell the wind or the pressure."""
    return row_classes(clips.loc[:, ["wind_kt", "pressure_hpa"]])


def coverage_by_group(
    judged: JudgedCentres, groups: Shaped[np.ndarray, " n"], blocks: Blocks, what: str
) -> list[dict[str, Any]]:
    """How many errors lie inside the radii in each group, with 95 % intervals by storm."""
    rows = []
    for group in (name for name in np.unique(groups) if name != ""):
        here = np.flatnonzero(groups == group)
        own = judged.take(here)
        shares = with_intervals(
            lambda drawn, own=own: own.take(drawn).coverage(), blocks.take(here)
        )
        counts = {"clips": len(here), "storms": len(set(blocks.label[here]))}
        rows.append({what: str(group), **counts, **shares})
    return rows
