"""``medicane-train data check``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from medicane_models.checks import check_present
from medicane_models.commands import Json, checked, print_json


def check(
    store: Annotated[Path, typer.Argument(callback=checked(check_present), help="The store.")],
    split: Annotated[
        Path | None,
        typer.Option(
            callback=checked(check_present),
            help="CSV of end, tile_x, tile_y, part to search for leaks.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Verify every chunk, clip and label of a store, and that a split does not leak."""
    from medicane_models.tables import read_table
    from medicane_training.clips.check import check_store
    from medicane_training.store.clip_store import ClipStore

    parts = None if split is None else read_table(split)
    report = check_store(ClipStore(store), split=parts)
    if json:
        print_json(asdict(report))
        raise typer.Exit(1 if report.problems else 0)
    typer.echo(f"{report.shards} shards, {report.frames} frames, {report.clips} clips checked")
    for problem in report.problems:
        typer.echo(problem)
    if report.problems:
        raise typer.Exit(1)
    typer.echo("no problem found")
