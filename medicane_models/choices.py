"""The words for what can be chosen by name; importing them costs nothing."""

from typing import Literal

__all__ = [
    "DeviceName",
    "GraphContents",
    "InputForm",
    "OnnxDevice",
    "Precision",
    "ProcessorName",
    "RuntimeName",
    "TrackFormat",
    "WeightsChoice",
]

RuntimeName = Literal["auto", "torch", "onnx"]
DeviceName = Literal["auto", "cpu", "cuda"]
OnnxDevice = Literal["auto", "cpu", "cuda", "tensorrt"]
GraphContents = Literal["head", "embeddings", "reconstruction"]
InputForm = Literal["normalised", "kelvin"]
WeightsChoice = Literal["averaged", "last"]
ProcessorName = Literal["airmass", "infrared", "planes", "airmass-planes"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
TrackFormat = Literal["csv", "netcdf", "geojson", "atcf", "ibtracs"]
