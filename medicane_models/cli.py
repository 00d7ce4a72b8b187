"""The ``medicane`` command."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from medicane_models.checks import (
    check_free,
    check_model,
    check_present,
    check_processor,
    check_store_name,
)
from medicane_models.choices import (
    OnnxDevice,
    ProcessorName,
    RuntimeName,
    TrackFormat,
    WeightsChoice,
)
from medicane_models.commands import (
    OUT,
    START,
    Animate,
    AnyDevice,
    Domain,
    End,
    Extent,
    Json,
    Model,
    ModelName,
    Out,
    Overwrite,
    Plot,
    Reader,
    Report,
    Revision,
    RuntimeChoice,
    Scenes,
    Seed,
    Start,
    Threads,
    Tracker,
    TrackerRevision,
    checked,
    command_line,
    parsed_settings,
    print_json,
    print_rows,
    run_program,
    say,
    will_plot,
    will_report,
    with_progress,
)
from medicane_models.errors import ConfigurationError
from medicane_models.hub import AIRMASS_DETECTOR, DETECTOR
from medicane_models.network.configuration import CONFIG_NAME, DataKind, MedicaneConfig, Task

if TYPE_CHECKING:
    from medicane_models.network.base import MedicaneModel
    from medicane_models.prediction.detections import Detections
    from medicane_models.prediction.predictor import MedicanePredictor
    from medicane_models.prediction.products import ProductWriter
    from medicane_models.prediction.refinement import FirstGuess
    from medicane_models.prediction.run import PredictionRun
    from medicane_models.scenes.processing import MedicaneProcessor

TRACK_FORMATS = get_args(TrackFormat)
POLL_SECONDS = 60.0

app = command_line(
    "medicane",
    "Detect and track medicanes and other cyclones in geostationary satellite video.",
)


def _check_formats(text: str) -> None:
    if unknown := sorted(set(_split(text)) - set(TRACK_FORMATS)):
        raise ConfigurationError(
            f"--formats has {', '.join(unknown)}; choose from {', '.join(TRACK_FORMATS)}"
        )


@app.command()
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

    _check_following(follow, once, poll, overwrite=overwrite, first_guess=first_guess)
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
        return _predictor(_detector_for(model, scene), tracker, runtime, device, **options)

    if follow or once:
        del chosen["overwrite"]
        how = {"products": chosen, "every_minutes": every, **within}
        _follow(load, scene, out, poll=None if once else poll or POLL_SECONDS, json=json, **how)
        return
    guess = _first_guess(first_guess, first_guess_km)
    with replacing_products(out, **chosen) as writer:
        predictor = load()
        opened = predictor.open(scene, **within)
        run = predictor.run(opened, **times, pictures=writer.needs_pictures, first_guess=guess)
        detections = _judge(run, writer)
    _show(detections, out, json=json)


@app.command()
def demo(
    out: Out,
    model: Model = "auto",
    revision: Revision = None,
    tracker: Tracker = "auto",
    tracker_revision: TrackerRevision = None,
    hours: Annotated[int, typer.Option(min=2, max=48, help="Length of the scene.")] = 6,
    seed: Seed = 0,
    plot: Plot = None,
    report: Report = None,
    animate: Animate = False,
    overwrite: Overwrite = False,
    runtime: RuntimeChoice = "auto",
    device: AnyDevice = "auto",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Simulate a cyclone, offline, look for it with the embedded models, and score them.

    It is a tropical cyclone off Australia in the infrared of Himawari, or for models of SEVIRI's
    own pixels a medicane.
    """
    from medicane_models.prediction.products import replacing_products
    from medicane_models.simulation import simulate_infrared, simulate_scene
    from medicane_models.verification.fixes import judge_run
    from medicane_models.verification.matching import read_truth

    pages: dict[str, Any] = {"report": will_report(report, plot), "animate": animate}
    options = {"threads": threads, "revision": revision, "tracker_revision": tracker_revision}
    with replacing_products(out, plot=will_plot(plot), overwrite=overwrite, **pages) as writer:
        predictor = _predictor(_detector_for(model, []), tracker, runtime, device, **options)
        if predictor.processor.uses_planes:
            simulated, truth = simulate_infrared(hours=hours, seed=seed)
        else:
            simulated, truth = simulate_scene(hours=hours, seed=seed, grid=predictor.processor.grid)
        writer.add_truth(truth)
        detections = _judge(predictor.run(simulated, pictures=writer.needs_pictures), writer)
    say(f"The simulated cyclone's true track is in {out / 'truth.csv'}.")
    _show(detections, out, score=judge_run(detections, read_truth(out / "truth.csv")), json=json)


@app.command()
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

    from medicane_models.commands import with_progress
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


@app.command()
def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            callback=checked(check_present),
            help="detections.csv, detections.json, tracks in any format, or their folder.",
        ),
    ],
    truth: Annotated[
        list[Path],
        typer.Argument(
            callback=checked(lambda paths: check_present(*paths)),
            help="True positions: a table, IBTrACS, HURDAT2, ATCF …, files or a folder.",
        ),
    ],
    also: Annotated[
        list[Path] | None,
        typer.Option(
            callback=checked(lambda paths: check_present(*(paths or ()))),
            help="Further predictions, once for each: scored together, and by sensor.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            callback=checked(lambda path: path and check_present(path)),
            help="Other predictions: what these score more at the same times.",
        ),
    ] = None,
    out: Annotated[Path | None, OUT] = None,
    overwrite: Overwrite = False,
    domain: Domain = "model",
    start: Start = None,
    end: End = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Score detections and tracks against known storms, with counts and intervals.

    Of a folder both are scored. The domain is that of the detections.json beside the predictions;
    for tracks without one it is the whole world. --out gets scores.json, scores.md and
    score_card.html, a page on every storm and every false track. What is drawn by --seed is the
    resampling of whole storms and calm weeks behind the intervals.
    """
    if compare and also:
        raise ConfigurationError("--compare is of two predictions; give it without --also")

    from medicane_models.verification.cases import EvaluationSettings, box_domain
    from medicane_models.verification.comparison import compare_predictions
    from medicane_models.verification.evaluation import evaluate as score
    from medicane_models.verification.evaluation_files import EVALUATION_FILES, write_evaluation
    from medicane_models.verification.report import format_report

    if out:
        check_free(*(out / name for name in EVALUATION_FILES), overwrite=overwrite)
    box = None if domain == "model" else box_domain(domain)
    settings = EvaluationSettings(domain=box, start=start, end=end, seed=seed)
    report = score([predictions, *(also or ())], truth, settings=settings)
    if compare:
        report["comparison"] = compare_predictions(predictions, compare, truth, settings=settings)
    if out:
        write_evaluation(report, out)
    if json:
        print_json(report)
    else:
        typer.echo(format_report(report))


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            callback=checked(check_model),
            help="A .pth, .pt, .bin, .ckpt or .safetensors file, or a Hugging Face VideoMAE.",
        ),
    ],
    out: Out,
    task: Annotated[
        Task | None, typer.Option(help="Model to make; default: the checkpoint's own.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Name of a class in order; once for each.")
    ] = None,
    in_channels: Annotated[
        int | None, typer.Option(min=1, help="Channels to change the patch embedding to.")
    ] = None,
    weights: Annotated[
        WeightsChoice | None,
        typer.Option(
            help="Which of a checkpoint's two sets of weights; default: averaged, if there."
        ),
    ] = None,
    processor: Annotated[
        str | None,
        typer.Option(
            callback=checked(check_processor),
            help="airmass, infrared, planes, or folder or Hub id whose preprocessor_config.json is "
            "saved.",
        ),
    ] = None,
    trained_on: Annotated[
        str | None, typer.Option(help="One sentence on the data of the weights.")
    ] = None,
    data_kind: Annotated[
        DataKind | None, typer.Option(help="Of these data: real scenes, simulated ones, or mixed.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: a setting the tensors cannot tell, as num_heads."),
    ] = None,
    revision: Revision = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Convert weights of VideoMAE, VideoMAEv2, the research code or timm into a model's folder.

    What the weights lack, such as the head of another task, is drawn by --seed.
    """
    known = [field.name for field in fields(MedicaneConfig)]
    settings = parsed_settings(set_ or [], known, of="a model")
    check_free(out / CONFIG_NAME, overwrite=overwrite)

    import torch

    from medicane_models.files import move_all, staging
    from medicane_models.network.conversion import from_foreign
    from medicane_models.scenes.processing import PREPROCESSOR_FILE

    torch.manual_seed(seed)
    model, report = from_foreign(
        source,
        task=task,
        id2label=dict(enumerate(label)) if label else None,
        in_channels=in_channels,
        trained_on=trained_on,
        data_kind=data_kind,
        weights=weights,
        revision=revision,
        **settings,
    )
    model.processor = _processor_for(model, processor)
    with staging(out) as work:
        model.save_pretrained(work)
        if model.processor is None:  # that of an earlier model would not fit
            (out / PREPROCESSOR_FILE).unlink(missing_ok=True)
        move_all(work, out, first=CONFIG_NAME)
    if json:
        print_json(asdict(report))
    else:
        typer.echo(str(report))
    if model.processor is None:
        say(f"{out} has no preprocessor_config.json: save the MedicaneProcessor of its channels.")


@app.command()
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
    json: Json = False,
) -> None:
    """Show what a model expects and returns, or what a scene holds, without loading it."""
    from medicane_models.diagnosis.inspection import description_of, description_rows

    description = description_of(model, revision=revision)
    if json:
        print_json(description)
    else:
        print_rows(description_rows(description))


@app.command()
def push(
    folder: ModelName,
    repo_id: Annotated[
        str, typer.Argument(help="OWNER/NAME on the Hugging Face Hub; created if absent.")
    ],
    revision: Revision = None,
    private: Annotated[
        bool, typer.Option("--private", help="Who creates it alone sees the repository.")
    ] = False,
    json: Json = False,
) -> None:
    """Upload a model's folder to the Hugging Face Hub, with everything in it, in one commit.

    --revision is the branch to commit to. Checkpoints and TensorBoard of a run stay, as do refused
    exports; a folder without a card gets one. The token is that of `hf auth login`, or HF_TOKEN.
    """
    from medicane_models.hub import local_folder, upload
    from medicane_models.network.cards import model_card

    texts = {}
    place = local_folder(folder)
    if place is not None and not (place / "README.md").exists():
        texts["README.md"] = model_card(MedicaneConfig.from_pretrained(place), name=repo_id)
    made = upload(folder, repo_id, private=private, revision=revision, texts=texts)
    if json:
        print_json(made)
    else:
        typer.echo(f"{len(made.files)} files are in {made.url}")


@app.command()
def doctor(json: Json = False) -> None:
    """Check packages, devices and runtimes, and try each; exit code 1 if something is broken."""
    from medicane_models.diagnosis.doctor import examine

    examination = examine()
    if json:
        print_json(examination.to_dict())
    else:
        print_rows(examination.rows())
    raise typer.Exit(1 if examination.broken else 0)


def main() -> None:
    """Run the command."""
    run_program(app, "medicane_models")


def _detector_for(model: str, scene: Sequence[str]) -> str:
    """What "auto" means for a scene."""
    if model != "auto":
        return model
    from medicane_models.scenes.opening import is_airmass

    return AIRMASS_DETECTOR if is_airmass(scene) else DETECTOR


def _predictor(
    model: str,
    tracker: str,
    runtime: RuntimeName,
    device: OnnxDevice,
    *,
    threads: int | None = None,
    **options: Any,
) -> "MedicanePredictor":
    from medicane_models.prediction.predictor import MedicanePredictor
    from medicane_models.runtimes.onnx_session import OnnxSettings

    return MedicanePredictor.from_pretrained(
        model,
        None if tracker == "none" else tracker,
        runtime=runtime,
        device=device,
        settings=OnnxSettings(threads=threads),
        **options,
    )


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


def _check_following(
    follow: bool, once: bool, poll: float | None, *, overwrite: bool, first_guess: Path | None
) -> None:
    """Refuse options that --follow and --once leave without a meaning."""
    if poll is not None and (once or not follow):
        remedy = "leave one of them out" if once else "give --follow"
        why = "--once is a single round" if once else "nothing is followed"
        raise ConfigurationError(f"--poll is {poll:g}, and {why}; {remedy}")
    if not (follow or once):
        return
    option = "--follow" if follow else "--once"
    if overwrite:
        raise ConfigurationError(
            f"{option} goes on with earlier results and --overwrite would replace them; leave it "
            "out, or choose another folder"
        )
    if first_guess is not None:
        raise ConfigurationError(
            f"{option} seeks cyclones wherever they come up and --first-guess only along "
            f"{first_guess}; leave one of them out"
        )


def _follow(
    load: Callable[[], "MedicanePredictor"],
    folders: Sequence[str],
    out: Path,
    *,
    poll: float | None,
    json: bool,
    **how: Any,
) -> None:
    """Rounds until a signal ends them, or one where there is no time to the next."""
    from json import dumps

    from medicane_models.files import to_plain
    from medicane_models.prediction.follow import Follower, following_alone, stopping

    with following_alone(out):
        follower = Follower(load(), folders, out, **how)
        with stopping() as stop:
            rounds = [follower.round(stop)] if poll is None else follower.follow(stop, poll)
            for status in rounds:
                say(str(status))
                if json:
                    typer.echo(dumps(to_plain(status)))


def _judge(run: "PredictionRun", writer: "ProductWriter") -> "Detections":
    """Judge and write clip by clip; what an interrupted run had judged is written too."""
    say(run.warning)
    try:
        for clip in with_progress(run, len(run), "clips"):
            writer.add(clip, run)
    except BaseException:
        if run.has_results:
            writer.write(run.link())
        raise
    detections = run.link()
    writer.write(detections)
    return detections


def _show(
    detections: "Detections", out: Path, *, score: dict[str, Any] | None = None, json: bool
) -> None:
    """Print the result, and its score if there is one, on stdout, where files are on stderr."""
    from rich.console import Console

    from medicane_models.prediction.products import summary_table

    if json:
        _print_scored(detections, score)
    else:
        Console().print(summary_table(detections))
        if score:
            _tell_score(score)
    say(f"Results are in {out}.")


def _print_scored(detections: "Detections", score: dict[str, Any] | None) -> None:
    from json import loads

    told = loads(detections.to_json())
    print_json(told if score is None else told | {"score": score})


def _tell_score(score: dict[str, Any]) -> None:
    from rich.console import Console

    from medicane_models.verification.fixes import fix_table, score_lines

    if score.get("fixes"):
        Console().print(fix_table(score))
    typer.echo("\n".join(score_lines(score)))


def _processor_for(model: "MedicaneModel", source: str | None) -> "MedicaneProcessor | None":
    """The processor that is asked for, else Airmass RGB at the model's size.

    Three-channel weights were made for Airmass or start from it; others have none.
    """
    from medicane_models.scenes.processing import MedicaneProcessor

    frames, channels, height, width = model.config.clip_shape
    if source is None and (channels != 3 or height != width):
        return None
    name = source or "airmass"
    if name in get_args(ProcessorName):
        processor = MedicaneProcessor.named(name).resized(tile_size=width, num_frames=frames)
    else:
        processor = MedicaneProcessor.from_pretrained(name)
    if processor.clip_shape != model.config.clip_shape:
        raise ConfigurationError(
            f"the processor of {name} makes clips of {processor.clip_shape} (T, C, H, W), the "
            f"model takes {model.config.clip_shape}; give another, or convert with --in-channels "
            "or --set"
        )
    return processor


def _split(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


if __name__ == "__main__":
    main()
