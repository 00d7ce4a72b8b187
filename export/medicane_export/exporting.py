"""`medicane-export onnx`: trace, convert, compare, and only then publish."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicane_export.comparing.parity import compare, machine
from medicane_export.comparing.reference import Arrays, torch_outputs
from medicane_export.comparing.verdicts import Tolerance, faults
from medicane_export.destination import check_destination, publish, record, write_readme
from medicane_export.export_cards import onnx_card
from medicane_export.graphs.half import in_half, rounded_like
from medicane_export.graphs.int8 import kept_float, quantize_dynamically, quantize_statically
from medicane_export.graphs.tracing import metadata_of, save_onnx, trace
from medicane_export.loaded_model import LoadedModel
from medicane_export.request import SIMULATED, OnnxRequest
from medicane_export.sample_clips import ClipSet, given_clips, random_clips, simulated_clips
from medicane_models.checks import check_free
from medicane_models.errors import ConfigurationError
from medicane_models.files import staging
from medicane_models.runtimes.onnx_metadata import (
    OnnxMetadata,
    onnx_file_name,
)

if TYPE_CHECKING:
    from onnx_ir import Model

__all__ = ["OnnxRequest", "Variant", "export_onnx"]

RANDOM_CLIPS = 8
EMULATED = "in float32, values rounded to bfloat16: onnxruntime's CPU provider has no bfloat16"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One file and what was found about it.

    Attributes:
        file: relative to the folder; below ``refused`` if it is.
        faults: what exceeds the tolerance; none if it is accepted.
        details: as in ``parity.json``.
    """

    file: str
    faults: tuple[str, ...]
    details: Mapping[str, Any]


def export_onnx(
    source: LoadedModel,
    out: Path,
    request: OnnxRequest,
    say: Callable[[str], None],
    *,
    overwrite: bool = False,
) -> list[Variant]:
    """Write the variants asked for, each compared with PyTorch, and ``parity.json``.

    Args:
        source: the model.
        out: new or empty, or an earlier export of the same model.
        request: what to export.
        say: is told what happens.
        overwrite: replace accepted variants that are there by new ones that are accepted too.

    Returns:
        In the order in which they were made. Refused ones lie in ``out/refused``; accepted ones
        that were there stay.

    Raises:
        ConfigurationError: the folder or the model does not fit the request, a variant is
            there already and is not to be replaced, or another process writes there.
        OutputError: a file cannot be written.
    """
    variants = []
    with staging(out) as work:
        check_free(*(out / name for name in request.file_names), overwrite=overwrite)
        check_destination(out, source.model.config)
        job = _Job(source, request, work, say)
        for variant, path in job.run():
            _describe(source, out)  # first, so that a folder with files is known as this model's
            file = publish(path, out, accepted=not variant.faults)
            variants.append(Variant(file=file, faults=variant.faults, details=variant.details))
            record(out, _about(source), {file: _entry(variants[-1])})
        write_readme(out, onnx_card(source, out))
    return variants


class _Job:
    """The variants of one request, made one after the other in a folder of their own."""

    def __init__(
        self, source: LoadedModel, request: OnnxRequest, work: Path, say: Callable[[str], None]
    ) -> None:
        self.source = source
        self.request = request
        self.work = work
        self.say = say

    def run(self) -> Iterator[tuple[Variant, Path]]:
        """Variants and their files; tracing comes first, since it refuses what cannot be."""
        contents, opset = self.request.contents, self.request.opset
        traced = [
            (form, *trace(self.source, input_form=form, contents=contents, opset=opset))
            for form in self.request.input_forms
        ]
        self.say("computing what PyTorch gives")
        sets = list(self._sets())
        for form, model, graph in traced:
            for precision in self.request.precisions:
                metadata = metadata_of(
                    self.source,
                    graph,
                    contents=contents,
                    input_form=form,
                    precision=precision,
                    opset=opset,
                )
                yield self._variant(model, metadata, sets)

    def _sets(self) -> Iterator[tuple[ClipSet, Arrays]]:
        """Random clips, simulated ones if they can be, and the caller's, with PyTorch's outputs."""
        for clips in self._clips():
            yield clips, torch_outputs(self.source, self.request.contents, clips)

    def _clips(self) -> Iterator[ClipSet]:
        config, processor = self.source.model.config, self.source.processor
        yield random_clips(config, processor, count=RANDOM_CLIPS, seed=self.request.seed)
        if processor is not None and self.request.count:
            simulated = simulated_clips(processor, count=self.request.count, seed=self.request.seed)
            if simulated is not None:
                yield simulated
        for place in self.request.clips:
            yield given_clips(place, config, processor, count=self.request.count)

    def _variant(
        self, model: "Model", metadata: OnnxMetadata, sets: list[tuple[ClipSet, Arrays]]
    ) -> tuple[Variant, Path]:
        name = onnx_file_name(metadata.input_form, metadata.precision, metadata.contents)
        self.say(f"writing {name}")
        path = self.work / name
        metadata = self._write(model, metadata, path)
        self._tell_left_out(metadata, [clips for clips, _ in sets])
        measured = compare(self._runnable(model, metadata, path), metadata, self.source, sets)
        tolerance = Tolerance.of(metadata.precision, **self.request.tolerances)
        judged = tuple(clips.name for clips, _ in sets[1:])
        details = {
            **{key: getattr(metadata, key) for key in _TOLD},
            "bytes": sum(part.stat().st_size for part in self.work.glob(f"{name}*")),
            "ran": EMULATED if metadata.precision == "bf16" else "as it is",
            "tolerance": asdict(tolerance),
            "sets": measured,
        }
        return Variant(file=name, faults=faults(measured, judged, tolerance), details=details), path

    def _tell_left_out(self, metadata: OnnxMetadata, sets: list[ClipSet]) -> None:
        """Sets of the caller's that `compare` cannot feed to a graph in kelvin."""
        for clips in sets:
            if metadata.input_form == "kelvin" and clips.kelvin is None:
                self.say(f"{clips.name} holds no temperatures: not compared in kelvin")

    def _write(self, model: "Model", metadata: OnnxMetadata, path: Path) -> OnnxMetadata:
        if metadata.precision == "int8":
            return self._write_int8(model, metadata, path)
        if metadata.precision != "fp32":
            model = in_half(model, metadata.precision)
        save_onnx(model, path, metadata.to_properties())
        return metadata

    def _write_int8(self, model: "Model", metadata: OnnxMetadata, path: Path) -> OnnxMetadata:
        import onnx_ir

        full, raw = (self.work / f"{kind}-{path.name}" for kind in ("full", "raw"))
        save_onnx(model, full, {})
        kept = kept_float(model)
        if self.request.calibrate is None:
            words = quantize_dynamically(full, raw, kept)
        else:
            words = quantize_statically(full, raw, kept, metadata, self._calibration())
        metadata = replace(metadata, quantisation=words)
        save_onnx(onnx_ir.load(raw), path, metadata.to_properties())
        for part in (*self.work.glob("full-*"), *self.work.glob("raw-*")):
            part.unlink()
        return metadata

    def _calibration(self) -> ClipSet:
        """Other clips than those compared on, where they are simulated."""
        config, processor = self.source.model.config, self.source.processor
        count = max(self.request.count, 1)
        if self.request.calibrate != SIMULATED:
            return given_clips(str(self.request.calibrate), config, processor, count=count)
        clips = None
        if processor is not None:
            clips = simulated_clips(processor, count=count, seed=self.request.seed + 1000)
        if clips is None:
            raise ConfigurationError(
                f"{self.source.name} reads channels that cannot be simulated; give --calibrate a "
                "scene or a clip store"
            )
        return clips

    def _runnable(self, model: "Model", metadata: OnnxMetadata, path: Path) -> Path:
        if metadata.precision != "bf16":
            return path
        stand_in = path.with_name(f"rounded-{path.name}")
        save_onnx(rounded_like(model, "bf16"), stand_in, {})
        return stand_in


_TOLD = ("contents", "input_form", "precision", "quantisation", "opset")


def _describe(source: LoadedModel, out: Path) -> None:
    """Write what a model's folder says of itself."""
    source.model.config.save_pretrained(out)
    if source.processor is not None:
        source.processor.save_pretrained(out)


def _about(source: LoadedModel) -> dict[str, Any]:
    return {
        "format": 1,
        "model": source.name,
        "revision": source.revision,
        "trained_on": source.model.config.trained_on,
        "data_kind": source.model.config.data_kind,
    }


def _entry(variant: Variant) -> dict[str, Any]:
    return {
        "accepted": not variant.faults,
        "faults": list(variant.faults),
        **variant.details,
        "machine": machine(),
        "created": datetime.now(UTC),
    }
