"""From a model to an ONNX graph that says what it is."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from medicane_export.graphs.networks import Graph, kelvin_graph, normalised_graph
from medicane_export.loaded_model import LoadedModel
from medicane_export.request import OPSET
from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    OutputError,
    require,
)
from medicane_models.network.base import MedicaneModel
from medicane_models.runtimes.onnx_metadata import GraphContents, InputForm, OnnxMetadata
from medicane_models.scenes.processing import PREPROCESSOR_FILE
from medicane_models.versions import DISTRIBUTION, installed, software_versions

if TYPE_CHECKING:
    from onnx_ir import Model

__all__ = ["OPSET", "metadata_of", "save_onnx", "trace"]

OLDEST_OPSET = 18  # torch's exporter writes none before
PACKAGES = (DISTRIBUTION, "torch", "onnx", "onnxscript", "onnxruntime")
SINGLE_FILE_BYTES = 2**31 - 2**20
"""Protocol buffers end at 2 GiB; a little is left for the graph itself."""


def trace(
    source: LoadedModel,
    *,
    input_form: InputForm,
    contents: GraphContents = "head",
    opset: int = OPSET,
) -> "tuple[Model, Graph]":
    """The float32 graph of a model, as onnx_ir has it, and what was traced.

    Args:
        source: the model.
        input_form: "normalised" or "kelvin".
        contents: "head", "embeddings" or "reconstruction".
        opset: of the default operators.

    Raises:
        ConfigurationError: the model has no such input or output, or the opset cannot be written.
        MissingExtraError: the extra "export" is not installed.
    """
    for package in ("onnx", "onnxscript", "onnx_ir", "onnxruntime"):
        require(package, "export")
    if opset < OLDEST_OPSET:
        raise ConfigurationError(f"opset is {opset}; give {OLDEST_OPSET} or more")
    graph = _graph(source, input_form, contents)
    example = tuple(_example(source.model, info.dtype, info.shape) for info in graph.inputs)
    batch = torch.export.Dim("batch", min=1)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            opset_version=opset,
            # one for *tensors, which holds them all
            dynamic_shapes=(tuple({0: batch} for _ in graph.inputs),),
            input_names=[info.name for info in graph.inputs],
            output_names=[info.name for info in graph.outputs],
            optimize=True,
            verbose=False,
        )
    assert program is not None
    _check_opset(program.model, opset)
    _check_free_batch(program.model)
    return program.model, graph


def metadata_of(source: LoadedModel, graph: Graph, **kinds: Any) -> OnnxMetadata:
    """What the file of a traced graph says about itself.

    Args:
        source: the model.
        graph: as `trace` returned it.
        kinds: the fields of `OnnxMetadata` that tell variants apart.
    """
    return OnnxMetadata(
        config=source.model.config,
        processor=source.processor,
        inputs=graph.inputs,
        outputs=graph.outputs,
        model=source.name,
        revision=source.revision,
        versions=software_versions(PACKAGES),
        **kinds,
    )


def save_onnx(model: "Model", path: Path, properties: Mapping[str, str]) -> None:
    """Write and check a file, with its weights beside it in ``.data`` only if they must be.

    Args:
        model: it stays as it is; the file leaves out its notes on where operators came from,
            which name local files.
        path: of the file.
        properties: become ``metadata_props``.

    Raises:
        OutputError: the file cannot be written.
    """
    import onnx
    import onnx_ir
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    model = model.clone()
    ClearMetadataAndDocStringPass()(model)
    model.producer_name = DISTRIBUTION
    model.producer_version = installed(DISTRIBUTION)
    model.metadata_props.clear()
    model.metadata_props.update(properties)
    for value in model.graph.initializers.values():
        # onnxruntime before 1.32 transposes a weight and keeps the shape told beside it
        value.shape = value.type = None
        value.metadata_props.clear()
    size = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value)
    data = f"{path.name}.data" if size > SINGLE_FILE_BYTES else None
    if data is None:  # weights that were read from a file beside another one
        onnx_ir.external_data.load_to_model(model)
    try:
        onnx_ir.save(model, path, external_data=data)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); free space there or choose "
            "another folder"
        ) from error
    onnx.checker.check_model(str(path), full_check=True)


def _check_opset(model: "Model", opset: int) -> None:
    """Refuse an older opset than asked for, which torch's exporter writes for those it lacks."""
    written = model.opset_imports[""]
    if written != opset:
        raise ConfigurationError(
            f"opset is {opset}, which torch {torch.__version__} cannot write; give {OPSET}, or "
            f"another from {OLDEST_OPSET} on"
        )


def _check_free_batch(model: "Model") -> None:
    """Refuse a graph with a fixed size, of which torch's exporter says nothing."""
    for value in model.graph.inputs:
        if value.shape is None or isinstance(value.shape[0], int):
            raise CheckpointError(
                f"the exporter fixed the number of clips in {value.name} ({value.shape}); this "
                "model cannot be exported with this version of torch, use another one"
            )


def _graph(source: LoadedModel, input_form: InputForm, contents: GraphContents) -> Graph:
    if input_form == "normalised":
        return normalised_graph(source.model, contents)
    if source.processor is None:
        raise ConfigurationError(
            f"{source.name} has no {PREPROCESSOR_FILE}, which input in kelvin needs; save the "
            "MedicaneProcessor of its channels there, or export --input normalised"
        )
    return kelvin_graph(source.model, source.processor, contents)


def _example(model: MedicaneModel, dtype: str, shape: tuple[int | str, ...]) -> torch.Tensor:
    """Two clips of an input; one would be taken for a fixed size."""
    sizes = [2 if isinstance(size, str) else size for size in shape]
    return torch.zeros(sizes, dtype=getattr(torch, dtype))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter tells its developers from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
