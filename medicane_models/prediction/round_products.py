"""The products of a followed folder, written anew after each round that judged other hours."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from medicane_models.domain import Grid
from medicane_models.errors import CheckpointError
from medicane_models.fields import json_object
from medicane_models.files import write_json
from medicane_models.prediction.detections import Detections
from medicane_models.prediction.judged_hours import JudgedHour, JudgedHours
from medicane_models.prediction.linking import LinkSettings
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.prediction.publishing import updating_products
from medicane_models.prediction.results import detections_of, settings_of_links, tracks_of
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.readers.recording import union_of
from medicane_models.times import TIME_FORMAT, utc

__all__ = ["RoundProducts"]

SHOWN_HOURS = 120  # the newest, which the page and films have pictures of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PastJudge:
    """What is to be known of runs that have ended."""

    told: Mapping[str, Any]
    processor: MedicaneProcessor
    link_settings: LinkSettings

    @property
    def grid(self) -> Grid:
        """Of the scene."""
        return Grid.from_dict(self.told["scene"]["grid"])

    def provenance(self) -> Mapping[str, Any]:
        """Scene, models, settings and software, ready for JSON."""
        return self.told


@dataclass(frozen=True, kw_only=True)
class RoundProducts:
    """What is shown of all hours that were judged, in whatever round.

    Attributes:
        out: where products go.
        known: the file that tells which hours they show.
        folders: that are followed.
        predictor: with its models.
        chosen: of `ProductWriter`.
    """

    out: Path
    known: Path
    folders: Sequence[Path]
    predictor: MedicanePredictor
    chosen: Mapping[str, Any]

    @property
    def need_pictures(self) -> bool:
        """Whether clips are to come with pictures."""
        return any(self.chosen.get(name) for name in ("plot", "report", "animate"))

    def publish(self, judged: JudgedHours, *, complete: bool) -> None:
        """Link all hours, and write the products if they show others."""
        published = _published(self.known)
        hours = list(judged)
        digests = {hour.clip.end.isoformat(): list(hour.digests) for hour in hours}
        current = {"complete": complete, "hours": digests}
        if current == published or not any(len(hour.clip.table) for hour in hours):
            return
        detections = self._linked(hours, complete=complete)
        old = {end for end in digests if digests[end] == published["hours"].get(end)}
        with updating_products(self.out, kept=[utc(end) for end in old], **self.chosen) as writer:
            for hour in (hour for hour in hours if hour.provenance):  # others could not be opened
                take = writer.take_pictures if hour.clip.end.isoformat() in old else writer.add
                take(judged.with_pictures(hour), self._judge_of(hour.provenance))
            writer.write(detections)
        write_json(self.known, current)
        shown = SHOWN_HOURS if writer.report or writer.animate else 0
        for hour in hours[: len(hours) - shown]:
            judged.forget_pictures(hour.clip.end)

    def _judge_of(self, told: Mapping[str, Any]) -> PastJudge:
        return PastJudge(
            told=told,
            processor=self.predictor.processor,
            link_settings=settings_of_links(self.predictor.threshold),
        )

    def _linked(self, hours: Sequence[JudgedHour], *, complete: bool) -> Detections:
        """All hours as one result."""
        judge = self._judge_of(self._provenance(hours, complete=complete))
        tables = [hour.clip.table for hour in hours if len(hour.clip.table)]
        table = pd.concat(tables, ignore_index=True)
        predictor, settings = self.predictor, judge.link_settings
        models = [model for model in (predictor.detector, predictor.tracker) if model]
        return detections_of(
            table,
            tracks_of(table, grid=judge.grid, settings=settings, models=models),
            skipped=[skip for hour in hours for skip in hour.clip.skipped],
            provenance=judge.provenance(),
        )

    def _provenance(self, hours: Sequence[JudgedHour], *, complete: bool) -> dict[str, Any]:
        """That of the newest hour, as if its run had judged all of them."""
        runs = [hour.provenance for hour in hours if hour.provenance]
        times = sorted({time for hour in hours for time in hour.times if time is not None})
        scene = {
            **runs[-1]["scene"],
            "first_frame": times[0].isoformat(),
            "last_frame": times[-1].isoformat(),
            "frames": len(times),
            "source": f"{len(times)} frames of {', '.join(map(str, self.folders))}",
            "grid": _union([run["scene"]["grid"] for run in runs]),
        }
        created = pd.Timestamp.now("UTC").strftime(TIME_FORMAT)
        return {**runs[-1], "complete": complete, "created": created, "scene": scene}


def _published(path: Path) -> dict[str, Any]:
    """What the products show; nothing where that is not known, so that they are written again."""
    published: dict[str, Any] = {"hours": {}}
    try:
        published |= json_object(path) if path.exists() else {}
    except CheckpointError as error:
        log.warning("%s; the products are written again", error)
    return published if isinstance(published["hours"], dict) else {"hours": {}}


def _union(grids: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What holds all grids, on the lattice of the first."""
    known = {Grid.from_dict(grid) for grid in grids}
    first = Grid.from_dict(grids[0])
    return (first if known == {first} else union_of(first, known)).to_dict()
