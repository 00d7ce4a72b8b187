"""The words for what can be chosen of runtimes and exported files; importing them costs nothing."""

from typing import Literal

__all__ = ["DeviceName", "GraphContents", "InputForm", "OnnxDevice", "Precision", "RuntimeName"]

RuntimeName = Literal["auto", "torch", "onnx"]
DeviceName = Literal["auto", "cpu", "cuda"]
OnnxDevice = Literal["auto", "cpu", "cuda", "tensorrt"]
GraphContents = Literal["head", "embeddings", "reconstruction"]
InputForm = Literal["normalised", "kelvin"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
