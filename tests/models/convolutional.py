"""Convolutional networks."""

from __future__ import annotations

import onnx

from tests.models.builder import Dimension, GraphBuilder


def conv_net(opset: int = 17, *, batch: Dimension = 1, size: int = 16, classes: int = 10) -> onnx.ModelProto:
    """Conv, batch norm, ReLU, pooling, Gemm and Softmax; input `image` (batch, 3, size, size)."""
    g = GraphBuilder("conv_net", opset)
    image = g.input("image", (batch, 3, size, size))
    x = g.node("Relu", g.batch_norm(g.convolution(image, (3, 8), 3), 8))
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Relu", g.batch_norm(g.convolution(x, (8, 16), 3, stride=2), 16))
    x = g.node("Flatten", g.node("GlobalAveragePool", x), axis=1)
    x = g.node("Gemm", x, g.weight(classes, 16), g.weight(classes, scale=0.1), transB=1)
    g.node("Softmax", x, output="probabilities", axis=1)
    g.output("probabilities", (batch, classes))
    return g.model()


def residual_net(opset: int = 17, *, size: int = 12) -> onnx.ModelProto:
    """Two residual blocks, the second with a strided 1×1 shortcut; input `image` (1, 4, size, size)."""
    g = GraphBuilder("residual_net", opset)
    x = g.node("Relu", g.convolution(g.input("image", (1, 4, size, size)), (4, 8), 3))
    branch = g.node("Relu", g.batch_norm(g.convolution(x, (8, 8), 3), 8))
    branch = g.batch_norm(g.convolution(branch, (8, 8), 3), 8)
    x = g.node("Relu", g.node("Add", branch, x))
    branch = g.node("Relu", g.batch_norm(g.convolution(x, (8, 16), 3, stride=2), 16))
    branch = g.batch_norm(g.convolution(branch, (16, 16), 3), 16)
    shortcut = g.batch_norm(g.convolution(x, (8, 16), 1, stride=2), 16)
    x = g.node("Relu", g.node("Add", shortcut, branch))
    x = g.node("Flatten", g.node("GlobalAveragePool", x), axis=1)
    g.node("MatMul", x, g.weight(16, 5), output="logits")
    g.output("logits", (1, 5))
    return g.model()


def mobile_net(opset: int = 17, *, size: int = 16) -> onnx.ModelProto:
    """Stem, inverted bottleneck with squeeze-and-excitation, hard-swish and ReLU6; input `image` (1, 3, size, size)."""
    g = GraphBuilder("mobile_net", opset)
    x = _hard_swish(g, g.batch_norm(g.convolution(g.input("image", (1, 3, size, size)), (3, 8), 3, stride=2), 8))
    expanded = g.clip(g.batch_norm(g.convolution(x, (8, 24), 1), 24), 0.0, 6.0)
    deep = _hard_swish(g, g.batch_norm(g.convolution(expanded, (24, 24), 5, group=24), 24))
    squeezed = g.node("Relu", g.convolution(g.reduce_mean(deep, [2, 3]), (24, 6), 1))
    gate = g.node("HardSigmoid", g.convolution(squeezed, (6, 24), 1), alpha=1 / 6, beta=0.5)
    x = g.node("Add", g.batch_norm(g.convolution(g.node("Mul", deep, gate), (24, 8), 1), 8), x)
    x = g.squeeze(g.squeeze(g.node("GlobalAveragePool", x), 3), 2)
    g.node("Gemm", x, g.weight(8, 7), g.weight(7, scale=0.1), output="logits")
    g.output("logits", (1, 7))
    return g.model()


def two_outputs_net(opset: int = 17) -> onnx.ModelProto:
    """A shared trunk with a classifier and a box regressor; two inputs, one of them a per-channel offset."""
    g = GraphBuilder("two_outputs_net", opset)
    image, offset = g.input("image", (1, 3, 8, 8)), g.input("offset", (3, 1, 1))
    x = g.node("Add", image, offset)
    x = g.node("LeakyRelu", g.convolution(x, (3, 8), 3, stride=2), alpha=0.1)
    flat = g.node("Flatten", x, axis=1)
    scores = g.node("Gemm", flat, g.weight(4, 128), g.weight(4), transB=1)
    g.node("Sigmoid", scores, output="scores")
    g.node("Concat", flat, scores, output="features", axis=1)
    g.output("scores", (1, 4))
    g.output("features", (1, 132))
    return g.model()


def detector_net(
    opset: int = 17, *, height: Dimension = "height", width: Dimension = "width", batch: Dimension = 1
) -> onnx.ModelProto:
    """A segmentation-like detector: encoder, Resize and ConvTranspose decoder, probability map.

    Input `image` (batch, 3, height, width), by default with dynamic height and width that must be multiples of 4;
    output `map` (batch, 1, height, width).
    """
    g = GraphBuilder("detector_net", opset)
    image = g.input("image", (batch, 3, height, width))
    fine = g.node("Relu", g.batch_norm(g.convolution(image, (3, 8), 3, stride=2), 8))
    coarse = g.node("Relu", g.convolution(fine, (8, 16), 3, stride=2))
    raised = g.upsample(g.convolution(coarse, (16, 8), 1), 2)
    x = g.node("Concat", raised, fine, axis=1)
    x = g.node("Relu", g.convolution(x, (16, 8), 3))
    x = g.node("ConvTranspose", x, g.weight(8, 1, 2, 2), g.weight(1), kernel_shape=[2, 2], strides=[2, 2])
    g.node("Sigmoid", x, output="map")
    g.output("map", (batch, 1, height, width))
    return g.model()


def _hard_swish(g: GraphBuilder, x: str) -> str:
    if g.opset >= 14:
        return g.node("HardSwish", x)
    return g.node("Mul", x, g.node("HardSigmoid", x, alpha=1 / 6, beta=0.5))
