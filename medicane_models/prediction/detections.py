"""What a predictor found: one row a clip and tile, with where it comes from."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from medicane_models.domain import Grid
from medicane_models.errors import SceneError
from medicane_models.fields import json_object
from medicane_models.files import json_text, replacing
from medicane_models.prediction.tile_geometry import TileGeometry
from medicane_models.prediction.track_files.formats import save_tracks
from medicane_models.scenes.clips import SkippedClip
from medicane_models.times import TIME_FORMAT

__all__ = [
    "DETECTION_COLUMNS",
    "FIX_COLUMNS",
    "Detections",
    "StoredScene",
    "geometry_of",
    "stored_scene",
]

USUAL_MINUTES = 60  # between hours that are judged, where a file does not tell
FIX_COLUMNS = (
    "center_x",
    "center_y",
    "lon",
    "lat",
    "radius_50_km",
    "radius_95_km",
    "observed",
    "parallax_east_km",
    "parallax_north_km",
)
"""What a fix adds to the row of its tile."""

DETECTION_COLUMNS = (
    "time",
    "tile_x",
    "tile_y",
    "tile_lon",
    "tile_lat",
    "probability",
    "detected",
    *FIX_COLUMNS,
    "newest_frame",
    "missing_frames",
    "model",
    "revision",
)
"""``time``: end of the clip, UTC; ``newest_frame``: of the last of its frames that was there.
``tile_x, tile_y``: offset of a fixed tile in the grid; ``tile_lon, tile_lat``: centre of a local
plane in degrees; the others are empty. ``probability``: that a cyclone's centre is in the tile;
where a fix on a local plane was looked at again from around it, the lower of both. ``center_x,
center_y``: pixels in the tile, beyond its border where the second look found the centre there.
``lon, lat``: degrees. ``observed``: when the centre's pixel was seen, UTC, empty where the files
do not tell. ``parallax_east_km, parallax_north_km``: what was added to where the cloud top
appears, empty unless asked for. ``radius_50_km, radius_95_km``: of the circles that hold the
centre with that probability. Centre and radii are empty where no cyclone is likely, the radii
also where the tracker's error was never measured."""

DECIMALS: dict[Hashable, int] = {
    "probability": 6,
    "tile_lon": 5,
    "tile_lat": 5,
    "center_x": 3,
    "center_y": 3,
    "lon": 5,
    "lat": 5,
    "radius_50_km": 2,
    "radius_95_km": 2,
    "guess_lon": 5,
    "guess_lat": 5,
    "guess_distance_km": 2,
    "parallax_east_km": 2,
    "parallax_north_km": 2,
}


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Detections of a scene.

    Attributes:
        table: the columns DETECTION_COLUMNS, sorted by time, then tile row, then tile column; where
            there was a first guess also ``track_id``, that of the guess, and GUESS_COLUMNS.
        tracks: what they link into, the columns ``prediction.tracks.TRACK_COLUMNS``; empty where
            there was no tracker.
        forecasts: where tracks lead in 6 and 12 h from each fix but the first, the columns
            ``prediction.extrapolation.FORECAST_COLUMNS``.
        skipped: clips and tiles that could not be judged, and why.
        provenance: scene, models, settings and software, ready for JSON.
    """

    table: pd.DataFrame
    tracks: pd.DataFrame
    forecasts: pd.DataFrame
    skipped: tuple[SkippedClip, ...]
    provenance: Mapping[str, Any]

    def write(self, folder: str | Path, formats: Sequence[str] = ("csv",)) -> None:
        """Write ``detections.csv``, ``detections.json``, ``tracks.*`` and ``forecasts.csv``.

        Without a tracker there are no files of tracks: empty ones would say that none was found.

        Args:
            folder: made if absent.
            formats: of the tracks, names of ``track_files.formats.FORMATS``.
        """
        self.write_csv(Path(folder) / "detections.csv")
        self.write_json(Path(folder) / "detections.json")
        if self.has_centres:
            save_tracks(self.tracks, folder, formats, self.provenance, self.forecasts)
            _write_table(self.forecasts, Path(folder) / "forecasts.csv")

    @property
    def has_centres(self) -> bool:
        """Whether there was a tracker; without one, no track says nothing on cyclones."""
        return self.provenance["tracker"] is not None

    def write_csv(self, path: str | Path) -> None:
        """Write the table; times as ISO 8601 with Z."""
        _write_table(self.table, Path(path))

    def to_json(self) -> str:
        """Provenance, skipped clips and the rows as JSON text; empty values are null."""
        return json_text(
            {
                "provenance": self.provenance,
                "skipped": [vars(clip) for clip in self.skipped],
                "detections": self.table.round(DECIMALS).to_dict("records"),
            }
        )

    def write_json(self, path: str | Path) -> None:
        """Write what :meth:`to_json` returns."""
        with replacing(Path(path)) as temporary:
            temporary.write_text(self.to_json() + "\n")


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        table.round(DECIMALS).to_csv(temporary, index=False, date_format=TIME_FORMAT)


def geometry_of(provenance: Mapping[str, Any]) -> TileGeometry:
    """Where the tiles of detections lie, from the provenance that came with them."""
    processor = provenance["processor"]
    is_local = processor.get("plane_overlap") is not None
    plane_km = processor["grid"]["x_step"] / 1000 if is_local else None
    return TileGeometry(
        grid=Grid.from_dict(provenance["scene"]["grid"]),
        size=processor["tile_size"],
        plane_km=plane_km,
    )


class StoredScene(NamedTuple):
    """Where the tiles of stored detections lie, what sensor saw them, and every how many hours."""

    geometry: TileGeometry
    sensor: str
    step_hours: float


def stored_scene(folder: Path) -> StoredScene | None:
    """What the ``detections.json`` of a folder says of its scene, if it has one."""
    path = folder / "detections.json"
    if not path.is_file():
        return None
    try:
        told = json_object(path)["provenance"]
        minutes = float(told.get("settings", {}).get("every_minutes", USUAL_MINUTES))
        if not 0 < minutes < float("inf"):
            raise ValueError(f"every_minutes is {minutes:g}")
        sensor = told["scene"].get("sensor", "unknown")
        return StoredScene(geometry_of(told), sensor, minutes / 60)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise SceneError(f"{path} is damaged ({error}); predict again") from error
