"""The clips of a run: which train, which choose, which judge, and what reads them."""

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int

from medicane_models.errors import ConfigurationError
from medicane_models.files import replacing
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.times import TIME_FORMAT
from medicane_training.clips.dataset import ClipDataset, ClipLoader
from medicane_training.clips.nearness import GUARD_KM
from medicane_training.clips.sampling import (
    ClipSampler,
    Order,
    balanced,
    in_order,
    shuffled,
)
from medicane_training.clips.split_settings import split_by_settings
from medicane_training.clips.splits import GUARD_HOURS, PARTS, UNUSED, check_leaks, part_counts
from medicane_training.recipes.data_sections import DataSettings
from medicane_training.store import strata
from medicane_training.store.clip_store import ClipStore

__all__ = ["Clips"]


class Clips:
    """A clip store cut into training, validation and test.

    Attributes:
        store: where the clips are.
        processor: of the store.
        settings: of the recipe.
        part: of each row of the store's index one of :data:`clips.splits.PARTS`, or
            ``unused`` inside the guard.
    """

    def __init__(
        self,
        store: ClipStore,
        settings: DataSettings,
        *,
        seed: int,
        eligible: Bool[np.ndarray, " clips"] | None = None,
    ) -> None:
        """Cut the store, and stop where a part knows what another one asks.

        Args:
            store: where the clips are.
            settings: of the recipe; they and the store alone decide which part a clip is in.
            seed: of order and augmentation.
            eligible: rows that may be trained on or judged; None for all. The others keep their
                part, so that runs of different flows can share a split.

        Raises:
            ConfigurationError: if the split leaks, or leaves nothing to train or validate on.
        """
        self.store = store
        self.processor: MedicaneProcessor = store.processor
        self.settings = settings
        self.part = split_by_settings(store.clips, settings.split)
        if settings.least_wind_kt is not None:
            self._leave_out_weaker(settings.least_wind_kt)
        self._seed = seed
        self._eligible = np.full(len(self.part), True) if eligible is None else eligible
        self._check()

    def rows(self, part: str) -> Int[np.ndarray, " n"]:
        """Rows of the store's index that a part trains on or judges."""
        if part not in PARTS:
            raise ConfigurationError(f"no part is called {part!r}; choose {', '.join(PARTS)}")
        return np.flatnonzero((self.part == part).to_numpy() & self._eligible)

    def table(self, part: str) -> pd.DataFrame:
        """These rows of the store's index, on their numbers."""
        return self.store.clips.iloc[self.rows(part)]

    def counts(self) -> pd.DataFrame:
        """On the parts: ``clips, cyclones, storms, first, last`` (end), ``hours`` (with clips)."""
        counts = {}
        for part in PARTS:
            clips = self.table(part)
            hours = clips["end"].dt.floor("h").nunique()
            counts[part] = {**part_counts(clips), "hours": hours}
        return pd.DataFrame.from_dict(counts, orient="index")

    def training(self, *, global_batch: int, rank: int, world_size: int) -> ClipLoader:
        """Batches of a rank, each its share of one optimiser step.

        Args:
            global_batch: clips of a step over all ranks.
            rank: of this process.
            world_size: number of processes.

        Raises:
            ConfigurationError: if ranks cannot share a step evenly, or an epoch has no whole step.
        """
        if global_batch % world_size:
            raise ConfigurationError(
                f"training.global_batch {global_batch} cannot be shared evenly by {world_size} "
                f"processes; take a multiple of {world_size}, such as "
                f"{-(-global_batch // world_size) * world_size}, or other processes"
            )
        order, clips = self._order(), len(self.rows("train"))
        if global_batch > (drawn := len(order(0))):
            raise ConfigurationError(
                f"training.global_batch is {global_batch} and an epoch draws {drawn} clips from "
                f"{clips} for training; take a batch of at most {drawn}"
            )
        return self._loader(
            order,
            ClipDataset(
                self.store,
                augmentation=self.settings.augmentation,
                num_views=self.settings.num_views,
                seed=self._seed,
            ),
            batch_size=global_batch // world_size,
            even=True,
            rank=rank,
            world_size=world_size,
        )

    def evaluation(self, part: str, *, rank: int, world_size: int) -> ClipLoader:
        """Each clip of a part as it is, once in all ranks together."""
        return self._loader(
            in_order(self.rows(part)),
            ClipDataset(self.store),
            batch_size=self.settings.evaluation_batch,
            even=False,
            rank=rank,
            world_size=world_size,
        )

    @cached_property
    def true_rate(self) -> float:
        """Share of cyclones in all weather, by the weights of the training clips."""
        return strata.true_rate(self.table("train"))

    @property
    def guard_hours(self) -> float:
        """At least this lies between clips of different parts."""
        split = self.settings.split
        if split.by == "file":
            return 0.0
        return GUARD_HOURS if split.guard_hours is None else split.guard_hours

    @property
    def guard_km(self) -> float:
        """On local planes, at least this where it is not `guard_hours`."""
        given = self.settings.split.guard_km
        return GUARD_KM if given is None else given

    def save_split(self, path: str | Path) -> None:
        """Write the key and the part of every clip, for ``data.split.by file``."""
        table = self.store.clips[self.store.key].assign(part=self.part.to_numpy())
        with replacing(Path(path)) as temporary:
            table.to_csv(temporary, index=False, date_format=TIME_FORMAT)

    def _leave_out_weaker(self, wind_kt: float) -> None:
        if "wind_kt" not in self.store.clips:
            raise ConfigurationError(
                f"data.least_wind_kt is {wind_kt:g}, and no clip of {self.store.path} has a wind; "
                "set it to null"
            )
        weak = (self.store.clips["wind_kt"] < wind_kt).to_numpy() & (self.part != "test").to_numpy()
        self.part = self.part.mask(weak, UNUSED)

    def _order(self) -> Order:
        rows, settings = self.rows("train"), self.settings
        if settings.order == "shuffled":
            return shuffled(rows, seed=self._seed)
        index, shares = self.store.clips, settings.stratum_shares
        if settings.hard is not None and "coldness" not in index:
            raise ConfigurationError(
                f"data.hard is {settings.hard}, and the store has fixed tiles, of which nothing "
                "says how hard they are; set it to null"
            )
        samples = settings.samples or np.isin(index["stratum"].to_numpy()[rows], list(shares)).sum()
        return balanced(
            index,
            rows,
            samples=int(samples),
            seed=self._seed,
            shares=shares,
            storm_power=settings.storm_power or 0.0,
            datasets=settings.datasets,
            hard=settings.hard,
        )

    def _loader(
        self,
        order: Order,
        dataset: ClipDataset,
        *,
        batch_size: int,
        even: bool,
        rank: int,
        world_size: int,
    ) -> ClipLoader:
        sampler = ClipSampler(
            order, batch_size=batch_size, even=even, rank=rank, world_size=world_size
        )
        pin_memory = torch.cuda.is_available()
        return ClipLoader(dataset, sampler, workers=self.settings.workers, pin_memory=pin_memory)

    def _check(self) -> None:
        processor = self.processor
        check_leaks(
            self.store.clips,
            self.part,
            num_frames=processor.num_frames,
            cadence_minutes=processor.cadence_minutes,
            adjacent_hours=self.guard_hours,
            adjacent_km=self.guard_km,
        )
        counts = {part: len(self.rows(part)) for part in PARTS}
        if not (counts["train"] and counts["validation"]):
            dealt = self.part.value_counts()
            said = ", ".join(f"{counts[part]} of {dealt.get(part, 0)} for {part}" for part in PARTS)
            raise ConfigurationError(
                f"{self.store.path}: of the clips dealt out {said} can be used and "
                f"{dealt.get(UNUSED, 0)} lie in the guard; give more storms or days, or change "
                "data.split so that training and validation have some"
            )
