"""Quantised networks for the tests, written by hand in both dialects, with weights from a seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 21


class Network:
    """Collects nodes in the QDQ dialect, with power-of-two scales unless told otherwise.

    Args:
        seed: of the weights.
        scales: draws scales: powers of two, or any float.
    """

    def __init__(self, seed: int = 0, *, power_of_two: bool = True) -> None:
        self.random = np.random.default_rng(seed)
        self.power_of_two = power_of_two
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, array: NDArray[np.generic]) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: object) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{op.lower()}_{len(self.nodes)}", **attributes))
        return output

    def scale(self, exponent: int) -> np.float32:
        return np.float32(2.0**exponent if self.power_of_two else 2.0**exponent * self.random.uniform(0.75, 1.4))

    def quantised(self, value: str, exponent: int, dtype: type = np.int8, zero_point: int = 0) -> str:
        parameters = [self.constant(np.array(self.scale(exponent))), self.constant(np.array(zero_point, dtype))]
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [value, *parameters]), *parameters])

    def weights(self, shape: tuple[int, ...], bits: int, exponent: int = -5) -> str:
        top = 2 ** (bits - 1) - 1
        integers = self.random.integers(-top, top + 1, shape).astype(np.int8)
        zero = self.constant(np.array(0, np.int8))
        return self.node(
            "DequantizeLinear", [self.constant(integers), self.constant(np.array(self.scale(exponent))), zero]
        )

    def bias(self, channels: int) -> str:
        return self.constant((self.random.integers(-64, 64, channels) / 256).astype(np.float32))

    def model(self, output: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, output_shape)],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("qonnx.custom_op.general", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return onnx.shape_inference.infer_shapes(model)


def mlp(
    dims: tuple[int, ...] = (4, 6, 3), *, bits: int = 6, seed: int = 0, power_of_two: bool = True
) -> onnx.ModelProto:
    """Dense layers with ReLU between them; the last has no quantiser."""
    net = Network(seed, power_of_two=power_of_two)
    value = net.quantised("x", -4)
    for number, (inner, outer) in enumerate(pairwise(dims)):
        value = net.node("Gemm", [value, net.weights((outer, inner), bits), net.bias(outer)], transB=1)
        if number < len(dims) - 2:
            value = net.quantised(net.node("Relu", [value]), -4, np.uint8)
    return net.model(value, (1, dims[0]), (1, dims[-1]))


def encoder(*, bits: int = 6, seed: int = 0) -> onnx.ModelProto:
    """The shape of the ECON-T encoder: 8 x 8, a 3 x 3 convolution of stride 2 with 8 filters, 16 dense outputs."""
    net = Network(seed)
    value = net.quantised("x", -6)
    value = net.node("Conv", [value, net.weights((8, 1, 3, 3), bits), net.bias(8)], strides=[2, 2], pads=[1, 1, 1, 1])
    value = net.quantised(net.node("Relu", [value]), -5, np.uint8)
    value = net.node("Flatten", [value])
    value = net.node("Gemm", [value, net.weights((16, 128), bits), net.bias(16)], transB=1)
    value = net.quantised(net.node("Relu", [value]), -4, np.uint8)
    return net.model(value, (1, 1, 8, 8), (1, 16))


def residual(*, seed: int = 0, size: int = 6, channels: int = 4, power_of_two: bool = True) -> onnx.ModelProto:
    """A convolution with a residual, a depthwise one, max-pooling, averages and a dense layer."""
    net = Network(seed, power_of_two=power_of_two)
    value = net.quantised("x", -5)
    first = net.node("Conv", [value, net.weights((channels, 2, 3, 3), 4), net.bias(channels)], pads=[1, 1, 1, 1])
    first = net.quantised(net.node("Relu", [first]), -4, np.uint8)
    second = net.node("Conv", [first, net.weights((channels, 1, 3, 3), 4)], pads=[1, 1, 1, 1], group=channels)
    second = net.quantised(second, -3)
    value = net.quantised(net.node("Relu", [net.node("Add", [first, second])]), -3, np.uint8, 7)
    value = net.node("MaxPool", [value], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    pooled = (size + 1) // 2
    if pooled in (2, 4):
        value = net.quantised(net.node("GlobalAveragePool", [value]), -3, np.uint8)
        pooled = 1
    value = net.node("Transpose", [value], perm=[0, 2, 3, 1])
    value = net.node("Reshape", [value, net.constant(np.array([1, -1], np.int64))])
    value = net.node("MatMul", [value, net.weights((channels * pooled * pooled, 3), 5)])
    value = net.quantised(value, -3)
    return net.model(value, (1, 2, size, size), (1, 3))
