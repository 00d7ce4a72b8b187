"""Our own files of tracks as text, whatever their form."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from medicane_models.errors import SceneError
from medicane_models.files import require_regular
from medicane_models.prediction.track_files.geojson import point_rows
from medicane_models.prediction.track_files.trajectories import read_trajectories
from medicane_models.tables import read_text
from medicane_models.times import TIME_FORMAT

__all__ = ["read_tracks_text"]

NETCDF_MARKS = (b"\x89HDF\r\n\x1a\n", b"CDF")


def read_tracks_text(path: str | Path) -> str:
    """The rows of netCDF, GeoJSON or ``detections.json`` as CSV; text of other files as it is.

    Raises:
        SceneError: if the file cannot be read, or holds no rows of tracks or detections.
    """
    path = Path(path)
    if _begins(path).startswith(NETCDF_MARKS):
        return _as_csv(read_trajectories(path))
    text = read_text(path)
    return _as_csv(_json_rows(text, path)) if text.lstrip().startswith(("{", "[")) else text


def _begins(path: Path) -> bytes:
    """The first bytes of a file; none of what cannot be opened, which reading then names."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            return file.read(8)
    except OSError:
        return b""


def _json_rows(text: str, path: Path) -> pd.DataFrame:
    try:
        told: dict[str, Any] = json.loads(text)
        return point_rows(told) if "features" in told else pd.DataFrame(told["detections"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SceneError(
            f"{path} holds no detections or tracks; give detections.json, detections.csv or one "
            "of the files of tracks that predict writes"
        ) from None


def _as_csv(rows: pd.DataFrame) -> str:
    return rows.to_csv(index=False, date_format=TIME_FORMAT)
