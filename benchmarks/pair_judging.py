"""How a tracker of the infrared pair is judged: beside others, guided, on changed pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from medicane_models.files import replacing
from medicane_models.network.averaging import average_tracking
from medicane_models.network.modeling import MedicaneForTracking
from medicane_models.prediction.refinement import HeatMaps, HeatMapTrust
from medicane_models.verification.scores import precision_recall_area, roc_area
from medicane_training.clips.batches import ClipBatch
from medicane_training.clips.dataset import ClipDataset
from medicane_training.flows.tracking import TrackingFlow
from medicane_training.scores.detection import coldness
from medicane_training.scores.first_guess import first_guess_errors
from medicane_training.scores.intervals import (
    score_text,
    weather_blocks,
    with_intervals,
)
from medicane_training.scores.robustness import CHANGES, Change, changed_codes, changed_errors
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.labels import CYCLONE

PLAIN = "plain net"
BATCH = 64


def aligned(others: pd.DataFrame, clips: pd.DataFrame) -> np.ndarray:
    """Errors of another model on the same clips, which another store may number otherwise."""
    name = ["sample", "tile_x", "tile_y"]
    asked = pd.MultiIndex.from_frame(clips.loc[:, name])
    return others.set_index(name)["error_km"].reindex(asked).to_numpy(float)


def presence_scores(store: ClipStore, judged: pd.DataFrame) -> dict[str, Any]:
    """How well cyclones are told from other weather, beside the coldest 60 km."""
    clips = judged["clip"].to_numpy(int)
    index = store.clips.iloc[clips]
    truth, blocks = index["label"].to_numpy() == CYCLONE, weather_blocks(store, index)
    rankings = {PLAIN: judged["presence"].to_numpy(float), "coldest 60 km": coldness(store, clips)}

    def areas(ranking: np.ndarray) -> Mapping[str, Any]:
        return with_intervals(
            lambda rows: {
                "roc_area": roc_area(ranking[rows], truth[rows]),
                "pr_area": precision_recall_area(ranking[rows], truth[rows]),
            },
            blocks,
        )

    counts = {"clips": len(truth), "cyclones": int(truth.sum())}
    return {"counts": counts, "scores": {name: areas(one) for name, one in rankings.items()}}


def guided_errors(store: ClipStore, run: Path, judged: pd.DataFrame) -> dict[str, np.ndarray]:
    """Errors of drawn first guesses and of what a fold's model makes of them; kept beside it."""
    path = run / "first_guess.parquet"
    if not path.is_file():
        model, dataset = MedicaneForTracking.from_pretrained(run), ClipDataset(store)
        clips = judged["clip"].to_numpy(int)
        maps = [
            mean_map(model, dataset.__getitems__(some.tolist()), store)
            for some in np.array_split(clips, -(-len(clips) // BATCH))
        ]
        errors = first_guess_errors(
            HeatMaps.of(model.config, np.concatenate(maps)),
            judged[["true_x", "true_y"]].to_numpy(float),
            km_per_px=store.processor.grid.x_step / 1000,
            trust=HeatMapTrust.of(model.config),
        )
        with replacing(path) as temporary:
            pd.DataFrame({name: list(values) for name, values in errors.items()}).to_parquet(
                temporary
            )
    kept = pd.read_parquet(path)
    return {str(name): np.stack(kept[name].to_list()) for name in kept}


def mean_map(model: MedicaneForTracking, batch: ClipBatch, store: ClipStore) -> np.ndarray:
    """The heat maps of clips as they are."""
    with torch.no_grad():
        found = average_tracking(model, batch.pixel_values(store.processor)[0])
    assert found.heatmap is not None  # the recipe's head has them
    return found.heatmap.numpy()


def changes(flow: TrackingFlow, model: MedicaneForTracking) -> list[dict[str, Any]]:
    """How much the median error of test and validation clips grows with changed pictures."""
    store = flow.clips.store
    rows = np.concatenate([flow.clips.rows(part) for part in ("test", "validation")])
    blocks = weather_blocks(store, store.clips.iloc[rows])
    plain = errors_of(flow, model, rows, None)
    return [
        {"change": name, **changed_errors(plain, errors_of(flow, model, rows, change), blocks)}
        for name, change in CHANGES.items()
    ]


def errors_of(
    flow: TrackingFlow, model: MedicaneForTracking, rows: np.ndarray, change: Change | None
) -> np.ndarray:
    """Kilometres of clips whose pictures are changed; None judges them as they are."""
    errors, dataset = [], ClipDataset(flow.clips.store)
    for some in np.array_split(rows, -(-len(rows) // BATCH)):
        batch = dataset.__getitems__(some.tolist())
        if change is not None:
            codes = changed_codes(batch.codes, flow.clips.processor, change)
            batch = replace(batch, codes=codes)
        with torch.no_grad():
            errors.append(flow.judge_released(model, batch)["error_km"])
    return np.concatenate(errors).astype(float)


def printed_changes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows to print."""
    scores = {"plain_km": "as it is", "changed_km": "changed", "percent": "percent"}
    return [
        {name: str(row[name]) for name in ("change", "clips", "storms")}
        | {title: score_text(row[name], ".1f") for name, title in scores.items()}
        for row in rows
    ]


def printed_scenes(told: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a count or score, a column a scene."""
    kinds = [("counts", str), ("scores", lambda score: score_text(score, ".2f"))]
    return [
        {"": name, **{scene: form(found[kind][name]) for scene, found in told.items()}}
        for kind, form in kinds
        for name in told["all"][kind]
    ]
