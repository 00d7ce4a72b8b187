"""``medicane predict``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from medicane_models.checks import check_present
from medicane_models.choices import TrackFormat
from medicane_models.cli.following import check_following, follow_folders
from medicane_models.cli.running import detector_for, judge, load_predictor, show
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
    from medicane_models.prediction.predictor import MedicanePredictor
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
    overwrite: Overwrite = False,
    runtime: RuntimeChoice = "auto",
    device: AnyDevice = "auto",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Find cyclones in satellite scenes: detections, tracks, maps and a page.

    Clips that end from --start to --end are judged. Earlier results in --out are refused, or with
    --overwrite replaced; with --follow and --once they are gone on with, and --json prints a line
    a round.
    """
    from medicane_models.prediction.products import replacing_products

    check_following(follow, once, poll, overwrite=overwrite, first_guess=first_guess)
    pages: dict[str, Any] = {
        "report": will_report(report, plot),
        "animate": animate,
        "density": density,
    }
    chosen = {"formats": _split(formats), "plot": will_plot(plot), "overwrite": overwrite, **pages}
    options = {
        "threshold": threshold,
        "max_missing": max_missing,
        "parallax": parallax,
        "threads": threads,
        "revision": revision,
        "tracker_revision": tracker_revision,
    }
    within = {"domain": domain, "extent": extent, "start": start, "end": end, "reader": reader}
    times = {"start": start, "end": end, "every_minutes": every}

    def load() -> "MedicanePredictor":
        return load_predictor(detector_for(model, scene), tracker, runtime, device, **options)

    if follow or once:
        del chosen["overwrite"]
        how = {"products": chosen, "every_minutes": every, **within}
        pause = None if once else poll or POLL_SECONDS
        follow_folders(load, scene, out, poll=pause, json=json, **how)
        return
    guess = _first_guess(first_guess, first_guess_km)
    with replacing_products(out, **chosen) as writer:
        predictor = load()
        opened = predictor.open(scene, **within)
        run = predictor.run(opened, **times, pictures=writer.needs_pictures, first_guess=guess)
        detections = judge(run, writer)
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


def _split(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]
