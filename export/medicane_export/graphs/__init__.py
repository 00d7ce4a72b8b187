"""From a model to an ONNX graph: what is traced, how, and in which precision."""
