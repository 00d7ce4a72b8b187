"""The ``medicane-export`` command."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from medicane_models.commands import command_line, run
from medicane_models.errors import ConfigurationError

if TYPE_CHECKING:
    from medicane_export.exporting import Variant
    from medicane_models.runtimes.onnx_metadata import Precision

app = command_line("Export models to ONNX, safetensors and transformers, and verify the result.")


class Contents(StrEnum):
    """What an ONNX file gives."""

    HEAD = "head"
    EMBEDDINGS = "embeddings"
    RECONSTRUCTION = "reconstruction"


class Input(StrEnum):
    """What an ONNX file takes."""

    NORMALISED = "normalised"
    KELVIN = "kelvin"
    BOTH = "both"


class Dtype(StrEnum):
    """Of stored weights."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


Model = Annotated[str, typer.Argument(help="A folder, an embedded model or a Hub id.")]
Out = Annotated[
    Path, typer.Option("--out", help="Folder: new, empty, or an earlier export of the same model.")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")]


@app.command()
def onnx(
    model: Model,
    out: Out,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, bf16, int8; several with commas between.")
    ] = "fp32",
    input_: Annotated[
        Input,
        typer.Option("--input", help="kelvin: the graph does all of the preprocessing itself."),
    ] = Input.NORMALISED,
    what: Annotated[Contents, typer.Option(help="What the file gives.")] = Contents.HEAD,
    opset: Annotated[
        int | None, typer.Option(help="Of the operators; default 20, as onnxruntime 1.18 reads.")
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(help="simulated, or a scene or clip store: fixes the ranges of int8."),
    ] = None,
    clips: Annotated[
        list[str] | None, typer.Option(help="Scene or clip store to compare on; may be repeated.")
    ] = None,
    clip_count: Annotated[
        int, typer.Option(min=0, help="Of simulated clips, of each --clips and of --calibrate.")
    ] = 12,
    tolerance_logits: Annotated[
        float | None, typer.Option(min=0, help="Largest difference; default by precision.")
    ] = None,
    same_decisions: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least share of clips decided alike.")
    ] = None,
    centre_km: Annotated[
        float | None, typer.Option(min=0, help="Longest shift of centres, 90th percentile.")
    ] = None,
    revision: Revision = None,
) -> None:
    """Write ONNX files that carry their preprocessing, and compare each with PyTorch.

    Variants that exceed the tolerance go to OUT/refused, and the command exits with 1.
    """
    from medicane_export.exporting import OnnxRequest, export_onnx
    from medicane_export.graphs.tracing import OPSET
    from medicane_export.loaded_model import LoadedModel

    both = input_ is Input.BOTH
    request = OnnxRequest(
        precisions=_precisions(precision),
        input_forms=("normalised", "kelvin") if both else (input_.value,),
        contents=what.value,
        opset=OPSET if opset is None else opset,
        calibrate=calibrate,
        clips=tuple(clips or ()),
        count=clip_count,
        tolerances={
            "logits": tolerance_logits,
            "same_decisions": same_decisions,
            "centre_km": centre_km,
        },
    )
    variants = export_onnx(LoadedModel.load(model, revision=revision), out, request, _say)
    _show(variants)
    _say(f"The files and {out / 'parity.json'} are in {out}.")
    if any(variant.faults for variant in variants):
        raise typer.Exit(1)


@app.command()
def safetensors(
    model: Annotated[
        str,
        typer.Argument(help="A finished run, a model's folder or Hub id, or a foreign checkpoint."),
    ],
    out: Out,
    dtype: Annotated[Dtype, typer.Option(help="Of the stored weights.")] = Dtype.FP32,
    base_model: Annotated[
        str | None, typer.Option(help="Hub id of the model that this one started from.")
    ] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="Of the weights, as the Hub spells it.")
    ] = None,
    revision: Revision = None,
) -> None:
    """Write a clean repository for inference: weights, config, processor and card."""
    from medicane_export.to_safetensors import export_safetensors

    written = export_safetensors(
        model, out, dtype=dtype.value, base_model=base_model, license_id=license_, revision=revision
    )
    for line in written:
        _say(line)


@app.command()
def transformers(model: Model, out: Out, revision: Revision = None) -> None:
    """Write a repository that transformers opens by itself, and compare its logits with ours.

    One that differs goes to OUT/refused, and the command exits with 1.
    """
    from medicane_export.loaded_model import LoadedModel
    from medicane_export.to_transformers import export_to_transformers

    place, faults = export_to_transformers(LoadedModel.load(model, revision=revision), out)
    for fault in faults:
        _say(f"Refused: {fault}")
    _say(f"The repository and its parity.json are in {place}.")
    if faults:
        raise typer.Exit(1)


def main() -> None:
    """Run the command."""
    run(app, "medicane_export")


def _precisions(text: str) -> "tuple[Precision, ...]":
    from medicane_models.runtimes.onnx_metadata import Precision

    known = get_args(Precision)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in known]:
        raise ConfigurationError(
            f"--precision has {', '.join(map(repr, unknown))}; choose from {', '.join(known)}"
        )
    return cast("tuple[Precision, ...]", names)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _show(variants: "list[Variant]") -> None:
    """What was compared on stdout, why something was refused on stderr."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    file = Column("file", overflow="fold")
    columns = (file, "MB", "clips", "difference", "changed (p90, max)")
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for variant in variants:
        about = (variant.file, f"{variant.details['bytes'] / 1e6:.1f}")
        for name, found in variant.details["sets"].items():
            table.add_row(*about, f"{found['clips']} {Path(name).name}", *_cells(found))
            about = ("", "")
    Console().print(table)
    for variant in variants:
        for fault in variant.faults:
            _say(f"Refused {variant.file}: {fault}")


def _cells(found: dict) -> tuple[str, str]:
    difference = max((v["scaled"] for v in found["outputs"].values()), default=0.0)
    changed = "–"
    if "different_decisions" in found:
        changed = f"{found['different_decisions']} decisions"
    if "centre_km" in found:
        shift = found["centre_km"]
        changed = f"{shift['p90']:.2g}, {shift['max']:.2g} km"
    return f"{difference:.1e}", changed


if __name__ == "__main__":
    main()
