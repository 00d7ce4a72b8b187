"""Exporters of medicane_models: ONNX, safetensors and transformers."""
