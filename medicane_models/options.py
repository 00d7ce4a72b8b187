"""Choices and options that commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Device",
    "DeviceOption",
    "Json",
    "Model",
    "OnnxDevice",
    "Out",
    "Overwrite",
    "Plot",
    "RuntimeName",
    "Task",
    "Tracker",
]


class Task(StrEnum):
    """What a model does."""

    PRETRAINING = "pretraining"
    CLASSIFICATION = "classification"
    TRACKING = "tracking"


class Device(StrEnum):
    """Where the models run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class OnnxDevice(StrEnum):
    """Where exported models run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class RuntimeName(StrEnum):
    """What runs the models."""

    TORCH = "torch"
    ONNX = "onnx"


Out = Annotated[Path, typer.Option("--out", help="Folder for the results, made if absent.")]
Model = Annotated[
    str,
    typer.Option("--model", help="Detector: a folder, an .onnx file, an embedded model or Hub id."),
]
Tracker = Annotated[str, typer.Option("--tracker", help="Tracker: likewise.")]
Plot = Annotated[bool, typer.Option("--plot/--no-plot", help="Draw a map for every clip.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results there.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="auto takes the GPU if any.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
