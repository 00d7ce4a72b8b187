"""Where following a folder stands, in one line for people and as JSON for machines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

__all__ = ["Status"]


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where following stands, as ``status.json`` has it.

    Attributes:
        state: "judging" within a round, "waiting" for the next one, "ended".
        updated: when this was written, UTC.
        last_round: when the last round of this process ended; None before that.
        next_round: when the next one begins; None if none does.
        newest_frame: time of the newest frame that arrived.
        hours: how many are judged, of all rounds.
        judged: how many were in the last round.
        pending: how many are to be judged.
        skipped: hours that could not be judged, by the end of their clip, and why.
        waiting: files that cannot be read yet, and why.
        refused: files that cannot be read and are left alone until they change, and why.
    """

    state: Literal["judging", "waiting", "ended"]
    updated: pd.Timestamp
    last_round: pd.Timestamp | None
    next_round: pd.Timestamp | None
    newest_frame: pd.Timestamp | None
    hours: int
    judged: int
    pending: int
    skipped: Mapping[str, str]
    waiting: Mapping[str, str]
    refused: Mapping[str, str]

    def __str__(self) -> str:
        """The heartbeat: one line."""
        newest = "none" if self.newest_frame is None else f"{self.newest_frame:%Y-%m-%d %H:%M}"
        then = "none" if self.next_round is None else f"{self.next_round:%H:%M:%S}"
        return (
            f"{self.updated:%Y-%m-%d %H:%M:%S} UTC: hours judged {self.judged}, in all "
            f"{self.hours}, skipped {len(self.skipped)}; newest frame {newest}; files waiting "
            f"{len(self.waiting)}, refused {len(self.refused)}; next round {then}"
        )
