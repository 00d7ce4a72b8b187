"""``medicane-train data simulate``."""

from pathlib import Path
from typing import Annotated

import typer

from medicane_models.checks import check_present
from medicane_models.commands import Json, Out, Seed, checked
from medicane_training.cli.strata import tell_strata


def simulate(
    out: Out,
    storms: Annotated[int, typer.Option(min=0, help="Samples with a cyclone.")],
    calm: Annotated[
        int, typer.Option(min=0, help="Samples without; most show what only looks like one.")
    ],
    backgrounds: Annotated[
        Path | None,
        typer.Option(
            callback=checked(check_present),
            help="A store of local planes whose calm samples are behind every second one; "
            "default: all weather is simulated.",
        ),
    ] = None,
    leave_out: Annotated[
        Path | None,
        typer.Option(
            callback=checked(check_present),
            help="Text file with data sets of that store, a line each, that are not to be used, "
            "such as data.split.test_storms.",
        ),
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Add simulated cyclones, of any pattern anywhere on Earth, to a store of local planes.

    --out is a new store or one that data build made of planes of one infrared channel; a killed
    run continues. The samples tell no time, place or name, so that they only train.
    """
    from medicane_training.store.simulated_planes import add_simulated

    lines = [] if leave_out is None else leave_out.read_text("utf-8").splitlines()
    store = add_simulated(
        out,
        storms=storms,
        calm=calm,
        backgrounds=backgrounds,
        leave_out=[line.strip() for line in lines],
        seed=seed,
    )
    tell_strata(store, json=json)
