"""The page that goes with a model: what it is for, what it was trained on, what it cannot do."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Unpack

from medicane_models.errors import CheckpointError
from medicane_models.hub import HubOptions, resolve_file
from medicane_models.network.configuration import SIMULATED, MedicaneConfig
from medicane_models.scenes.processing import ANY_SENSOR, MedicaneProcessor

__all__ = [
    "UNKNOWN_LICENSE",
    "LicenseParts",
    "data_caution",
    "license_of",
    "license_parts",
    "license_told",
    "model_card",
]

UNKNOWN_LICENSE = "unknown"
"""As the Hub calls the licence of weights of which nobody stated one."""

_USE = {
    "pretraining": "Start a detector or a tracker from its encoder: `medicane-train classify "
    "--init {name}`. On its own it says nothing about cyclones.",
    "classification": "Search scenes like those it was trained on, with a person who looks at what "
    "it finds: `medicane predict SCENE --model {name}`.",
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
_MIXED = (
    "**Partly simulated data.** Scores on simulated scenes say nothing about real storms, and "
    "none here tells the two apart."
)
_TRAINED_MIXED = "Trained on real scenes and on simulated ones; judged by real ones alone."
_UNSTATED = "Whether these data were real or simulated is not stated."
_PIPELINE = {"classification": "video-classification"}
_TASK = {
    "pretraining": "masked-video-modeling",
    "classification": "video-classification",
    "tracking": "keypoint-detection",
}
_DATASET: Mapping[str | None, str] = {
    "real": "Satellite clips",
    "simulated": "Simulated clips",
    "mixed": "Satellite and simulated clips",
    None: "Clips",
}
_TERMS = {
    "pod": "share of the cyclones that are found",
    "far": "share of the alarms that are false",
    "csi": "hits among hits, misses and false alarms",
    "hss": "Heidke skill score, 0 for chance and 1 for perfect",
    "roc_area": "area under hit rate over false alarm rate, 0.5 for chance",
    "pr_area": "average precision, the share of cyclones for chance",
    "brier": "mean squared error of the probability",
    "ece": "mean distance of probabilities from observed shares",
    "alarm_rate": "share of clips with an alarm",
    "coldest_60_km": "an alarm where the coldest 60-km mean is cold enough",
    "never": "no alarm, or the base rate as a probability",
    "coverage_50": "share of centres in their 50 % circle",
    "coverage_95": "share of centres in their 95 % circle",
    "radius_factor": "factor on the circles' radii that would make them right",
    "loss_of_mean": "loss of guessing each token's mean",
    "unexplained": "loss over that of the mean, 1 without skill",
}
"""What scores and baselines are, for readers who do not know their names."""

_COUNTS = ("clips", "storms")
_MOST_LABELS = 5


def model_card(
    config: MedicaneConfig,
    *,
    name: str,
    processor: MedicaneProcessor | None = None,
    license_id: str = UNKNOWN_LICENSE,
    base_model: str | None = None,
    evaluation: Mapping[str, Any] | None = None,
    data: str | None = None,
    training: str | None = None,
) -> str:
    """Markdown with the front matter that the Hugging Face Hub reads.

    It says what it is told, and of the rest that it is not stated.

    Args:
        config: the model's configuration.
        name: short name or Hub id of the model.
        processor: of the model; None if it has none.
        license_id: of the weights, as :func:`license_parts` takes it.
        base_model: Hub id of the model that this one started from.
        evaluation: what a final test reports, or a validation if its ``part`` is that: ``table``,
            its rows to print, and if there are any ``scores`` (of the ``model`` and others, each
            a number or ``value, low, high``), ``counts`` and the ``data_kind`` of the clips; or,
            flat, scores on validation.
        data: paragraphs on the clips it was trained, chosen and tested with.
        training: a paragraph on how it was trained.
    """
    parts = [
        _front_matter(config, name, processor, license_id, base_model, evaluation),
        f"# {_short(name)}",
        _summary(config, processor),
        data_caution(config, evaluation or {}),
        _usage(name),
        f"## Intended use\n\n{_USE[config.task].format(name=name)} {_NOT_FOR}",
        _input(config, processor),
        f"## Data\n\n{data}" if data else "",
        f"## Training\n\n{training}" if training else "",
        _scores(evaluation) if evaluation else "",
        _limits(config, processor),
        _license(license_id),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def license_of(name: str, **hub_options: Unpack[HubOptions]) -> str:
    """Licence of a model's weights as :func:`license_parts` takes it, or ``unknown``.

    Args:
        name: as in :func:`medicane_models.hub.resolve_file`.
        **hub_options: where to look.
    """
    from huggingface_hub import ModelCard

    try:
        text = resolve_file(name, "README.md", **hub_options).read_text("utf-8")
        found = ModelCard(text, ignore_metadata_errors=True).data.to_dict()
    except (CheckpointError, OSError, ValueError):
        return UNKNOWN_LICENSE
    known, own_name, link = (found.get(f"license{key}") for key in ("", "_name", "_link"))
    told = ":".join(str(part) for part in (known, own_name) if part)
    elsewhere = told and "://" in str(link)  # a file beside that card is not beside others
    return f"{told} <{link}>" if elsewhere else told or UNKNOWN_LICENSE


class LicenseParts(NamedTuple):
    """What the head of a card says of a licence: one of the Hub, or another by name and link."""

    known: str
    own_name: str | None
    link: str | None


def license_parts(license_id: str) -> LicenseParts:
    """Take a licence apart.

    Args:
        license_id: an identifier that the Hub knows, such as ``mit``, or ``other:NAME`` or
            ``other:NAME <LINK>``.
    """
    told, _, link = license_id.removesuffix(">").partition(" <")
    known, _, name = told.partition(":")
    return LicenseParts(known, name or None, link or None)


def license_told(license_id: str) -> str:
    """What text calls a licence that :func:`license_parts` takes."""
    parts = license_parts(license_id)
    return parts.own_name or parts.known or UNKNOWN_LICENSE


def data_caution(config: MedicaneConfig, evaluation: Mapping[str, Any]) -> str:
    """What is to be known of the data before a score is read; empty for real scenes.

    Args:
        config: says what trained the model.
        evaluation: as in `model_card`; its ``data_kind`` says what judged it.
    """
    kinds = {config.data_kind, evaluation.get("data_kind")} - {None}
    if SIMULATED in kinds:
        return _SIMULATED
    if kinds == {"mixed", "real"} and config.data_kind == "mixed":
        return _TRAINED_MIXED
    if "mixed" in kinds:
        return _MIXED
    return _UNSTATED if config.trained_on and config.data_kind is None else ""


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _front_matter(
    config: MedicaneConfig,
    name: str,
    processor: MedicaneProcessor | None,
    license_id: str,
    base_model: str | None,
    evaluation: Mapping[str, Any] | None,
) -> str:
    from huggingface_hub import ModelCardData

    scenes = () if processor is None else ("satellite", "cyclone")
    simulated = ("simulated-data",) if config.data_kind == SIMULATED else ()
    results = _results(config, evaluation or {})
    known, own_name, link = license_parts(license_id)
    data = ModelCardData(
        license=known,
        license_name=own_name,
        license_link=link,
        library_name="medicane-models",
        pipeline_tag=_PIPELINE.get(config.task),
        base_model=base_model,
        tags=["video", *scenes, config.task, *simulated],
        model_name=_short(name) if results else None,
        eval_results=results,
    )
    return f"---\n{data.to_yaml()}\n---"


def _results(config: MedicaneConfig, evaluation: Mapping[str, Any]) -> Any:
    """What the Hub's model index lists: the model's own scores in a final test."""
    from huggingface_hub import EvalResult

    if not _is_test(evaluation):
        return None
    return [
        EvalResult(
            task_type=_TASK[config.task],
            dataset_type="clip-store",
            dataset_name=_DATASET[evaluation.get("data_kind")],
            dataset_split="test",
            dataset_args=evaluation.get("counts"),
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
    if counts.get("storms") == 0:
        about += " No clip holds a storm: whether the model finds any was not tested."
    return "\n\n".join(filter(None, ("## Scores", about, _markdown(rows), _terms(rows))))


def _terms(rows: Sequence[Mapping[str, Any]]) -> str:
    """The meaning of the names in a table's head and cells."""
    words = {str(word) for row in rows for item in row.items() for word in item}
    named = {word.removeprefix("deployed_") for word in words}
    return "\n".join(f"- `{name}`: {text}" for name, text in _TERMS.items() if name in named)


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    titles = list(rows[0])
    lines = [titles, ["---"] * len(titles), *([row.get(key, "") for key in titles] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _summary(config: MedicaneConfig, processor: MedicaneProcessor | None) -> str:
    trained = (
        f"Trained on: {config.trained_on}"
        if config.trained_on
        else "**UNTRAINED: the weights are random numbers. Its outputs mean nothing.**"
    )
    return f"A video transformer that {_purpose(config, processor)}.\n\n{trained}"


def _purpose(config: MedicaneConfig, processor: MedicaneProcessor | None) -> str:
    video = "video" if processor is None else "satellite video"
    if config.task == "pretraining":
        return f"reconstructs masked parts of {video}, to start other models from"
    if config.task == "tracking":
        return f"locates the centre of a cyclone in the last frame of a clip of {video}"
    labels = [config.id2label[index] for index in sorted(config.id2label)]
    if not labels:
        return f"makes features of clips of {video}"
    more = len(labels) - _MOST_LABELS
    return (
        f"tells clips of {video} apart: {', '.join(labels[:_MOST_LABELS])}"
        f"{f' and {more} more classes' if more > 0 else ''}"
    )


def _input(config: MedicaneConfig, processor: MedicaneProcessor | None) -> str:
    frames, channels, height, width = config.clip_shape
    shape = (
        f"Clips of {frames} frames, {channels} {'channel' if channels == 1 else 'channels'}, "
        f"{height} × {width} pixels. {config.depth} blocks of {config.embed_dim} features, patches "
        f"of {config.patch_size} pixels and {config.tubelet_size} frames."
    )
    return f"## Input\n\n{shape}\n\n{_preprocessing(processor)}"


_SCAN = {"end_of_scan": "ends", "start_of_scan": "begins"}


def _preprocessing(processor: MedicaneProcessor | None) -> str:
    if processor is None:
        return "Sensor, channels, cadence and region are not stated: there is no processor."
    bands = "\n".join(f"- {band.name} = {band}" for band in processor.bands)
    return (
        f"From {_sensor_text(processor)}, a frame every {processor.cadence_minutes:g} minutes, "
        f"normalised as `preprocessor_config.json` says:\n\n{bands}\n\n"
        f"{_tiles_text(processor)}\n\n"
        f"Times are UTC: of a frame {_moment(processor)}, of a clip that of its last frame. Up to "
        f"{processor.max_missing} of the {processor.num_frames} frames may be missing and are "
        f"{_missing_text(processor)}; a clip that lacks more is not judged."
    )


def _moment(processor: MedicaneProcessor) -> str:
    if processor.uses_planes:
        return "what its file gives it"
    return f"when its scan {_SCAN[processor.time_convention]}"


def _sensor_text(processor: MedicaneProcessor) -> str:
    return "any imager" if processor.sensor == ANY_SENSOR else processor.sensor


def _tiles_text(processor: MedicaneProcessor) -> str:
    if not processor.uses_planes:
        return f"Grid: {processor.grid}."
    return (
        f"Tiles: local planes of {processor.tile_size}² pixels of {processor.grid.x_step / 1000:g} "
        "km anywhere on Earth, azimuthal equidistant, mirrored south of the equator."
    )


def _missing_text(processor: MedicaneProcessor) -> str:
    if not processor.marks_missing:
        return "filled from the nearest one"
    return "marked by the last channel, which is 1 where a pixel was seen; the newest must be there"


def _usage(name: str) -> str:
    return (
        "```python\nfrom medicane_models import AutoMedicaneModel\n\n"
        f'model = AutoMedicaneModel.from_pretrained("{name}")\n```'
    )


def _limits(config: MedicaneConfig, processor: MedicaneProcessor | None) -> str:
    meaning = {
        "classification": f"Probabilities are softmax(logits / {config.temperature:g}); a tile "
        f"counts as a detection from {config.threshold:g} on.",
        "tracking": "Centres are (x, y) in tile pixels with the covariance of their error; a "
        "covariance of NaN means that the error was never measured.",
        "pretraining": "It makes no statement about cyclones.",
    }[config.task]
    if config.task != "pretraining" and processor is not None:
        meaning += (
            " Images and tracks are compared as they are: high clouds are seen displaced away from "
            "the satellite (parallax), and nothing corrects it."
        )
    return f"## Limits\n\n{meaning}"


def _license(license_id: str) -> str:
    if license_id == UNKNOWN_LICENSE:
        return (
            "## Licence\n\nNot stated while the head of this page says `license: unknown`; the "
            "data may set terms of their own."
        )
    return f"## Licence\n\nOf the weights: {license_told(license_id)}."
