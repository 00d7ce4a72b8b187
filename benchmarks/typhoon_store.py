"""Real storms into a clip store: off-centre tiles and far negatives, three folds by storm.

The frames of ``typhoon_ir_hourly`` (see the README of the data) move with their storm and tell
nothing about where on Earth a pixel is. They get a grid of their own: an azimuthal equidistant
plane of 5 km pixels whose origin is the best-track centre, at pixel (255.5, 255.5), so that every
storm stays at 0°E 0°N of that plane and distances in km are right::

    python benchmarks/typhoon_store.py DATA/typhoon_ir_hourly --out typhoons.zarr
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from medicane_models.domain import Grid
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.clips.check import check_store
from medicane_training.clips.splits import check_leaks, k_folds
from medicane_training.store.build import BuildSettings, build_store
from medicane_training.store.clip_store import ClipStore, decode

SIZE, STEP_M = 512, 5000.0
GRID = Grid(
    crs="+proj=aeqd +lat_0=0 +lon_0=0 +R=6371008.8 +units=m",
    width=SIZE,
    height=SIZE,
    x_origin=-(SIZE - 1) / 2 * STEP_M,
    y_origin=(SIZE - 1) / 2 * STEP_M,
    x_step=STEP_M,
    y_step=-STEP_M,
)
PROCESSOR = MedicaneProcessor.infrared(
    sensor="gms",
    tile_size=128,
    num_frames=8,
    cadence_minutes=60.0,
    max_missing=1,
    grid=GRID,
)
SETTINGS = BuildSettings(tile_stride=48)  # 81 tiles; the storm is inside 9 of them
FOLDS = 3


def scene_of(path: Path) -> xr.Dataset:
    """A storm's frames as a scene on the local grid."""
    frames = xr.open_dataset(path)[["IR_108"]].astype("float32")
    frames["IR_108"].attrs = {"units": "K", "grid_mapping": "crs"}
    frames.attrs["sensor"] = PROCESSOR.sensor
    metres = {"units": "m"}
    return frames.assign_coords(
        x=("x", GRID.x, metres), y=("y", GRID.y, metres), crs=((), 0, GRID.cf_attributes())
    )


def tracks_of(paths: list[Path]) -> pd.DataFrame:
    """Every storm at the origin of its plane."""
    tracks = [
        pd.DataFrame({"track_id": path.stem, "time": xr.open_dataset(path)["time"], "lon": 0.0})
        for path in paths
    ]
    return pd.concat(tracks, ignore_index=True).assign(lat=0.0)


def greatest_difference(store: ClipStore, paths: list[Path]) -> float:
    """Largest difference in kelvin between 50 random clips and the files."""
    files = {path.stem: xr.open_dataset(path)["IR_108"] for path in paths}
    clips = store.clips.loc[store.clips["missing"] == 0].sample(50, random_state=0)
    size, differences = PROCESSOR.tile_size, []
    for clip, end, x, y in clips[["end", "tile_x", "tile_y"]].itertuples():
        times = pd.date_range(end=end, periods=PROCESSOR.num_frames, freq="h")
        values = next(v for v in files.values() if end in v.indexes["time"]).sel(time=times)
        window = values[:, y : y + size, x : x + size].to_numpy().clip(190, 310)
        kelvin = 310 - 120 * decode(store.read(int(clip)))[:, 0]
        differences.append(np.nanmax(abs(kelvin - window)))
    return float(max(differences))


def main() -> None:
    """Build, check and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("*.nc"))
    store = build_store(
        [scene_of(path) for path in paths],
        arguments.out,
        processor=PROCESSOR,
        tracks=tracks_of(paths),
        settings=SETTINGS,
    )
    clips = store.clips
    print(
        clips.groupby(["label", "stratum"])["storm_distance_km"].describe()[["count", "min", "max"]]
    )
    print(
        clips.loc[clips["label"] == 1]
        .groupby("storm")[["target_x", "target_y"]]
        .agg(["size", "min", "max"])
    )
    for number, split in enumerate(k_folds(clips, FOLDS, 0, validation=False)):
        report = check_leaks(
            clips, split, num_frames=PROCESSOR.num_frames, cadence_minutes=PROCESSOR.cadence_minutes
        )
        print(f"fold {number}", report.to_string(), sep="\n")
    print(f"greatest difference from the files: {greatest_difference(store, paths):.2f} K")
    print("problems:", check_store(store).problems or "none")


if __name__ == "__main__":
    main()
