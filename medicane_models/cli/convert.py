"""``medicane convert``."""

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from medicane_models.checks import check_free, check_model, check_processor
from medicane_models.choices import ProcessorName, WeightsChoice
from medicane_models.commands import (
    Json,
    Out,
    Overwrite,
    Revision,
    Seed,
    checked,
    parsed_settings,
    print_json,
    say,
)
from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import CONFIG_NAME, DataKind, MedicaneConfig, Task

if TYPE_CHECKING:
    from medicane_models.network.base import MedicaneModel
    from medicane_models.scenes.processing import MedicaneProcessor


def convert(
    source: Annotated[
        str,
        typer.Argument(
            callback=checked(check_model),
            help="A .pth, .pt, .bin, .ckpt or .safetensors file, or a Hugging Face VideoMAE.",
        ),
    ],
    out: Out,
    task: Annotated[
        Task | None, typer.Option(help="Model to make; default: the checkpoint's own.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Name of a class in order; once for each.")
    ] = None,
    in_channels: Annotated[
        int | None, typer.Option(min=1, help="Channels to change the patch embedding to.")
    ] = None,
    weights: Annotated[
        WeightsChoice | None,
        typer.Option(
            help="Which of a checkpoint's two sets of weights; default: averaged, if there."
        ),
    ] = None,
    processor: Annotated[
        str | None,
        typer.Option(
            callback=checked(check_processor),
            help="airmass, infrared, planes, airmass-planes, or folder or Hub id whose "
            "preprocessor_config.json is saved.",
        ),
    ] = None,
    trained_on: Annotated[
        str | None, typer.Option(help="One sentence on the data of the weights.")
    ] = None,
    data_kind: Annotated[
        DataKind | None, typer.Option(help="Of these data: real scenes, simulated ones, or mixed.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: a setting the tensors cannot tell, as num_heads."),
    ] = None,
    revision: Revision = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Convert weights of VideoMAE, VideoMAEv2, the research code or timm into a model's folder.

    What the weights lack, such as the head of another task, is drawn by --seed.
    """
    known = [field.name for field in fields(MedicaneConfig)]
    settings = parsed_settings(set_ or [], known, of="a model")
    check_free(out / CONFIG_NAME, overwrite=overwrite)

    import torch

    from medicane_models.files import move_all, staging
    from medicane_models.network.conversion import from_foreign
    from medicane_models.scenes.processing import PREPROCESSOR_FILE

    torch.manual_seed(seed)
    model, report = from_foreign(
        source,
        task=task,
        id2label=dict(enumerate(label)) if label else None,
        in_channels=in_channels,
        trained_on=trained_on,
        data_kind=data_kind,
        weights=weights,
        revision=revision,
        **settings,
    )
    model.processor = _processor_for(model, processor)
    with staging(out) as work:
        check_free(out / CONFIG_NAME, overwrite=overwrite)
        model.save_pretrained(work)
        if model.processor is None:  # that of an earlier model would not fit
            (out / PREPROCESSOR_FILE).unlink(missing_ok=True)
        move_all(work, out, first=CONFIG_NAME)
    if json:
        print_json(asdict(report))
    else:
        typer.echo(str(report))
    if model.processor is None:
        say(f"{out} has no preprocessor_config.json: save the MedicaneProcessor of its channels.")


def _processor_for(model: "MedicaneModel", source: str | None) -> "MedicaneProcessor | None":
    """The processor that is asked for, else Airmass RGB at the model's size.

    Three-channel weights were made for Airmass or start from it; others have none.
    """
    from medicane_models.scenes.processing import MedicaneProcessor

    frames, channels, height, width = model.config.clip_shape
    if source is None and (channels != 3 or height != width):
        return None
    name = source or "airmass"
    if name in get_args(ProcessorName):
        processor = MedicaneProcessor.named(name).resized(tile_size=width, num_frames=frames)
    else:
        processor = MedicaneProcessor.from_pretrained(name)
    if processor.clip_shape != model.config.clip_shape:
        raise ConfigurationError(
            f"the processor of {name} makes clips of {processor.clip_shape} (T, C, H, W), the "
            f"model takes {model.config.clip_shape}; give another, or convert with --in-channels "
            "or --set"
        )
    return processor
