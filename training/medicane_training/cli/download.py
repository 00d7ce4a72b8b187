"""``medicane-train data download``."""

from typing import Annotated, Literal

import typer

from medicane_models.commands import END, START, Domain, Json, Out, print_json
from medicane_models.errors import ConfigurationError
from medicane_training.cli.grids import grid_of


def download(
    start: Annotated[str, START],
    end: Annotated[str, END],
    out: Out,
    source: Annotated[
        Literal["public", "eumetsat"],
        typer.Option(help="The public archive, or EUMETSAT's Data Store (needs a key)."),
    ] = "public",
    domain: Domain = "model",
    archive: Annotated[
        str | None, typer.Option(help="URL of another archive of the same layout, with {year}.")
    ] = None,
    json: Json = False,
) -> None:
    """Download frames, cropped to a domain; model is the Mediterranean.

    Of the public archive these are whole days, that of --end too.

    Files that are there are kept, so that an interrupted download continues.
    """
    from medicane_models.domain import MEDITERRANEAN
    from medicane_training.store.download import (
        ARCHIVE,
        data_store_products,
        download_archive,
        download_products,
    )

    grid = None if domain == "native" else grid_of(domain, MEDITERRANEAN)
    if source == "public":
        files = download_archive(out, start=start, end=end, domain=grid, archive=archive or ARCHIVE)
    elif archive is not None:
        raise ConfigurationError("--archive belongs to the public source; leave it out")
    else:
        files = download_products(data_store_products(start=start, end=end), out, domain=grid)
    if json:
        print_json([str(path) for path in files])
    else:
        typer.echo(f"{len(files)} files in {out}")
