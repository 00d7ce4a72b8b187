"""What a model was trained on: what travels with it, and what its card says of the data."""

from typing import Any

import numpy as np
from jaxtyping import Int

from medicane_models.network.configuration import SIMULATED, DataKind, MedicaneConfig
from medicane_training.clips.parts import Clips
from medicane_training.recipes.sections import ModelSettings
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.labels import CYCLONE
from medicane_training.store.selection import SETTINGS_FILE
from medicane_training.store.shards import ABSENT

__all__ = ["UNKNOWN", "clips_described", "data_kind", "trained_on", "training_data"]

UNKNOWN = "unknown"
"""A platform that nobody recorded."""

BEFORE = " Before that: "


def training_data(clips: Clips, model: ModelSettings, *, labelled: bool = True) -> dict[str, Any]:
    """The fields of a trained model's configuration that tell its data.

    What knows cyclones from simulation alone is of simulated data, however real the weather without
    one was.

    Args:
        clips: of which those for training count.
        model: what it started from.
        labelled: whether the labels taught anything.
    """
    rows = clips.rows("train")
    kind = data_kind(clips.store, rows)
    cyclones = rows[clips.store.clips["label"].to_numpy()[rows] == CYCLONE]
    if labelled and cyclones.size and data_kind(clips.store, cyclones) == SIMULATED:
        kind = SIMULATED
    return {"trained_on": trained_on(clips, model), "data_kind": kind}


def data_kind(store: ClipStore, clips: Int[np.ndarray, " n"]) -> DataKind | None:
    """Whether the frames of some clips are simulated, by their platforms.

    Returns:
        None where some frame's platform is not known and no other one is simulated.
    """
    names = set(_platforms(store, clips))
    if SIMULATED in names:
        return "simulated" if len(names) == 1 else "mixed"
    return None if UNKNOWN in names else "real"


def trained_on(clips: Clips, model: ModelSettings) -> str:
    """Clips, platforms, period, storms and split of the training, then those of the initial model.

    Data of which any part is simulated are called so.

    Args:
        clips: of which those for training count.
        model: what it started from.
    """
    table = clips.table("train")
    storms = table.loc[table["storm"] != "", "storm"].nunique()
    first, last = table["end"].min(), table["end"].max()
    platforms = _platforms(clips.store, clips.rows("train"))
    places = [_PLACES.get(name, name) for name in platforms]
    split = clips.settings.split
    seed = "" if split.by in ("dates", "file") else f", seed {split.seed or 0}"
    own = (
        f"{len(table)} clips of {' and '.join(places)}, {first:%Y-%m-%d} to {last:%Y-%m-%d}, "
        f"{storms} {'storm' if storms == 1 else 'storms'}; split by {split.by}{seed}."
    )
    return BEFORE.join([own, *(before for before in _before(model) if before != own)])


_PLACES = {SIMULATED: "SIMULATED scenes", UNKNOWN: "an unrecorded platform"}


def clips_described(clips: Clips) -> dict[str, Any]:
    """What a card says of the clips, ready for JSON.

    Returns:
        ``platforms`` and ``storms`` of the training; ``parts``, see `Clips.counts`; ``split``; and
        ``rule``, of the labels, None where there is none or it was not recorded.
    """
    train = clips.table("train")
    return {
        "platforms": _platforms(clips.store, clips.rows("train")),
        "storms": sorted(set(train["storm"]) - {""}),
        "parts": clips.counts().to_dict("index"),
        "split": {
            "by": clips.settings.split.by,
            "guard_hours": clips.guard_hours,
            **({"guard_km": clips.guard_km} if clips.processor.uses_planes else {}),
        },
        "rule": _rule(clips.store),
    }


def _rule(store: ClipStore) -> dict[str, Any] | None:
    if store.processor.uses_planes:
        return {"kind": "last_frame", **store.document(SETTINGS_FILE)}
    if store.tracks is None or not (store.path / SETTINGS_FILE).is_file():
        return None
    return store.document(SETTINGS_FILE).get("rule")


def _before(model: ModelSettings) -> list[str]:
    """What the initial model was trained on, newest first."""
    if model.init is None:
        return []
    known = MedicaneConfig.from_pretrained(model.init, revision=model.init_revision).trained_on
    return known.split(BEFORE) if known else []


def _platforms(store: ClipStore, clips: Int[np.ndarray, " n"]) -> list[str]:
    """Of all frames of clips, as the frames' sources name them before the colon."""
    frames = np.unique(store.rows[clips])
    sources = store.frames["source"].iloc[frames[frames != ABSENT]].unique()
    names = [str(source).partition(": ") for source in sources]
    found = {name for platform, colon, _ in names for name in platform.split(", ") if colon}
    unnamed = {UNKNOWN} if not all(platform and colon for platform, colon, _ in names) else set()
    return sorted((found | unnamed) - {""}, key=lambda name: (name != SIMULATED, name))
