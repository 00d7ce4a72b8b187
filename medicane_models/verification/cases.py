"""What is held against each other: predictions and truth, cut to one time and place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool

from medicane_models.domain import Grid
from medicane_models.domain.boxes import degrees_of_box
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.prediction.detections import StoredScene, stored_scene
from medicane_models.prediction.tile_geometry import TILE_COLUMNS, TileGeometry
from medicane_models.prediction.track_files.reading import read_tracks_text
from medicane_models.prediction.tracks import as_tracks, require_columns
from medicane_models.tables import header_names, typed_table
from medicane_models.times import interval, utc, utc_times
from medicane_models.verification.best_tracks import read_tracks

__all__ = [
    "Case",
    "EvaluationSettings",
    "box_domain",
    "domain_text",
    "inside_domain",
    "open_case",
    "paths_text",
    "tables_of",
]

TABLES = ("detections.csv", "tracks.csv")  # of a folder of results
PredictionKind = Literal["detections", "tracks"]


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What counts as right, and where and when it is judged.

    Attributes:
        grid: what the tiles of detections count in; None: the grid and the tile size of the
            ``detections.json`` beside the predictions.
        tile_size: pixels along a side of the tiles, where ``grid`` is given.
        plane_km: kilometres of their pixels where they are local planes, else None.
        domain: a storm outside is not held against the predictions, nor an alarm; None: the grid,
            and the whole world for tracks without one.
        tolerance_minutes: a storm is where it was at the known time nearest to the prediction's,
            and absent if that is farther off than this.
        max_km: a position farther than this from every storm is a false alarm; a medicane is
            less than 300 km across.
        start: first time that is judged, UTC; None: the first of the predictions, for tracks
            that of the ``detections.csv`` beside them, if it is there.
        end: last time that is judged; None: the last of the predictions.
        samples: resamples for the intervals.
        seed: of the resampling.
    """

    grid: Grid | None = None
    tile_size: int = 224
    plane_km: float | None = None
    domain: Grid | None = None
    tolerance_minutes: float = 30.0
    max_km: float = 300.0
    start: datetime | str | None = None
    end: datetime | str | None = None
    samples: int = 1000
    seed: int = 0

    @property
    def geometry(self) -> TileGeometry:
        """Where tiles lie."""
        assert self.grid is not None  # or a table of detections was refused
        return TileGeometry(grid=self.grid, size=self.tile_size, plane_km=self.plane_km)

    def __post_init__(self) -> None:
        for name in ("tile_size", "tolerance_minutes", "max_km", "samples"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; give a number above 0")
        interval(self.start, self.end)


def box_domain(text: str) -> Grid:
    """The box "WEST,SOUTH,EAST,NORTH" in degrees, as one pixel; it may cross the antimeridian.

    Raises:
        ConfigurationError: if the text is no such box.
    """
    west, south, east, north = degrees_of_box(text)
    return Grid(
        crs="+proj=longlat +datum=WGS84",
        width=1,
        height=1,
        x_origin=(west + east) / 2,
        y_origin=(north + south) / 2,
        x_step=east - west,
        y_step=south - north,
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """Predictions and truth, cut to the time and place where they are held against each other.

    Attributes:
        kind: of the predictions.
        source: the file of the predictions.
        sensor: that they were made from, "unknown" where no ``detections.json`` is beside them.
        truth_source: the files of the truth.
        settings: with the grid and the domain filled in.
        start: first time that is judged, UTC.
        end: last time that is judged.
        rows: predictions within the period; of detections those in tiles within the domain.
        times: that are judged: those that were looked at, as the ``detections.csv`` tells; of
            tracks without one, their own and those of the truth that none of them is near to.
        looked: whether ``times`` are all that were looked at.
        step_hours: from one of these to the next, where no picture is missing; an hour where no
            ``detections.json`` tells it.
        known: the whole truth.
        near: the truth within the period and the tolerance around it, inside the domain or not.
        counted: (near,) which of it lies inside the domain and the period itself.
        left_out: how many rows of both were not judged, and why.
    """

    kind: PredictionKind
    source: str
    sensor: str
    truth_source: str
    settings: EvaluationSettings
    start: pd.Timestamp
    end: pd.Timestamp
    rows: pd.DataFrame
    times: pd.DatetimeIndex
    looked: bool
    step_hours: float
    known: pd.DataFrame
    near: pd.DataFrame
    counted: Bool[np.ndarray, " near"]
    left_out: dict[str, int]

    def at(self, times: pd.DatetimeIndex) -> "Case":
        """The same at some of its times."""
        start, end = times.min(), times.max()
        return replace(
            self,
            times=times,
            rows=self.rows.loc[self.rows["time"].isin(list(times))].reset_index(drop=True),
            start=start,
            end=end,
            counted=self.counted & self.near["time"].between(start, end).to_numpy(),
        )


def open_case(
    path: Path, known: pd.DataFrame, settings: EvaluationSettings, *, truth_source: str
) -> Case:
    """Read a table and hold it against the truth; errors are those of :func:`evaluation.evaluate`.

    Args:
        path: of the table.
        known: the truth, as :func:`matching.read_truth` returns it.
        settings: of the evaluation.
        truth_source: what the truth is called in messages.
    """
    kind, rows = _predictions(path)
    stored = stored_scene(path.parent)
    settings = _with_geometry(settings, stored, path, kind)
    looked = _looked_at(path, kind, rows)
    start, end = _period(
        pd.DatetimeIndex(rows["time"]) if looked is None else looked, settings, path
    )
    tolerance = timedelta(minutes=settings.tolerance_minutes)
    during = rows["time"].between(start, end).to_numpy()
    near = known.loc[known["time"].between(start - tolerance, end + tolerance)]
    inside = inside_domain(near, settings.domain)
    counted = inside & near["time"].between(start, end).to_numpy()
    case = Case(
        kind=kind,
        source=str(path),
        sensor=stored.sensor if stored else "unknown",
        truth_source=truth_source,
        settings=settings,
        start=start,
        end=end,
        rows=rows.loc[during].reset_index(drop=True),
        times=_times(rows.loc[during], near.loc[counted], settings)
        if looked is None
        else looked[(looked >= start) & (looked <= end)],
        looked=looked is not None,
        step_hours=stored.step_hours if stored else 1.0,
        known=known,
        near=near.reset_index(drop=True),
        counted=counted,
        left_out={
            "truth_outside_the_period": len(known) - len(near),
            "truth_outside_the_domain": int((~inside).sum()),
            "storms_left_out": known["storm"].nunique() - near.loc[inside, "storm"].nunique(),
            "predictions_outside_the_period": int((~during).sum()),
            "predictions_outside_the_domain": 0,
        },
    )
    _refuse_nothing(case, known, calm=not inside.any())
    return _in_tiles_of_domain(case) if kind == "detections" else case


def _with_geometry(
    settings: EvaluationSettings, stored: StoredScene | None, path: Path, kind: PredictionKind
) -> EvaluationSettings:
    """Grid, tile size and domain from the ``detections.json`` beside a table, where not given."""
    if settings.grid is None and stored is not None:
        tiles = stored.geometry
        settings = replace(settings, grid=tiles.grid, tile_size=tiles.size, plane_km=tiles.plane_km)
    if settings.grid is None and kind == "detections":
        raise SceneError(
            f"{path}: no detections.json beside it says which grid its tiles count in; evaluate "
            "it in the folder that predict wrote"
        )
    return replace(settings, domain=settings.domain or settings.grid)


def _refuse_nothing(case: Case, known: pd.DataFrame, *, calm: bool) -> None:
    """Refuse a truth that says nothing of the time or place of the predictions."""
    if known.empty:
        raise SceneError(f"{case.truth_source} holds no position to judge {case.source} by")
    first, last = utc(known["time"].min()), utc(known["time"].max())
    if case.near.empty and (last < case.start or first > case.end):
        raise SceneError(
            f"{case.source} is judged from {case.start} to {case.end} UTC and {case.truth_source} "
            f"covers {first} to {last}; they have no time in common, give the truth of that period"
        )
    if calm and None in (case.settings.start, case.settings.end):
        raise SceneError(
            f"{case.truth_source} has no storm within {domain_text(case.settings.domain)} from "
            f"{case.start} to {case.end} UTC; give the truth of {case.source}, or start and end "
            "if that period was calm"
        )


def _in_tiles_of_domain(case: Case) -> Case:
    """Detections in tiles whose middle lies in the domain."""
    lonlat = case.settings.geometry.centres(case.rows)
    inside = inside_domain(pd.DataFrame(lonlat, columns=["lon", "lat"]), case.settings.domain)
    if not inside.any():
        raise SceneError(
            f"{case.source} has no tile within {domain_text(case.settings.domain)} from "
            f"{case.start} to {case.end} UTC; nothing is left to judge"
        )
    left_out = case.left_out | {"predictions_outside_the_domain": int((~inside).sum())}
    return replace(case, rows=case.rows.loc[inside].reset_index(drop=True), left_out=left_out)


def tables_of(path: Path) -> list[Path]:
    """The tables of a folder of results, else the path as it is."""
    if not path.is_dir():
        return [path]
    found = [path / name for name in TABLES if (path / name).is_file()]
    if not found:
        raise SceneError(f"{path} holds no {' or '.join(TABLES)}; name a table of predictions")
    return found


def _predictions(path: Path) -> tuple[PredictionKind, pd.DataFrame]:
    """Detections if there are tiles, else tracks in our own or any other form.

    Tiles that stand where a first guess put them detect nothing: their rows are tracks.
    """
    text, source = read_tracks_text(path), str(path)
    header = header_names(text)
    if "tile_x" in header and "guess_lon" not in header:
        return "detections", _detections(typed_table(text, source=source), source=source)
    own = {"track_id", "time"} <= header
    tracks = typed_table(text, source=source) if own else read_tracks(path)
    return "tracks", as_tracks(tracks, source=source)


def paths_text(paths: str | Path | Sequence[str | Path]) -> str:
    """Paths in one line."""
    return ", ".join(map(str, [paths] if isinstance(paths, str | Path) else paths))


def domain_text(domain: Grid | None) -> str:
    """A domain in degrees."""
    if domain is None:
        return "the whole world"
    west, south, east, north = domain.extent
    if domain.is_geographic:  # not cut to ±180
        west = domain.x_origin - domain.x_step / 2
        east = west + domain.width * domain.x_step
    west, south, east, north = (f"{round(edge, 2):g}" for edge in (west, south, east, north))
    return f"{west}…{east}°E {south}…{north}°N"


def _detections(table: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """Sorted detections with checked times, tiles, probabilities and labels."""
    require_columns(table, ["time", "tile_x", "tile_y", "probability", "detected"], source=source)
    columns = ["time", *TILE_COLUMNS, "probability", "detected", "lon", "lat"]
    rows = table.reindex(columns=[*columns, "radius_50_km", "radius_95_km"])
    rows["time"] = utc_times(rows["time"], source=source)
    if not rows["probability"].between(0, 1).all() or rows["detected"].dtype != bool:
        raise SceneError(f"{source}: give probability from 0 to 1 and detected as True or False")
    twice = rows.loc[rows.duplicated(["time", *TILE_COLUMNS])]
    if len(twice):
        row = twice.iloc[0]
        name = ", ".join(f"{place:g}" for place in row[TILE_COLUMNS[::-1]] if pd.notna(place))
        raise SceneError(
            f"{source}: tile ({name}) occurs twice at {row.time}; keep the rows of one run"
        )
    return rows.sort_values(["time", *TILE_COLUMNS], ignore_index=True)


def _looked_at(path: Path, kind: PredictionKind, rows: pd.DataFrame) -> pd.DatetimeIndex | None:
    """The times of the detections, if they are there: tracks alone do not tell when none was."""
    beside = path.with_name("detections.csv")
    if kind == "tracks" and not beside.is_file():
        return None
    times = rows["time"] if kind == "detections" else _predictions(beside)[1]["time"]
    return pd.DatetimeIndex(times.unique()).sort_values()


def _times(
    predicted: pd.DataFrame, known: pd.DataFrame, settings: EvaluationSettings
) -> pd.DatetimeIndex:
    """Times of the predictions, and those of the truth that no prediction is near to."""
    ours, theirs = (np.unique(table["time"].to_numpy()) for table in (predicted, known))
    if ours.size:
        after = np.clip(np.searchsorted(ours, theirs), 0, ours.size - 1)
        nearest = np.minimum(
            abs(ours[after] - theirs), abs(ours[np.maximum(after - 1, 0)] - theirs)
        )
        theirs = theirs[nearest > np.timedelta64(round(settings.tolerance_minutes * 60), "s")]
    return pd.DatetimeIndex(np.union1d(ours, theirs))


def _period(
    times: pd.DatetimeIndex, settings: EvaluationSettings, path: Path
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """What was asked for, else what was looked at; nobody knows that of tracks alone."""
    if times.empty and None in (settings.start, settings.end):
        raise SceneError(f"{path} holds no row; say with start and end which period it covers")
    own = times.min(), times.max()
    interval(settings.start or own[0], settings.end or own[1])
    return utc(settings.start or own[0]), utc(settings.end or own[1])


def inside_domain(table: pd.DataFrame, domain: Grid | None) -> Bool[np.ndarray, " n"]:
    """Whether positions lie in a domain; None is the whole world."""
    if domain is None:
        return np.full(len(table), True)
    lonlat = (table[name].to_numpy(dtype=float) for name in ("lon", "lat"))
    return domain.contains(*domain.lonlat_to_pixel(*lonlat))
