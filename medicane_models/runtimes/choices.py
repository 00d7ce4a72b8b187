"""The words for what can be chosen of runtimes and exported files; importing them costs nothing."""

from typing import Literal

__all__ = ["Contents", "DeviceName", "InputForm", "OnnxDevice", "Precision", "RuntimeName"]

RuntimeName = Literal["torch", "onnx"]
DeviceName = Literal["auto", "cpu", "cuda"]
OnnxDevice = Literal["auto", "cpu", "cuda", "tensorrt"]
Contents = Literal["head", "embeddings", "reconstruction"]
InputForm = Literal["normalised", "kelvin"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
