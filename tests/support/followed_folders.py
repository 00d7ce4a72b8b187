"""Folders that frames of a cold spot on its way arrive in, and what following them writes."""

import threading
from pathlib import Path

from cold_spots import predictor

from medicane_models.prediction.follow import Follower

FRAMES = 14  # of 5 min from 00:00 on; clips of 4 end every 15 min and at the newest frame
CLIPS = 6
TABLES = ("detections.csv", "tracks.csv", "forecasts.csv")


def arrive(there: Path, *paths: Path) -> None:
    for path in paths:
        (there / path.name).write_bytes(path.read_bytes())


def once(there: Path, out: Path, *, stop: threading.Event | None = None, **options):
    """A round of a process that has just started."""
    settings = {"products": {"plot": False}, "every_minutes": 15, "patience_seconds": 0.0}
    follower = Follower(predictor(), [there], out, **(settings | options))
    return follower.round(stop or threading.Event())


def tables(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}
