"""The page of a run's model: all that the run's files say, and nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medicane_models.hub import local_folder
from medicane_models.network.base import MedicaneModel
from medicane_models.network.cards import UNKNOWN_LICENSE, license_of, license_told, model_card
from medicane_training.flows.provenance import UNKNOWN
from medicane_training.recipes.kinds import Recipe
from medicane_training.recipes.sections import ModelSettings
from medicane_training.run.folder import RunFolder

__all__ = ["run_card"]

MOST_STORMS = 40


def run_card(
    folder: RunFolder,
    model: MedicaneModel,
    scores: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> str:
    """With how the model came about, on which data, and what is known of its skill.

    Args:
        folder: of the run.
        model: as it is released.
        scores: as in ``scores.json``.
        evaluation: the scores on validation there, or ``test.json``.
    """
    settings = folder.recipe.model
    return model_card(
        model.config,
        name=folder.path.resolve().name,
        processor=model.processor,
        license_id=settings.license or UNKNOWN_LICENSE,
        base_model=None if _is_local(settings.init) else settings.init,
        evaluation=evaluation,
        data=_data(scores["data"]),
        training=_training(folder.recipe, scores),
    )


def _is_local(init: str | None) -> bool:
    return init is not None and local_folder(init) is not None


def _training(recipe: Recipe, scores: Mapping[str, Any]) -> str:
    return (
        f"`medicane-train {recipe.flow}` from {_origin(recipe.model)}: "
        f"{scores['epochs_trained']} of {recipe.training.epochs} epochs, "
        f"{recipe.training.global_batch} clips a step. The weights are those after "
        f"epoch {scores['epoch']}, chosen by {scores['chosen_by']} on validation. "
        "`run.yaml` repeats the run."
    )


def _origin(settings: ModelSettings) -> str:
    """What the weights come of, and on what terms if its card says so."""
    init = settings.init
    if init is None:
        return "random weights"
    terms = license_of(init, revision=settings.init_revision)
    told = "not stated" if terms == UNKNOWN_LICENSE else license_told(terms)
    return f"{Path(init).resolve().name if _is_local(init) else init} (its licence: {told})"


def _data(data: Mapping[str, Any]) -> str:
    paragraphs = [
        _table(data["parts"]),
        f"Platforms of the training clips: {', '.join(map(_platform, data['platforms']))}.",
        _storms(data["storms"]),
        _labels(data["rule"]) if data["storms"] else "",
        _split(data["split"]),
    ]
    return "\n\n".join(filter(None, paragraphs))


def _table(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows of the parts that have clips."""
    rows = [
        (part, told["clips"], told["cyclones"], told["storms"], told["first"], told["last"])
        for part, told in parts.items()
        if told["clips"]
    ]
    head = ("part", "clips", "with a cyclone", "storms", "first clip ends", "last clip ends")
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _platform(name: str) -> str:
    return "not stated" if name == UNKNOWN else name


def _storms(names: Sequence[str]) -> str:
    if not names:
        return "The training clips are of no known storm."
    more = len(names) - MOST_STORMS
    told = f"{', '.join(names[:MOST_STORMS])}{f' and {more} more' if more > 0 else ''}"
    return f"Storms of the training clips: {told}."


def _labels(rule: Mapping[str, Any] | None) -> str:
    if rule is None:
        return "By which rule clips were labelled is not stated."
    if rule["kind"] == "research":
        return (
            "A clip counts as a cyclone if the centre was inside its tile for "
            f"{rule['min_frames']} frames."
        )
    return (
        "A clip counts as a cyclone if the centre is inside its tile at the last frame; clips with "
        f"one within {rule['border_margin_px']:g} pixels of the tile's border are left out."
    )


def _split(split: Mapping[str, Any]) -> str:
    guard = split["guard_hours"]
    km = split.get("guard_km")
    far = f" or {km:g} km" if km else ""
    apart = f"; at least {guard:g} h{far} lie between clips of different parts" if guard else ""
    return (
        f"Split by {split['by']}: no storm and no frame is in two parts{apart}. `split.csv` has "
        "the part of every clip."
    )
