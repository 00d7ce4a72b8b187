"""The files of an evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medicane_models.checks import check_free
from medicane_models.files import json_text, move_all, output_errors, staging
from medicane_models.verification.report import markdown_report
from medicane_models.verification.score_card import score_card_page

__all__ = ["EVALUATION_FILES", "write_evaluation"]

EVALUATION_FILES = ("scores.json", "scores.md", "score_card.html")


def write_evaluation(report: Mapping[str, Any], out: Path, *, overwrite: bool = False) -> None:
    """Write EVALUATION_FILES of what :func:`evaluation.evaluate` returns into a folder.

    Raises:
        OutputError: if it cannot be written.
        ConfigurationError: if they are there and ``overwrite`` is False, or another process writes
            there.
    """
    with staging(out) as work:
        check_free(*(out / name for name in EVALUATION_FILES), overwrite=overwrite)
        texts = (json_text(report) + "\n", markdown_report(report) + "\n", score_card_page(report))
        with output_errors(out):
            for name, text in zip(EVALUATION_FILES, texts, strict=True):
                (work / name).write_text(text, "utf-8")
            move_all(work, out, first=EVALUATION_FILES[0])
