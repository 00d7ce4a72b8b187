"""What runs a model: PyTorch or onnxruntime."""
