"""The ``medicane`` command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medicane_models.commands import (
    Device,
    DeviceOption,
    Json,
    Model,
    OnnxDevice,
    Out,
    Overwrite,
    Plot,
    RuntimeName,
    Task,
    Tracker,
    WeightsChoice,
    command_line,
    print_rows,
    run,
)
from medicane_models.errors import ConfigurationError
from medicane_models.hub import DETECTOR, TRACKER

if TYPE_CHECKING:
    from medicane_models.network.weights import MedicaneModel
    from medicane_models.prediction.detections import Detections
    from medicane_models.prediction.predictor import MedicanePredictor
    from medicane_models.scenes.processing import MedicaneProcessor

app = command_line(
    "Detect and track medicanes and other cyclones in geostationary satellite video."
)


@app.command()
def predict(
    scene: Annotated[
        list[str],
        typer.Argument(
            help="Archive Zarr, netCDF, raw SEVIRI files, or a folder of PNG frames; or several."
        ),
    ],
    out: Out,
    model: Model = DETECTOR,
    tracker: Tracker = TRACKER,
    start: Annotated[str | None, typer.Option(help="Earliest end of a clip, UTC.")] = None,
    end: Annotated[str | None, typer.Option(help="Latest end of a clip, UTC.")] = None,
    every: Annotated[
        int, typer.Option(help="Minutes between the ends of clips; the newest frame's is added.")
    ] = 60,
    domain: Annotated[
        str,
        typer.Option(
            help="model: the grid it was trained on; native: all of the scene; "
            "or WEST,SOUTH,EAST,NORTH in degrees."
        ),
    ] = "model",
    threshold: Annotated[
        float | None,
        typer.Option(help="Probability that counts, above 0; default: the model's."),
    ] = None,
    max_missing: Annotated[
        int | None,
        typer.Option(min=0, help="Missing frames allowed in a clip; default: the model's."),
    ] = None,
    formats: Annotated[
        str, typer.Option(help="Of the tracks: csv, netcdf, geojson, separated by commas.")
    ] = "csv",
    plot: Plot = True,
    overwrite: Overwrite = False,
    runtime: Annotated[
        RuntimeName,
        typer.Option(help="onnx runs what medicane-export onnx made, without torch."),
    ] = RuntimeName.TORCH,
    device: Annotated[
        OnnxDevice,
        typer.Option(help="auto takes the GPU if any; tensorrt needs --runtime onnx."),
    ] = OnnxDevice.AUTO,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of --runtime onnx; default: all cores.")
    ] = None,
    json: Json = False,
) -> None:
    """Find cyclones in satellite scenes: detections, tracks and maps."""
    from medicane_models.prediction.products import clear_products, write_products

    track_formats = _formats(formats)
    clear_products(out, overwrite=overwrite)
    options = {"device": device.value, "threshold": threshold, "max_missing": max_missing}
    predictor = _predictor(runtime, model, tracker, threads, **options)
    opened = predictor.open(scene, domain=domain, start=start, end=end)
    planned = predictor.run(opened, start=start, end=end, every_minutes=every)
    _say(planned.warning)
    _show(write_products(planned, out, formats=track_formats, plot=plot), out, json=json)


@app.command()
def demo(
    out: Out,
    model: Model = DETECTOR,
    tracker: Tracker = TRACKER,
    hours: Annotated[int, typer.Option(min=2, max=48, help="Length of the scene.")] = 4,
    seed: Annotated[int, typer.Option(help="The same seed gives the same scene.")] = 0,
    plot: Plot = True,
    overwrite: Overwrite = False,
    device: DeviceOption = Device.AUTO,
    json: Json = False,
) -> None:
    """Simulate a medicane, offline, and look for it with the embedded models."""
    from medicane_models.files import replacing
    from medicane_models.prediction.predictor import MedicanePredictor
    from medicane_models.prediction.products import clear_products, write_products
    from medicane_models.simulation import simulate_scene

    clear_products(out, overwrite=overwrite)
    predictor = MedicanePredictor.from_pretrained(model, tracker, device=device.value)
    simulated, truth = simulate_scene(hours=hours, seed=seed, grid=predictor.processor.grid)
    planned = predictor.run(simulated)
    _say(planned.warning)
    detections = write_products(planned, out, plot=plot)
    with replacing(out / "truth.csv") as path:
        truth.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    _say(f"The simulated medicane's true track is in {out / 'truth.csv'}.")
    _show(detections, out, json=json)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="The Zarr store to write, NAME.zarr.")],
    start: Annotated[str, typer.Option(help="Time of the first frame, UTC.")] = "2021-10-01",
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
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same scene.")] = 0,
) -> None:
    """Simulate weather of the Mediterranean with medicanes whose centres are known.

    Writes NAME.zarr, NAME.tracks.csv (the truth) and NAME.lookalikes.csv. It is crude: scores on
    it say nothing about real storms.
    """
    from medicane_models.commands import with_progress
    from medicane_models.simulation import Instrument, StormRates, write_simulation

    if hours is None and days is None:
        raise typer.BadParameter("give the length: --hours, --days or both")
    losses = {} if gaps else {"missing_frames": 0.0, "missing_lines": 0.0}
    written = write_simulation(
        out,
        start=start,
        hours=(hours or 0) + 24 * (days or 0),
        rates=StormRates.scaled(medicane=storms, lookalikes=lookalikes),
        instrument=Instrument(pause_hours=pause_hours, **losses),
        seed=seed,
        progress=lambda times: with_progress(times, len(times), "frames"),
    )
    _say(f"{written.frames} frames are in {written.scene}; tracks of {written.medicanes} medicanes")
    _say(f"are in {written.tracks}, what only looks like one in {written.lookalikes}.")


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="detections.csv or tracks.csv.")],
    truth: Annotated[
        Path, typer.Argument(help="Table of true positions: storm or track id, time, lat, lon.")
    ],
    start: Annotated[str | None, typer.Option(help="First time judged, UTC.")] = None,
    end: Annotated[str | None, typer.Option(help="Last time judged, UTC.")] = None,
    seed: Annotated[int, typer.Option(help="Of the resampling behind the intervals.")] = 0,
    json: Json = False,
) -> None:
    """Score detections or tracks against known storms, with counts and intervals.

    The domain is that of the detections.json beside the predictions, or the Mediterranean.
    """
    from medicane_models.domain import MEDITERRANEAN
    from medicane_models.files import json_text
    from medicane_models.prediction.detections import stored_geometry
    from medicane_models.verification.evaluation import EvaluationSettings
    from medicane_models.verification.evaluation import evaluate as score
    from medicane_models.verification.report import format_report

    grid, tile_size = stored_geometry(predictions.parent) or (MEDITERRANEAN, 224)
    settings = EvaluationSettings(grid=grid, tile_size=tile_size, start=start, end=end, seed=seed)
    report = score(predictions, truth, settings=settings)
    typer.echo(json_text(report) if json else format_report(report))


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="A .pth, .pt, .bin, .ckpt or .safetensors file, or a Hugging Face VideoMAE."
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
        typer.Option(help="Folder or Hub id whose preprocessor_config.json is saved with it."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    trained_on: Annotated[
        str | None, typer.Option(help="One sentence on the data of the weights.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: a setting the tensors cannot tell, as num_heads."),
    ] = None,
) -> None:
    """Convert weights of VideoMAE, VideoMAEv2, the research code or timm into a model's folder."""
    from medicane_models.network.conversion import from_foreign

    model, report = from_foreign(
        source,
        task=task.value if task else None,
        id2label=dict(enumerate(label)) if label else None,
        in_channels=in_channels,
        trained_on=trained_on,
        weights=weights.value if weights else None,
        revision=revision,
        **_settings(set_ or []),
    )
    model.processor = _processor_for(model, processor)
    model.save_pretrained(out)
    typer.echo(str(report))
    if model.processor is None:
        _say(f"{out} has no preprocessor_config.json: save the MedicaneProcessor of its channels.")


@app.command()
def inspect(
    model: Annotated[
        str,
        typer.Argument(
            help="A model's or run's folder, an .onnx file, an embedded model or a Hub id."
        ),
    ],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    json: Json = False,
) -> None:
    """Show what a model expects and returns, without loading it."""
    from medicane_models.diagnosis.inspection import description_rows, inspect_model
    from medicane_models.files import json_text

    description = inspect_model(model, revision=revision)
    if json:
        typer.echo(json_text(description))
    else:
        print_rows(description_rows(description))


@app.command()
def doctor(json: Json = False) -> None:
    """Check packages, devices and runtimes, and try each; exit code 1 if something is broken."""
    from medicane_models.diagnosis.doctor import examine
    from medicane_models.files import json_text

    examination = examine()
    if json:
        typer.echo(json_text(examination.to_dict()))
    else:
        print_rows(examination.rows())
    raise typer.Exit(1 if examination.broken else 0)


def main() -> None:
    """Run the command."""
    run(app, "medicane_models")


def _predictor(
    runtime: RuntimeName, model: str, tracker: str, threads: int | None, **options: Any
) -> "MedicanePredictor":
    """A predictor on the runtime asked for."""
    if runtime is RuntimeName.TORCH:
        from medicane_models.prediction.predictor import MedicanePredictor

        if options["device"] == OnnxDevice.TENSORRT:
            raise typer.BadParameter("--device tensorrt runs exported models; add --runtime onnx")
        if threads is not None:
            raise typer.BadParameter("--threads is for --runtime onnx; set OMP_NUM_THREADS instead")
        return MedicanePredictor.from_pretrained(model, tracker, **options)
    from medicane_models.prediction.predictor import OnnxPredictor
    from medicane_models.runtimes.onnx_session import OnnxSettings

    settings = OnnxSettings(threads=threads)
    return OnnxPredictor.from_pretrained(model, tracker, settings=settings, **options)


def _say(text: str | None) -> None:
    if text is not None:
        typer.echo(text, err=True)


def _show(detections: "Detections", out: Path, *, json: bool) -> None:
    """Print the result on stdout and where the files are on stderr."""
    from rich.console import Console

    from medicane_models.prediction.products import summary_table

    if json:
        typer.echo(detections.to_json())
    else:
        Console().print(summary_table(detections))
    _say(f"Results are in {out}.")


def _settings(pairs: list[str]) -> dict[str, Any]:
    """key=value as a mapping; values are JSON where they can be, text otherwise."""
    import json

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {pair!r}: write it as key=value")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings


def _processor_for(model: "MedicaneModel", source: str | None) -> "MedicaneProcessor | None":
    """The processor that is asked for, else Airmass RGB at the model's size.

    Three-channel weights were made for Airmass or start from it; others have none.
    """
    from medicane_models.scenes.processing import MedicaneProcessor

    frames, channels, height, width = model.config.clip_shape
    if source is None:
        if channels != 3 or height != width:
            return None
        missing = min(2, frames - 1)
        return MedicaneProcessor.airmass(tile_size=width, num_frames=frames, max_missing=missing)
    processor = MedicaneProcessor.from_pretrained(source)
    size = processor.tile_size
    made = (processor.num_frames, len(processor.bands), size, size)
    if made != model.config.clip_shape:
        raise ConfigurationError(
            f"the processor of {source} makes clips of {made} (T, C, H, W), the model takes "
            f"{model.config.clip_shape}; give another, or convert with --in-channels or --set"
        )
    return processor


def _formats(text: str) -> list[str]:
    from medicane_models.prediction.tracks import FORMATS

    formats = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := sorted(set(formats) - set(FORMATS)):
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(FORMATS)}")
    return formats


if __name__ == "__main__":
    main()
