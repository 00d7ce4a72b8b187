"""Tracks as a CF trajectory in netCDF."""

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medicane_models.errors import SceneError
from medicane_models.files import as_os_error, replacing
from medicane_models.prediction.tracks import as_tracks
from medicane_models.tables import COLUMNS
from medicane_models.times import TIME_FORMAT

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["read_trajectories", "to_ragged_dataset", "write_netcdf"]

TITLE = "Tracks of cyclones in satellite images"
MOST_ROWS = 10_000_000  # ten times all that IBTrACS holds
TIME_ENCODING = {"units": "seconds since 1970-01-01", "calendar": "standard", "dtype": "int64"}
NO_TIME = np.iinfo(np.int64).min
OF_KINDS: dict[str, dict[str, Any]] = {
    "time": {"units_metadata": "leap_seconds: none"},
    "flag": {"flag_values": np.array([0, 1], dtype=np.int8), "flag_meanings": "false true"},
}
OF_COLUMNS: dict[str, dict[str, Any]] = {
    "time": {"standard_name": "time", "axis": "T"},
    "lon": {"standard_name": "longitude", "axis": "X"},
    "lat": {"standard_name": "latitude", "axis": "Y"},
    "edge": {"flag_meanings": "inside at_edge"},
}
"""What CF asks of columns besides what :data:`tables.COLUMNS` says."""


def write_netcdf(
    tracks: pd.DataFrame, path: str | Path, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write :func:`to_ragged_dataset` as netCDF-4."""
    dataset = to_ragged_dataset(tracks, provenance)
    with replacing(Path(path)) as temporary, as_os_error(RuntimeError, "^NetCDF: "):
        dataset.to_netcdf(temporary, format="NETCDF4", engine="netcdf4")


def to_ragged_dataset(
    tracks: pd.DataFrame, provenance: Mapping[str, Any] | None = None
) -> "xr.Dataset":
    """Tracks in the contiguous ragged array of CF-1.11, section H.4.3.

    Args:
        tracks: as :func:`as_tracks` accepts them; may be empty.
        provenance: becomes global attributes; what netCDF cannot hold is written as JSON.

    Returns:
        Dims ``trajectory`` (one a track) and ``obs`` (one a row, track after track).
    """
    import xarray as xr

    tracks = as_tracks(tracks)
    sizes = tracks.groupby("track_id").size()
    rows = tracks.drop(columns="track_id")
    columns = {str(name): _variable(column) for name, column in rows.items()}
    named = {"cf_role": "trajectory_id"} | _attributes("track_id")
    counted = {"sample_dimension": "obs", "long_name": "number of positions of the track"}
    trajectories = {
        "track_id": ("trajectory", sizes.index.to_numpy(), named),
        "row_size": ("trajectory", sizes.to_numpy(np.int32), counted),
    }
    dataset = xr.Dataset(columns | trajectories, attrs=_global_attributes(provenance or {}))
    return dataset.set_coords(["time", "lat", "lon"])


def _variable(column: pd.Series) -> "xr.Variable":
    """A column with its attributes; CF lets no coordinate be missing."""
    import xarray as xr

    name = str(column.name)
    kind, is_place = COLUMNS[name].kind, name in ("time", "lon", "lat")
    values = column.to_numpy(np.int8 if kind == "flag" else None)
    encoding = TIME_ENCODING | {"_FillValue": NO_TIME} if kind == "time" else {}
    if column.isna().all() and kind == "time":
        encoding |= {"calendar": "proleptic_gregorian"}  # xarray fails on the other without a time
    encoding |= {"_FillValue": None} if is_place else {}
    return xr.Variable("obs", values, _attributes(name), encoding)


def _global_attributes(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What CF asks of a file, and the provenance as far as it is known."""
    told = {key: _attribute(value) for key, value in provenance.items() if value is not None}
    when = provenance.get("created") or pd.Timestamp.now("UTC").strftime(TIME_FORMAT)
    software = f"medicane-models {metadata.version('medicane-models')}"
    form = {"Conventions": "CF-1.11", "featureType": "trajectory", "title": TITLE}
    return form | told | {"history": f"{when} written by {software}"}


def read_trajectories(path: str | Path) -> pd.DataFrame:
    """The table behind :func:`to_ragged_dataset`, from a file.

    Raises:
        SceneError: if the file cannot be read, or holds no such trajectories.
    """
    import xarray as xr

    try:
        with xr.open_dataset(path, engine="netcdf4") as data:
            names = [name for name in data.variables if data[name].dims == data["time"].dims]
            if max(data.sizes.values()) > MOST_ROWS:
                raise ValueError(f"it has {max(data.sizes.values()):,} rows")
            track_id = np.repeat(data["track_id"].to_numpy(), data["row_size"].to_numpy())
            rows = {name: data[name].to_numpy() for name in names}
            return pd.DataFrame({"track_id": track_id, **rows})
    except (ArithmeticError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise SceneError(
            f"{path} holds no trajectories of tracks ({error}); give a file that predict wrote"
        ) from None


def _attributes(name: str) -> dict[str, Any]:
    """CF attributes of a column; the units of time belong to its encoding."""
    column = COLUMNS[name]
    units = {"units": column.units} if column.units else {}
    asked = OF_KINDS.get(column.kind, {}) | OF_COLUMNS.get(name, {})
    return {"long_name": column.meaning} | units | asked


def _attribute(value: object) -> str | int | float:
    """A value netCDF can hold as an attribute."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)
