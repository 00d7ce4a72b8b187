"""``medicane predict``."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from medicane_models.checks import check_present
from medicane_models.choices import TrackFormat
from medicane_models.cli.following import check_following, follow_folders
from medicane_models.cli.running import judge, load_predictor, opened_run, show
from medicane_models.cli.sharing import check_sharing, judge_with, threads_of_each
from medicane_models.commands import (
    Animate,
    AnyDevice,
    Domain,
    End,
    Extent,
    Json,
    Model,
    Out,
    Overwrite,
    Plot,
    Reader,
    Report,
    Revision,
    RuntimeChoice,
    Scenes,
    Start,
    Threads,
    Tracker,
    TrackerRevision,
    checked,
    will_plot,
    will_report,
)
from medicane_models.errors import ConfigurationError

if TYPE_CHECKING:
    from medicane_models.prediction.refinement import FirstGuess

TRACK_FORMATS = get_args(TrackFormat)
POLL_SECONDS = 60.0


def _check_formats(text: str) -> None:
    if unknown := sorted(set(_split(text)) - set(TRACK_FORMATS)):
        raise ConfigurationError(
            f"--formats has {', '.join(unknown)}; choose from {', '.join(TRACK_FORMATS)}"
        )


def predict(
    scene: Scenes,
    out: Out,
    reader: Reader = None,
    model: Model = "auto",
    revision: Revision = None,
    tracker: Tracker = "auto",
    tracker_revision: TrackerRevision = None,
    start: Start = None,
    end: End = None,
    every: Annotated[
        int,
        typer.Option(min=1, help="Minutes between the ends of clips; the newest frame's is added."),
    ] = 60,
    domain: Domain = "model",
    extent: Extent = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Probability that counts, above 0; default: the model's."),
    ] = None,
    max_missing: Annotated[
        int | None,
        typer.Option(min=0, help="Missing frames allowed in a clip; default: the model's."),
    ] = None,
    parallax: Annotated[
        bool,
        typer.Option(
            "--parallax",
            help="Move fixes from where the cloud top appears to below it, by its temperature.",
        ),
    ] = False,
    first_guess: Annotated[
        Path | None,
        typer.Option(
            callback=checked(check_present),
            help="Tracks, as evaluate reads them: refine their positions, and look nowhere else.",
        ),
    ] = None,
    first_guess_km: Annotated[
        float | None,
        typer.Option(help="How far off they are on average; default: 48, as operational ones."),
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            callback=checked(_check_formats),
            help=f"Of the tracks: {', '.join(TRACK_FORMATS)}, separated by commas.",
        ),
    ] = "csv",
    plot: Plot = None,
    report: Report = None,
    animate: Animate = False,
    density: Annotated[
        bool,
        typer.Option("--density", help="Draw how many tracks pass near every place, of a season."),
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Judge files as they arrive in folders, round by round, until a signal ends it.",
        ),
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="One round of --follow, for cron; goes on from the last.")
    ] = False,
    poll: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds from a round of --follow to the next; default: 60."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes that share the clips of a long scene; default: this one alone."
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(help="Address of a dask scheduler, HOST:PORT, whose workers share them."),
    ] = None,
    overwrite: Overwrite = False,
    runtime: RuntimeChoice = "auto",
    device: AnyDevice = "auto",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Find cyclones in satellite scenes: detections, tracks, maps and a page.

    Clips that end from --start to --end are judged. What is judged is kept in --out until all is:
    the same command goes on where it was interrupted or killed. Earlier results there are refused,
    or with --overwrite replaced; with --follow and --once they are gone on with, and --json prints
    a line a round.
    """
    check_following(follow, once, poll, overwrite=overwrite, first_guess=first_guess)
    check_sharing(workers, dask, follows=follow or once)
    pages: dict[str, Any] = {
        "report": will_report(report, plot),
        "animate": animate,
        "density": density,
    }
    chosen = {"formats": _split(formats), "plot": will_plot(plot), **pages}
    options = {
        "threshold": threshold,
        "max_missing": max_missing,
        "parallax": parallax,
        "threads": threads_of_each(threads, workers),
        "revision": revision,
        "tracker_revision": tracker_revision,
    }
    within = {"domain": domain, "extent": extent, "start": start, "end": end, "reader": reader}
    load = partial(load_predictor, model, tracker, runtime, device, scene=scene, **options)
    if follow or once:
        how = {"products": chosen, "every_minutes": every, **within}
        pause = None if once else poll or POLL_SECONDS
        follow_folders(load, scene, out, poll=pause, json=json, **how)
        return

    from medicane_models.prediction.publishing import INTERRUPTED, replacing_products
    from medicane_models.prediction.unfinished import UnfinishedRun, going_on

    guess = _first_guess(first_guess, first_guess_km)
    named = [name if "://" in name else str(Path(name).expanduser().absolute()) for name in scene]
    with replacing_products(out, overwrite=overwrite, **chosen) as writer:
        how = {"start": start, "end": end, "every_minutes": every, "first_guess": guess}
        make_run = partial(opened_run, load, named, within, pictures=writer.needs_pictures, **how)
        run = make_run()
        shared = judge_with(run, make_run, workers=workers, dask=dask)
        files = [*_files(named, reader), *filter(None, [first_guess])]
        with going_on(out / INTERRUPTED, run, files=files, overwrite=overwrite) as hours:
            detections = judge(UnfinishedRun(run, hours, shared), run, writer)
    show(detections, out, json=json)


def _first_guess(tracks: Path | None, mean_km: float | None) -> "FirstGuess | None":
    """What --first-guess and --first-guess-km say."""
    if tracks is None:
        if mean_km is not None:
            raise ConfigurationError(
                f"--first-guess-km is {mean_km:g}, and there is no --first-guess; give its tracks"
            )
        return None
    from medicane_models.prediction.refinement import OPERATIONAL_KM, FirstGuess
    from medicane_models.verification.best_tracks import read_tracks

    return FirstGuess(
        tracks=read_tracks(tracks),
        mean_km=OPERATIONAL_KM if mean_km is None else mean_km,
        source=str(tracks),
    )


def _files(scene: Sequence[str], reader: str | None) -> list[Path]:
    """What a scene is read from, as far as it is on this machine."""
    from medicane_models.scenes.opening import scene_sources

    sources: list[Any] = scene_sources(scene, reader)
    found = [str(file) for source in sources for file in source]
    return [Path(name) for name in found if "://" not in name]


def _split(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]
