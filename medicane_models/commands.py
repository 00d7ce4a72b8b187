"""What every command of the project shares: its form, its messages and its exit codes."""

import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import typer

from medicane_models.errors import ConfigurationError, MedicaneError

__all__ = ["command_line", "print_rows", "run"]


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
