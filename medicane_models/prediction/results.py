"""What was found in all clips of a run as one result: linked tracks, and forecasts of them."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from medicane_models.domain import Grid
from medicane_models.prediction.detections import Detections
from medicane_models.prediction.extrapolation import extrapolated
from medicane_models.prediction.lifetimes import renamed
from medicane_models.prediction.linking import LinkSettings, link_detections
from medicane_models.prediction.models import ModelDescription
from medicane_models.scenes.clips import SkippedClip

__all__ = ["detections_of", "settings_of_links", "tracks_of"]

CONTINUE = 0.6  # a tile is worth a centre from this share of the threshold on


def settings_of_links(threshold: float) -> LinkSettings:
    """Tracks start at a threshold and continue a little under it."""
    return LinkSettings(start_probability=threshold, continue_probability=CONTINUE * threshold)


def tracks_of(
    table: pd.DataFrame,
    *,
    grid: Grid,
    settings: LinkSettings,
    models: Iterable[ModelDescription],
) -> pd.DataFrame:
    """What the rows of a table link into; tracks of untrained models are called so."""
    tracks = link_detections(table, grid=grid, settings=settings)
    return tracks if all(model.trained for model in models) else renamed(tracks, "untrained-{}")


def detections_of(
    table: pd.DataFrame,
    tracks: pd.DataFrame,
    *,
    skipped: Iterable[SkippedClip],
    provenance: Mapping[str, Any],
) -> Detections:
    """The result that a table and its tracks are, with forecasts."""
    return Detections(
        table=table,
        tracks=tracks,
        forecasts=extrapolated(tracks),
        skipped=tuple(skipped),
        provenance=provenance,
    )
