"""Typed views on an ONNX graph: loading, shapes, cost, reference runs."""
