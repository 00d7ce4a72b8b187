"""Recipes of the infrared pair: what is drawn how often, and what the detector does otherwise."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medicane_training.recipes.kinds import Recipe, TrackingRecipe
from medicane_training.recipes.loading import load_recipe
from medicane_training.store.clip_store import ClipStore

LICENSE = (
    "other:research-use-only "
    "<https://github.com/medicane-models/medicane-models/blob/main/docs/licences.md>"
)
"""Some of the pictures are for research alone."""
SHARES = {
    "hursat_png": 0.3,
    "simulated": 0.22,
    "cwb_ir1": 0.2,
    "himawari_ir_png": 0.1,
    "insat3d_storms": 0.08,
    "typhoon_ir_hourly": 0.06,
    "storms_single": 0.02,
}
"""Of what is drawn in training; the rest is hardly drawn."""
DETECTION_SHARES = SHARES | {"himawari_ir_png": 0.2, "simulated": 0.1, "north_indian_ir": 0.1}
"""Nearly all weather without a cyclone is of these three; the real is what matters."""
LEAST_SHARE = 0.01
DETECTION = {
    "model.changes.newest_only": "true",
    "data.least_wind_kt": 25.0,
    "optimizer.lr": 1e-3,
    "training.epochs": 12,
    "training.ema_decay": 0.99,
    "classification.select_by": "loss",
    "classification.deployment_rate": 0.006,
}
"""Of all planes, hours and seasons six in a thousand show a cyclone: by IBTrACS of 1990–2022, 1.8
storms of 25 kt and more are within 50° of the equator at a time. Real weather without a cyclone
has one frame a clip, as most real storms have, and simulated weather has four: how many there are
must tell nothing. Disturbances that nobody calls a cyclone teach nothing either, and the tracker's
features are good already."""
FRACTIONS = "[0.8, 0.2, 0.0]"


def tracking_recipe(options: argparse.Namespace, split: Mapping[str, Any]) -> TrackingRecipe:
    """The tracker's recipe, on a split that leaves the test storms out."""
    changes = [*settings_of(options, split), *options.changes]
    recipe = load_recipe(
        "track",
        name="infrared-tracker",
        changes=changes,
        store=str(options.store),
        seed=options.seed,
    )
    assert isinstance(recipe, TrackingRecipe)
    return recipe


def detection_recipe(
    options: argparse.Namespace, split: Mapping[str, Any], tracker: Path
) -> Recipe:
    """The detector's, which starts from a tracker."""
    changes = [
        *settings_of(options, split, DETECTION_SHARES),
        *(f"{name}={value}" for name, value in DETECTION.items()),
        *options.detection,
    ]
    return load_recipe(
        "classify",
        name="infrared-detector",
        changes=changes,
        store=str(options.store),
        init=str(tracker),
        seed=options.seed,
    )


def settings_of(
    options: argparse.Namespace, split: Mapping[str, Any], of: Mapping[str, float] = SHARES
) -> list[str]:
    """What all recipes of the pair set alike, but for the shares of data sets."""
    datasets = sorted(set(ClipStore(options.store).clips["dataset"]))
    shares = {name: of.get(name, LEAST_SHARE) for name in datasets}
    parts = {"test_storms": options.test_storms, **split}
    settings = {
        "model.license": LICENSE,
        "engine.precision": "bf16",
        "data.datasets": json.dumps(shares),
        **{f"data.split.{name}": value for name, value in parts.items()},
    }
    if options.epochs is not None:
        settings["training.epochs"] = options.epochs
    return [f"{name}={value}" for name, value in settings.items()]
