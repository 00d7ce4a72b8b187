"""Whole scenes of imagers that nobody trained on, and the storms of IBTrACS in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from storm_store import GEOREFERENCES, best_tracks

from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.prediction.run import PredictionRun
from medicane_models.scenes.plane_sampling import is_within_limb
from medicane_training.scores.scene_detection import (
    JudgedScene,
    SceneRules,
    judge_scene,
    mirrored_apart_km,
)
from medicane_training.store.known_storms import KnownStorms

if TYPE_CHECKING:
    import xarray as xr

MAX_GAP_HOURS = 6.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A folder of the data.

    Attributes:
        folder: its name.
        georeference: of pictures; None where the files tell.
        every_minutes: at which moments it is judged.
    """

    folder: str
    georeference: str | None
    every_minutes: int


SCENES = {
    "INSAT-3D full disks": Scene(
        folder="insat3d_full_disk", georeference="insat3d.yaml", every_minutes=30
    ),
    "INSAT-3D, Amphan": Scene(
        folder="insat3d_amphan", georeference="amphan.yaml", every_minutes=360
    ),
    "SEVIRI HRIT": Scene(folder="seviri_hrit_20200906", georeference=None, every_minutes=15),
    "SEVIRI rapid scan": Scene(folder="seviri_rss_20231220", georeference=None, every_minutes=60),
}


def known_storms() -> KnownStorms:
    """Those of IBTrACS, with the wind of one minute."""
    return KnownStorms(tracks=best_tracks(), max_gap_hours=MAX_GAP_HOURS)


def opened(scene: Scene, data: Path, predictor: MedicanePredictor) -> "xr.Dataset":
    """The scene, its pictures placed by the georeference."""
    if scene.georeference is None:
        return predictor.open(str(data / scene.folder))
    with TemporaryDirectory() as place:
        path = Path(place) / scene.georeference
        told = (GEOREFERENCES / scene.georeference).read_text()
        path.write_text(f"{told}pictures: {data / scene.folder}\n")
        return predictor.open(str(path)).load()


def judged_moments(
    run: PredictionRun, storms: KnownStorms, rules: SceneRules
) -> Iterator[JudgedScene]:
    """Each moment of a scene held against the storms of then."""
    longitude = run.grid.sub_satellite_longitude
    for clip in run:
        if len(clip.table):
            there = storms.at(clip.end)
            lon, lat = (there[name].to_numpy(float) for name in ("lon", "lat"))
            shown = run.grid.contains(*run.grid.lonlat_to_pixel(lon, lat))
            tiles = [clip.table[name].to_numpy(float) for name in ("tile_lon", "tile_lat")]
            yield judge_scene(
                clip.table,
                there.assign(
                    seen=np.asarray(shown) & is_within_limb(run.grid, lon, lat, longitude)
                ),
                storms.distance_km(tiles[0], tiles[1], clip.end),
                rules,
            )


def mirrored(scene: "xr.Dataset") -> "xr.Dataset":
    """A scene of which north and south have changed places."""
    flipped = scene.isel(y=slice(None, None, -1))
    return flipped.assign_coords(y=("y", -flipped["y"].to_numpy(), flipped["y"].attrs))


def mirror_errors_km(scene: "xr.Dataset", predictor: MedicanePredictor) -> np.ndarray:
    """How far the fixes of a scene lie from those of its mirror image."""
    runs = (predictor.run(one, every_minutes=30) for one in (scene, mirrored(scene)))
    pairs = zip(*runs, strict=True)
    apart = [mirrored_apart_km(one.table, other.table) for one, other in pairs if len(one.table)]
    return np.concatenate(apart)
