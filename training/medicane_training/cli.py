"""The ``medicane-train`` command."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from medicane_models.checks import check_present, check_processor
from medicane_models.choices import DeviceName, ProcessorName
from medicane_models.commands import (
    DEVICE,
    END,
    OUT,
    SEED,
    START,
    Domain,
    Extent,
    Json,
    Out,
    Reader,
    Revision,
    Scenes,
    Seed,
    Threads,
    checked,
    command_line,
    parsed_settings,
    print_json,
    run_program,
)
from medicane_models.errors import ConfigurationError
from medicane_models.hub import check_name

if TYPE_CHECKING:
    from medicane_models.domain import Grid
    from medicane_models.scenes.processing import MedicaneProcessor
    from medicane_training.recipes.kinds import FlowName, Recipe
    from medicane_training.store.clip_store import ClipStore

app = command_line(
    "medicane-train", "Train detectors and trackers of medicanes and other cyclones."
)
data = typer.Typer(help="Download scenes, build clip stores, check them.", no_args_is_help=True)
app.add_typer(data, name="data")


def _check_given_name(name: str | None) -> None:
    if name is not None:
        check_name(name)


@data.command()
def build(
    scenes: Scenes,
    out: Out,
    reader: Reader = None,
    tracks: Annotated[
        Path | None,
        typer.Option(
            callback=checked(check_present),
            help="Known storms of the period; default: no labels.",
        ),
    ] = None,
    processor: Annotated[
        str | None,
        typer.Option(
            callback=checked(check_processor),
            help="airmass, infrared (one channel), planes (one channel, any imager), or folder or "
            "Hub id of a processor; default: airmass.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of the processor, such as channel=IR_108, num_frames=4 or "
            "cadence_minutes=15; may come often.",
        ),
    ] = None,
    revision: Revision = None,
    domain: Domain = "model",
    extent: Extent = None,
    every: Annotated[int, typer.Option(min=1, help="Minutes between the ends of clips.")] = 60,
    tile_stride: Annotated[
        int | None,
        typer.Option(min=1, help="Pixels between tiles; default: the fewest that cover the grid."),
    ] = None,
    calm_share: Annotated[
        float, typer.Option(help="Share of the clip ends without storms to keep, 0 … 1.")
    ] = 1.0,
    sample_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of planes: pixels along a side of what is kept of a place; default: 2.9 tiles.",
        ),
    ] = None,
    negatives_per_frame: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of planes: places without a storm that are kept of a frame, the hard ones more "
            "often; default: 4.",
        ),
    ] = None,
    seed: Seed = 0,
    rule: Annotated[
        Literal["last_frame", "research"], typer.Option(help="What makes a cyclone clip.")
    ] = "last_frame",
    neighbours: Annotated[
        bool, typer.Option("--neighbours", help="Tiles beside a cyclone are a third class.")
    ] = False,
    max_gap_hours: Annotated[
        float | None,
        typer.Option(min=0, help="Longest gap of a track to interpolate; default: 2, of planes 6."),
    ] = None,
    json: Json = False,
) -> None:
    """Build a clip store from scenes and tracks, or from one CSV of the research layout.

    A store that is there is never replaced: other scenes are added to it, and a killed build
    continues. Which calm clip ends or places are kept is drawn by --seed. With --processor planes
    every storm of the tracks that a frame shows becomes a sample with it in the middle, and places
    1200 km from all of them the others; scenes of any imager go into one store.
    """
    reads = _processor(processor, changes or [], revision)
    place = {"extent": extent, "reader": reader}
    of_tiles = {"tile_stride": tile_stride, "calm_share": calm_share, "rule": rule}
    of_tiles |= {"neighbours": neighbours}
    of_planes = {"sample_size": sample_size, "negatives_per_frame": negatives_per_frame}
    of_planes = {name: value for name, value in of_planes.items() if value is not None}
    common: dict[str, Any] = {"every_minutes": every, "seed": seed}
    if max_gap_hours is not None:
        common["max_gap_hours"] = max_gap_hours
    if reads.uses_planes:
        _refuse(of_tiles, OF_TILES, f"{processor} has planes")
        store = _build_planes(scenes, out, reads, tracks, domain, {**common, **of_planes, **place})
    else:
        _refuse(of_planes, {}, "the processor has no planes")
        reads = replace(reads, grid=_build_grid(domain, reads, scenes, **place))
        store = _build_tiles(scenes, out, reads, tracks, {**common, **of_tiles, **place})
    rates = store.document("rates.json")
    if json:
        print_json(rates)
    else:
        _show_strata(rates)


OF_TILES = {"tile_stride": None, "calm_share": 1.0, "rule": "last_frame", "neighbours": False}


def _refuse(given: dict[str, Any], defaults: dict[str, Any], reason: str) -> None:
    """Options that mean nothing to a processor."""
    for name, value in given.items():
        if name not in defaults or value != defaults[name]:
            option = name.replace("_", "-")
            raise ConfigurationError(f"--{option} is {value} and {reason}; leave it out")


def _build_planes(
    scenes: Sequence[str],
    out: Path,
    processor: "MedicaneProcessor",
    tracks: Path | None,
    domain: str,
    chosen: dict[str, Any],
) -> "ClipStore":
    from medicane_models.verification.best_tracks import read_tracks
    from medicane_training.store.plane_build import build_plane_store
    from medicane_training.store.plane_index import PlaneSettings

    known = {field.name for field in fields(PlaneSettings)}
    settings = PlaneSettings(**{name: chosen.pop(name) for name in known & set(chosen)})
    storms = None if tracks is None else read_tracks(tracks)
    options = {"tracks": storms, "settings": settings, "domain": domain, **chosen}
    return build_plane_store(scenes, out, processor=processor, **options)


def _build_tiles(
    scenes: Sequence[str],
    out: Path,
    processor: "MedicaneProcessor",
    tracks: Path | None,
    chosen: dict[str, Any],
) -> "ClipStore":
    from medicane_models.verification.best_tracks import read_tracks
    from medicane_training.store.build import BuildSettings, build_store
    from medicane_training.store.labels import LabelRule
    from medicane_training.store.research_import import import_research

    place = {name: chosen.pop(name) for name in ("extent", "reader")}
    if scenes[0].endswith(".csv"):
        if len(scenes) > 1 or any(one is not None for one in (tracks, *place.values())):
            raise ConfigurationError(
                "a CSV of the research layout is imported alone, with its labels"
            )
        return import_research(scenes[0], out, processor=processor)
    rule = LabelRule(kind=chosen.pop("rule"), neighbours=chosen.pop("neighbours"))
    options = {"settings": BuildSettings(rule=rule, **chosen), **place}
    storms = None if tracks is None else read_tracks(tracks)
    return build_store(scenes, out, processor=processor, tracks=storms, **options)


@data.command()
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
    rates = store.document("rates.json")
    if json:
        print_json(rates)
    else:
        _show_strata(rates)


@data.command()
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


@data.command()
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
    """Download the frames of whole days, cropped to a domain; model is the Mediterranean.

    Files that are there are kept, so that an interrupted download continues.
    """
    from medicane_models.domain import MEDITERRANEAN
    from medicane_training.store.download import (
        ARCHIVE,
        data_store_products,
        download_archive,
        download_products,
    )

    grid = None if domain == "native" else _grid(domain, MEDITERRANEAN)
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


def _check_resume(text: str) -> None:
    if text not in ("auto", "none"):
        check_present(text)


Store = Annotated[str | None, typer.Option("--data", help="The clip store.")]
RecipeName = Annotated[
    str | None,
    typer.Option(help="Named recipe to start from; default: the run's in --out, else laptop."),
]
Config = Annotated[
    Path | None, typer.Option(help="YAML of settings, or run.yaml of a run to repeat.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, for example training.epochs=3; may come often."),
]
Init = Annotated[
    str | None,
    typer.Option(
        callback=checked(_check_given_name),
        help="Model to start from: a finished run, a folder or a Hub id.",
    ),
]
Resume = Annotated[
    str,
    typer.Option(
        callback=checked(_check_resume),
        help="auto: go on with the run in --out; none: refuse to; or the folder of another run, or "
        "one of its checkpoints, to go on from.",
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
KEPT = (
    "A run in --out is gone on with, or left alone if it has ended; it is never replaced. Its "
    "recipe, or that of the run that --resume names, stands where neither --recipe nor --config is "
    "given. --device and --seed set engine.device and training.seed."
)
SIGNALS = (
    "SIGTERM, SIGUSR1 and Ctrl-C finish the step, save and leave; the same command goes on. After "
    "the first two the exit code is 99, on which Grid Engine queues a job again; tell LSF bsub -Q "
    "99, HTCondor checkpoint_exit_code = 99, and Slurm RequeueExit=99 (slurm.conf) or scontrol "
    "requeue in the job's script. torchrun itself leaves with 1 whatever its processes say. A "
    "failed run leaves with 1, wrong use with 2."
)


def _add_flow(flow: "FlowName", purpose: str) -> None:
    @app.command(flow, help=f"{purpose} {KEPT}", epilog=SIGNALS)
    def train(
        out: Annotated[Path | None, OUT] = None,
        store: Store = None,
        recipe: RecipeName = None,
        config: Config = None,
        changes: Changes = None,
        init: Init = None,
        revision: Revision = None,
        resume: Resume = "auto",
        dry_run: DryRun = False,
        final_test: FinalTest = False,
        device: Annotated[DeviceName | None, DEVICE] = None,
        threads: Threads = None,
        seed: Annotated[int | None, SEED] = None,
        json: Json = False,
    ) -> None:
        from medicane_training.recipes.loading import load_recipe, recipe_file

        if recipe is None and config is None:
            config = recipe_file(*_runs(out, resume))
        loaded = load_recipe(
            flow,
            name=recipe,
            file=config,
            changes=changes or [],
            init=init,
            revision=revision,
            store=store,
            device=device,
            seed=seed,
        )
        if out is None and not dry_run:
            raise ConfigurationError("no folder is given for the run; name one with --out DIR")
        check_present(loaded.data.store)
        _check_given_name(loaded.model.init)

        from medicane_training.store.clip_store import ClipStore

        ClipStore(loaded.data.store)  # refuses what is none

        from medicane_models.runtimes.interface import limit_threads

        limit_threads(threads)
        with redirect_stdout(sys.stderr) if json else nullcontext():
            result = _train(loaded, None if dry_run else out, resume=resume, test=final_test)
        if json and result is not None:
            print_json(result)


def _runs(out: Path | None, resume: str) -> list[Path]:
    """Folders of the run that is gone on with, if there is one."""
    given = [] if resume in ("auto", "none") else [Path(resume)]
    return given if out is None else [out, *given]


for _flow, _purpose in FLOWS.items():
    _add_flow(_flow, _purpose)


def _train(recipe: "Recipe", out: Path | None, *, resume: str, test: bool) -> Any:
    """Run a recipe, without a folder only to try it; a signal ends it with an exit code of its own.

    What all ranks know alike, rank 0 alone says.

    Returns:
        What the run came to, for JSON; None on all ranks but 0.
    """
    from medicane_training.interrupts import InterruptedRunError
    from medicane_training.ranks import Ranks
    from medicane_training.run.dry_run import rehearse
    from medicane_training.run.loop import NonFiniteError, run_recipe

    is_main = Ranks.from_environment().is_main
    try:
        if out is None:
            rows = rehearse(recipe)
            return rows if is_main else None
        run_recipe(recipe, out, resume=resume, test=test, command=sys.argv)
        return _scores(out, test=test) if is_main else None
    except InterruptedRunError as error:
        if is_main:
            typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    except NonFiniteError:
        if is_main:
            raise
        raise typer.Exit(1) from None


def _scores(run: Path, *, test: bool) -> dict[str, Any]:
    from medicane_models.files import read_json

    tested = {"test": read_json(run / "test.json")} if test else {}
    return {"folder": str(run), **read_json(run / "scores.json"), **tested}


def main() -> None:
    """Run the command."""
    run_program(app, "medicane_training", extra="train")


def _grid(domain: str, default: "Grid") -> "Grid":
    from medicane_models.domain import parse_box

    return default if domain == "model" else parse_box(domain, default)


def _processor(
    name: str | None, changes: Sequence[str], revision: str | None
) -> "MedicaneProcessor":
    """A processor by its own name, or that of a place, with some settings changed."""
    from medicane_models.scenes.processing import NAMED_SETTINGS, MedicaneProcessor

    attributes = [field.name for field in fields(MedicaneProcessor)]
    known = list(dict.fromkeys([*attributes, *NAMED_SETTINGS.get(name or "airmass", ())]))
    settings = parsed_settings(changes, known, of="a processor")
    if name is not None and name not in get_args(ProcessorName):
        return MedicaneProcessor.from_pretrained(name, revision=revision).changed(**settings)
    if revision is not None:
        raise ConfigurationError(
            f"--revision is {revision!r} and --processor names no place on the Hub; name it"
        )
    return MedicaneProcessor.named(name or "airmass", **settings)


def _build_grid(
    domain: str,
    processor: "MedicaneProcessor",
    scenes: Sequence[str],
    *,
    extent: str | None,
    reader: str | None,
) -> "Grid":
    """The grid of the domain; native is that of the first scene."""
    if domain != "native":
        return _grid(domain, processor.grid)
    from medicane_models.scenes.opening import open_scene, scene_grid, scene_sources
    from medicane_training.store.build import channels_of

    first = scene_sources(scenes, reader)[0]
    channels = channels_of(processor)
    return scene_grid(open_scene(first, channels=channels, extent=extent, reader=reader))


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
