"""The operators: ONNX node to steps of the kernel graph, a family a module; each declares itself with `lowers`."""
