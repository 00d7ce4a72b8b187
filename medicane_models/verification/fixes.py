"""Each position of a run held against the true tracks beside it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Column, Table

from medicane_models.domain import Grid
from medicane_models.prediction.detections import Detections, geometry_of
from medicane_models.verification.cases import EvaluationSettings, inside_domain
from medicane_models.verification.matching import storms_at, storms_in_tiles
from medicane_models.verification.pairing import paired, with_errors
from medicane_models.verification.scores import Contingency, error_summary

__all__ = ["fix_table", "judge_fixes", "judge_run", "score_lines"]

COLUMNS = ["time", "track_id", "storm", "lon", "lat", "error_km"]


def judge_run(detections: Detections, truth: pd.DataFrame) -> dict[str, Any]:
    """Hold what was found against the true tracks, at the times that were judged.

    Args:
        detections: of the run.
        truth: as :func:`matching.read_truth` returns it; every storm of the scene.

    Returns:
        ``tiles``, the contingency of tiles and times; and where there was a tracker ``fixes``,
        rows of :func:`judge_fixes`, ``positions``, their contingency, and ``centres``, their
        errors in km.
    """
    table, told = detections.table, detections.provenance
    grid, settings = Grid.from_dict(told["scene"]["grid"]), EvaluationSettings()
    times = pd.DatetimeIndex(table["time"].unique()).sort_values()
    storms = storms_at(times, truth, tolerance_minutes=settings.tolerance_minutes)
    row, _ = storms_in_tiles(table, storms, geometry_of(told))
    happened = np.isin(np.arange(len(table)), row)
    tiles = Contingency.from_labels(happened, table["detected"].to_numpy(dtype=bool))
    score: dict[str, Any] = {"tiles": vars(tiles)}
    if not detections.has_centres:
        return score
    fixes = judge_fixes(detections.tracks, storms, max_km=settings.max_km)
    fixes = fixes.loc[fixes["track_id"].notna() | inside_domain(fixes, grid)]
    found, known = fixes["track_id"].notna(), fixes["storm"].notna()
    positions = {
        "hits": int((found & known).sum()),
        "false_alarms": int((found & ~known).sum()),
        "misses": int((~found & known).sum()),
    }
    centres = error_summary(fixes["error_km"].to_numpy())
    return score | {
        "positions": positions,
        "centres": centres,
        "fixes": fixes.to_dict("records"),
    }


def judge_fixes(tracks: pd.DataFrame, storms: pd.DataFrame, *, max_km: float) -> pd.DataFrame:
    """Pair positions with storms: a row a hit, false alarm or miss, sorted by time.

    Args:
        tracks: a track table.
        storms: as :func:`matching.storms_at` returns them for the times that were judged.
        max_km: a position farther than this from every storm is a false alarm.

    Returns:
        ``time, track_id, storm, lon, lat, error_km``: no storm for a false alarm, no track for a
        miss, whose position is the storm's.
    """
    table = with_errors(paired(tracks, storms, max_km=max_km))
    for name in ("lon", "lat"):
        table[name] = table[name].fillna(table[f"true_{name}"])
    names = {name: table[name].replace("", None) for name in ("track_id", "storm")}
    named = table.assign(**names).sort_values(["time", "lon"], ignore_index=True)
    return named.loc[:, COLUMNS]


def fix_table(score: Mapping[str, Any]) -> Table:
    """The fixes that :func:`judge_run` returns, for a terminal."""
    headers = ("time (UTC)", "track", "lat", "lon", "against the truth")
    table = Table(*(Column(name, no_wrap=True) for name in headers))
    for fix in score["fixes"]:
        track = "–" if pd.isna(fix["track_id"]) else str(fix["track_id"])
        place = (f"{fix[name]:.2f}°" for name in ("lat", "lon"))
        table.add_row(f"{fix['time']:%Y-%m-%d %H:%M}", track, *place, _outcome(fix))
    return table


def score_lines(score: Mapping[str, Any]) -> list[str]:
    """Hits, false alarms and misses of positions and of tiles, as far as it has them, in words."""
    lines = []
    if "positions" in score:
        lines.append(f"Positions: {_counted(score['positions'])}{_error(score['centres'])}.")
    if "tiles" in score:
        lines.append(f"Tiles: {_counted(score['tiles'])}.")
    return lines


def _outcome(fix: Mapping[str, Any]) -> str:
    if pd.isna(fix["track_id"]):
        return "missed"
    return "false alarm" if pd.isna(fix["error_km"]) else f"{fix['error_km']:.0f} km off"


def _error(centres: Mapping[str, float]) -> str:
    if pd.isna(centres["mean_km"]):
        return ""
    return "; on average {mean_km:.0f} km off, median {median_km:.0f} km".format(**centres)


def _counted(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in counts.items())
