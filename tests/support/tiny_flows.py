"""Recipes of tiny models on a small store whose storms can be seen, for the tests of flows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from clip_stores import GRID, PROCESSOR, SETTINGS, TRACKS, frame_times, kelvin, scene

from medicane_training.flows.interface import Flow, Step
from medicane_training.recipes.data_sections import DataSettings, SplitSettings
from medicane_training.recipes.kinds import ClassificationRecipe, SpecializationRecipe
from medicane_training.recipes.sections import (
    ClassificationSettings,
    MaskingSettings,
    ModelSettings,
    OptimizerSettings,
    TrainingSettings,
)
from medicane_training.store.build import build_store
from medicane_training.store.clip_store import ClipStore

SIZES = {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 2, "mlp_hidden_dim": 96}
RADIUS_PX = 6
COLD_K = 205.0


def visible_store(folder: Path) -> Path:
    """The small store with cold discs where its storms are, and a split of it by storm.

    The first storm and the hours around it train, the second one's are the validation.
    """
    times = frame_times()
    values = 240 + (kelvin(times) - 200) / 2
    for storm in TRACKS.itertuples():
        x, y = GRID.lonlat_to_pixel(storm.lon, storm.lat)
        rows, columns = np.mgrid[: GRID.height, : GRID.width]
        disc = np.hypot(rows - y, columns - x) < RADIUS_PX
        hour = abs(times - storm.time) <= pd.Timedelta(minutes=45)
        values[np.ix_(hour)] = np.where(disc, COLD_K, values[np.ix_(hour)])
    path = folder / "s.zarr"
    store = build_store(
        [scene(times, values.astype(np.float32))],
        path,
        processor=PROCESSOR,
        tracks=TRACKS,
        settings=SETTINGS,
    )
    split(store, folder)
    return path


def split(store: ClipStore, folder: Path) -> None:
    """Morning trains, afternoon validates."""
    ends = store.clips["end"]
    part = np.where(ends < pd.Timestamp("2020-09-17 08:00"), "train", "unused")
    part = np.where(ends > pd.Timestamp("2020-09-17 09:00"), "validation", part)
    clips = store.clips[["end", "tile_x", "tile_y"]]
    clips.assign(part=part).to_csv(folder / "split.csv", index=False)


def common(store: Path, **data: Any) -> dict[str, Any]:
    """What recipes share."""
    by_file = SplitSettings(by="file", file=str(store.parent / "split.csv"))
    return {
        "model": ModelSettings(preset="tiny", changes=SIZES),
        "data": DataSettings(store=str(store), split=by_file, **{"augmentation": None, **data}),
        "optimizer": OptimizerSettings(lr=1e-3),
        "training": TrainingSettings(epochs=1, global_batch=8),
    }


def classification(store: Path, *, data: dict[str, Any] | None = None, **settings: Any):
    """A recipe with these settings of classification."""
    chosen = ClassificationSettings(**{"label_smoothing": 0.0, **settings})
    return ClassificationRecipe(classification=chosen, **common(store, **(data or {})))


def specialization(store: Path, **settings: Any):
    """A recipe with these settings of masking."""
    masking = MaskingSettings(**{"encoder": 0.75, "decoder": 0.5, **settings})
    return SpecializationRecipe(masking=masking, **common(store))


def step(number: int = 0, *, rank: int = 0, world_size: int = 1) -> Step:
    return Step(number=number, part=0, seed=0, rank=rank, world_size=world_size)


def train(flow: Flow[Any], model: torch.nn.Module, batch: Any, steps: int, lr: float = 2e-3):
    """Losses of steps on the same clips."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    losses = []
    for number in range(steps):
        loss = flow.loss(model, batch, step(number))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def judged(flow: Flow[Any], model: Any, judge: Callable[..., Any] | None = None) -> pd.DataFrame:
    """The table of the validation clips."""
    model.eval()
    tables = []
    with torch.no_grad():
        for batch in flow.clips.evaluation("validation", rank=0, world_size=1):
            columns = (judge or flow.judge)(model, batch)
            plain = {n: v if v.ndim == 1 else list(v) for n, v in columns.items()}
            tables.append(pd.DataFrame({"clip": batch.clip.numpy(), **plain}))
    return pd.concat(tables, ignore_index=True)
