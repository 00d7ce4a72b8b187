"""Real storms, leave one out: train on two typhoons, find the third, beside what needs no training.

    python benchmarks/typhoon_folds.py DATA/typhoon_ir_hourly work/

The frames of ``typhoon_ir_hourly`` (see the README of the data) are averaged to pixels of 10 km.
The tracker reads tiles of 1120 km whose middle lies up to 240 km from the storm along each axis,
the detector tiles of 640 km; clips are four hourly frames. Frames move with their storm, so that
every storm stays at one place of an azimuthal plane; where it was an hour ago comes from the best
track.

Epochs are fixed, and the validation that the training loop asks for, the last 12 hours of the
training storms, is looked at once, after the last epoch; it sets the detector's temperature and
threshold. Parameters of the baselines are those with the least mean error on the two training
storms. The tracker's 24 epochs were set before any test; the detector got as many after a first
test with 6, whose areas under ROC were .82, .73 and .83.

Negatives of the detector are tiles of the same hours whose border is 160 to 640 km from the centre:
they show the storm's outer clouds or none, but no other storm and no front, and are easy.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import xarray as xr

from medicane_models.domain import Grid, great_circle_km
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.verification.scores import error_summary
from medicane_training.recipes.data_sections import Augmentation, DataSettings, SplitSettings
from medicane_training.recipes.kinds import ClassificationRecipe, Recipe, TrackingRecipe
from medicane_training.recipes.sections import (
    ModelSettings,
    OptimizerSettings,
    TrackingSettings,
    TrainingSettings,
)
from medicane_training.run.journal import show_table
from medicane_training.run.loop import run_recipe
from medicane_training.scores.baselines import (
    cold_cloud_centroid,
    last_frame_kelvin,
    persistence,
    tile_centre,
)
from medicane_training.scores.centres import by_group, error_km, intensity_classes
from medicane_training.store.build import build_store
from medicane_training.store.clip_store import CLIP_KEY, ClipStore
from medicane_training.store.cloud_bands import CloudBand
from medicane_training.store.labels import CYCLONE, NO_CYCLONE
from medicane_training.store.selection import BuildSettings
from medicane_training.store.spirals import SpiralSettings, spiral_gradient

RESULTS = Path(__file__).parent / "results"
AVERAGED, SIZE, STEP_M = 2, 256, 10_000.0
CENTRE = (0.0, 30.0)  # in the northern hemisphere, for the sense of rotation
GRID = Grid(
    crs=f"+proj=aeqd +lat_0={CENTRE[1]} +lon_0={CENTRE[0]} +R=6371008.8 +units=m",
    width=SIZE,
    height=SIZE,
    x_origin=-(SIZE - 1) / 2 * STEP_M,
    y_origin=(SIZE - 1) / 2 * STEP_M,
    x_step=STEP_M,
    y_step=-STEP_M,
)
FRAMES, LATE_HOURS = 4, 12
LATE = " late"
FARTHEST_PX = 24
TILES_AN_HOUR = 5


@dataclass(frozen=True, kw_only=True)
class Task:
    """How clips are cut for one of the two models, and how often each kind is judged."""

    tile_size: int
    stride: int
    judged: Mapping[int, int]  # clips an hour by label

    @property
    def middle(self) -> float:
        """Offset of the tile about the storm."""
        return (SIZE - self.tile_size) / 2


TRACKING = Task(tile_size=112, stride=12, judged={CYCLONE: TILES_AN_HOUR})
DETECTION = Task(tile_size=64, stride=24, judged={CYCLONE: 3, NO_CYCLONE: 6})
TURNED = {
    "quarter_turns": True,
    "mirror": 0.5,
    "angle_degrees": 45.0,
    "scale": (0.8, 1.25),
    "gain": 0.2,
    "offset": 0.1,
    "drop_frames": 0.05,
    "block": 0.1,
}
SIZES = {
    "tubelet_size": FRAMES,
    "embed_dim": 128,
    "depth": 4,
    "num_heads": 4,
    "mlp_hidden_dim": 256,
    "drop_path_rate": 0.1,
}
OPTIMIZER = OptimizerSettings(
    lr=1e-3, final_lr=1e-6, warmup_epochs=1, betas=(0.9, 0.999), clip_norm=5.0
)
COLDEST = (0.02, 0.1, 0.3, 0.5)
SPIRALS = [
    SpiralSettings(radius_km=radius, inflow_degrees=inflow)
    for radius in (300.0, 400.0, 500.0)
    for inflow in (5.0, 10.0, 20.0)
]
RADIUS_SCORES = ("coverage_50", "coverage_95", "radius_factor")
DETECTION_SCORES = ("roc_area", "pr_area", "pod", "far", "csi")
PROTOTYPE = {
    "198702": {"net": (204, 191, 357), "spiral": (235, 231, 365), "cold": (156, 142, 262)},
    "200717": {"net": (262, 235, 513), "spiral": (164, 94, 422), "cold": (208, 178, 438)},
    "200718": {"net": (152, 141, 278), "spiral": (138, 115, 242), "cold": (161, 157, 257)},
}
"""Mean, median, 90th percentile in km of an earlier prototype, one seed; tiles up to 300 km off."""


def scene_of(path: Path) -> xr.Dataset:
    """A storm's frames as a scene on the local grid."""
    frames = xr.open_dataset(path)[["IR_108"]].astype("float32")
    frames = (
        frames.coarsen(x=AVERAGED, y=AVERAGED)
        .construct(x=("x", "right"), y=("y", "down"))
        .mean(("right", "down"))
    )
    frames["IR_108"].attrs = {"units": "K", "grid_mapping": "crs"}
    frames.attrs["sensor"] = "gms"
    metres = {"units": "m"}
    return frames.assign_coords(
        x=("x", GRID.x, metres), y=("y", GRID.y, metres), crs=((), 0, GRID.cf_attributes())
    )


def best_tracks(paths: list[Path]) -> pd.DataFrame:
    """Where the storms truly were, and their pressure."""
    names = {"storm_lon": "lon", "storm_lat": "lat", "pressure": "pressure_hpa"}
    tracks = []
    for path in paths:
        table = xr.open_dataset(path)[list(names)].to_dataframe().loc[:, list(names)]
        tracks.append(table.set_axis(list(names.values()), axis=1).reset_index())
    stems = [path.stem for path in paths]
    return pd.concat(tracks, keys=stems, names=["track_id", "row"]).reset_index("track_id")


def tracks_in_plane(tracks: pd.DataFrame) -> pd.DataFrame:
    """Every storm at the origin of the plane; its last hours under a name of their own."""
    parts = []
    for name, track in tracks.groupby("track_id"):
        late = track["time"].max() - track["time"] < timedelta(hours=LATE_HOURS)
        parts.append(track.assign(track_id=np.where(late, f"{name}{LATE}", str(name))))
    return pd.concat(parts, ignore_index=True).assign(lon=CENTRE[0], lat=CENTRE[1])


def store_of(task: Task, name: str, paths: list[Path], work: Path) -> ClipStore:
    """Build the store of a task, or open it."""
    out = work / f"{name}.zarr"
    if (out / "clips.parquet").exists():
        return ClipStore(out)
    processor = MedicaneProcessor.infrared(
        sensor="gms",
        tile_size=task.tile_size,
        num_frames=FRAMES,
        cadence_minutes=60.0,
        max_missing=1,
        grid=GRID,
    )
    return build_store(
        [scene_of(path) for path in paths],
        out,
        processor=processor,
        tracks=tracks_in_plane(best_tracks(paths)),
        settings=BuildSettings(tile_stride=task.stride),
    )


def storm_of(store: ClipStore) -> pd.Series:
    """The storm of each clip's hour, whether its tile holds it or not."""
    tracks = store.tracks
    assert tracks is not None  # it was built with them
    names = tracks["track_id"].str.removesuffix(LATE)
    at = pd.Series(names.to_numpy(), index=pd.DatetimeIndex(tracks["time"]))
    return pd.Series(at.reindex(store.clips["end"]).to_numpy(), index=store.clips.index)


def judged_clips(store: ClipStore, task: Task) -> pd.Series:
    """A few random tiles of every hour and label; cyclones at most FARTHEST_PX off the middle."""
    clips = store.clips.loc[store.clips["label"].isin(list(task.judged))]
    off = abs(clips[["tile_x", "tile_y"]] - task.middle).max(axis=1)
    clips = clips.loc[(clips["label"] == NO_CYCLONE) | (off <= FARTHEST_PX)]
    shuffled = clips.sample(frac=1, random_state=0)
    number = shuffled.groupby(["end", "label"]).cumcount()
    chosen = shuffled.loc[number < shuffled["label"].map(dict(task.judged))]
    return pd.Series(store.clips.index.isin(chosen.index), index=store.clips.index)


def split_of(store: ClipStore, task: Task, test: str) -> pd.Series:
    """Part of each clip of a fold; hours that share a frame with the late ones are left out."""
    clips, storm, judged = store.clips, storm_of(store), judged_clips(store, task)
    is_late = clips["storm"].str.endswith(LATE)
    starts = clips["end"].loc[is_late].groupby(storm.loc[is_late]).min()
    since = clips["end"] - storm.map(starts)
    early, late = since <= -timedelta(hours=FRAMES), since >= timedelta(0)
    middle = (clips[["tile_x", "tile_y"]] == task.middle).all(axis=1)
    learned = middle if set(task.judged) == {CYCLONE} else clips["label"].isin(list(task.judged))
    return pd.Series(
        np.select(
            [(storm == test) & judged, storm == test, early & learned, late & judged],
            ["test", "unused", "train", "validation"],
            "unused",
        ),
        index=clips.index,
    )


def tracking_recipe(data: Mapping[str, Any], training: TrainingSettings) -> TrackingRecipe:
    """0.7 million parameters, patches of 160 km, cells of 40 km."""
    augmentation = Augmentation(shift_px=(0, 30), **TURNED)
    return TrackingRecipe(
        model=ModelSettings(preset="tiny", changes={**SIZES, "head": "heatmap", "views": "eight"}),
        data=DataSettings(order="balanced", samples=1024, augmentation=augmentation, **data),
        optimizer=OPTIMIZER,
        training=training,
        tracking=TrackingSettings(baselines=False),
    )


def detection_recipe(data: Mapping[str, Any], training: TrainingSettings) -> ClassificationRecipe:
    """The same backbone on smaller tiles."""
    augmentation = Augmentation(shift_px=(0, 11), **TURNED)
    return ClassificationRecipe(
        model=ModelSettings(preset="tiny", changes={**SIZES, "views": "eight"}),
        data=DataSettings(order="balanced", samples=1024, augmentation=augmentation, **data),
        optimizer=OPTIMIZER,
        training=training,
    )


def train(
    recipe_of: Callable[[Mapping[str, Any], TrainingSettings], Recipe],
    store: ClipStore,
    split: pd.Series,
    out: Path,
    training: TrainingSettings,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train and judge, or read what was judged: the test clips and the report."""
    table = out.with_suffix(".split.csv")
    store.clips[CLIP_KEY].assign(part=split).to_csv(table, index=False)
    data = {"store": str(store.path), "split": SplitSettings(by="file", file=str(table))}
    if not (out / "test.json").exists():
        run_recipe(recipe_of(data, training), out, test=True)
    judged = pd.read_parquet(out / "test.parquet")
    return judged, json.loads((out / "test.json").read_text())


def candidates(store: ClipStore) -> dict[str, dict[str, Callable[[int], np.ndarray]]]:
    """Baselines with all their parameters: from a clip to a pixel of its tile."""
    band = CloudBand.of(store.processor)
    size = store.processor.tile_size

    def kelvin(clip: int) -> np.ndarray:
        return last_frame_kelvin(store, clip, band)

    def to_km(clip: int) -> np.ndarray:
        return np.asarray(GRID.jacobian_km(*(np.array(store.tile(clip)) + (size - 1) / 2)))

    return {
        "tile centre": {"": lambda clip: tile_centre(size)},
        "cold-cloud centroid": {
            f"coldest {share:g}": lambda clip, share=share: cold_cloud_centroid(
                kelvin(clip), coldest=share
            )
            for share in COLDEST
        },
        "spiral gradient": {
            f"{spiral.radius_km:g} km, {spiral.inflow_degrees:g}°": lambda clip, spiral=spiral: (
                spiral_gradient(kelvin(clip), to_km(clip), settings=spiral)
            )
            for spiral in SPIRALS
        },
    }


def errors_of(store: ClipStore, rows: np.ndarray, find: Callable[[int], np.ndarray]) -> np.ndarray:
    """Kilometres between what a baseline finds and the truth."""
    clips = store.clips.iloc[rows]
    found = np.array([find(int(row)) for row in rows])
    tiles, truth = (
        clips[names].to_numpy(float) for names in (["tile_x", "tile_y"], ["target_x", "target_y"])
    )
    return error_km(GRID, tiles, found, truth)


def baseline_errors(
    store: ClipStore, test: str, rows: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Errors on clips of one storm, of the parameters that are best on the two others."""
    judged = judged_clips(store, TRACKING).to_numpy()
    others = np.flatnonzero(judged & (storm_of(store) != test).to_numpy())[::TILES_AN_HOUR]
    errors, chosen = {}, {}
    for method, variants in candidates(store).items():
        mean = {name: errors_of(store, others, find).mean() for name, find in variants.items()}
        chosen[method] = min(mean, key=lambda name: mean[name])
        errors[method] = errors_of(store, rows, variants[chosen[method]])
    return errors, chosen


def motion_km(tracks: pd.DataFrame, test: str, ends: pd.Series) -> np.ndarray:
    """How far the storm truly was an hour ago from where it is."""
    storms = np.full(len(ends), test, dtype=object)
    here, before = (
        persistence(tracks, storms, ends.to_numpy(), hours=hours) for hours in (0.0, 1.0)
    )
    return np.asarray(great_circle_km(*here.T, *before.T))


def track_fold(
    store: ClipStore, test: str, tracks: pd.DataFrame, work: Path, every: Sequence[TrainingSettings]
) -> dict[str, Any]:
    """Errors of the trackers and the baselines on the storm left out."""
    split = split_of(store, TRACKING, test)
    runs = [
        train(tracking_recipe, store, split, work / f"track-{test}-{one.seed}", one)
        for one in every
    ]
    rows = runs[0][0]["clip"].to_numpy(int)
    ends = store.clips["end"].iloc[rows]
    baselines, chosen = baseline_errors(store, test, rows)
    of_seeds = [judged["error_km"].to_numpy(float) for judged, _ in runs]
    errors = {
        "model": np.concatenate(of_seeds),
        **baselines,
        "centre 1 h ago": motion_km(tracks, test, ends),
    }
    strength = intensity_classes(tracks, ends, pd.Series(test, index=ends.index))
    return {
        "clips": len(rows),
        "hours": int(ends.nunique()),
        "methods": {name: error_summary(error) for name, error in errors.items()},
        "model_by_seed": [error_summary(error) for error in of_seeds],
        "parameters": chosen,
        "radii": [
            {name: report["scores"]["model"][name]["value"] for name in RADIUS_SCORES}
            for _, report in runs
        ],
        "by_intensity_of_seed_0": by_group(errors | {"model": of_seeds[0]}, strength, "intensity"),
        "prototype": PROTOTYPE[test],
    }


def detect_fold(
    store: ClipStore, test: str, work: Path, every: Sequence[TrainingSettings]
) -> dict[str, Any]:
    """Scores of the detectors and of the coldest 60-km mean on the storm left out."""
    split = split_of(store, DETECTION, test)
    runs = [
        train(detection_recipe, store, split, work / f"detect-{test}-{one.seed}", one)
        for one in every
    ]
    by_seed = [_values(report["scores"]["model"]) for _, report in runs]
    judged, report = runs[0]
    return {
        "clips": len(judged),
        "cyclones": int((judged["label"].to_numpy() == CYCLONE).sum()),
        "methods": {
            "model": {
                name: float(np.mean([scores[name] for scores in by_seed]))
                for name in DETECTION_SCORES
            },
            "coldest 60-km mean": _values(report["scores"]["coldest_60_km"]),
        },
        "model_by_seed": by_seed,
    }


def _values(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {name: scores[name]["value"] for name in DETECTION_SCORES}


def tracking_rows(folds: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a method, a column a storm: mean/median/90th percentile in km."""
    columns = {f"{test} (n = {fold['clips']})": fold for test, fold in folds.items()}
    methods = next(iter(folds.values()))["methods"]
    rows = [
        {"centre error, km": name}
        | {
            title: "/".join(f"{value:.0f}" for value in fold["methods"][name].values())
            for title, fold in columns.items()
        }
        for name in methods
    ]
    return rows + [
        {"centre error, km": f"prototype, {name}"}
        | {title: "/".join(map(str, fold["prototype"][name])) for title, fold in columns.items()}
        for name in ("net", "spiral", "cold")
    ]


def detection_rows(folds: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a method and storm."""
    return [
        {"storm": test, "clips": str(fold["clips"]), "cyclones": str(fold["cyclones"])}
        | {"method": name}
        | {score: f"{value:.3f}" for score, value in scores.items()}
        for test, fold in folds.items()
        for name, scores in fold["methods"].items()
    ]


def main() -> None:
    """Train the folds that are not there yet, print the tables, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path, help="where stores and runs go")
    parser.add_argument("--epochs", type=int, default=24, help="of 1024 clips")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    work, epochs = arguments.work, arguments.epochs
    work.mkdir(parents=True, exist_ok=True)
    paths = sorted(arguments.folder.glob("*.nc"))
    names, tracks = [path.stem for path in paths], best_tracks(paths)
    positions = store_of(TRACKING, "tracking", paths, work)
    presence = store_of(DETECTION, "detection", paths, work)
    every = [training_of(epochs, seed) for seed in range(arguments.seeds)]
    results: dict[str, Any] = {
        "epochs": epochs,
        "seeds": arguments.seeds,
        "tracking": {name: track_fold(positions, name, tracks, work, every) for name in names},
        "detection": {name: detect_fold(presence, name, work, every) for name in names},
    }
    title = f"one storm left out, seeds: {arguments.seeds}"
    show_table(tracking_rows(results["tracking"]), title=title)
    show_table(detection_rows(results["detection"]), title=title)
    RESULTS.joinpath("typhoon_folds.json").write_text(json.dumps(results, indent=1) + "\n")


def training_of(epochs: int, seed: int) -> TrainingSettings:
    """One validation, at the end."""
    return TrainingSettings(
        epochs=epochs, global_batch=16, seed=seed, ema_decay=0.995, evaluate_every=epochs
    )


if __name__ == "__main__":
    main()
