"""A clean repository for inference: from a run, a model's folder or a foreign checkpoint."""

from pathlib import Path
from typing import Literal

import torch

from medicane_export.destination import README, check_destination, check_not_itself, write_readme
from medicane_export.loaded_model import LoadedModel
from medicane_models.checks import check_free
from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.files import move_all, read_json, staging
from medicane_models.hub import WEIGHTS_NAME, local_folder, resolve_file
from medicane_models.network.base import MedicaneModel
from medicane_models.network.cards import license_of, model_card
from medicane_models.network.configuration import CONFIG_NAME, MODEL_TYPE
from medicane_models.network.conversion import from_foreign
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = ["export_safetensors"]

CHECKPOINTS = "checkpoints"  # of a training run
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def export_safetensors(
    name: str,
    out: Path,
    *,
    dtype: Literal["fp32", "fp16", "bf16"] = "fp32",
    base_model: str | None = None,
    license_id: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write weights, configuration, processor and card, and nothing that only training needs.

    The card of a run or of a model on disk is taken over, any other is generated.

    Args:
        name: a finished run, a model's folder, an embedded name, a Hub id, or a checkpoint file
            that `medicane_models.network.conversion` reads.
        out: new or empty, or an earlier export of the same model.
        dtype: of the stored weights; they are read back as float32.
        base_model: Hub id of the model that this one started from.
        license_id: of the weights, as the Hub spells it; None takes that of the
            model's own card on the Hub.
        revision: branch, tag or commit on the Hub.
        overwrite: replace weights that are there, once the new ones are whole.

    Returns:
        What was written and what is missing, line by line.

    Raises:
        CheckpointError: there is no such model.
        ConfigurationError: the folder holds something else or the model itself, or the model's own
            card says what the arguments do, or there are weights not to be replaced, or another
            process writes there.
    """
    check_not_itself(name, out)
    own = _own_card(name)
    if own is not None and (license_id or base_model):
        raise ConfigurationError(
            f"{name} has a card of its own, which is taken over; write license and base_model at "
            f"the head of its {README}"
        )
    model, processor, said = _read(name, revision)
    license_id = license_id or license_of(name, revision=revision)
    card = own or model_card(
        model.config,
        name=out.name,
        processor=processor,
        license_id=license_id,
        base_model=base_model,
    )
    model.processor = processor
    with staging(out) as work:
        check_free(out / WEIGHTS_NAME, overwrite=overwrite)
        check_destination(out, model.config)
        model.save_pretrained(work, dtype=_DTYPES[dtype])
        move_all(work, out, first=CONFIG_NAME)
        write_readme(out, card)
    if processor is None:
        said = (
            *said,
            f"{out} has no preprocessor_config.json: save the MedicaneProcessor of its channels.",
        )
    return (*said, f"The model is in {out}, its weights in {dtype}.")


def _read(
    name: str, revision: str | None
) -> tuple[MedicaneModel, MedicaneProcessor | None, tuple[str, ...]]:
    if Path(name).is_file() or _is_foreign(name, revision):
        model, report = from_foreign(name, revision=revision)
        return model, None, (str(report),)
    source = LoadedModel.load(name, revision=revision)
    return source.model, source.processor, ()


def _own_card(name: str) -> str | None:
    """The card of a run or of a model on disk, which tells its scores; None elsewhere."""
    folder = local_folder(name)
    path = None if folder is None else folder / README
    return path.read_text("utf-8") if path is not None and path.is_file() else None


def _is_foreign(name: str, revision: str | None) -> bool:
    folder = Path(name)
    if (folder / CHECKPOINTS).is_dir() and not (folder / CONFIG_NAME).is_file():
        newest = max((folder / CHECKPOINTS).glob("step-*"), default=folder / CHECKPOINTS)
        raise CheckpointError(
            f"{name} is a run that has not ended; finish it, or give one of its checkpoints, "
            f"for example {newest}"
        )
    values = read_json(resolve_file(name, CONFIG_NAME, revision=revision))
    return values.get("model_type", MODEL_TYPE) != MODEL_TYPE
