"""What every command of the project shares: its form, its messages and its exit codes."""

import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from medicane_models.errors import ConfigurationError, MedicaneError

__all__ = [
    "Device",
    "DeviceOption",
    "Json",
    "Model",
    "OnnxDevice",
    "Out",
    "Overwrite",
    "Plot",
    "RuntimeName",
    "Task",
    "Tracker",
    "WeightsChoice",
    "command_line",
    "print_rows",
    "run",
    "with_progress",
]


def command_line(description: str) -> typer.Typer:
    """An empty command with the given description."""
    return typer.Typer(
        help=description,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )


def run(app: typer.Typer, package: str) -> None:
    """Run a command; a failed run prints one sentence and exits with 1, wrong use with 2.

    Args:
        app: what to run.
        package: whose log lines are shown, on stderr.
    """
    for name in {package, "medicane_models"}:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.handlers = [logging.StreamHandler(sys.stderr)]
    warnings.showwarning = _show_warning
    try:
        app()
    except (MedicaneError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print labels and texts on stdout: wrapped in columns on a terminal, else a line each."""
    width = max(len(label) for label, _ in rows)
    if not sys.stdout.isatty():
        for label, text in rows:
            typer.echo(f"{label:<{width}}  {text}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for label, text in rows:
        table.add_row(Text(label, style="bold"), Text(text))
    Console().print(table)


def _show_warning(message: Warning | str, *_: Any) -> None:
    typer.echo(f"Warning: {message}", err=True)


class Task(StrEnum):
    """What a model does."""

    PRETRAINING = "pretraining"
    CLASSIFICATION = "classification"
    TRACKING = "tracking"


class WeightsChoice(StrEnum):
    """Which set of weights of a training checkpoint."""

    AVERAGED = "averaged"
    LAST = "last"


class Device(StrEnum):
    """Where the models run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class OnnxDevice(StrEnum):
    """Where exported models run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class RuntimeName(StrEnum):
    """What runs the models."""

    TORCH = "torch"
    ONNX = "onnx"


Out = Annotated[Path, typer.Option("--out", help="Folder for the results, made if absent.")]
Model = Annotated[
    str,
    typer.Option("--model", help="Detector: a folder, an .onnx file, an embedded model or Hub id."),
]
Tracker = Annotated[str, typer.Option("--tracker", help="Tracker: likewise.")]
Plot = Annotated[bool, typer.Option("--plot/--no-plot", help="Draw a map for every clip.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results there.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="auto takes the GPU if any.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


T = TypeVar("T")


def with_progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass items on and show how many there were, on a terminal; elsewhere only pass them on."""
    if not sys.stderr.isatty():
        yield from items
    else:
        console = Console(stderr=True)
        yield from track(items, what, total=total, console=console, transient=True)
