"""Quantised networks in the QONNX dialect, with weights from a seed: what the exactness of C simulation is shown on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx_ir as ir

from edgec.graph.quantization_qonnx import QONNX_DOMAIN, add_functions

OPSET = 21


class QonnxNetwork:
    """Collects nodes that each read the value of the one before, unless told otherwise.

    Args:
        shape: of the input `x`, with the batch.
        seed: of the weights.
    """

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.constants: list[ir.Value] = []
        self.nodes: list[ir.Node] = []
        self.input = ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
        self.value = self.input

    def constant(self, array: np.ndarray) -> ir.Value:
        """A constant."""
        name = f"c{len(self.constants)}"
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor, shape=tensor.shape, type=ir.TensorType(tensor.dtype))
        self.constants.append(value)
        return value

    def node(self, op: str, *others: ir.Value, domain: str = "", **attributes: object) -> ir.Value:
        """A node that reads the value, and whose result is the next one."""
        name = f"{op.lower()}_{len(self.nodes)}"
        made = ir.node(op, [self.value, *others], attributes, domain=domain, name=name)  # type: ignore[arg-type]
        made.outputs[0].name = f"v{len(self.nodes)}"
        self.nodes.append(made)
        self.value = made.outputs[0]
        return self.value

    def quant(self, bits: int, exponent: int, *, signed: bool = False) -> ir.Value:
        """Quantise the value to multiples of two to the exponent."""
        scale, zero, width = (self.constant(np.array(each, np.float32)) for each in (2.0**exponent, 0.0, bits))
        return self.node("Quant", scale, zero, width, domain=QONNX_DOMAIN, signed=int(signed), narrow=0)

    def weights(self, shape: tuple[int, ...], bits: int) -> ir.Value:
        """Constant weights behind a quantiser, or behind BipolarQuant for one bit."""
        before = self.value
        self.value = self.constant((self.random.standard_normal(shape) / 3).astype(np.float32))
        made = self.bipolar() if bits == 1 else self.quant(bits, 1 - bits, signed=True)
        self.value = before
        return made

    def bipolar(self) -> ir.Value:
        """The sign of the value."""
        return self.node("BipolarQuant", self.constant(np.array(1.0, np.float32)), domain=QONNX_DOMAIN)

    def bias(self, channels: int) -> ir.Value:
        """One bias a channel, on a grid of 1/256."""
        return self.constant((self.random.integers(-64, 64, channels) / 256).astype(np.float32))

    def model(self) -> ir.Model:
        """The model with the last value as its output, and shapes."""
        from onnx_ir.passes.common import ShapeInferencePass

        graph = ir.Graph(
            [self.input], [self.value], nodes=self.nodes, initializers=self.constants, opset_imports={"": OPSET}
        )
        model = ir.Model(graph, ir_version=10)
        add_functions(model)
        return ShapeInferencePass()(model).model


def mlp(dims: tuple[int, ...] = (16, 64, 32, 32, 5), *, bits: int = 6, seed: int = 0) -> ir.Model:
    """The jet tagger of the hls4ml project (Duarte et al., 2018; quantised by Coelho et al., 2021)."""
    net = QonnxNetwork((1, dims[0]), seed)
    net.quant(8, -5, signed=True)
    for number, (inner, outer) in enumerate(pairwise(dims)):
        net.node("Gemm", net.weights((outer, inner), bits), net.bias(outer), transB=1)
        if number < len(dims) - 2:
            net.node("Relu")
            net.quant(bits, -3)
    return net.model()


def encoder(*, bits: int = 6, seed: int = 0) -> ir.Model:
    """The encoder of the ECON-T chip: 48 cells on 8 x 8, 8 filters of 3 x 3 with stride 2, 16 outputs of 9 bits."""
    net = QonnxNetwork((1, 1, 8, 8), seed)
    net.quant(10, -7)
    net.node("Conv", net.weights((8, 1, 3, 3), bits), net.bias(8), strides=[2, 2], pads=[1, 1, 1, 1])
    net.node("Relu")
    net.quant(8, -5)
    net.node("Flatten")
    net.node("Gemm", net.weights((16, 128), bits), net.bias(16), transB=1)
    net.node("Relu")
    net.quant(9, -8)
    return net.model()


def residual(*, bits: int = 4, channels: int = 4, seed: int = 0) -> ir.Model:
    """Two convolutions with a residual, max-pooling, a mean and a dense layer."""
    net = QonnxNetwork((1, 2, 8, 8), seed)
    net.quant(8, -5, signed=True)
    net.node("Conv", net.weights((channels, 2, 3, 3), bits), net.bias(channels), pads=[1, 1, 1, 1])
    net.node("Relu")
    shortcut = net.quant(6, -3)
    net.node("Conv", net.weights((channels, channels, 3, 3), bits), net.bias(channels), pads=[1, 1, 1, 1])
    net.quant(6, -3, signed=True)
    net.node("Add", shortcut)
    net.node("Relu")
    net.quant(6, -2)
    net.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    net.node("Flatten")
    net.node("MatMul", net.weights((channels * 16, 5), bits))
    return net.model()


def binary(*, seed: int = 0) -> ir.Model:
    """A binary network: one bit for weights and values, eight for the input."""
    net = QonnxNetwork((1, 16), seed)
    net.quant(8, -5, signed=True)
    for inner, outer in ((16, 32), (32, 16)):
        net.node("MatMul", net.weights((inner, outer), 1))
        net.bipolar()
    net.node("MatMul", net.weights((16, 5), 1))
    return net.model()
