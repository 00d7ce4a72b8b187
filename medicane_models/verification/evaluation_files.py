"""The files of an evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medicane_models.files import replacing, write_json
from medicane_models.verification.report import markdown_report
from medicane_models.verification.score_card import score_card_page

__all__ = ["EVALUATION_FILES", "write_evaluation"]

EVALUATION_FILES = ("scores.json", "scores.md", "score_card.html")


def write_evaluation(report: Mapping[str, Any], out: Path) -> None:
    """Write EVALUATION_FILES of what :func:`evaluation.evaluate` returns into a folder.

    Raises:
        OutputError: if it cannot be written.
    """
    write_json(out / "scores.json", report)
    for name, text in (
        ("scores.md", markdown_report(report) + "\n"),
        ("score_card.html", score_card_page(report)),
    ):
        with replacing(out / name) as path:
            path.write_text(text, "utf-8")
