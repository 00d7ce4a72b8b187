"""Tracks held against the storms of the times that are judged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medicane_models.prediction.extrapolation import FORECAST_COLUMNS
from medicane_models.prediction.track_positions import SIX_HOURLY, positions_at
from medicane_models.prediction.tracks import require_columns
from medicane_models.tables import read_table
from medicane_models.times import utc_times
from medicane_models.verification.cases import Case, inside_domain
from medicane_models.verification.events import false_tracks, storm_events, track_lives
from medicane_models.verification.matching import storms_at
from medicane_models.verification.pairing import of_all_runs, paired, with_errors

__all__ = ["JudgedTracks", "judge_tracks", "pooled_tracks"]

HEADING_MINUTES = 180.0  # within which a heading holds


@dataclass(frozen=True, kw_only=True)
class JudgedTracks:
    """Rows that all scores of tracks are made of; ``run`` counts the predictions, from 0.

    Attributes:
        positions: of the domain, as `pairing.with_errors` returns them, with ``happened``,
            ``forecast``, ``run`` and ``sensor``.
        times: ``run, time, hours`` that each stands for, see :func:`_hours`, and whether a storm
            ``happened`` and a track was ``forecast``.
        looked: whether these are all the times that were looked at.
        storms: the storms of the domain at the times that are judged.
        events: a row a storm, see `events.storm_events`.
        false: a row a track without a storm, see `events.false_tracks`.
        forecasts: with the errors of ``forecasts.csv``, where that is there and the storm is known.
        outside: how many rows lie outside the domain.
    """

    positions: pd.DataFrame
    times: pd.DataFrame
    looked: bool
    storms: pd.DataFrame
    events: pd.DataFrame
    false: pd.DataFrame
    forecasts: pd.DataFrame
    outside: int


def judge_tracks(case: Case) -> JudgedTracks:
    """A track may follow a storm across the domain's border: what is paired is no false alarm."""
    settings, tracks = case.settings, case.rows
    storms = storms_at(case.times, case.near, tolerance_minutes=settings.tolerance_minutes)
    table = with_errors(paired(tracks, storms, max_km=settings.max_km))
    table = table.assign(
        happened=table["storm"] != "", forecast=table["track_id"] != "", sensor=case.sensor
    )
    places = {name: table[f"true_{name}"].fillna(table[name]) for name in ("lon", "lat")}
    inside = inside_domain(pd.DataFrame(places), settings.domain)
    positions = table.loc[inside].reset_index(drop=True)
    lives = track_lives(tracks)
    return JudgedTracks(
        positions=positions,
        times=_times(case, positions),
        looked=case.looked,
        storms=storms.loc[inside_domain(storms, settings.domain)],
        events=storm_events(positions, lives, case),
        false=false_tracks(positions, lives),
        forecasts=_forecasts(case, positions),
        outside=int(table.loc[~inside, "forecast"].sum()),
    )


def pooled_tracks(parts: Sequence[JudgedTracks]) -> JudgedTracks:
    """Several as one."""
    names = ("positions", "times", "storms", "events", "false", "forecasts")
    return JudgedTracks(
        **{name: of_all_runs([getattr(part, name) for part in parts]) for name in names},
        looked=all(part.looked for part in parts),
        outside=sum(part.outside for part in parts),
    )


def _times(case: Case, positions: pd.DataFrame) -> pd.DataFrame:
    """What was looked at, or the hours of the period where nobody knows that."""
    times = case.times if case.looked else pd.date_range(case.start, case.end, freq="h")
    flags = {
        name: times.isin(positions.loc[positions[name], "time"])
        for name in ("happened", "forecast")
    }
    step = case.step_hours if case.looked else 1.0
    return pd.DataFrame({"time": times, "hours": _hours(times, step), **flags})


def _hours(times: pd.DatetimeIndex, step_hours: float) -> float:
    """What a time stands for: the usual step to the next, but no more than was to be judged."""
    steps = np.diff(times) / np.timedelta64(1, "h")
    return min(step_hours, float(np.median(steps))) if len(steps) else step_hours


def _forecasts(case: Case, positions: pd.DataFrame) -> pd.DataFrame:
    """Forecasts of the tracks that followed a storm, held against where it was then."""
    path = Path(case.source).with_name("forecasts.csv")
    if not path.is_file():
        return pd.DataFrame()
    table = read_table(path)
    require_columns(table, FORECAST_COLUMNS, source=str(path))
    table = table.astype({"track_id": str})
    for name in ("issued", "valid_time"):
        table[name] = utc_times(table[name], source=str(path))
    both = positions["happened"] & positions["forecast"]
    storm = positions.loc[both].groupby("track_id")["storm"].last()
    table = table.assign(time=table["valid_time"], storm=table["track_id"].map(storm))
    fixes = case.rows.astype({"track_id": str})[["track_id", "time", "lon", "lat"]]
    fixes.columns = ["track_id", "issued", "last_fix_lon", "last_fix_lat"]
    table = table.dropna(subset="storm").merge(fixes, on=["track_id", "issued"], how="left")
    return with_errors(table.merge(_truth_at(set(table["time"]), case), on=["storm", "time"]))


def _truth_at(times: Iterable[pd.Timestamp], case: Case) -> pd.DataFrame:
    """Where storms were, between two known times at most six hours apart, and their classes."""
    moments = pd.DatetimeIndex(sorted(times))
    tracks = case.known.rename(columns={"storm": "track_id"})
    places = positions_at(tracks, moments, max_gap_hours=SIX_HOURLY)
    places.columns = ["time", "storm", "true_lon", "true_lat"]
    near = storms_at(moments, case.known, tolerance_minutes=HEADING_MINUTES)
    near = near.rename(columns={"heading": "true_heading"})
    classes = ["intensity", "organisation"]
    columns = ["time", "storm", "true_heading", *classes]
    found = places.merge(near.loc[:, columns], on=["time", "storm"], how="left")
    return found.fillna(dict.fromkeys(classes, ""))
