"""What a run leaves: the chosen model with its scores on validation, and the final test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from medicane_models.errors import ConfigurationError
from medicane_models.files import replacing, to_plain, write_json
from medicane_models.hub import WEIGHTS_NAME
from medicane_models.network.base import MedicaneModel, load_strictly
from medicane_models.network.weights import read_weights
from medicane_models.signals import Interrupts
from medicane_training.engines.interface import EMA_NAME
from medicane_training.flows.interface import Flow, Table
from medicane_training.flows.provenance import clips_described
from medicane_training.interrupts import InterruptedRunError
from medicane_training.ranks import Ranks, any_of, own_device
from medicane_training.run.checkpoint import saved
from medicane_training.run.folder import RunFolder, on_main
from medicane_training.run.journal import Display, show_table
from medicane_training.run.judging import judge_part, readable
from medicane_training.run.run_cards import run_card
from medicane_training.run.training import Training
from medicane_training.store.clip_store import save_table

__all__ = ["check_test", "final_test", "release_best", "show_summary"]


def release_best(training: Training) -> None:
    """Judge validation with the best checkpoint's weights and leave the model in the run's folder.

    Called on all ranks, when training is through.
    """
    flow, ranks, folder = training.flow, training.ranks, training.folder
    best = training.progress.best
    checkpoints = folder.checkpoints
    checkpoint = checkpoints.at(best.step) if best else saved(checkpoints.folder)[-1]
    model = chosen_model(training, checkpoint)
    table = judge_part(
        flow,
        model,
        "validation",
        ranks=ranks,
        released=True,
        watch=training.display.counted,
        pause=lambda: leave_if_asked(training.interrupts, ranks),
    )
    on_main(lambda: write_model(training, model, table), ranks)


def leave_if_asked(interrupts: Interrupts, ranks: Ranks) -> None:
    """Leave if any rank is asked to, while a model that is saved is judged.

    Raises:
        InterruptedRunError: a signal came.
    """
    if any_of(interrupts.caught is not None, ranks):
        raise InterruptedRunError(
            "a signal came when training was through; start the same command again for the rest",
            interrupts.caught,
        )


def chosen_model(training: Training, checkpoint: Path) -> MedicaneModel:
    """The model of a checkpoint as it was validated, in evaluation mode on this rank's device."""
    trained = training.engine.model
    averaged = checkpoint / EMA_NAME
    weights = read_weights(averaged if averaged.exists() else checkpoint / WEIGHTS_NAME)
    model = load_strictly(type(trained), trained.config, weights, str(checkpoint))
    model.processor = trained.processor
    return model.to(training.engine.device)


def write_model(training: Training, model: MedicaneModel, table: Table) -> None:
    """Everything that a finished run consists of; ``scores.json`` comes last. On rank 0.

    All of it is of the model as it is released, but for the score that chose the checkpoint.
    """
    flow, folder, progress = training.flow, training.folder, training.progress
    best = progress.best
    model, released = flow.finish(model, table)
    scores = {
        "flow": flow.recipe.flow,
        "chosen_by": flow.selects,
        "chosen_at": best.score if best else None,
        "step": best.step if best else progress.step,
        "epoch": best.epoch if best else progress.epoch,
        "epochs_trained": progress.epoch,
        "seconds": progress.seconds,
        "validation": _report(flow, model, released, part="validation"),
        "data": clips_described(flow.clips),
    }
    model.save_pretrained(folder.path)
    save_table(readable(flow.kept(released), flow), folder.path / "validation.parquet")
    _write_card(folder, model, scores, scores["validation"])
    write_json(folder.scores_file, scores)


def check_test(flow: Flow[Any]) -> None:
    """Refuse a final test without clips, before a run begins.

    Raises:
        ConfigurationError: the split has no test part.
    """
    if not len(flow.clips.rows("test")):
        raise ConfigurationError(
            "there are no test clips; give data.split a test part, or leave --final-test out"
        )


def final_test(
    flow: Flow[Any], folder: RunFolder, ranks: Ranks, display: Display, interrupts: Interrupts
) -> None:
    """Judge the test part with the run's model, once it is chosen. Called on all ranks."""
    model = flow.model_class.from_pretrained(folder.path)
    table = judge_part(
        flow,
        model.to(own_device(flow.recipe.engine, ranks)),
        "test",
        ranks=ranks,
        released=True,
        watch=display.counted,
        pause=lambda: leave_if_asked(interrupts, ranks),
    )
    on_main(lambda: write_test(flow, folder, model, table), ranks)


def write_test(flow: Flow[Any], folder: RunFolder, model: MedicaneModel, table: Table) -> None:
    """Report, table and card of the final test. On rank 0."""
    report = _report(flow, model, table, part="test")
    save_table(readable(flow.kept(table), flow), folder.path / "test.parquet")
    write_json(folder.path / "test.json", report)
    _write_card(folder, model, folder.scores(), report)
    _show(report, folder)


def _report(flow: Flow[Any], model: MedicaneModel, table: Table, *, part: str) -> dict[str, Any]:
    return {"part": part, "clips": len(table), **flow.report(model, table)}


def _show(report: Mapping[str, Any], folder: RunFolder) -> None:
    """Print a report's table, and of which weights it is."""
    scores = folder.scores()
    title = (
        f"{report['part']} of {folder.path}, {report['clips']} clips\n"
        f"the run's model, of step {scores['step']} (epoch {scores['epoch']})"
    )
    show_table(report["table"], title=title)


def _write_card(
    folder: RunFolder,
    model: MedicaneModel,
    scores: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> None:
    with replacing(folder.path / "README.md") as temporary:
        temporary.write_text(
            run_card(folder, model, to_plain(scores), to_plain(evaluation)), "utf-8"
        )


def show_summary(folder: RunFolder) -> None:
    """Print what a finished run has come to. On rank 0."""
    scores = folder.scores()
    _show(scores["validation"], folder)
    typer.echo(
        f"best {scores['chosen_by']} after epoch {scores['epoch']} (step {scores['step']}) of "
        f"{scores['epochs_trained']}; {scores['seconds'] / 60:.1f} minutes of training\n"
        f"written to {folder.path}: {', '.join(sorted(p.name for p in folder.path.iterdir()))}"
    )
