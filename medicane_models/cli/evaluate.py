"""``medicane evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from medicane_models.checks import check_free, check_present
from medicane_models.commands import (
    OUT,
    Domain,
    End,
    Json,
    Overwrite,
    Seed,
    Start,
    checked,
    print_json,
)
from medicane_models.errors import ConfigurationError


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
        write_evaluation(report, out, overwrite=overwrite)
    if json:
        print_json(report)
    else:
        typer.echo(format_report(report))
