"""What was found in one clip, and what is to be known of the run that found it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd

from medicane_models.domain import Grid
from medicane_models.prediction.close_ups import CloseUp
from medicane_models.prediction.detections import DETECTION_COLUMNS
from medicane_models.prediction.linking import LinkSettings
from medicane_models.scenes.clips import SkippedClip
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = ["DetectedClip", "Judge"]


@dataclass(frozen=True, kw_only=True)
class DetectedClip:
    """What was found in one clip.

    Attributes:
        end: its last time, UTC.
        newest_time: when the newest of its frames was taken, UTC; earlier than ``end`` if the last
            is missing, None if nothing of the clip could be judged.
        table: one row a tile, the columns DETECTION_COLUMNS.
        skipped: the clip, or the tiles of it, that could not be judged.
        planes: the tiles of the table's rows where they are local planes, else None.
        picture: the newest frame, (H, W, 3) in 0…1 with NaN for missing; None if nothing could be
            judged, or the run makes no pictures.
        close_ups: what is seen of the newest frame around its cyclones; none without pictures.
    """

    end: pd.Timestamp
    newest_time: pd.Timestamp | None
    table: pd.DataFrame
    skipped: tuple[SkippedClip, ...]
    planes: tuple[Grid, ...] | None = None
    picture: np.ndarray | None = None
    close_ups: tuple[CloseUp, ...] = ()

    @classmethod
    def skipped_whole(cls, end: pd.Timestamp, skipped: tuple[SkippedClip, ...]) -> Self:
        """One of which nothing could be judged."""
        table = pd.DataFrame(columns=list(DETECTION_COLUMNS))
        return cls(end=end, newest_time=None, table=table, skipped=skipped)


@runtime_checkable
class Judge(Protocol):
    """What is to be known of a run beside the clips that it judged."""

    @property
    def grid(self) -> Grid:
        """Of the scene."""
        ...

    @property
    def processor(self) -> MedicaneProcessor:
        """How the scene became clips."""
        ...

    @property
    def link_settings(self) -> LinkSettings:
        """How tracks are linked."""
        ...

    def provenance(self) -> Mapping[str, Any]:
        """Scene, models, settings and software, ready for JSON."""
        ...
