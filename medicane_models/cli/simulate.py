"""``medicane simulate``."""

from typing import Annotated

import typer

from medicane_models.checks import check_free, check_store_name
from medicane_models.commands import START, Json, Out, Overwrite, Seed, print_json, with_progress
from medicane_models.errors import ConfigurationError


def simulate(
    out: Out,
    start: Annotated[str, START] = "2021-10-01",
    hours: Annotated[float | None, typer.Option(min=0, help="Length; --days are added.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Length in days.")] = None,
    storms: Annotated[
        float, typer.Option(min=0, help="Medicanes born in 30 days; nature has about 0.1.")
    ] = 4.0,
    lookalikes: Annotated[
        float, typer.Option(min=0, help="Factor on the storms that only look like one.")
    ] = 1.0,
    gaps: Annotated[
        bool, typer.Option("--gaps/--no-gaps", help="Lose frames and lines as archives do.")
    ] = True,
    pause_hours: Annotated[
        float,
        typer.Option(min=0, max=672, help="Without frames every 28 days; 48 in the rapid scans."),
    ] = 0.0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Simulate weather of the Mediterranean with medicanes whose centres are known.

    --out is a Zarr store, NAME.zarr; NAME.tracks.csv (the truth) and NAME.lookalikes.csv come
    beside it. It is crude: scores on it say nothing about real storms.
    """
    if hours is None and days is None:
        raise ConfigurationError("no length is given; name one with --hours, --days or both")
    check_store_name(out)
    check_free(out, overwrite=overwrite)

    from medicane_models.simulation import Instrument, StormRates, write_simulation

    losses = {} if gaps else {"missing_frames": 0.0, "missing_lines": 0.0}
    written = write_simulation(
        out,
        start=start,
        hours=(hours or 0) + 24 * (days or 0),
        rates=StormRates.scaled(medicane=storms, lookalikes=lookalikes),
        instrument=Instrument(pause_hours=pause_hours, **losses),
        seed=seed,
        overwrite=overwrite,
        progress=lambda times: with_progress(times, len(times), "frames"),
    )
    if json:
        print_json(written._asdict())
        return
    typer.echo(f"{written.frames} frames are in {written.scene}; tracks of {written.medicanes}")
    typer.echo(f"medicanes are in {written.tracks}, what only looks like one in")
    typer.echo(f"{written.lookalikes}.")
