"""A run, put together from its parts and set to where it goes on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medicane_models.network.base import LoadReport, MedicaneModel
from medicane_models.signals import Interrupts
from medicane_training.clips.dataset import ClipLoader
from medicane_training.engines.choice import make_engine
from medicane_training.engines.interface import Engine
from medicane_training.engines.optim import Rates
from medicane_training.flows.interface import Flow
from medicane_training.ranks import Ranks
from medicane_training.run.checkpoint import RunProgress, read_progress
from medicane_training.run.curves import CAN_DRAW
from medicane_training.run.folder import RunFolder, on_main
from medicane_training.run.journal import Display, Journal

__all__ = ["Training", "engine_and_loader", "wire"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a run consists of. Only the engine, the loader and `progress` change."""

    flow: Flow[Any]
    engine: Engine
    ranks: Ranks
    loader: ClipLoader
    steps_per_epoch: int
    folder: RunFolder
    journal: Journal
    display: Display
    interrupts: Interrupts
    progress: RunProgress

    @property
    def total_steps(self) -> int:
        """Of the whole run, if patience does not end it."""
        return self.steps_per_epoch * self.flow.recipe.training.epochs

    @property
    def is_through(self) -> bool:
        """Whether the last epoch or the end of patience is reached."""
        settings = self.flow.recipe.training
        patient = settings.patience is None or self.progress.waited < settings.patience
        return self.progress.epoch >= settings.epochs or not patient

    @contextmanager
    def watched(self, source: Path | None, command: Sequence[str]) -> Iterator[None]:
        """Go on from a checkpoint, or begin, and let the run be watched. Called on all ranks."""
        if source is not None:
            self._load(source)  # before anything is written, since it may be refused
        folder, say = self.folder, self.display.say
        checkpoint = on_main(lambda: folder.begin(source, command, say), self.ranks)
        on_main(lambda: self.flow.clips.save_split(folder.path / "split.csv"), self.ranks)
        if not CAN_DRAW:
            self.display.say(
                'curves.png is left out; to have it run: pip install "medicane-models[plots]"'
            )
        if checkpoint is not None:
            self._go_on_behind(checkpoint)
            self.display.say(f"going on from {checkpoint}")
        else:
            self.journal.begin(lines=0, step=0)
            if self.flow.recipe.training.non_finite == "roll_back":
                self.save()  # to go back to
        self.display.begin(self.total_steps, self.progress.step)
        try:
            yield
        finally:
            self.display.end()
            self.journal.close()

    def save(self) -> Path:
        """A checkpoint of the run as it is. Called on all ranks."""
        return self.folder.checkpoints.save(self.engine, self.progress)

    def restore(self, checkpoint: Path) -> None:
        """Go back to a checkpoint. Called on all ranks."""
        self._load(checkpoint)
        self._go_on_behind(checkpoint)

    def _load(self, checkpoint: Path) -> None:
        if changes := self.engine.load(checkpoint):
            self.display.say(changes)

    def _go_on_behind(self, checkpoint: Path) -> None:
        """Count from where a checkpoint of this folder was saved."""
        progress = read_progress(checkpoint)
        if progress.best and not self.folder.holds(progress.best, self.flow.selects):
            self.display.say(
                f"the best checkpoint before {checkpoint} is not at hand or was chosen by another "
                "score; validation chooses anew"
            )
            progress.best, progress.waited = None, 0
        vars(self.progress).update(vars(progress))
        self.loader.load_state_dict(progress.loader)
        self.progress.lines = self.journal.begin(lines=progress.lines, step=progress.step)


def wire(
    flow: Flow[Any], folder: RunFolder, ranks: Ranks, display: Display, interrupts: Interrupts
) -> Training:
    """A run at its beginning. Called on all ranks."""
    engine, loader = engine_and_loader(flow, ranks, display)
    return Training(
        flow=flow,
        engine=engine,
        ranks=ranks,
        loader=loader,
        steps_per_epoch=len(loader),
        folder=folder,
        journal=Journal(folder.path, writes=ranks.is_main),
        display=display,
        interrupts=interrupts,
        progress=RunProgress(loader=loader.state_dict()),
    )


def engine_and_loader(flow: Flow[Any], ranks: Ranks, display: Display) -> tuple[Engine, ClipLoader]:
    """What carries out a recipe's steps, and what feeds it. Called on all ranks."""
    recipe = flow.recipe
    settings = recipe.training
    loader = flow.clips.training(
        global_batch=settings.global_batch, rank=ranks.rank, world_size=ranks.world_size
    )
    torch.manual_seed(settings.seed)
    model, report = flow.make_model()
    tell(flow, model, report, display)
    lr = recipe.optimizer.highest_lr(settings.global_batch)
    rates = Rates(recipe.optimizer, lr, len(loader), settings.epochs)
    return make_engine(model, recipe, ranks, rates), loader


def tell(
    flow: Flow[Any], model: MedicaneModel, report: LoadReport | None, display: Display
) -> None:
    """Say what is trained on, and what is trained."""
    display.say(f"clips of {flow.recipe.data.store}:\n{flow.clips.counts().to_string()}")
    origin = flow.recipe.model.init
    display.say("random weights" if report is None else f"{origin}: {report}")
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    display.say(f"{total / 1e6:.2f} M parameters, {trained / 1e6:.2f} M of them trained")
