"""The page that goes with a model: what it is for, what it was trained on, what it cannot do."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from medicane_models.errors import CheckpointError
from medicane_models.hub import HubOptions, resolve_file
from medicane_models.network.configuration import MedicaneConfig

__all__ = ["license_of", "model_card"]

_PURPOSE = {
    "pretraining": "reconstructs masked parts of satellite video, to start other models from",
    "classification": "tells whether the centre of a cyclone is in a tile of satellite video",
    "tracking": "locates the centre of a cyclone in the last frame of a clip of satellite video",
}
_USE = {
    "pretraining": "Start a detector or a tracker from its encoder: `medicane-train classify "
    "--init {name}`. On its own it says nothing about cyclones.",
    "classification": "Search geostationary infrared images of the domain it was trained on for "
    "medicanes, with a person who looks at what it finds: `medicane predict SCENE --model {name}`.",
    "tracking": "Locate a cyclone in tiles that hold one, as a detector says: `medicane predict "
    "SCENE --tracker {name}`. In a tile without a cyclone its centre means nothing.",
}
_NOT_FOR = (
    "Not for warnings or decisions on safety; not for other sensors, cadences or regions than its "
    "`preprocessor_config.json` names without a new test; not for the intensity of storms."
)
_SIMULATED = (
    "**Simulated data.** A simulated score says nothing about real storms: it shows that training "
    "and evaluation work."
)
_PIPELINE = {"classification": "video-classification"}
_TASK = {
    "pretraining": "masked-video-modeling",
    "classification": "video-classification",
    "tracking": "keypoint-detection",
}
_LICENSE = "apache-2.0"
_UNKNOWN_LICENSE = "unknown"
_COUNTS = ("clips", "storms")


def model_card(
    config: MedicaneConfig,
    *,
    name: str,
    license_id: str = _LICENSE,
    base_model: str | None = None,
    evaluation: Mapping[str, Any] | None = None,
    training: str | None = None,
) -> str:
    """Markdown with the front matter that the Hugging Face Hub reads.

    Args:
        config: the model's configuration.
        name: short name or Hub id of the model.
        license_id: SPDX-like identifier of the weights' licence, as the Hub spells it.
        base_model: Hub id of the model that this one started from.
        evaluation: what a final test reports, or a validation if its ``part`` is that: ``table``,
            its rows to print, and if there are any ``scores`` (of the ``model`` and others, each
            a number or ``value, low, high``), ``counts`` and whether the data are ``simulated``;
            or, flat, scores on validation.
        training: a paragraph on how it was trained.
    """
    simulated = _is_simulated(config, evaluation, training)
    parts = [
        _front_matter(config, name, license_id, base_model, evaluation, simulated=simulated),
        f"# {_short(name)}",
        _summary(config),
        _SIMULATED if simulated else "",
        _usage(name),
        f"## Intended use\n\n{_USE[config.task].format(name=name)}",
        f"## Training\n\n{training}" if training else "",
        _scores(evaluation) if evaluation else "",
        _limits(config),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def license_of(initial: str | None, **hub_options: Unpack[HubOptions]) -> str:
    """Licence of weights that come of an initial model's: what its card says, or ``unknown``.

    Args:
        initial: as in :func:`medicane_models.hub.resolve_file`; None for random weights.
        **hub_options: where to look.
    """
    from huggingface_hub import ModelCard

    if initial is None:
        return _LICENSE
    try:
        text = resolve_file(initial, "README.md", **hub_options).read_text("utf-8")
        found = ModelCard(text, ignore_metadata_errors=True).data.to_dict().get("license")
    except (CheckpointError, OSError, ValueError):
        return _UNKNOWN_LICENSE
    return str(found or _UNKNOWN_LICENSE)


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _is_simulated(
    config: MedicaneConfig, evaluation: Mapping[str, Any] | None, training: str | None
) -> bool:
    judged_on = (evaluation or {}).get("simulated")
    said = f"{config.trained_on or ''} {training or ''}".lower()
    return "simulated" in said if judged_on is None else bool(judged_on)


def _front_matter(
    config: MedicaneConfig,
    name: str,
    license_id: str,
    base_model: str | None,
    evaluation: Mapping[str, Any] | None,
    *,
    simulated: bool,
) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        license=license_id,
        library_name="medicane-models",
        pipeline_tag=_PIPELINE.get(config.task),
        base_model=base_model,
        tags=["medicane", "cyclone", "satellite", "video", config.task],
        model_name=_short(name),
        eval_results=_results(config, evaluation or {}, simulated=simulated),
    )
    return f"---\n{data.to_yaml()}\n---"


def _results(config: MedicaneConfig, evaluation: Mapping[str, Any], *, simulated: bool) -> Any:
    """What the Hub's model index lists: the model's own scores in a final test."""
    from huggingface_hub import EvalResult

    if not _is_test(evaluation):
        return None
    return [
        EvalResult(
            task_type=_TASK[config.task],
            dataset_type="medicane-clips",
            dataset_name=f"{'Simulated' if simulated else 'Satellite'} clips",
            dataset_split="test",
            metric_type=score,
            metric_name=score.replace("_", " "),
            metric_value=value,
        )
        for score, value in _numbers(evaluation).items()
    ]


def _is_test(evaluation: Mapping[str, Any]) -> bool:
    return "table" in evaluation and evaluation.get("part") != "validation"


def _numbers(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The model's finite scores, of a report or a flat one."""
    scores = evaluation.get("scores", evaluation)
    scores = scores.get("model", scores)
    values = {
        name: score.get("value") if isinstance(score, Mapping) else score
        for name, score in scores.items()
        if name not in _COUNTS
    }
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _scores(evaluation: Mapping[str, Any]) -> str:
    """Scores with what they were counted on; intervals where the rows hold them."""
    rows = evaluation.get("table") or [
        {"score": name, "value": f"{value:.4g}"} for name, value in _numbers(evaluation).items()
    ]
    counts = evaluation.get("counts") or {n: evaluation[n] for n in _COUNTS if n in evaluation}
    counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    told = f" ({counted})" if counted else ""
    about = (
        f"On test clips{told} that neither trained nor chose the model."
        if _is_test(evaluation)
        else f"On the validation clips{told}, which chose the model: others will score worse."
    )
    if "table" in evaluation:
        about += (
            " In parentheses 95 % intervals from drawing whole storms and calm weeks, too narrow "
            "where these are few; without them there were too few."
        )
    if any(name.startswith("deployed_") for row in rows for name in map(str, row.values())):
        about += (
            " `deployed_` scores are for the true share of cyclones in all weather, the others for "
            "the clips as they were sampled."
        )
    return f"## Scores\n\n{about}\n\n{_markdown(rows)}"


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    titles = list(rows[0])
    lines = [titles, ["---"] * len(titles), *([row.get(key, "") for key in titles] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _summary(config: MedicaneConfig) -> str:
    frames, channels, height, width = config.clip_shape
    trained = (
        f"Trained on: {config.trained_on}"
        if config.trained_on
        else "**UNTRAINED: the weights are random numbers. Its outputs mean nothing.**"
    )
    return (
        f"A video transformer that {_PURPOSE[config.task]}.\n\n{trained}\n\n"
        f"Input: clips of {frames} frames, {channels} channels, {height} × {width} pixels, "
        "normalised as `preprocessor_config.json` says. "
        f"{config.depth} blocks of {config.embed_dim} features, patches of {config.patch_size} "
        f"pixels and {config.tubelet_size} frames."
    )


def _usage(name: str) -> str:
    return (
        "```python\nfrom medicane_models import AutoMedicaneModel\n\n"
        f'model = AutoMedicaneModel.from_pretrained("{name}")\n```'
    )


def _limits(config: MedicaneConfig) -> str:
    calibration = {
        "classification": f"Probabilities are softmax(logits / {config.temperature:g}); a tile "
        f"counts as a detection from {config.threshold:g} on.",
        "tracking": "Centres are (x, y) in tile pixels with the covariance of their error; a "
        "covariance of NaN means that the error was never measured.",
        "pretraining": "It makes no statement about cyclones.",
    }[config.task]
    return f"## Limits\n\n{calibration} {_NOT_FOR}"
