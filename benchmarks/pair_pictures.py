"""Pictures of what the infrared pair does: its worst clips, whole scenes with the best track."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pair_scenes import SCENES, known_storms, opened

from medicane_models.network.averaging import average_tracking
from medicane_models.network.modeling import MedicaneForTracking
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.prediction.products import replacing_products
from medicane_models.times import utc
from medicane_training.clips.dataset import ClipDataset
from medicane_training.flows.provenance import data_kind
from medicane_training.scores.centres import (
    RADIUS_COLUMNS,
    JudgedCentres,
    classes_of_clips,
    coverage_by_group,
    error_km,
    radii_km,
)
from medicane_training.scores.intervals import weather_blocks
from medicane_training.scores.organisation import organisations
from medicane_training.scores.pictures import (
    draw_calibration,
    draw_centres,
    draw_errors,
    draw_precision_recall,
)
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.labels import CYCLONE
from medicane_training.store.plane_samples import UNNAMED

BATCH = 64
MOMENTS = (
    ("INSAT-3D, Amphan", "2020-05-18T06:00"),
    ("INSAT-3D full disks", "2018-10-09T14:00"),
    ("INSAT-3D full disks", "2021-05-15T23:00"),
)
"""Whole scenes that nobody trained on: Amphan at its strongest, Luban and Titli, Tauktae."""

TRACK_DAYS = pd.Timedelta(days=2)


def draw_gallery(store: ClipStore, judged: pd.DataFrame, path: Path, *, worst: int) -> pd.DataFrame:
    """The clips with the greatest errors, one a storm, with truth, fix and radii.

    Returns:
        What was drawn: storm, data set, wind, organisation, error.
    """
    storms = store.clips["storm"].iloc[judged["clip"]].str.removeprefix(UNNAMED).to_numpy(str)
    order = judged.assign(storm=storms).sort_values("error_km", ascending=False)
    chosen = order.drop_duplicates("storm").head(worst).reset_index(drop=True)
    rows = chosen["clip"].to_numpy(int)
    clips = store.clips.iloc[rows].reset_index(drop=True)
    told = clips[["dataset", "wind_kt"]].assign(organisation=organisations(store, rows))
    drawn = pd.concat([chosen, told, clips[["tile_x", "tile_y"]]], axis="columns")
    drawn["title"] = [_title(row) for row in drawn.to_dict("records")]
    codes = np.stack([store.read(int(row))[-1] for row in rows])
    draw_centres(codes, drawn, store.processor, store.grid, path)
    return drawn.loc[:, ["storm", "dataset", "wind_kt", "organisation", "error_km"]]


def judged_clips(store: ClipStore, model: MedicaneForTracking) -> pd.DataFrame:
    """What a tracker makes of every clip of a store with a cyclone, as in a run's tables."""
    dataset, clips, grid = ClipDataset(store), store.clips, store.grid
    rows = np.flatnonzero(clips["label"].to_numpy() == CYCLONE)
    tables = []
    for some in np.array_split(rows, -(-len(rows) // BATCH)):
        batch = dataset.__getitems__(some.tolist())
        with torch.no_grad():
            output = average_tracking(model, batch.pixel_values(store.processor)[0])
        tensors = (output.center, batch.center, output.covariance)
        found, truth, covariance = (tensor.double().numpy() for tensor in tensors)
        tiles = clips[["tile_x", "tile_y"]].to_numpy(float)[some]
        radii = radii_km(grid, tiles, found, covariance, model.config.radius_calibration)
        places = np.hstack([found, truth, radii])
        named = pd.DataFrame(places, columns=["x", "y", "true_x", "true_y", *RADIUS_COLUMNS])
        tables.append(named.assign(clip=some, error_km=error_km(grid, tiles, found, truth)))
    return pd.concat(tables, ignore_index=True)


def _title(row: dict) -> str:
    wind = "wind unknown" if np.isnan(row["wind_kt"]) else f"{row['wind_kt']:.0f} kt"
    return f"{row['storm']} · {row['dataset']}\n{wind}, {row['organisation']}"


def of_kind(store: ClipStore, judged: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Judged clips that are simulated, or real: only the former may be passed on."""
    kinds = [data_kind(store, np.array([clip])) or "real" for clip in judged["clip"]]
    return judged.loc[np.array(kinds) == kind]


def draw_scores(store: ClipStore, judged: pd.DataFrame, out: Path) -> None:
    """``calibration.png`` and ``errors.png`` of judged clips."""
    clips = store.clips.iloc[judged["clip"].to_numpy(int)]
    centres, classes = JudgedCentres.of(judged), classes_of_clips(clips)
    rows = coverage_by_group(centres, classes, weather_blocks(store, clips), "wind")
    draw_calibration(rows, out / "calibration.png")
    methods = {"model": centres.error_km} | {
        name.removeprefix("error of "): judged[name].to_numpy(float)
        for name in judged
        if str(name).startswith("error of ")
    }
    draw_errors(clips["wind_kt"].to_numpy(float), methods, out / "errors.png")


def draw_detections(planes: pd.DataFrame, threshold: float, out: Path) -> None:
    """``precision_recall.png`` of judged planes of whole scenes."""
    counted = planes.loc[planes["counts"]]
    found, truth = counted["probability"].to_numpy(float), counted["truth"].to_numpy(bool)
    draw_precision_recall(found, truth, threshold, out / "precision_recall.png")


def draw_maps(predictor: MedicanePredictor, data: Path, out: Path) -> Iterator[Path]:
    """Maps of whole scenes by what ``medicane predict`` writes, with the best tracks."""
    tracks = known_storms().tracks
    for name, moment in MOMENTS:
        time = utc(moment)
        scene = opened(SCENES[name], data, predictor)
        run = predictor.run(scene, start=time, end=time, every_minutes=30, pictures=True)
        folder = out / f"{time:%Y%m%d_%H%M}"
        with replacing_products(folder, overwrite=True) as writer:
            writer.add_truth(tracks.loc[abs(tracks["time"] - time) <= TRACK_DAYS])
            for clip in run:
                writer.add(clip, run)
            writer.write(run.link())
        yield folder
