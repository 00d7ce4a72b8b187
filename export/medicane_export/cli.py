"""The ``medicane-export`` command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

import typer

from medicane_export.destination import check_not_itself
from medicane_models.checks import check_free, check_model, check_present
from medicane_models.choices import GraphContents, InputForm, Precision
from medicane_models.commands import (
    Json,
    ModelName,
    Out,
    Overwrite,
    Revision,
    Seed,
    Threads,
    checked,
    command_line,
    print_json,
    run_program,
    say,
)
from medicane_models.errors import ConfigurationError
from medicane_models.hub import WEIGHTS_NAME

if TYPE_CHECKING:
    from medicane_export.exporting import Variant

app = command_line(
    "medicane-export",
    "Export models to ONNX, safetensors and transformers, and verify the result.",
)


def _precisions(text: str) -> tuple[Precision, ...]:
    known = get_args(Precision)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in known]:
        raise ConfigurationError(
            f"--precision has {', '.join(map(repr, unknown))}; choose from {', '.join(known)}"
        )
    return cast("tuple[Precision, ...]", names)


def _check_clips(places: list[str] | None) -> None:
    check_present(*(places or ()))


def _check_calibration(place: str | None) -> None:
    if place != "simulated":
        check_present(place)


@app.command()
def onnx(
    model: ModelName,
    out: Out,
    precision: Annotated[
        str,
        typer.Option(
            callback=checked(_precisions),
            help="fp32, fp16, bf16, int8; several with commas between.",
        ),
    ] = "fp32",
    input_: Annotated[
        Literal[InputForm, "both"],
        typer.Option("--input", help="kelvin: the graph does all of the preprocessing itself."),
    ] = "normalised",
    what: Annotated[GraphContents, typer.Option(help="What the file gives.")] = "head",
    opset: Annotated[
        int | None, typer.Option(help="Of the operators; default 20, as onnxruntime 1.18 reads.")
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            callback=checked(_check_calibration),
            help="simulated, or a scene or clip store: fixes the ranges of int8.",
        ),
    ] = None,
    clips: Annotated[
        list[str] | None,
        typer.Option(
            callback=checked(_check_clips),
            help="Scene or clip store to compare on; may be repeated.",
        ),
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
    seed: Seed = 0,
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write ONNX files that carry their preprocessing, and compare each with PyTorch on the CPU.

    --out is new, empty, or an earlier export of the same model, to which other variants are added;
    a variant that is there is replaced with --overwrite only. Variants that exceed the tolerance go
    to OUT/refused, and the command exits with 1. The random and simulated clips are drawn by
    --seed.
    """
    from medicane_export.request import OPSET, OnnxRequest

    request = OnnxRequest(
        precisions=_precisions(precision),
        input_forms=get_args(InputForm) if input_ == "both" else (input_,),
        contents=what,
        opset=OPSET if opset is None else opset,
        calibrate=calibrate,
        clips=tuple(clips or ()),
        count=clip_count,
        seed=seed,
        tolerances={
            "logits": tolerance_logits,
            "same_decisions": same_decisions,
            "centre_km": centre_km,
        },
    )
    check_free(*(out / name for name in request.file_names), overwrite=overwrite)

    from medicane_export.exporting import export_onnx
    from medicane_export.loaded_model import LoadedModel
    from medicane_models.runtimes.interface import limit_threads

    limit_threads(threads)
    source = LoadedModel.load(model, revision=revision)
    variants = export_onnx(source, out, request, say, overwrite=overwrite)
    _show(variants, json=json)
    say(f"The files and {out / 'parity.json'} are in {out}.")
    if any(variant.faults for variant in variants):
        raise typer.Exit(1)


@app.command()
def safetensors(
    model: Annotated[
        str,
        typer.Argument(
            callback=checked(check_model),
            help="A finished run, a model's folder or Hub id, or a foreign checkpoint.",
        ),
    ],
    out: Out,
    dtype: Annotated[
        Literal["fp32", "fp16", "bf16"], typer.Option(help="Of the stored weights.")
    ] = "fp32",
    base_model: Annotated[
        str | None, typer.Option(help="Hub id of the model that this one started from.")
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license", help="Of the weights, as the Hub spells it, or other:NAME <LINK>."
        ),
    ] = None,
    revision: Revision = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a clean repository for inference: weights, config, processor and card."""
    check_not_itself(model, out)
    check_free(out / WEIGHTS_NAME, overwrite=overwrite)

    from medicane_export.to_safetensors import export_safetensors

    written = export_safetensors(
        model,
        out,
        dtype=dtype,
        base_model=base_model,
        license_id=license_,
        revision=revision,
        overwrite=overwrite,
    )
    for line in written:
        say(line)
    if json:
        print_json({"folder": str(out), "dtype": dtype, "files": _files(out)})


@app.command()
def transformers(
    model: ModelName,
    out: Out,
    revision: Revision = None,
    seed: Seed = 0,
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a repository that transformers opens by itself, and compare its logits with ours.

    They are compared on the CPU, on clips drawn by --seed. A repository that differs goes to
    OUT/refused, and the command exits with 1.
    """
    check_free(out / WEIGHTS_NAME, overwrite=overwrite)

    from medicane_export.loaded_model import LoadedModel
    from medicane_export.to_transformers import export_to_transformers
    from medicane_models.runtimes.interface import limit_threads

    limit_threads(threads)
    source = LoadedModel.load(model, revision=revision)
    place, faults = export_to_transformers(source, out, seed=seed, overwrite=overwrite)
    for fault in faults:
        say(f"Refused: {fault}")
    say(f"The repository and its parity.json are in {place}.")
    if json:
        print_json({"folder": str(place), "faults": faults, "files": _files(place)})
    if faults:
        raise typer.Exit(1)


def main() -> None:
    """Run the command."""
    run_program(app, "medicane_export", extra="export")


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def _show(variants: "list[Variant]", *, json: bool) -> None:
    """What was compared on stdout, why something was refused on stderr."""
    if json:
        print_json({v.file: {"faults": v.faults, **v.details} for v in variants})
    else:
        _show_table(variants)
    for variant in variants:
        for fault in variant.faults:
            say(f"Refused {variant.file}: {fault}")


def _show_table(variants: "list[Variant]") -> None:
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
