"""``medicane-train specialize``, ``classify`` and ``track``."""

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medicane_models.checks import check_present
from medicane_models.choices import DeviceName
from medicane_models.commands import DEVICE, OUT, SEED, Json, Revision, Threads, checked, print_json
from medicane_models.errors import ConfigurationError
from medicane_models.hub import check_name

if TYPE_CHECKING:
    from medicane_training.recipes.kinds import FlowName, Recipe


def _check_given_name(name: str | None) -> None:
    if name is not None:
        check_name(name)


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


def add_flow(app: typer.Typer, flow: "FlowName") -> None:
    """Give a program the command that trains by a flow."""

    @app.command(flow, help=f"{FLOWS[flow]} {KEPT}", epilog=SIGNALS)
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
