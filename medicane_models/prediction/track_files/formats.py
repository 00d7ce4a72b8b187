"""Which files tracks can be written as."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from medicane_models.choices import TrackFormat
from medicane_models.errors import ConfigurationError
from medicane_models.prediction.track_files.atcf import write_atcf
from medicane_models.prediction.track_files.geojson import write_geojson
from medicane_models.prediction.track_files.ibtracs import write_ibtracs
from medicane_models.prediction.track_files.plain_csv import write_csv
from medicane_models.prediction.track_files.trajectories import write_netcdf

__all__ = ["FORMATS", "TrackFile", "save_tracks"]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What some files tell beside the tracks.

    Attributes:
        provenance: what made the tracks (model, revision, input, versions).
        forecasts: from their fixes, as :func:`extrapolation.extrapolated` returns them.
    """

    provenance: Mapping[str, Any]
    forecasts: pd.DataFrame | None


Write = Callable[[pd.DataFrame, Path, Beside], None]


@dataclass(frozen=True, kw_only=True)
class TrackFile:
    """A form of file for a table of tracks.

    Attributes:
        name: of the file in a folder of results.
        write: takes tracks, path and what is beside; what has no place in the form is left out.
    """

    name: str
    write: Write


def _told(write: Callable[[pd.DataFrame, Path, Mapping[str, Any]], None]) -> Write:
    return lambda tracks, path, beside: write(tracks, path, beside.provenance)


def _ahead(write: Callable[[pd.DataFrame, Path, pd.DataFrame | None], None]) -> Write:
    return lambda tracks, path, beside: write(tracks, path, beside.forecasts)


def _alone(write: Callable[[pd.DataFrame, Path], None]) -> Write:
    return lambda tracks, path, _: write(tracks, path)


FORMATS: dict[TrackFormat, TrackFile] = {
    "csv": TrackFile(name="tracks.csv", write=_alone(write_csv)),
    "netcdf": TrackFile(name="tracks.nc", write=_told(write_netcdf)),
    "geojson": TrackFile(name="tracks.geojson", write=_told(write_geojson)),
    "atcf": TrackFile(name="tracks.dat", write=_ahead(write_atcf)),
    "ibtracs": TrackFile(name="tracks.ibtracs.csv", write=_alone(write_ibtracs)),
}


def save_tracks(
    tracks: pd.DataFrame,
    out_dir: str | Path,
    formats: Sequence[str] = tuple(FORMATS),
    provenance: Mapping[str, Any] | None = None,
    forecasts: pd.DataFrame | None = None,
) -> dict[str, Path]:
    """Write tracks in each of the formats, every file whole or not at all.

    Args:
        tracks: as :func:`tracks.as_tracks` accepts them; may be empty.
        out_dir: made if absent.
        formats: names of :data:`FORMATS`.
        provenance: what made the tracks (model, revision, input, versions), for the forms that
            have a place for it.
        forecasts: from their fixes, likewise.

    Returns:
        The path written for each format.
    """
    if unknown := sorted(set(formats) - set(FORMATS)):
        raise ConfigurationError(
            f"no track format is called {', '.join(unknown)}; choose from {', '.join(FORMATS)}"
        )
    chosen = {name: form for name, form in FORMATS.items() if name in formats}
    paths = {name: Path(out_dir) / form.name for name, form in chosen.items()}
    beside = Beside(provenance=provenance or {}, forecasts=forecasts)
    for name, form in chosen.items():
        form.write(tracks, paths[name], beside)
    return paths
