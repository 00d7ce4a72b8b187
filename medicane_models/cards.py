"""The page that goes with a model: what it is for, what it was trained on, what it cannot do."""

from medicane_models.configuration import MedicaneConfig

__all__ = ["model_card"]

_PURPOSE = {
    "pretraining": "reconstructs masked parts of satellite video, to start other models from",
    "classification": "tells whether the centre of a cyclone is in a tile of satellite video",
    "tracking": "locates the centre of a cyclone in the last frame of a clip of satellite video",
}
_PIPELINE = {"classification": "video-classification"}
_LICENSE = "apache-2.0"


def model_card(
    config: MedicaneConfig, *, name: str, license_id: str = _LICENSE, base_model: str | None = None
) -> str:
    """Markdown with the front matter that the Hugging Face Hub reads.

    Args:
        config: the model's configuration.
        name: short name or Hub id of the model.
        license_id: SPDX-like identifier of the weights' licence, as the Hub spells it.
        base_model: Hub id of the model that this one started from.
    """
    parts = (
        _front_matter(config, license_id, base_model),
        f"# {name.rpartition('/')[2]}",
        _summary(config),
        _usage(name),
        _limits(config),
    )
    return "\n\n".join(parts) + "\n"


def _front_matter(config: MedicaneConfig, license_id: str, base_model: str | None) -> str:
    lines = [f"license: {license_id}", "library_name: medicane-models"]
    if config.task in _PIPELINE:
        lines.append(f"pipeline_tag: {_PIPELINE[config.task]}")
    if base_model:
        lines.append(f"base_model: {base_model}")
    tags = ("medicane", "cyclone", "satellite", "video", config.task)
    lines += ["tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


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
    return f"## Limits\n\n{calibration} Not for warnings or decisions on safety."
