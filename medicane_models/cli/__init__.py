"""The ``medicane`` command, a module a command."""

from medicane_models.cli import convert, demo, doctor, evaluate, inspect, predict, push, simulate
from medicane_models.commands import command_line, run_program

app = command_line(
    "medicane",
    "Detect and track medicanes and other cyclones in geostationary satellite video.",
)
app.command()(predict.predict)
app.command()(demo.demo)
app.command()(simulate.simulate)
app.command()(evaluate.evaluate)
app.command()(convert.convert)
app.command()(inspect.inspect)
app.command()(push.push)
app.command()(doctor.doctor)


def main() -> None:
    """Run the command."""
    run_program(app, "medicane_models")
