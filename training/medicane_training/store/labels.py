"""What a clip is: does its tile hold a cyclone's centre, and where.

Tables are joined by time, so that a year of clips takes seconds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from medicane_models.domain import Grid, great_circle_km, legacy_pixel
from medicane_models.errors import ConfigurationError
from medicane_models.prediction.tracks import require_columns
from medicane_models.times import utc_times
from medicane_models.verification.best_tracks import positions_at

__all__ = [
    "CYCLONE",
    "IGNORE",
    "LABEL_COLUMNS",
    "NEIGHBOUR",
    "NO_CYCLONE",
    "LabelRule",
    "in_window",
    "label_clips",
]

NO_CYCLONE, CYCLONE, NEIGHBOUR, IGNORE = 0, 1, 2, -1
LABEL_COLUMNS = ("label", "storm", "target_x", "target_y", "storm_distance_km")
"""What :func:`label_clips` says of a clip."""

SOURCE = "the table of clips"


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """When a clip counts as a cyclone.

    Attributes:
        kind: ``last_frame``, the centre is inside the tile at the clip's last frame; ``research``,
            it was inside for ``min_frames`` frames, their times rounded half-even to the hour, in
            the whole pixels of :func:`medicane_models.domain.legacy_pixel`.
        border_margin_px: with ``last_frame``, clips whose centre is nearer than this to the tile's
            border, inside or outside, are ignored. 5 pixels of SEVIRI are 15–34 km, more than the
            11 km by which tracks scatter and the 8–13 km of parallax; and they are the most that
            still leaves every centre well inside some tile where tiles overlap by 11 pixels.
        min_frames: frames that ``research`` asks for.
        neighbours: make the tiles around a cyclone's tile a third class.
    """

    kind: str = "last_frame"
    border_margin_px: float = 5.0
    min_frames: int = 6
    neighbours: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("last_frame", "research"):
            raise ConfigurationError(
                f"no rule of labels is called {self.kind}; choose last_frame or research"
            )
        if self.border_margin_px < 0 or self.min_frames < 1:
            raise ConfigurationError(
                f"border_margin_px is {self.border_margin_px} and min_frames {self.min_frames}; "
                "give at least 0 and 1"
            )


@dataclass(frozen=True)
class _Cut:
    """How clips are cut, as :func:`label_clips` takes it."""

    grid: Grid
    tile_size: int
    num_frames: int
    cadence_minutes: float
    max_gap_hours: float


def label_clips(
    clips: pd.DataFrame,
    tracks: pd.DataFrame,
    *,
    grid: Grid,
    tile_size: int = 224,
    num_frames: int = 16,
    cadence_minutes: float = 5.0,
    rule: LabelRule | None = None,
    max_gap_hours: float = 2.0,
) -> pd.DataFrame:
    """Label clips by the storms whose centres their tiles hold.

    A tile reaches from half a pixel before its first pixel's centre to half a pixel after its last
    one's. Of several storms in a tile the one nearest to its centre counts. Where ``tracks`` have
    windows, nobody saw a storm outside its own for sure: such clips are ignored (``research``: no
    cyclone).

    Args:
        clips: a row a clip with ``end`` (UTC time of the last frame), ``tile_x, tile_y`` (pixels).
        tracks: as :func:`verification.best_tracks.read_tracks` returns them; must list every
            storm of the period.
        grid: the one that the tiles' offsets count in.
        tile_size: pixels along a side.
        num_frames: of a clip; like the cadence it matters to ``research`` only.
        cadence_minutes: from a frame to the next.
        rule: the default one if None.
        max_gap_hours: see :func:`medicane_models.verification.best_tracks.positions_at`.

    Returns:
        On the index of ``clips``: ``label`` (0 no cyclone, 1 cyclone, 2 beside a cyclone, -1
        ignore), ``storm`` (which one the label or the target is about, else ""), ``target_x,
        target_y`` (its centre in pixels of the tile at the last frame, NaN if outside),
        ``storm_distance_km`` (from the tile's centre to the nearest storm at the last frame, NaN
        if there is none).
    """
    require_columns(clips, ("end", "tile_x", "tile_y"), source=SOURCE)
    cut = _Cut(grid, tile_size, num_frames, cadence_minutes, max_gap_hours)
    rule = rule or LabelRule()
    rows = clips.loc[:, ["end", "tile_x", "tile_y"]].reset_index(drop=True)
    rows = rows.assign(end=utc_times(rows["end"], source=SOURCE), row=np.arange(len(rows)))
    labels = _label(rows, tracks, cut, rule)
    if rule.neighbours:
        beside = _beside_cyclones(rows.loc[labels["label"] == NO_CYCLONE], tracks, cut, rule)
        labels.loc[beside.index, "label"] = NEIGHBOUR
        labels.loc[beside.index, "storm"] = beside
    return labels.set_index(clips.index)


def _fixed_clips(ends: pd.DatetimeIndex, grid: Grid, tile_size: int) -> pd.DataFrame:
    """Every fixed tile at every time."""
    tiles = pd.DataFrame(grid.tiles(tile_size), columns=["tile_x", "tile_y"])
    return pd.DataFrame({"end": ends}).merge(tiles, how="cross")


def _label(rows: pd.DataFrame, tracks: pd.DataFrame, cut: _Cut, rule: LabelRule) -> pd.DataFrame:
    """Labels of two classes and -1, one a row of ``rows``."""
    pairs = _pairs(rows, tracks, cut)
    nearest = pairs.groupby("row").agg({"distance_km": "min"})
    judge = _by_last_frame if rule.kind == "last_frame" else _by_frames_inside
    pairs = judge(pairs, rows, tracks, cut, rule)
    pairs = pairs.loc[(pairs["status"] != NO_CYCLONE) | pairs["inside"]]
    pairs = pairs.sort_values(["status", "inside", "distance_km"], ascending=[False, False, True])
    best = pairs.drop_duplicates("row").set_index("row").reindex(rows["row"])
    return pd.DataFrame(
        {
            "label": best["status"].fillna(NO_CYCLONE).astype(np.int64),
            "storm": best["track_id"].fillna("").astype("str"),
            "target_x": best["x"].where(best["inside"].eq(other=True)),
            "target_y": best["y"].where(best["inside"].eq(other=True)),
            "storm_distance_km": nearest["distance_km"].reindex(rows["row"]),
        },
        index=rows["row"].to_numpy(),
    )


def _pairs(rows: pd.DataFrame, tracks: pd.DataFrame, cut: _Cut) -> pd.DataFrame:
    """Each clip with each storm at its last frame.

    Returns:
        ``row, track_id, x, y`` (pixels of the tile), ``depth`` (pixels to the nearest border,
        negative outside), ``inside``, ``sure`` (in its window) and ``distance_km``.
    """
    storms = _storms(rows["end"], tracks, cut).rename(columns={"time": "end"})
    pairs = rows.merge(storms, on="end")
    middle = (cut.tile_size - 1) / 2
    x, y = _offsets(pairs)
    tile_lonlat = cut.grid.pixel_to_lonlat(
        pairs["tile_x"].to_numpy() + middle, pairs["tile_y"].to_numpy() + middle
    )
    depth = cut.tile_size / 2 - np.maximum(abs(x - middle), abs(y - middle))
    distance = great_circle_km(*tile_lonlat, pairs["lon"].to_numpy(), pairs["lat"].to_numpy())
    return pairs.loc[:, ["row", "track_id", "sure"]].assign(
        x=x, y=y, depth=depth, inside=depth >= 0, distance_km=distance
    )


def _storms(times: Any, tracks: pd.DataFrame, cut: _Cut) -> pd.DataFrame:
    """Positions at times with their pixels, and whether each lies in the window of its storm."""
    storms = positions_at(tracks, np.unique(times.to_numpy()), max_gap_hours=cut.max_gap_hours)
    x, y = cut.grid.lonlat_to_pixel(storms["lon"].to_numpy(), storms["lat"].to_numpy())
    return storms.assign(x=x, y=y, sure=in_window(storms, tracks))


def in_window(positions: pd.DataFrame, tracks: pd.DataFrame) -> Bool[np.ndarray, " n"]:
    """Whether positions lie in the window of their storm; one without a window has no limits."""
    if not {"window_start", "window_end"} <= set(tracks.columns):
        return np.full(len(positions), True)
    windows = tracks.groupby("track_id")[["window_start", "window_end"]].first()
    start, end = windows.reindex(positions["track_id"]).to_numpy().T
    time = positions["time"].to_numpy()
    return ~((time < start) | (time > end))


def _offsets(pairs: pd.DataFrame) -> tuple[Shaped[np.ndarray, " n"], Shaped[np.ndarray, " n"]]:
    """Pixels of storms counted from their tile's first."""
    return (
        (pairs["x"] - pairs["tile_x"]).to_numpy(),
        (pairs["y"] - pairs["tile_y"]).to_numpy(),
    )


def _by_last_frame(
    pairs: pd.DataFrame, rows: pd.DataFrame, tracks: pd.DataFrame, cut: _Cut, rule: LabelRule
) -> pd.DataFrame:
    cyclone = pairs["sure"] & pairs["inside"] & (pairs["depth"] >= rule.border_margin_px)
    ignore = pairs["inside"] | (pairs["depth"] > -rule.border_margin_px)
    status = np.where(cyclone, CYCLONE, np.where(ignore, IGNORE, NO_CYCLONE))
    return pairs.assign(status=status)


def _by_frames_inside(
    pairs: pd.DataFrame, rows: pd.DataFrame, tracks: pd.DataFrame, cut: _Cut, rule: LabelRule
) -> pd.DataFrame:
    """A storm that has left the track by the last frame counts too."""
    counted = _frames_inside(rows, tracks, cut)
    pairs = pairs.merge(counted, on=["row", "track_id"], how="outer")
    cyclone = (pairs["frames"] >= rule.min_frames).astype(np.int64)
    return pairs.assign(status=cyclone, inside=pairs["inside"].eq(other=True))


def _frames_inside(rows: pd.DataFrame, tracks: pd.DataFrame, cut: _Cut) -> pd.DataFrame:
    """``row, track_id, frames``: how many frames saw the storm in the tile, by the hour."""
    hours = _rounded_hours(np.unique(rows["end"].to_numpy()), cut)
    storms = _storms(hours["time"], tracks, cut)
    storms = storms.loc[storms["sure"] & cut.grid.contains(storms["x"], storms["y"])]
    x, y = legacy_pixel(storms["lon"], storms["lat"], cut.grid)
    pairs = rows.merge(hours.merge(storms.assign(x=x, y=y), on="time"), on="end")
    across, down = _offsets(pairs)
    inside = (np.minimum(across, down) >= 0) & (np.maximum(across, down) < cut.tile_size)
    return pairs.loc[inside].groupby(["row", "track_id"])["frames"].sum().reset_index()


def _rounded_hours(ends: Shaped[np.ndarray, " n"], cut: _Cut) -> pd.DataFrame:
    """``end, time, frames``: how many frames of a clip round to each hour, half to even."""
    back = np.arange(cut.num_frames) * np.timedelta64(round(cut.cadence_minutes * 60), "s")
    times = pd.DatetimeIndex((ends[:, None] - back).ravel()).round("h")
    table = pd.DataFrame({"end": np.repeat(ends, cut.num_frames), "time": times})
    return table.value_counts().rename("frames").reset_index()


def _beside_cyclones(
    calm: pd.DataFrame, tracks: pd.DataFrame, cut: _Cut, rule: LabelRule
) -> pd.Series:
    """The storms of the rows whose tile touches a fixed tile with a cyclone at the same time."""
    ends = pd.DatetimeIndex(calm["end"].unique())
    fixed = _fixed_clips(ends, cut.grid, cut.tile_size)
    fixed["row"] = np.arange(len(fixed))
    fixed["storm"] = _label(fixed, tracks, cut, rule).query("label == @CYCLONE")["storm"]
    cyclones = fixed.dropna(subset="storm")
    pairs = calm.merge(cyclones, on="end", suffixes=("", "_of_cyclone"))
    apart = np.maximum(
        abs(pairs["tile_x"] - pairs["tile_x_of_cyclone"]),
        abs(pairs["tile_y"] - pairs["tile_y_of_cyclone"]),
    )
    return pairs.loc[apart <= cut.tile_size].drop_duplicates("row").set_index("row")["storm"]
