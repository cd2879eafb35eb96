"""edgec compiles a trained neural network (ONNX) for edge devices, with an honest report."""
