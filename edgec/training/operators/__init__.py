"""How each ONNX operator is written in torch: one module a family, entered in `registry`."""
