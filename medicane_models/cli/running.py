"""What the commands that look for cyclones share: models loaded, clips judged, results told."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medicane_models.choices import OnnxDevice, RuntimeName
from medicane_models.commands import print_json, say, with_progress
from medicane_models.hub import AIRMASS_DETECTOR, DETECTOR

if TYPE_CHECKING:
    from medicane_models.prediction.detections import Detections
    from medicane_models.prediction.predictor import MedicanePredictor
    from medicane_models.prediction.products import ProductWriter
    from medicane_models.prediction.run import PredictionRun
    from medicane_models.prediction.unfinished import UnfinishedRun


def load_predictor(
    model: str,
    tracker: str,
    runtime: RuntimeName,
    device: OnnxDevice,
    *,
    scene: Sequence[str] = (),
    threads: int | None = None,
    **options: Any,
) -> "MedicanePredictor":
    """What --model, --tracker, --runtime and the like name; auto is what a scene is for."""
    from medicane_models.memory import give_back_large_arrays
    from medicane_models.prediction.predictor import MedicanePredictor
    from medicane_models.runtimes.onnx_session import OnnxSettings

    give_back_large_arrays()
    return MedicanePredictor.from_pretrained(
        _detector_for(scene) if model == "auto" else model,
        None if tracker == "none" else tracker,
        runtime=runtime,
        device=device,
        settings=OnnxSettings(threads=threads),
        **options,
    )


def opened_run(
    load: Callable[[], "MedicanePredictor"],
    scene: Sequence[str],
    within: Mapping[str, Any],
    **how: Any,
) -> "PredictionRun":
    """A predictor's run over a scene, as `MedicanePredictor.open` and its ``run`` are told."""
    predictor = load()
    return predictor.run(predictor.open(scene, **within), **how)


def judge(
    clips: "PredictionRun | UnfinishedRun", run: "PredictionRun", writer: "ProductWriter"
) -> "Detections":
    """Judge and write clip by clip; what an interrupted run had judged is written too."""
    say(run.warning)
    try:
        for clip in with_progress(clips, len(clips), "clips"):
            writer.add(clip, run)
    except BaseException:
        if run.has_results:
            writer.write(run.link())
        raise
    detections = run.link()
    writer.write(detections)
    return detections


def _detector_for(scene: Sequence[str]) -> str:
    from medicane_models.scenes.opening import is_airmass

    return AIRMASS_DETECTOR if is_airmass(scene) else DETECTOR


def show(
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
