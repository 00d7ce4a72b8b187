"""What an ONNX export is asked for, checked before torch is imported."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from medicane_models.choices import GraphContents, InputForm, Precision
from medicane_models.errors import ConfigurationError
from medicane_models.runtimes.onnx_metadata import onnx_file_name

__all__ = ["OPSET", "SIMULATED", "OnnxRequest"]

SIMULATED = "simulated"

OPSET = 20
"""The first with one operator for GELU; onnxruntime reads such a file of torch's since 1.18.
Opset 23 would have one for attention, but neither onnxruntime 1.18 nor TensorRT 10.0 reads it."""


@dataclass(frozen=True, kw_only=True)
class OnnxRequest:
    """What to export and how to judge it.

    Attributes:
        precisions: "fp32", "fp16", "bf16", "int8".
        input_forms: "normalised", "kelvin".
        contents: "head", "embeddings" or "reconstruction".
        opset: of the default operators.
        calibrate: "simulated", or a scene or clip store whose clips fix the ranges of int8; None
            measures them at run time.
        clips: scenes or clip stores to compare on beside random and simulated clips.
        count: clips of each such set, simulated ones included; 0 leaves those out.
        seed: of the random and the simulated clips.
        tolerances: fields of `Tolerance` that differ from the usual.
    """

    precisions: tuple[Precision, ...] = ("fp32",)
    input_forms: tuple[InputForm, ...] = ("normalised",)
    contents: GraphContents = "head"
    opset: int = OPSET
    calibrate: str | None = None
    clips: tuple[str, ...] = ()
    count: int = 12
    seed: int = 0
    tolerances: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.calibrate is not None and "int8" not in self.precisions:
            raise ConfigurationError(
                "--calibrate is for int8; add --precision int8 or leave it out"
            )
        if self.contents == "reconstruction" and "int8" in self.precisions and self.calibrate:
            raise ConfigurationError("a reconstruction cannot be calibrated; leave out --calibrate")
        if self.clips and not self.count:
            raise ConfigurationError(
                f"--clip-count is 0, which leaves nothing of {self.clips[0]} to compare on; give a "
                "larger one, or leave out --clips"
            )

    @property
    def file_names(self) -> tuple[str, ...]:
        """Of the files asked for."""
        return tuple(
            onnx_file_name(form, precision, self.contents)
            for form in self.input_forms
            for precision in self.precisions
        )
