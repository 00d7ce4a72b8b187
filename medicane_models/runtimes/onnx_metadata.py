"""What an exported ONNX file says about itself: names, units, labels, geometry, provenance.

Everything is in the file's ``metadata_props`` under keys that start with ``medicane.``; values are
text, JSON where they have structure, so that a reader needs nothing but a JSON parser. This module
loads neither torch nor onnx.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from medicane_models.choices import GraphContents, InputForm, Precision
from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.files import to_plain
from medicane_models.network.configuration import MedicaneConfig, Task
from medicane_models.runtimes.tensors import TensorInfo
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = [
    "FORMAT",
    "GraphContents",
    "InputForm",
    "OnnxMetadata",
    "Precision",
    "onnx_file_name",
]

FORMAT = 1
"""Version of the keys and of what inputs and outputs mean."""

PREFIX = "medicane."


@dataclass(frozen=True, kw_only=True)
class OnnxMetadata:
    """All that a file says about itself.

    Attributes:
        contents: "head" gives what the task's model gives, "embeddings" what its encoder makes of
            clips, "reconstruction" masked parts of clips.
        input_form: "normalised" clips as the processor makes them, or brightness temperatures in
            "kelvin", for which the graph does all that the processor does.
        precision: of the matrix products; inputs and outputs are float32 in every precision.
        config: of the model.
        processor: of the model; None if it was saved without one, which only normalised input
            allows.
        inputs: in the order of the graph.
        outputs: in the order of the graph.
        model: folder, embedded name or Hub id that was exported.
        revision: its commit on the Hub, if it came from there.
        opset: of the default operators.
        versions: of the packages that made the file.
        quantisation: how int8 was made, in words; empty in the other precisions.
    """

    contents: GraphContents
    input_form: InputForm
    precision: Precision
    config: MedicaneConfig
    processor: MedicaneProcessor | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    model: str
    revision: str | None
    opset: int
    versions: Mapping[str, str] = field(default_factory=dict)
    quantisation: str = ""

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value, kinds = getattr(self, name), get_args(kind)
            if value not in kinds:
                raise ConfigurationError(f"{name} is {value!r}; choose one of {', '.join(kinds)}")
        if self.input_form == "kelvin" and self.processor is None:
            raise ConfigurationError(
                f"{self.model} has no preprocessor_config.json, which input in kelvin needs; "
                "save the MedicaneProcessor of its channels there"
            )

    @property
    def task(self) -> Task:
        """Which model was exported."""
        return self.config.task

    def to_properties(self) -> dict[str, str]:
        """``metadata_props`` of the file.

        ``medicane.config`` and ``medicane.processor`` hold everything; the keys beside them
        repeat, for readers without this package, what a caller needs.
        """
        values = self._own() | self._repeated()
        return {PREFIX + key: _text(value) for key, value in values.items()}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], source: str) -> "OnnxMetadata":
        """Read what :meth:`to_properties` returned.

        Args:
            properties: ``metadata_props``; keys of others are passed over.
            source: what to call the file in an error.

        Raises:
            CheckpointError: the file was not exported by this package, by a newer one, or its
                metadata are damaged.
        """
        values = {
            key.removeprefix(PREFIX): text
            for key, text in properties.items()
            if key.startswith(PREFIX)
        }
        _check_format(values, source)
        try:
            return cls._parsed(values)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"the metadata of {source} are damaged ({error}); export the model again"
            ) from error

    @classmethod
    def _parsed(cls, values: Mapping[str, str]) -> "OnnxMetadata":
        read = {key: json.loads(values[key]) for key in _JSON}
        processor = read["processor"]
        return cls(
            contents=cast(GraphContents, values["contents"]),
            input_form=cast(InputForm, values["input_form"]),
            precision=cast(Precision, values["precision"]),
            model=values["model"],
            revision=values["revision"] or None,
            quantisation=values["quantisation"],
            opset=int(values["opset"]),
            versions=dict(read["versions"]),
            config=MedicaneConfig.from_dict(read["config"]),
            processor=None if processor is None else MedicaneProcessor.from_dict(processor),
            inputs=tuple(map(TensorInfo.from_dict, read["inputs"])),
            outputs=tuple(map(TensorInfo.from_dict, read["outputs"])),
        )

    def _own(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "task": self.task,
            "contents": self.contents,
            "input_form": self.input_form,
            "precision": self.precision,
            "quantisation": self.quantisation,
            "model": self.model,
            "revision": self.revision or "",
            "opset": self.opset,
            "versions": self.versions,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "config": self.config.to_dict(),
            "processor": self.processor,
        }

    def _repeated(self) -> dict[str, Any]:
        config, processor = self.config, self.processor
        labels = [config.id2label[index] for index in sorted(config.id2label)]
        values: dict[str, Any] = {
            "labels": labels if self.task == "classification" else [],
            "threshold": config.threshold,
            "temperature": config.temperature,
            "num_frames": config.num_frames,
            "trained_on": config.trained_on or "",
            "data_kind": config.data_kind or "",
        }
        if processor is None:
            return values
        return values | {
            "channels": processor.channels,
            "bands": processor.channel_names,
            "cadence_minutes": processor.cadence_minutes,
            "missing": processor.missing,
            "max_missing": processor.max_missing,
            "time_convention": processor.time_convention,
            "sensor": processor.sensor,
            "tile_size": processor.tile_size,
            "grid": processor.grid.to_dict() | {"affine_of_centres": _affine(processor)},
            "plane_overlap": processor.plane_overlap,
            "latitude_limit": processor.latitude_limit,
        }


_KINDS = {"contents": GraphContents, "input_form": InputForm, "precision": Precision}
_JSON = ("versions", "inputs", "outputs", "config", "processor")


def onnx_file_name(
    input_form: InputForm = "normalised",
    precision: Precision = "fp32",
    contents: GraphContents = "head",
) -> str:
    """Name of a variant in its folder: ``model.onnx``, ``model_kelvin_int8.onnx`` and so on."""
    parts = (
        "model",
        "" if contents == "head" else contents,
        "" if input_form == "normalised" else input_form,
        "" if precision == "fp32" else precision,
    )
    return "_".join(filter(None, parts)) + ".onnx"


def _check_format(values: Mapping[str, str], source: str) -> None:
    if "format" not in values:
        raise CheckpointError(
            f"{source} has no metadata of medicane-models; make it with `medicane-export onnx`"
        )
    if values["format"] != str(FORMAT):
        raise CheckpointError(
            f"{source} has format {values['format']}, this version reads {FORMAT}; upgrade "
            "medicane-models, or export the model again"
        )


def _affine(processor: MedicaneProcessor) -> tuple[float, ...]:
    """Coefficients (a, b, c, d, e, f) of x = a·column + b·row + c, y = d·column + e·row + f.

    They place the middle of a pixel, where GDAL's and rasterio's place its corner.
    """
    grid = processor.grid
    return grid.x_step, 0.0, grid.x_origin, 0.0, grid.y_step, grid.y_origin


def _text(value: Any) -> str:
    """Text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(to_plain(value))
