"""The ``medicane-train`` command, a module a command."""

import typer

from medicane_models.commands import command_line, run_program
from medicane_training.cli import build, check, download, simulate, train

app = command_line(
    "medicane-train", "Train detectors and trackers of medicanes and other cyclones."
)
data = typer.Typer(help="Download scenes, build clip stores, check them.", no_args_is_help=True)
app.add_typer(data, name="data")
data.command()(build.build)
data.command()(simulate.simulate)
data.command()(check.check)
data.command()(download.download)
for flow in train.FLOWS:
    train.add_flow(app, flow)


def main() -> None:
    """Run the command."""
    run_program(app, "medicane_training", extra="train")
