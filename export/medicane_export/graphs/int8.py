"""Matrix products in 8-bit integers, through onnxruntime's quantiser.

Weights are signed, one scale an output feature; activations unsigned. Only the linear maps of the
blocks are quantised: the patch embedding, the products inside attention and the head hold little
of the time and much of the accuracy. Dynamic quantisation measures each activation as it comes;
static quantisation fixes its range on calibration clips.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medicane_export.graphs.half import in_blocks
from medicane_export.sample_clips import ClipSet
from medicane_models.errors import SceneError, require
from medicane_models.runtimes.onnx_metadata import OnnxMetadata

if TYPE_CHECKING:
    from onnx_ir import Model

__all__ = ["DYNAMIC", "kept_float", "quantize_dynamically", "quantize_statically"]

DYNAMIC = "dynamic: weights int8 per output feature, activations uint8 measured clip by clip"
STATIC = (
    "static: weights int8 per output feature, activations uint8 calibrated on {} {} clips, means "
    "of their extremes"
)
SUFFIXES = {"MatMul": "", "Gemm": "_MatMul"}
"""What onnxruntime appends to an operator's name when it makes a product of it."""


def kept_float(model: "Model") -> list[str]:
    """Names of the matrix products of a traced graph that stay in float32."""
    return [
        node.name + SUFFIXES[node.op_type]
        for node in model.graph
        if node.name and node.op_type in SUFFIXES and not in_blocks(node)
    ]


def quantize_dynamically(path: Path, to: Path, kept: list[str]) -> str:
    """Quantise a float32 file.

    Args:
        path: the file.
        to: the file to write.
        kept: as `kept_float` gives them.

    Returns:
        What was done, in words.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            path,
            to,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
            use_external_data_format=_is_split(path),
        )
    return DYNAMIC


def quantize_statically(
    path: Path, to: Path, kept: list[str], metadata: OnnxMetadata, clips: ClipSet
) -> str:
    """Quantise a float32 file with ranges from clips; otherwise as `quantize_dynamically`.

    Raises:
        SceneError: the file takes temperatures and the clips hold none.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with _quiet():
        quantize_static(
            path,
            to,
            _reader(metadata, clips),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
            use_external_data_format=_is_split(path),
            extra_options={
                "MatMulConstBOnly": True,
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
                # one odd clip does not coarsen the steps of all: means of the clips' extremes
                "CalibMovingAverage": True,
            },
        )
    return STATIC.format(len(clips), clips.name)


def _reader(metadata: OnnxMetadata, clips: ClipSet) -> Any:
    """Clips one by one, as the quantiser wants them."""
    base = require("onnxruntime.quantization", "export").CalibrationDataReader
    wanted = {info.name: clips.feeds.get(info.name) for info in metadata.inputs}
    if missing := [name for name, values in wanted.items() if values is None]:
        raise SceneError(
            f"{clips.name} clips hold no {', '.join(missing)} to calibrate with; give a scene in "
            "kelvin, or export without --calibrate"
        )

    class Reader(base):
        """Feeds of one clip each."""

        def __init__(self) -> None:
            self.place = -1

        def get_next(self) -> dict[str, np.ndarray] | None:
            self.place += 1
            if self.place >= len(clips):
                return None
            one = slice(self.place, self.place + 1)
            return {name: values[one] for name, values in wanted.items() if values is not None}

    return Reader()


def _is_split(path: Path) -> bool:
    return path.with_name(f"{path.name}.data").exists()


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises on the root logger what the exporter has done already."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
