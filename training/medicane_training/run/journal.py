"""What can be watched of a run: metrics.jsonl, TensorBoard, a bar or lines, the closing table."""

import json
import logging
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from medicane_models.commands import with_progress
from medicane_models.errors import OutputError, require
from medicane_models.files import replacing, to_plain

__all__ = ["TIMES", "Display", "Journal", "peak_memory", "show_table"]

METRICS = "metrics.jsonl"
TIMES = ("seconds", "clips_per_second", "memory_mb")
"""What two runs of one recipe differ in."""

LINE_SECONDS = 30.0
log = logging.getLogger(__name__)
T = TypeVar("T")


class Journal:
    """``metrics.jsonl`` and TensorBoard of a run; a rank that does not write keeps silent."""

    def __init__(self, out: Path, *, writes: bool) -> None:
        self.path = out / METRICS
        self._board: Any = None
        if writes:
            require("tensorboard", "train")
        self._writes = writes

    def begin(self, *, lines: int, step: int) -> int:
        """Go on behind the first ``lines`` lines; what a run wrote after its checkpoint goes.

        Returns:
            How many there were of these; fewer where a checkpoint came without its journal.
        """
        if not self._writes:
            return lines
        kept = self.path.read_text("utf-8").splitlines(True) if self.path.is_file() else []
        with replacing(self.path) as temporary:
            temporary.write_text("".join(kept[:lines]), "utf-8")
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(self.path.with_name("tensorboard"), purge_step=step + 1)
        return len(kept[:lines])

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line; numbers that are not finite are null."""
        if not self._writes:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(to_plain(line)) + "\n")
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written ({error.strerror}); free space there and start the "
                "same command again"
            ) from error
        for name, value in line.items():
            if isinstance(value, int | float) and name not in ("step", "best"):
                self._board.add_scalar(f"{line['kind']}/{name}", value, line["step"])

    def show(self, picture: Path, step: int, *, name: str) -> None:
        """Put a picture on TensorBoard, behind those of the same name at earlier steps."""
        pixels = np.asarray(Image.open(picture).convert("RGB"))
        self._board.add_image(name, pixels, step, dataformats="HWC")

    def lines(self) -> list[dict[str, Any]]:
        """Everything so far."""
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def close(self) -> None:
        """Write what TensorBoard still holds back."""
        if self._board is not None:
            self._board.close()


class Display:
    """Tells on stderr how a run goes: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, *, on: bool) -> None:
        """Watch a run.

        Args:
            on: whether this rank may say anything.
        """
        self.on = on
        self._bar: Progress | None = None
        self._spoke = 0.0

    def say(self, text: str) -> None:
        """A line of its own."""
        if not self.on:
            return
        if self._bar is None:
            log.info("%s", text)
        else:
            self._bar.console.print(text, markup=False, highlight=False)

    def begin(self, total: int, done: int) -> None:
        """Show the steps of a run."""
        if self.on and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._training = self._bar.add_task("training", total=total, completed=done, note="")
        self._total = total
        self._spoke = time.monotonic()

    def step(self, done: int, loss: float, clips_per_second: float) -> None:
        """Tell of a step that is done."""
        note = f"loss {loss:.4g} · {clips_per_second:.3g} clips/s · {peak_memory():.0f} MB"
        if self._bar is not None:
            self._bar.update(self._training, completed=done, note=note)
        elif time.monotonic() - self._spoke > LINE_SECONDS:
            self._spoke = time.monotonic()
            self.say(f"step {done} of {self._total} · {note}")

    def counted(self, items: Iterable[T], total: int) -> Iterator[T]:
        """Pass batches of an evaluation on and show how many there were."""
        if self._bar is None:
            yield from with_progress(items, total, "judging") if self.on else items
            return
        task = self._bar.add_task("judging", total=total, note="")
        for item in items:
            yield item
            self._bar.advance(task)
        self._bar.remove_task(task)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def show_table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print records that share their columns, on stdout."""
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console().print(table)


def peak_memory() -> float:
    """Most megabytes that this process has held: of its GPU where it uses one, else resident."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
