"""``medicane inspect``."""

from typing import Annotated

import typer

from medicane_models.checks import check_model
from medicane_models.commands import Extent, Json, Reader, Revision, checked, print_json, print_rows


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            callback=checked(check_model),
            help="A model's or run's folder, an .onnx file, an embedded model or a Hub id; or a "
            "scene.",
        ),
    ],
    revision: Revision = None,
    extent: Extent = None,
    reader: Reader = None,
    json: Json = False,
) -> None:
    """Show what a model expects and returns, or what a scene holds, without loading it."""
    from medicane_models.diagnosis.inspection import description_of, description_rows

    description = description_of(model, revision=revision, extent=extent, reader=reader)
    if json:
        print_json(description)
    else:
        print_rows(description_rows(description))
