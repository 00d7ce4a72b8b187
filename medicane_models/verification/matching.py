"""Which known storm a prediction is about: by tile, by distance, by time."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from medicane_models.domain import great_circle_km
from medicane_models.prediction.linking import pair_nearest
from medicane_models.prediction.tile_geometry import TILE_COLUMNS, TileGeometry
from medicane_models.verification.along_across import headings
from medicane_models.verification.best_tracks import read_tracks
from medicane_models.verification.intensity import row_classes

__all__ = [
    "Blocks",
    "distance_km",
    "independent_blocks",
    "match_tracks",
    "read_truth",
    "storms_at",
    "storms_in_tiles",
    "with_place_before",
]


def read_truth(path: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Read known storms from whatever :func:`verification.best_tracks.read_tracks` takes.

    Returns:
        ``storm, time, lon, lat``; ``lon_before, lat_before``, the centre one hour earlier, NaN if
        unknown; ``heading``, see :func:`along_across.headings`; ``intensity``, its class in words,
        and ``organisation``, "" if unknown; sorted by storm and time.

    Raises:
        SceneError: if the file cannot be read or a row is impossible.
    """
    tracks = read_tracks(path)
    truth = tracks.loc[:, ["track_id", "time", "lon", "lat"]]
    truth = with_place_before(truth.rename(columns={"track_id": "storm"}), "storm")
    organisation = tracks.get("organisation", "")
    classes = {"intensity": row_classes(tracks), "organisation": organisation}
    return truth.assign(heading=headings(truth), **classes)


def with_place_before(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table of positions with ``lon_before, lat_before``, where what it names was an hour ago."""
    before = table[[name, "time", "lon", "lat"]]
    before = before.assign(time=before["time"] + pd.Timedelta(hours=1))
    return table.merge(before, on=[name, "time"], how="left", suffixes=("", "_before"))


def storms_at(
    times: pd.DatetimeIndex, truth: pd.DataFrame, *, tolerance_minutes: float
) -> pd.DataFrame:
    """Where each storm is at given times: at its known time nearest to them, within a tolerance.

    Args:
        times: sorted and distinct.
        truth: as :func:`read_truth` returns it.
        tolerance_minutes: beyond it a storm counts as absent.

    Returns:
        A row a time and storm present, with the columns of ``truth``; ``time`` is the given one.
    """
    given = pd.DataFrame({"time": times.as_unit("ns")})
    tolerance = timedelta(minutes=tolerance_minutes)
    present = [
        pd.merge_asof(given, storm, on="time", direction="nearest", tolerance=tolerance).dropna(
            subset="storm"
        )
        for _, storm in truth.groupby("storm")
    ]
    present = [storm for storm in present if len(storm)]
    found = pd.concat(present) if present else truth.iloc[:0]
    return found.sort_values(["time", "storm"], ignore_index=True)


def storms_in_tiles(
    rows: pd.DataFrame, storms: pd.DataFrame, geometry: TileGeometry
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Pair each row of detections with every storm whose centre lies in its tile at its time.

    Returns:
        Row numbers in ``rows`` and in ``storms`` of the pairs.
    """
    centres = storms.loc[:, ["time", "lon", "lat"]].assign(storm=range(len(storms)))
    tiles = rows.reindex(columns=["time", *TILE_COLUMNS]).assign(row=range(len(rows)))
    both = tiles.merge(centres, on="time")
    inside = geometry.hold(both)
    return both["row"].to_numpy()[inside], both["storm"].to_numpy()[inside]


def match_tracks(
    tracks: pd.DataFrame, storms: pd.DataFrame, *, max_km: float
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Pair positions with storms of the same time, one to one, for the least total distance.

    Args:
        tracks: a row a position with ``time, lon, lat``.
        storms: as :func:`storms_at` returns them for the same times.
        max_km: pairs farther apart are not made.

    Returns:
        Row numbers in ``tracks`` and in ``storms`` of the pairs.
    """
    ours, theirs = _positions(tracks), _positions(storms)
    there_at = storms.groupby("time").indices
    none = np.zeros(0, dtype=np.int64)
    pairs = [(none, none)]
    for time, here in tracks.groupby("time").indices.items():
        there = there_at.get(time, none)
        distance = distance_km(ours[here][:, None], theirs[there][None])
        row, column = pair_nearest(distance, np.full_like(distance, max_km))
        pairs.append((here[row], there[column]))
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])


class Blocks(NamedTuple):
    """Which rows share their weather.

    Attributes:
        label: (n,) the storm's name or the week's first day.
        stormy: (n,) whether the label is a storm's.
    """

    label: Shaped[np.ndarray, " n"]
    stormy: Bool[np.ndarray, " n"]

    def take(self, rows: Int[np.ndarray, " k"]) -> "Blocks":
        """The blocks of some rows."""
        return Blocks(self.label[rows], self.stormy[rows])


def independent_blocks(times: Shaped[np.ndarray, " n"], storms: pd.DataFrame) -> Blocks:
    """Label times so that those with different labels have independent weather.

    From the first to the last time of a storm is one block, together with any storm that overlaps
    it; the other times are blocks of a week, since weather persists for days.

    Args:
        times: datetime64 of the rows to label.
        storms: as :func:`storms_at` returns them.
    """
    label = times.astype("datetime64[W]").astype(str).astype(object)
    if storms.empty:
        return Blocks(label, np.full(len(label), False))
    ordered = storms.sort_values(["time", "storm"])
    starting = ordered.drop_duplicates("storm")
    ending = ordered.drop_duplicates("storm", keep="last").set_index("storm")["time"]
    first, name = starting["time"].to_numpy(), starting["storm"].to_numpy()
    last = np.maximum.accumulate(ending.loc[name].to_numpy())
    opens = np.append(True, first[1:] > last[:-1])
    starts, names = first[opens], name[opens]
    ends = last[np.append(opens[1:], True)]
    block = np.searchsorted(starts, times, side="right") - 1
    stormy = (block >= 0) & (times <= ends[block])
    label[stormy] = names[block[stormy]]
    return Blocks(label, stormy)


def distance_km(
    one: Float[np.ndarray, "*shape 2"], other: Float[np.ndarray, "*other 2"]
) -> Float[np.ndarray, "..."]:
    """Great-circle distance between positions (lon, lat), broadcast against each other."""
    return np.asarray(great_circle_km(one[..., 0], one[..., 1], other[..., 0], other[..., 1]))


def _positions(table: pd.DataFrame) -> Float[np.ndarray, "n 2"]:
    return np.stack([table["lon"].to_numpy(float), table["lat"].to_numpy(float)], axis=-1)
