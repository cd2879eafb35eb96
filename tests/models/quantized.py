"""Networks in quantised form."""

from __future__ import annotations

import numpy as np
import onnx

from tests.models.builder import GraphBuilder


def quantized_net(opset: int = 17, *, size: int = 8) -> onnx.ModelProto:
    """Conv and Gemm in QDQ form: uint8 activations, int8 weights (per channel from opset 13); input `image`."""
    g = GraphBuilder("quantized_net", opset)
    x = _round_trip(g, g.input("image", (1, 3, size, size)), 0.03, 128)
    bias = g.weight(8, scale=0.1)
    weight = _weight(g, 8, 3, 3, 3)
    x = g.node("Conv", x, weight, bias, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    x = g.node("Relu", x)
    x = _round_trip(g, x, 0.02, 0)
    x = _round_trip(g, g.node("Flatten", g.node("GlobalAveragePool", x), axis=1), 0.02, 0)
    x = g.node("Gemm", x, _weight(g, 5, 8), g.weight(5, scale=0.1), transB=1)
    g.node("DequantizeLinear", *_quantize(g, x, 0.03, 128), output="logits")
    g.output("logits", (1, 5))
    return g.model()


def _quantize(g: GraphBuilder, x: str, scale: float, zero: int) -> tuple[str, str, str]:
    parameters = g.constant(scale), g.constant(zero, np.uint8)
    return g.node("QuantizeLinear", x, *parameters), *parameters


def _round_trip(g: GraphBuilder, x: str, scale: float, zero: int) -> str:
    return g.node("DequantizeLinear", *_quantize(g, x, scale, zero))


def _weight(g: GraphBuilder, *shape: int) -> str:
    integers = g.random_int8(*shape)
    if g.opset < 13:
        return g.node("DequantizeLinear", integers, g.constant(0.005), g.constant(0, np.int8))
    scales, zeros = g.constant(np.linspace(0.002, 0.01, shape[0])), g.constant(np.zeros(shape[0]), np.int8)
    return g.node("DequantizeLinear", integers, scales, zeros, axis=0)
