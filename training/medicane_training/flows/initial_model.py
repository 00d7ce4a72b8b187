"""The model that a training starts with: from random weights, or from another model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from medicane_models.errors import CheckpointError, ConfigurationError, MissingFileError
from medicane_models.hub import WEIGHTS_NAME
from medicane_models.network.base import LoadReport, MedicaneModel
from medicane_models.network.configuration import CONFIG_NAME, MedicaneConfig
from medicane_models.network.presets import UNTRAINED
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.recipes.loading import RUN_FILE
from medicane_training.recipes.sections import ModelSettings

__all__ = ["start_config", "start_model"]

HEAD_FIELDS: Mapping[str, tuple[str, ...]] = {
    "pretraining": (
        "decoder_embed_dim",
        "decoder_depth",
        "decoder_num_heads",
        "decoder_mlp_hidden_dim",
    ),
    "classification": ("id2label",),
    "tracking": ("head", "heatmap_features", "heatmap_offset", "heatmap_stride"),
}
"""Fields of the configuration without which a head's weights mean something else."""

M = TypeVar("M", bound=MedicaneModel)


def start_model(
    cls: type[M],
    settings: ModelSettings,
    *,
    processor: MedicaneProcessor,
    defaults: Mapping[str, Any] | None = None,
) -> tuple[M, LoadReport | None]:
    """A model in training mode that reads the store's clips.

    An initial model of the same task and with the same head is taken over whole, of any other one
    the backbone; clips of another size or length have their positions interpolated. Its
    calibration and what it was trained on are forgotten.

    Args:
        cls: class of the model.
        settings: preset or initial model, and changes to it.
        processor: the store's, which becomes the model's.
        defaults: fields of the configuration that the flow sets; ``settings.changes`` come last.

    Returns:
        The model, and what became of the initial model's tensors if there was one.

    Raises:
        ConfigurationError: the settings contradict each other or the store.
        CheckpointError: the initial model is incomplete, or of another size.
    """
    fields = _fields(cls, settings, processor, defaults)
    if "stem_width" in settings.changes and _config(settings, fields).stem == "patch":
        raise ConfigurationError(
            "model.changes sets stem_width, and the model has no stem; leave it out, or set stem "
            "to convolutional or residual"
        )
    if settings.init is not None:
        model, report = _from_initial(cls, settings, processor, fields)
    else:
        model, report = cls(_config(settings, fields)), None
    model.processor = processor
    return model.train(), report


def start_config(
    cls: type[MedicaneModel],
    settings: ModelSettings,
    *,
    processor: MedicaneProcessor,
    defaults: Mapping[str, Any] | None = None,
) -> MedicaneConfig:
    """The configuration of the model that `start_model` makes of the same arguments."""
    return _config(settings, _fields(cls, settings, processor, defaults))


def _config(settings: ModelSettings, fields: Mapping[str, Any]) -> MedicaneConfig:
    if settings.init is not None:
        _refuse_unfinished(Path(settings.init))
        return _initial_config(settings).resized(**fields)
    if settings.preset is not None:
        return MedicaneConfig.preset(settings.preset, **fields)
    raise ConfigurationError(
        "neither model.preset nor model.init is given; set one of them, for example "
        "--set model.preset=tiny"
    )


def _fields(
    cls: type[MedicaneModel],
    settings: ModelSettings,
    processor: MedicaneProcessor,
    defaults: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """All fields of the configuration that differ from the preset's or the initial model's."""
    fixed = {"task": cls.task, **UNTRAINED, **_of_clips(processor)}
    return fixed | dict(defaults or {}) | dict(settings.changes)


def _of_clips(processor: MedicaneProcessor) -> dict[str, Any]:
    return {
        "image_size": processor.tile_size,
        "num_frames": processor.num_frames,
        "in_channels": processor.clip_shape[1],
        "pixel_std": processor.channel_std,
    }


def _from_initial(
    cls: type[M], settings: ModelSettings, processor: MedicaneProcessor, fields: Mapping[str, Any]
) -> tuple[M, LoadReport]:
    init, revision = settings.init, settings.init_revision
    assert init is not None  # for the type checker: start_model looks
    _refuse_unfinished(Path(init))
    before = _initial_config(settings)
    _check_processor(init, revision, processor)
    if before.task != cls.task or not _same_head(before, before.resized(**fields)):
        return cls.from_backbone(init, revision=revision, **fields)
    changes = {name: value for name, value in fields.items() if name != "task"}
    model = cls.from_pretrained(init, revision=revision, **changes)
    return model, LoadReport(loaded=tuple(model.state_dict()), dropped=(), fresh=())


def _initial_config(settings: ModelSettings) -> MedicaneConfig:
    return MedicaneConfig.from_pretrained(settings.init or "", revision=settings.init_revision)


def _refuse_unfinished(folder: Path) -> None:
    """A run writes its model when it has ended."""
    if (folder / RUN_FILE).is_file() and not (
        (folder / CONFIG_NAME).is_file() and (folder / WEIGHTS_NAME).is_file()
    ):
        raise CheckpointError(
            f"{folder} holds a run that has not finished; let it end with --resume auto, or give "
            "another model.init"
        )


def _same_head(before: MedicaneConfig, after: MedicaneConfig) -> bool:
    names = HEAD_FIELDS[after.task]
    if any(getattr(before, name) != getattr(after, name) for name in names):
        return False
    if after.task != "tracking" or after.head != "regression":
        return True
    # what one unit of output means depends on these
    units = ("frame_size", "center_mean_px", "center_scale_px")
    return all(getattr(before, name) == getattr(after, name) for name in units)


def _check_processor(init: str, revision: str | None, store: MedicaneProcessor) -> None:
    """Refuse clips whose values or times mean something else to the initial model.

    Tile size and number of frames may differ, since positions are interpolated, and so may the
    grid. A model without a processor, such as a converted one, is taken to fit.
    """
    try:
        initial = MedicaneProcessor.from_pretrained(init, revision=revision)
    except MissingFileError:
        return
    if initial.recipe == store.recipe == "airmass":
        initial = replace(initial, bands=initial.for_sensor(store.sensor).bands)
    differing = {
        name: (getattr(initial, name), getattr(store, name))
        for name in ("bands", "mean", "std", "cadence_minutes")
        if getattr(initial, name) != getattr(store, name)
    }
    if differing:
        told = "; ".join(
            f"{name} {_in_words(theirs)} there and {_in_words(ours)} here"
            for name, (theirs, ours) in differing.items()
        )
        raise ConfigurationError(
            f"the clips do not fit the initial model {init}: {told}; build the store with its "
            "processor, or start from another model"
        )


def _in_words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
