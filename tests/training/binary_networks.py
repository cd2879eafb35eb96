"""Small networks for tests of binary layers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.binary_form import BinaryUnit
from edgec.graph.shapes import infer_shapes
from tests.models import GraphBuilder

SIZE = (1, 1, 8, 8)


def pictures_net(*, residual: bool = False, stride: int = 1) -> ir.Model:
    """Input `image`, three or four convolutions of which the inner ones may be binary, output `scores` (1, 4)."""
    g = GraphBuilder("pictures", 17)
    x = g.node("Relu", g.convolution(g.input("image", SIZE), (1, 16), 3))
    if residual:
        y = g.node("Relu", g.convolution(x, (16, 16), 3))
        x = g.node("Relu", g.node("Add", g.convolution(y, (16, 16), 3), x))
    x = g.node("Relu", g.convolution(x, (16, 32), 3, stride=stride))
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Relu", g.convolution(x, (32, 32), 3))
    places = 4 // stride
    x = g.node("Flatten", x)
    g.node("Gemm", x, g.weight(4, 32 * places**2), g.weight(4, scale=0.1), transB=1, output="scores")
    g.output("scores", [1, 4])
    model = ir.from_proto(g.model())
    infer_shapes(model)
    return model


def chain(*, pool: bool = True, channels: int = 32) -> tuple[ir.Model, list[BinaryUnit]]:
    """Two convolutions with nothing but pooling between, and units for both, whose numbers are random."""
    g = GraphBuilder("chain", 17)
    x = g.convolution(g.input("x", (1, channels, 8, 8)), (channels, 40), 3)
    if pool:
        x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    g.convolution(x, (40, 8), 3, output="y")
    extent = 4 if pool else 8
    g.output("y", (1, 8, extent, extent))
    model = ir.from_proto(g.model())
    infer_shapes(model)
    random = np.random.default_rng(3)
    units = []
    for node in model.graph:
        if node.op_type == "Conv":
            weights = node.inputs[1].const_value.numpy()
            outputs, inputs = weights.shape[:2]
            threshold, bias = (random.standard_normal(count).astype(np.float32) for count in (inputs, outputs))
            scale = random.uniform(0.01, 0.2, outputs).astype(np.float32)
            units.append(BinaryUnit(str(node.name), weights, 0, threshold, scale, bias))
    return model, units
