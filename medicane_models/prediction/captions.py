"""What maps and pages say of a scene and the models, from the provenance of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from medicane_models.maps.wording import GUESSED, period_text
from medicane_models.scenes.instruments import imager_of

__all__ = ["COLOURS", "caution_of", "models_line", "period_of", "picture_kelvin", "scene_name"]

COLOURS = 3  # bands of a picture in colour
NOT_REAL = "simulated scene: not real weather"


def scene_name(told: Mapping[str, Any]) -> str:
    """The satellite or, where that is not told, the imager or product."""
    platform: str = told["scene"]["platform"]
    imager = imager_of(told["scene"]["sensor"])
    unnamed = imager.title.split(" (")[0] if imager else "Satellite unknown"
    return {"simulated": "Simulated scene", "unknown": unnamed}.get(platform, platform)


def models_line(told: Mapping[str, Any]) -> str:
    """The detector and, if there is one, the tracker, with their revisions."""
    models = [told[role] for role in ("detector", "tracker") if told[role]]
    labels = [f"{m['name']}@{m['revision']}" if m["revision"] else m["name"] for m in models]
    return f"found by {' and '.join(labels)}"


def caution_of(told: Mapping[str, Any], *, shows_kelvin: bool = False) -> str | None:
    """What a reader must know of the scene and the models, and of temperatures that are shown."""
    scene = told["scene"]
    simulated = NOT_REAL if scene["platform"] == "simulated" else None
    guessed = GUESSED if shows_kelvin and scene.get("calibration") == "grey" else None
    return "; ".join(filter(None, (simulated, guessed, told["warning"]))) or None


def picture_kelvin(bands: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """What pictures show as black and as white; None if that is no temperature of one channel."""
    if len(bands) == COLOURS or bands[0]["minus"] is not None:
        return None
    return bands[0]["low"], bands[0]["high"]


def period_of(table: pd.DataFrame) -> str:
    """From the first clip of a table of detections to the last."""
    return period_text(pd.DatetimeIndex(table["time"].unique()))
