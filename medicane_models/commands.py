"""What every command of the project shares: its form, its options, its messages, its exit codes.

Names of files, models and folders, times and domains are looked at when the command line is read,
before anything heavy is imported.
"""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from medicane_models.checks import (
    check_box,
    check_detector,
    check_extent,
    check_folder,
    check_present,
    check_time,
    check_tracker,
)
from medicane_models.choices import OnnxDevice, RuntimeName
from medicane_models.errors import (
    ConfigurationError,
    MedicaneError,
    MissingExtraError,
    exit_code,
    naming_extras,
    require,
)
from medicane_models.files import json_text
from medicane_models.hub import check_name
from medicane_models.scenes.readers.file_names import check_reader
from medicane_models.versions import DISTRIBUTION, installed

__all__ = [
    "DEVICE",
    "END",
    "OUT",
    "SEED",
    "START",
    "Animate",
    "AnyDevice",
    "Domain",
    "End",
    "Extent",
    "Json",
    "Model",
    "ModelName",
    "Out",
    "Overwrite",
    "Plot",
    "Reader",
    "Report",
    "Revision",
    "RuntimeChoice",
    "Scenes",
    "Seed",
    "Start",
    "Threads",
    "Tracker",
    "TrackerRevision",
    "checked",
    "command_line",
    "parsed_settings",
    "print_json",
    "print_rows",
    "run_program",
    "say",
    "will_plot",
    "will_report",
    "with_progress",
]


T = TypeVar("T")


def command_line(program: str, description: str) -> typer.Typer:
    """An empty command of the given name and description, which tells its version."""
    app = typer.Typer(
        help=description,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def program_options(
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                callback=_print_version(program),
                is_eager=True,
                help="Print the version and exit.",
            ),
        ] = False,
    ) -> None: ...

    return app


def run_program(app: typer.Typer, package: str, *, extra: str = "torch") -> None:
    """Run a command; an error prints one sentence, see `exit_code` for what it exits with.

    Args:
        app: what to run.
        package: whose log lines are shown, on stderr.
        extra: that brings all its commands need.
    """
    for name in {package, "medicane_models"}:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.handlers = [logging.StreamHandler(sys.stderr)]
    warnings.showwarning = _show_warning
    try:
        with naming_extras(extra):
            app()
    except (MedicaneError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(exit_code(error))


def _print_version(program: str) -> Callable[[bool], bool]:
    def show(asked: bool) -> bool:
        if asked:
            typer.echo(f"{program} {installed(DISTRIBUTION) or 'of a source tree, not installed'}")
            raise typer.Exit
        return asked

    return show


def parsed_settings(pairs: Sequence[str], known: Sequence[str], *, of: str) -> dict[str, Any]:
    """What --set gives as key=value; values are JSON where they can be, text otherwise.

    Raises:
        ConfigurationError: if one has another form, or a key that is not known of it.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"--set is {pair!r}; write it as key=value")
        if key not in known:
            raise ConfigurationError(
                f"--set {pair} names no setting of {of}; choose from {', '.join(sorted(known))}"
            )
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print labels and texts on stdout: wrapped in columns on a terminal, else a line each."""
    width = max(len(label) for label, _ in rows)
    if not sys.stdout.isatty():
        for label, text in rows:
            typer.echo(f"{label:<{width}}  {text}")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for label, text in rows:
        table.add_row(Text(label, style="bold"), Text(text))
    Console().print(table)


def print_json(result: Any) -> None:
    """Print a result on stdout as strict JSON."""
    typer.echo(json_text(result))


def say(text: str | None) -> None:
    """Tell a person something on stderr, where it is no part of the result."""
    if text is not None:
        typer.echo(text, err=True)


def _show_warning(message: Warning | str, *_: Any) -> None:
    say(f"Warning: {message}")


def checked(check: Callable[[Any], object]) -> Callable[[Any], Any]:
    """A callback of typer: checks a value when the command line is read, and leaves it as it is."""

    def callback(value: Any) -> Any:
        check(value)
        return value

    return callback


def _each_present(names: list[str] | None) -> None:
    check_present(*(names or ()))


OUT = typer.Option(
    "--out", callback=checked(check_folder), help="Where the result goes; made if absent."
)
"""Of a command that can do without a folder: Annotated[Path | None, OUT]."""

SEED = typer.Option("--seed", min=0, help="The same seed gives the same random numbers.")
"""Of a command that otherwise takes a seed from elsewhere: Annotated[int | None, SEED]."""

DEVICE = typer.Option("--device", help="auto takes the GPU if any.")
"""Of a command that otherwise takes a device from elsewhere: Annotated[DeviceName | None, …]."""

START = typer.Option(
    "--start",
    callback=checked(check_time),
    help="From this time on, UTC; a date alone is its 00:00.",
)
END = typer.Option(
    "--end", callback=checked(check_time), help="Up to this time, UTC; a date alone is its 00:00."
)

Scenes = Annotated[
    list[str],
    typer.Argument(
        callback=checked(_each_present),
        help="Archive Zarr, netCDF, raw files of an imager, a folder of pictures, or the YAML file "
        "that says where its pictures lie; or several.",
    ),
]
Reader = Annotated[
    str | None,
    typer.Option(
        "--reader",
        callback=checked(check_reader),
        help="Of satpy, for raw files; default: what their names are of.",
    ),
]
ModelName = Annotated[
    str,
    typer.Argument(callback=checked(check_name), help="A folder, an embedded model or a Hub id."),
]
Out = Annotated[Path, OUT]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        callback=checked(check_detector),
        help="Detector: a folder, an .onnx file, an embedded model or Hub id; auto is the "
        "embedded one of the infrared window, or of Airmass for its pictures.",
    ),
]
Tracker = Annotated[
    str,
    typer.Option(
        "--tracker",
        callback=checked(check_tracker),
        help="Tracker: likewise, or none to detect only; auto is the embedded one if it fits.",
    ),
]
RuntimeChoice = Annotated[
    RuntimeName,
    typer.Option("--runtime", help="auto is what the models' files are for; onnx needs no torch."),
]
Revision = Annotated[
    str | None,
    typer.Option("--revision", help="Branch, tag or commit of the model, if it is on the Hub."),
]
TrackerRevision = Annotated[
    str | None, typer.Option("--tracker-revision", help="The same of the tracker.")
]
Start = Annotated[str | None, START]
End = Annotated[str | None, END]
Domain = Annotated[
    str,
    typer.Option(
        "--domain",
        callback=checked(check_box),
        help="model: the grid of the model, processor or predictions; native: all of the scene; "
        "or WEST,SOUTH,EAST,NORTH in degrees.",
    ),
]
Extent = Annotated[
    str | None,
    typer.Option(
        "--extent",
        callback=checked(check_extent),
        help="Where grey pictures lie that no georeference.yaml is beside: WEST,SOUTH,EAST,NORTH, "
        "their outer edges in degrees.",
    ),
]
AnyDevice = Annotated[OnnxDevice, DEVICE]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Of the CPU; default: one a core.")
]
Seed = Annotated[int, SEED]
Plot = Annotated[
    bool | None,
    typer.Option(
        "--plot/--no-plot",
        help="Draw a map for every clip; default: if matplotlib is installed.",
        show_default=False,
    ),
]
Report = Annotated[
    bool | None,
    typer.Option(
        "--report/--no-report",
        help="Write report.html, a page that opens offline; default: unless there is --no-plot.",
        show_default=False,
    ),
]
Animate = Annotated[
    bool,
    typer.Option("--animate", help="Write films of the scene and of each cyclone, MP4 or GIF."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def will_plot(asked: bool | None) -> bool:
    """Whether to draw: as asked; if nothing was, where matplotlib is installed, else that is said.

    Raises:
        MissingExtraError: drawing is asked for and matplotlib is not installed.
    """
    if asked is False:
        return False
    try:
        require("matplotlib", "plots")
    except MissingExtraError as error:
        if asked:
            raise
        say(f"No maps: {error}")
        return False
    return True


def will_report(asked: bool | None, plot: bool | None) -> bool:
    """Whether to write a page: as asked; if nothing was, unless maps are not wanted either."""
    return plot is not False if asked is None else asked


def with_progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass items on and show how many there were, on a terminal; elsewhere only pass them on."""
    if not sys.stderr.isatty():
        yield from items
    else:
        console = Console(stderr=True)
        yield from track(items, what, total=total, console=console, transient=True)
