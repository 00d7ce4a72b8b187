"""The ``medicane-train`` command."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medicane_models.commands import command_line, run
from medicane_models.errors import ConfigurationError

if TYPE_CHECKING:
    from medicane_models.domain import Grid
    from medicane_models.scenes.processing import MedicaneProcessor
    from medicane_training.recipes.kinds import FlowName, Recipe

app = command_line("Train detectors and trackers of medicanes and other cyclones.")
data = typer.Typer(help="Download scenes, build clip stores, check them.", no_args_is_help=True)
app.add_typer(data, name="data")


class Rule(StrEnum):
    """When a clip counts as a cyclone."""

    LAST_FRAME = "last_frame"
    RESEARCH = "research"


class Archive(StrEnum):
    """Where frames come from."""

    PUBLIC = "public"
    EUMETSAT = "eumetsat"


Domain = Annotated[
    str,
    typer.Option(
        help="model: the processor's grid; native: all of the first scene; "
        "or WEST,SOUTH,EAST,NORTH in degrees."
    ),
]


@data.command()
def build(
    scenes: Annotated[
        list[str],
        typer.Argument(
            help="Archive Zarr, netCDF, raw SEVIRI files, or a folder of PNG frames; or several. "
            "Or one CSV of the research layout."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The store, made or added to.")],
    tracks: Annotated[
        Path | None, typer.Option(help="Known storms of the period; default: no labels.")
    ] = None,
    processor: Annotated[
        str | None,
        typer.Option(help="Folder or Hub id of a processor; default: Airmass RGB of SEVIRI."),
    ] = None,
    domain: Domain = "model",
    every: Annotated[int, typer.Option(min=1, help="Minutes between the ends of clips.")] = 60,
    tile_stride: Annotated[
        int | None,
        typer.Option(min=1, help="Pixels between tiles; default: the fewest that cover the grid."),
    ] = None,
    calm_share: Annotated[
        float, typer.Option(help="Share of the clip ends without storms to keep, 0 … 1.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draw of calm clip ends.")] = 0,
    rule: Annotated[Rule, typer.Option(help="What makes a cyclone clip.")] = Rule.LAST_FRAME,
    neighbours: Annotated[
        bool, typer.Option("--neighbours", help="Tiles beside a cyclone are a third class.")
    ] = False,
    max_gap_hours: Annotated[
        float, typer.Option(min=0, help="Longest gap of a track to interpolate; 6 for best tracks.")
    ] = 2.0,
) -> None:
    """Build a clip store from scenes and tracks, or add to one. A killed build continues."""
    from medicane_models.verification.best_tracks import read_tracks
    from medicane_training.store.build import BuildSettings, build_store
    from medicane_training.store.labels import LabelRule
    from medicane_training.store.research_import import import_research

    reads = _processor(processor, domain, scenes[0])
    if scenes[0].endswith(".csv"):
        if len(scenes) > 1 or tracks is not None:
            raise ConfigurationError(
                "a CSV of the research layout is imported alone, with its labels"
            )
        store = import_research(scenes[0], out, processor=reads)
    else:
        settings = BuildSettings(
            every_minutes=every,
            tile_stride=tile_stride,
            calm_share=calm_share,
            seed=seed,
            rule=LabelRule(kind=rule.value, neighbours=neighbours),
            max_gap_hours=max_gap_hours,
        )
        storms = None if tracks is None else read_tracks(tracks)
        store = build_store(scenes, out, processor=reads, tracks=storms, settings=settings)
    _show_strata(store.document("rates.json"))


@data.command()
def check(
    store: Annotated[Path, typer.Argument(help="The store.")],
    split: Annotated[
        Path | None, typer.Option(help="CSV of end, tile_x, tile_y, part to search for leaks.")
    ] = None,
) -> None:
    """Verify every chunk, clip and label of a store, and that a split does not leak."""
    from medicane_models.tables import read_table
    from medicane_training.clips.check import check_store
    from medicane_training.store.clip_store import ClipStore

    parts = None if split is None else read_table(split)
    report = check_store(ClipStore(store), split=parts)
    typer.echo(f"{report.shards} shards, {report.frames} frames, {report.clips} clips checked")
    for problem in report.problems:
        typer.echo(problem)
    if report.problems:
        raise typer.Exit(1)
    typer.echo("no problem found")


@data.command()
def download(
    start: Annotated[str, typer.Option(help="First day, UTC.")],
    end: Annotated[str, typer.Option(help="Last day, UTC.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the files, made if absent.")],
    source: Annotated[
        Archive, typer.Option(help="The public archive, or EUMETSAT's Data Store (needs a key).")
    ] = Archive.PUBLIC,
    domain: Annotated[
        str, typer.Option(help="model: the Mediterranean; or WEST,SOUTH,EAST,NORTH in degrees.")
    ] = "model",
    archive: Annotated[
        str | None, typer.Option(help="URL of another archive of the same layout, with {year}.")
    ] = None,
) -> None:
    """Download frames, cropped to a domain. An interrupted download continues."""
    from medicane_models.domain import MEDITERRANEAN
    from medicane_training.store.download import (
        ARCHIVE,
        data_store_products,
        download_archive,
        download_products,
    )

    grid = _grid(domain, MEDITERRANEAN)
    if source is Archive.PUBLIC:
        files = download_archive(out, start=start, end=end, domain=grid, archive=archive or ARCHIVE)
    elif archive is not None:
        raise ConfigurationError("--archive belongs to the public source; leave it out")
    else:
        files = download_products(data_store_products(start=start, end=end), out, domain=grid)
    typer.echo(f"{len(files)} files in {out}")


Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run; it becomes a model's folder.")
]
Store = Annotated[str | None, typer.Option("--data", help="The clip store.")]
RecipeName = Annotated[
    str | None, typer.Option(help="Named recipe to start from; default: laptop.")
]
Config = Annotated[
    Path | None, typer.Option(help="YAML of settings, or run.yaml of a run to repeat.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, for example training.epochs=3; may come often."),
]
Init = Annotated[
    str | None, typer.Option(help="Model to start from: a finished run, a folder or a Hub id.")
]
Resume = Annotated[
    str,
    typer.Option(
        help="auto: go on with the run in --out; none: refuse to; or the folder of another run, or "
        "one of its checkpoints, to go on from."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Try one step, tell what a run takes, write nothing.")
]
FinalTest = Annotated[
    bool, typer.Option("--final-test", help="Judge the test clips with the chosen model.")
]

FLOWS: dict["FlowName", str] = {
    "specialize": "Go on pretraining a masked autoencoder on unlabelled clips.",
    "classify": "Train a detector: is a cyclone's centre in the tile?",
    "track": "Train a tracker: where is the centre in the last frame?",
}
SIGNALS = (
    "SIGTERM, SIGUSR1 and Ctrl-C finish the step, save and leave; the same command goes on. After "
    "the first two the exit code is 99, on which Grid Engine queues a job again; tell LSF bsub -Q "
    "99, HTCondor checkpoint_exit_code = 99, and Slurm RequeueExit=99 (slurm.conf) or scontrol "
    "requeue in the job's script. torchrun itself leaves with 1 whatever its processes say. A "
    "failed run leaves with 1, wrong use with 2."
)


def _add_flow(flow: "FlowName", purpose: str) -> None:
    @app.command(flow, help=purpose, epilog=SIGNALS)
    def train(
        out: Out = None,
        store: Store = None,
        recipe: RecipeName = None,
        config: Config = None,
        changes: Changes = None,
        init: Init = None,
        resume: Resume = "auto",
        dry_run: DryRun = False,
        final_test: FinalTest = False,
    ) -> None:
        from medicane_training.recipes.loading import load_recipe
        from medicane_training.run.dry_run import rehearse

        loaded = load_recipe(
            flow, name=recipe, file=config, changes=changes or [], init=init, store=store
        )
        if dry_run:
            rehearse(loaded)
        elif out is None:
            raise ConfigurationError("no folder is given for the run; name one with --out DIR")
        else:
            _train(loaded, out, resume=resume, test=final_test)


for _flow, _purpose in FLOWS.items():
    _add_flow(_flow, _purpose)


def _train(recipe: "Recipe", out: Path, *, resume: str, test: bool) -> None:
    """Run a recipe; a signal ends it with an exit code of its own.

    What all ranks know alike, rank 0 alone says.
    """
    from medicane_training.interrupts import InterruptedRunError
    from medicane_training.ranks import Ranks
    from medicane_training.run.loop import NonFiniteError, run_recipe

    try:
        run_recipe(recipe, out, resume=resume, test=test, command=sys.argv)
    except InterruptedRunError as error:
        if Ranks.from_environment().is_main:
            typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    except NonFiniteError:
        if Ranks.from_environment().is_main:
            raise
        raise typer.Exit(1) from None


def main() -> None:
    """Run the command."""
    run(app, "medicane_training")


def _grid(domain: str, default: "Grid") -> "Grid":
    from medicane_models.domain import parse_box

    return default if domain == "model" else parse_box(domain, default)


def _processor(name: str | None, domain: str, scene: str) -> "MedicaneProcessor":
    """The processor on the grid of the domain."""
    from dataclasses import replace

    from medicane_models.scenes.opening import open_scene, scene_grid
    from medicane_models.scenes.processing import MedicaneProcessor

    found = MedicaneProcessor.airmass() if name is None else MedicaneProcessor.from_pretrained(name)
    if domain == "native":
        channels = None if found.recipe == "airmass" else found.channels
        return replace(found, grid=scene_grid(open_scene(scene, channels=channels)))
    return replace(found, grid=_grid(domain, found.grid))


def _show_strata(rates: dict[str, Any]) -> None:
    """Print how many clips there are of each kind, and of all weather."""
    from rich.console import Console
    from rich.table import Table

    table = Table("stratum", "clips stored", "of all weather")
    for name, rate in rates["strata"].items():
        table.add_row(name, str(rate["stored"]), f"{rate['clips']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
