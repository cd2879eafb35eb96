"""Small networks that show how fast a machine does each class of work; their weights are seeded noise.

Each network holds several chains of layers, so that a layer finds its input where the layer before left it, and its
weights out of the first cache, as in a whole network. The sizes are those of common networks for images, sound and
text, from the smallest to the largest that a small device runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

_OPSET = 17
_SCALE = 0.05
"""Scale of the quantized tensors; any does, as speed does not depend on it."""


class _Network:
    """A network under construction, chain by chain; `here` is the value that the next layer takes.

    Attributes:
        here: output of the last layer.
        shape: its shape, channels second.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tape = Tape()
        self._inputs: list[ir.Value] = []
        self._outputs: list[ir.Value] = []
        self._random = np.random.default_rng(0)
        self.here: ir.Value
        self.shape: tuple[int, ...]

    def begin(self, *shape: int) -> _Network:
        """Begin a chain with an input of its own."""
        given = ir.Value(name=f"x{len(self._inputs)}", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
        self._inputs.append(given)
        self.here, self.shape = given, shape
        return self

    def begin_image(self, channels: int, extent: int) -> _Network:
        """Begin a chain with an image whose three channels are widened, as the layout of an input is changed there."""
        return self.begin(1, 3, extent, extent).convolution(channels, (1, 1))

    def end_pooled(self) -> None:
        """End the chain in a vector: a whole map at the border would have to change its layout, as in few networks."""
        self.layer("GlobalAveragePool", shape=(1, self.shape[1], 1, 1)).end()

    def end(self) -> None:
        """End the chain: its last value is an output."""
        self.here.name = f"y{len(self._outputs)}"
        self.here.type = ir.TensorType(ir.DataType.FLOAT)
        self.here.shape = ir.Shape(self.shape)
        self._outputs.append(self.here)

    def layer(
        self, op: str, *operands: ir.Value, shape: tuple[int, ...] | None = None, **attributes: object
    ) -> _Network:
        """Add a node that takes `here` first; `shape` is that of its output where it is not that of its input."""
        self.here = self._tape.op(op, [self.here, *operands], attributes or None)  # type: ignore[arg-type]
        self.shape = shape or self.shape
        return self

    def constant(self, *shape: int) -> ir.Value:
        """Seeded noise that keeps the deviation of what it is multiplied into."""
        numbers = self._random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        return self.values(numbers.astype(np.float32))

    def values(self, numbers: NDArray[np.generic] | np.generic) -> ir.Value:
        """A constant."""
        name = f"c{len(self._tape.initializers)}"
        return self._tape.initializer(ir.tensor(np.asarray(numbers), name=name), name)

    def convolution(
        self, outputs: int, kernel: Sequence[int], *, stride: int = 1, group: int = 1, weight: ir.Value | None = None
    ) -> _Network:
        """A padded convolution with bias."""
        extents = tuple((extent - 1) // stride + 1 for extent in self.shape[2:])
        pads = [size // 2 for size in kernel] + [(size - 1) // 2 for size in kernel]
        weight = weight or self.constant(outputs, self.shape[1] // group, *kernel)
        bias = self.constant(outputs)
        shape = (1, outputs, *extents)
        strides = [stride] * len(kernel)
        return self.layer("Conv", weight, bias, shape=shape, strides=strides, pads=pads, group=group)

    def quantized(self) -> _Network:
        """Round to int8 and back: what stands between the layers of a quantized network."""
        scale, zero = self.values(np.float32(_SCALE)), self.values(np.int8(0))
        return self.layer("QuantizeLinear", scale, zero).layer("DequantizeLinear", scale, zero)

    def quantized_constant(self, *shape: int) -> ir.Value:
        """Weights of int8."""
        scale, zero = self.values(np.float32(_SCALE)), self.values(np.int8(0))
        numbers = self.values(self._random.integers(-127, 128, shape).astype(np.int8))
        return self._tape.op("DequantizeLinear", [numbers, scale, zero])

    def model(self) -> ir.Model:
        """The network."""
        graph = ir.Graph(
            self._inputs,
            self._outputs,
            nodes=self._tape.nodes,
            initializers=self._tape.initializers,
            opset_imports={"": _OPSET},
            name=self._name,
        )
        return ir.Model(graph, ir_version=10)


def calibration_networks() -> Iterator[ir.Model]:
    """The networks, one at a time; each has static shapes."""
    for network in (_dense, _mobile, _small, _vectors, _elements, _attention, _integers):
        yield network().model()


def _dense() -> _Network:
    """Convolutions over all channels: 3x3 at stride 1 and 2, larger windows, few channels."""
    net = _Network("dense")
    for channels, extent in ((64, 56), (128, 28), (256, 14), (512, 7), (32, 80), (24, 28)):
        net.begin_image(channels, extent)
        for _ in range(2):
            net.convolution(channels, (3, 3)).layer("Relu")
        net.convolution(2 * channels, (3, 3), stride=2).layer("Relu").end_pooled()
    net.begin(1, 3, 224, 224).convolution(32, (3, 3), stride=2).layer("Relu").convolution(16, (3, 3)).end_pooled()
    net.begin(1, 3, 224, 224).convolution(64, (7, 7), stride=2).layer("Relu").end_pooled()
    net.begin(1, 16, 256).convolution(32, (9,)).layer("Relu").convolution(64, (33,)).layer("Relu").end()
    net.begin(1, 128, 32, 1).convolution(64, (65, 1)).layer("Relu").convolution(128, (33, 1)).layer("Relu").end()
    return net


def _mobile() -> _Network:
    """Inverted residuals: pointwise, depthwise, pointwise, sum; with ReLU6 or the hard swish."""
    net = _Network("mobile")
    low, high = net.values(np.float32(0)), net.values(np.float32(6))
    cases = ((16, 96, 112, 3, 2), (24, 144, 56, 3, 1), (32, 192, 28, 5, 1), (64, 384, 14, 3, 1), (160, 960, 7, 5, 1))
    for channels, wide, extent, kernel, stride in (*cases, (8, 16, 48, 3, 1), (40, 240, 28, 3, 2)):
        net.begin_image(channels, extent)
        before = net.here
        net.convolution(wide, (1, 1)).layer("Clip", low, high)
        net.convolution(wide, (kernel, kernel), stride=stride, group=wide).layer("Clip", low, high)
        net.convolution(channels if stride == 1 else 2 * channels, (1, 1))
        if stride == 1:
            net.layer("Add", before)
        net.convolution(wide, (1, 1)).layer("HardSwish").end_pooled()
    net.begin_image(116, 28).convolution(116, (3, 3), group=116).convolution(116, (1, 1)).layer("Relu").end_pooled()
    return net


def _small() -> _Network:
    """Networks that fit the caches whole, where calls and borders count; some channels leave vectors half empty."""
    net = _Network("small")
    for channels, extent, widths in ((1, 28, (8, 16, 32)), (3, 24, (28, 48, 64)), (3, 48, (10, 16, 36))):
        net.begin(1, channels, extent, extent)
        for outputs in widths:
            net.convolution(outputs, (3, 3)).layer("Relu")
            half = net.shape[-1] // 2
            net.layer("MaxPool", shape=(1, outputs, half, half), kernel_shape=[2, 2], strides=[2, 2])
        _classify(net, 64)
    for depth, width in ((256, 128), (128, 128), (512, 64)):
        _products(net, depth, width)
    return net


def _classify(net: _Network, features: int) -> None:
    """Two fully connected layers and a softmax."""
    flat = math.prod(net.shape)
    net.layer("Flatten", shape=(1, flat))
    net.layer("Gemm", net.constant(flat, features), net.constant(features), shape=(1, features)).layer("Relu")
    net.layer("Gemm", net.constant(features, 10), net.constant(10), shape=(1, 10)).layer("Softmax").end()


def _products(net: _Network, depth: int, width: int) -> None:
    """A vector through a narrow middle."""
    net.begin(1, depth)
    net.layer("Gemm", net.constant(depth, width), net.constant(width), shape=(1, width)).layer("Relu")
    net.layer("Gemm", net.constant(width, depth), net.constant(depth), shape=(1, depth)).end()


def _vectors() -> _Network:
    """Products by one vector, as in classifiers, recurrent layers and squeeze-and-excitation."""
    net = _Network("vectors")
    for depth, width in (
        (1280, 1000),
        (512, 1000),
        (2048, 512),
        (256, 256),
        (128, 512),
        (64, 64),
        (960, 240),
        (72, 24),
    ):
        net.begin(1, depth)
        net.layer("Gemm", net.constant(depth, width), net.constant(width), shape=(1, width)).layer("Relu")
        net.layer("Gemm", net.constant(width, depth), net.constant(depth), shape=(1, depth)).end()
    for channels, extent in ((96, 28), (480, 14), (32, 56)):
        net.begin_image(channels, extent).layer("Relu")
        before, shape = net.here, net.shape
        net.layer("GlobalAveragePool", shape=(1, channels, 1, 1))
        net.convolution(channels // 4, (1, 1)).layer("Relu").convolution(channels, (1, 1)).layer("Sigmoid")
        net.layer("Mul", before, shape=shape).end_pooled()
    return net


def _elements() -> _Network:
    """Data that is pooled, moved, added, or put through a function element by element."""
    net = _Network("elements")
    for channels, extent in ((64, 112), (32, 56), (128, 28), (16, 14)):
        for kernel in (2, 3):
            net.begin_image(channels, extent)
            half = (1, channels, extent // 2, extent // 2)
            pads = [0, 0, kernel - 2, kernel - 2]
            net.layer("MaxPool", shape=half, kernel_shape=[kernel] * 2, strides=[2, 2], pads=pads)
            net.layer("AveragePool", kernel_shape=[3, 3], pads=[1] * 4).layer("Sigmoid").layer("Tanh").end_pooled()
        net.begin(1, channels, extent, extent)
        net.layer("Exp").layer("Transpose", shape=(1, extent, channels, extent), perm=[0, 2, 1, 3]).end()
        net.begin_image(channels, extent).layer("Relu")
        net.layer("Concat", net.here, shape=(1, 2 * channels, extent, extent), axis=1)
        net.layer(
            "Pad", net.values(np.array([0, 0, 1, 1, 0, 0, 1, 1])), shape=(1, 2 * channels, extent + 2, extent + 2)
        )
        net.layer("GlobalAveragePool", shape=(1, 2 * channels, 1, 1)).end()
    return net


def _attention() -> _Network:
    """Products of matrices, normalization and softmax of a transformer."""
    net = _Network("attention")
    for tokens, width, heads in ((197, 192, 3), (64, 128, 4), (16, 64, 2)):
        net.begin(tokens, width).layer("LayerNormalization", net.constant(width), net.constant(width), axis=-1)
        net.layer("MatMul", net.constant(width, 4 * width), shape=(tokens, 4 * width)).layer("Erf")
        net.layer("MatMul", net.constant(4 * width, width), shape=(tokens, width)).end()
        net.begin(heads, tokens, width // heads)
        before = net.here
        net.layer("Transpose", shape=(heads, width // heads, tokens), perm=[0, 2, 1])
        keys, net.here = net.here, before
        net.layer("MatMul", keys, shape=(heads, tokens, tokens)).layer("Softmax", axis=-1)
        net.layer("MatMul", before, shape=(heads, tokens, width // heads)).end()
    return net


def _integers() -> _Network:
    """Quantized convolutions and products."""
    net = _Network("integers")
    for channels, extent in ((64, 56), (128, 28), (256, 14), (32, 28)):
        net.begin_image(channels, extent).quantized()
        net.convolution(channels, (3, 3), weight=net.quantized_constant(channels, channels, 3, 3)).quantized()
        net.convolution(channels, (3, 3), weight=net.quantized_constant(channels, 1, 3, 3), group=channels).quantized()
        net.convolution(2 * channels, (1, 1), weight=net.quantized_constant(2 * channels, channels, 1, 1)).quantized()
        net.convolution(channels, (1, 1), weight=net.quantized_constant(channels, 2 * channels, 1, 1)).quantized()
        net.end_pooled()
    return net
