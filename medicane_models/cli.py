"""The ``medicane`` command."""

import logging
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medicane_models.errors import ConfigurationError, MedicaneError

if TYPE_CHECKING:
    from medicane_models.detections import Detections

app = typer.Typer(
    help="Detect and track medicanes and other cyclones in geostationary satellite video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DETECTOR = "medicane-tiny-detector"
TRACKER = "medicane-tiny-tracker"


class Device(StrEnum):
    """Where the models run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


Out = Annotated[Path, typer.Option("--out", help="Folder for the results, made if absent.")]
Model = Annotated[
    str, typer.Option("--model", help="Detector: a folder, an embedded model or a Hub id.")
]
Tracker = Annotated[
    str, typer.Option("--tracker", help="Tracker: a folder, an embedded model or a Hub id.")
]
Plot = Annotated[bool, typer.Option("--plot/--no-plot", help="Draw a map for every clip.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="auto takes the GPU if any.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


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
        int, typer.Option(min=1, help="Minutes between the ends of clips; the newest is added.")
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
        typer.Option(min=0, max=1, help="Probability that counts; default: the model's."),
    ] = None,
    max_missing: Annotated[
        int | None,
        typer.Option(min=0, help="Missing frames allowed in a clip; default: the model's."),
    ] = None,
    formats: Annotated[
        str, typer.Option(help="Of the tracks: csv, netcdf, geojson, separated by commas.")
    ] = "csv",
    plot: Plot = True,
    device: DeviceOption = Device.AUTO,
    json: Json = False,
) -> None:
    """Find cyclones in satellite scenes: detections, tracks and maps."""
    from medicane_models.predictor import MedicanePredictor, parse_domain
    from medicane_models.products import write_products
    from medicane_models.times import utc

    times = {
        "start": None if start is None else utc(start),
        "end": None if end is None else utc(end),
    }
    track_formats = _formats(formats)
    predictor = MedicanePredictor.from_pretrained(
        model, tracker, device=device.value, threshold=threshold, max_missing=max_missing
    )
    opened = predictor.open(scene, domain=parse_domain(domain, predictor.processor.grid), **times)
    _say(predictor.warning)
    detections = write_products(
        predictor, opened, out, every_minutes=every, formats=track_formats, plot=plot, **times
    )
    _show(detections, out, json=json)


@app.command()
def demo(
    out: Out,
    model: Model = DETECTOR,
    tracker: Tracker = TRACKER,
    hours: Annotated[int, typer.Option(min=2, max=48, help="Length of the scene.")] = 4,
    seed: Annotated[int, typer.Option(help="The same seed gives the same scene.")] = 0,
    plot: Plot = True,
    device: DeviceOption = Device.AUTO,
    json: Json = False,
) -> None:
    """Simulate a medicane, offline, and look for it with the embedded models."""
    from medicane_models.files import replacing
    from medicane_models.predictor import MedicanePredictor
    from medicane_models.products import write_products
    from medicane_models.simulation import simulate_scene

    predictor = MedicanePredictor.from_pretrained(model, tracker, device=device.value)
    simulated, truth = simulate_scene(hours=hours, seed=seed, grid=predictor.processor.grid)
    _say(predictor.warning)
    detections = write_products(predictor, predictor.open(simulated), out, plot=plot)
    with replacing(out / "truth.csv") as path:
        truth.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    _say(f"The simulated medicane's true track is in {out / 'truth.csv'}.")
    _show(detections, out, json=json)


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
    from medicane_models.detections import stored_geometry
    from medicane_models.domain import MEDITERRANEAN
    from medicane_models.evaluation import EvaluationSettings
    from medicane_models.evaluation import evaluate as score
    from medicane_models.files import json_text
    from medicane_models.reporting import format_report

    grid, tile_size = stored_geometry(predictions.parent) or (MEDITERRANEAN, 224)
    settings = EvaluationSettings(grid=grid, tile_size=tile_size, start=start, end=end, seed=seed)
    report = score(predictions, truth, settings=settings)
    typer.echo(json_text(report) if json else format_report(report))


def main() -> None:
    """Run the command; a failed run prints one sentence and exits with 1, wrong use with 2."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("medicane_models").setLevel(logging.INFO)
    warnings.showwarning = _show_warning
    try:
        app()
    except (MedicaneError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def _show_warning(message: Warning | str, *_: Any) -> None:
    typer.echo(f"Warning: {message}", err=True)


def _say(text: str | None) -> None:
    if text is not None:
        typer.echo(text, err=True)


def _show(detections: "Detections", out: Path, *, json: bool) -> None:
    """Print the result on stdout and where the files are on stderr."""
    from rich.console import Console

    from medicane_models.products import summary_table

    if json:
        typer.echo(detections.to_json())
    else:
        Console().print(summary_table(detections))
    _say(f"Results are in {out}.")


def _formats(text: str) -> list[str]:
    from medicane_models.tracks import FORMATS

    formats = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := sorted(set(formats) - set(FORMATS)):
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(FORMATS)}")
    return formats


if __name__ == "__main__":
    main()
