"""Random convolutional networks in which channels meet in every way that occurs in practice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from hypothesis import strategies as st

from tests.models.builder import GraphBuilder


class NetworkBuilder:
    """A network under construction: the current value, its channels and its height and width."""

    def __init__(self, opset: int, seed: int, channels: int, extent: int) -> None:
        self.g = GraphBuilder("random", opset, seed)
        self.opset = opset
        self.channels, self.extent = channels, extent
        image = self.g.input("image", (1, 3, extent, extent))
        self.x = self.g.node("Relu", self.g.convolution(image, (3, channels), 3))

    def residual(self) -> None:
        inner = self.g.node("Sigmoid", self.g.convolution(self.x, (self.channels, self.channels), 3))
        self.x = self.g.node("Add", self.x, self.g.convolution(inner, (self.channels, self.channels), 1))

    def projection(self) -> None:
        wider = self.channels + 4
        left = self.g.convolution(self.x, (self.channels, wider), 1)
        right = self.g.convolution(self.x, (self.channels, wider), 3)
        self.x, self.channels = self.g.node("Mul", left, self.g.node("Tanh", right)), wider

    def concat(self) -> None:
        other = self.g.node("Elu", self.g.convolution(self.x, (self.channels, 6), 3))
        self.x, self.channels = self.g.node("Concat", self.x, other, self.x, axis=1), 2 * self.channels + 6

    def concat_rows(self) -> None:
        rows = self.g.weight(1, self.channels, 2, self.extent)
        other = self.g.convolution(self.x, (self.channels, self.channels), 1)
        joined = self.g.node("Concat", self.x, rows, other, axis=2)
        self.x = self.g.convolution(joined, (self.channels, self.channels), 1)
        self.x = self.slice(self.x, 2, self.extent, 2 * self.extent)

    def narrow(self) -> None:
        self.x = self.g.convolution(self.x, (self.channels, 8), 1)
        self.channels = 8

    def depthwise(self) -> None:
        self.x = self.g.convolution(self.x, (self.channels, self.channels), 3, group=self.channels)
        self.x = self.g.batch_norm(self.x, self.channels)

    def depthwise_multiplied(self) -> None:
        self.x = self.g.convolution(self.x, (self.channels, 2 * self.channels), 3, group=self.channels)
        self.channels *= 2

    def grouped(self) -> None:
        self.x = self.g.convolution(self.x, (self.channels, 12), 1)
        self.x, self.channels = self.g.convolution(self.x, (12, 18), 3, group=2), 18

    def grouped_narrowly(self) -> None:
        self.x = self.g.convolution(self.x, (self.channels, 12), 1)
        self.x, self.channels = self.g.convolution(self.x, (12, 18), 3, group=6), 18

    def shuffle(self) -> None:
        groups = 2 if self.channels % 2 == 0 else 1
        shape = (1, groups, self.channels // groups, self.extent, self.extent)
        split = self.g.node("Reshape", self.x, self.g.integers(*shape))
        mixed = self.g.node("Transpose", split, perm=[0, 2, 1, 3, 4])
        self.x = self.g.node("Reshape", mixed, self.g.integers(1, -1, self.extent, self.extent))

    def split(self) -> None:
        left, right = self.channels // 2, self.channels - self.channels // 2
        names = (f"left_{self.x}", f"right_{self.x}")
        if self.opset < 13:
            self.g.nodes("Split", self.x, outputs=names, axis=1, split=[left, right])
        else:
            self.g.nodes("Split", self.x, self.g.integers(left, right), outputs=names, axis=1)
        changed = self.g.node("LeakyRelu", self.g.convolution(names[1], (right, right), 3))
        self.x = self.g.node("Concat", names[0], changed, axis=1)

    def gate(self) -> None:
        mean = self.g.reduce_mean(self.x, (2, 3))
        small = self.g.node("Relu", self.g.convolution(mean, (self.channels, 4), 1))
        gate = self.g.node("Sigmoid", self.g.convolution(small, (4, self.channels), 1))
        self.x = self.g.node("Mul", gate, self.x)

    def dense_gate(self) -> None:
        mean = self.g.node("Flatten", self.g.node("GlobalAveragePool", self.x))
        gate = self.g.node(
            "Gemm", mean, self.g.weight(self.channels, self.channels), self.g.weight(self.channels), transB=1
        )
        wide = self.g.unsqueeze(self.g.unsqueeze(self.g.node("HardSigmoid", gate), 2), 3)
        self.x = self.g.node("Mul", self.x, wide)

    def spatial_gate(self) -> None:
        self.x = self.g.node("Mul", self.x, self.g.node("Sigmoid", self.g.convolution(self.x, (self.channels, 1), 3)))

    def constants(self) -> None:
        scaled = self.g.node("Mul", self.x, self.g.weight(1, self.channels, 1, 1))
        moved = self.g.node("Add", self.g.weight(self.channels, 1, self.extent), scaled)
        self.x = self.g.node("PRelu", moved, self.g.weight(self.channels, 1, 1))

    def normalise(self) -> None:
        self.x = self.g.node(
            "InstanceNormalization", self.x, self.g.positive(self.channels), self.g.weight(self.channels)
        )

    def more_channels_by_padding(self) -> None:
        pads = [0, 1, 0, 0, 0, 2, 0, 0]
        if self.opset < 11:
            padded = self.g.node("Pad", self.x, pads=pads)
        else:
            padded = self.g.node("Pad", self.x, self.g.integers(*pads))
        other = self.g.convolution(self.x, (self.channels, self.channels + 3), 1)
        self.x, self.channels = self.g.node("Add", padded, other), self.channels + 3

    def pool(self) -> None:
        pooled = self.g.node("MaxPool", self.x, kernel_shape=[2, 2], strides=[2, 2])
        self.x = self.g.upsample(pooled, 2)

    def transposed(self) -> None:
        weight = self.g.weight(self.channels, 5, 3, 3)
        self.x = self.g.node("ConvTranspose", self.x, weight, self.g.weight(5), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        self.channels = 5

    def transposed_grouped(self) -> None:
        self.x = self.g.convolution(self.x, (self.channels, 8), 1)
        weight = self.g.weight(8, 3, 3, 3)
        self.x = self.g.node("ConvTranspose", self.x, weight, kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=2)
        self.channels = 6

    def transposed_depthwise(self) -> None:
        weight = self.g.weight(self.channels, 2, 3, 3)
        pads = [1, 1, 1, 1]
        self.x = self.g.node("ConvTranspose", self.x, weight, kernel_shape=[3, 3], pads=pads, group=self.channels)
        self.channels *= 2

    def depth_to_space(self) -> None:
        there = self.g.convolution(self.x, (self.channels, 12), 1)
        wide = self.g.node("DepthToSpace", there, blocksize=2)
        back = self.g.node("SpaceToDepth", self.g.convolution(wide, (3, 3), 3), blocksize=2)
        self.x, self.channels = back, 12

    def permute(self) -> None:
        order = np.random.default_rng(self.channels).permutation(self.channels)
        self.x = self.g.node("Gather", self.x, self.g.constant(order, np.int64), axis=1)

    def cut(self) -> None:
        first = self.slice(self.x, 1, 1, self.channels - 1)
        last = self.slice(self.x, 1, -2, 10_000)
        self.x = self.g.node("Concat", last, first, axis=1)

    def attention(self) -> None:
        heads, width, tokens = 2, 6, self.extent**2
        flat = self.g.node("Reshape", self.x, self.g.integers(1, self.channels, tokens))
        x = self.g.node("Transpose", flat, perm=[0, 2, 1])
        parts = []
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
            made = self.g.node(
                "Add",
                self.g.weight(heads * width),
                self.g.node("MatMul", x, self.g.weight(self.channels, heads * width)),
            )
            parts.append(
                self.g.node(
                    "Transpose", self.g.node("Reshape", made, self.g.integers(1, tokens, heads, width)), perm=order
                )
            )
        scores = self.g.node("Softmax", self.g.node("MatMul", parts[0], parts[1]), axis=3)
        mixed = self.g.node("Transpose", self.g.node("MatMul", scores, parts[2]), perm=[0, 2, 1, 3])
        joined = self.g.node("Reshape", mixed, self.g.integers(1, tokens, heads * width))
        out = self.g.node("MatMul", joined, self.g.weight(heads * width, self.channels))
        summed = self.g.node("Transpose", self.g.node("Add", x, out), perm=[0, 2, 1])
        self.x = self.g.node("Reshape", summed, self.g.integers(1, self.channels, self.extent, self.extent))

    def slice(self, x: str, axis: int, start: int, end: int) -> str:
        if self.opset < 10:
            return self.g.node("Slice", x, axes=[axis], starts=[start], ends=[end])
        return self.g.node("Slice", x, self.g.integers(start), self.g.integers(end), self.g.integers(axis))

    def finish(self, kind: str) -> onnx.ModelProto:
        """Add the head and return the model."""
        if kind == "pooled":
            flat = self.g.node("Flatten", self.g.node("GlobalAveragePool", self.x))
            features = self.channels
        else:
            flat = self.g.node("Reshape", self.x, self.g.integers(1, -1))
            features = self.channels * self.extent**2
        hidden = self.g.node("MatMul", flat, self.g.weight(features, 9, scale=features**-0.5))
        hidden = self.g.node("Relu", self.g.node("Add", hidden, self.g.weight(9)))
        self.g.node("Gemm", hidden, self.g.weight(9, 4), self.g.weight(4), output="y")
        self.g.output("y", (1, 4))
        return self.g.model()


BLOCKS: dict[str, Callable[[NetworkBuilder], None]] = {
    name: method
    for name, method in vars(NetworkBuilder).items()
    if callable(method) and not name.startswith("_") and name not in ("slice", "finish")
}


@st.composite
def networks(draw: st.DrawFn) -> onnx.ModelProto:
    """A network of two to five random blocks."""
    builder = NetworkBuilder(
        draw(st.sampled_from((9, 11, 13, 18))), draw(st.integers(0, 99)), draw(st.sampled_from((6, 8, 11))), 4
    )
    for name in draw(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=2, max_size=5)):
        BLOCKS[name](builder)
        if builder.channels > 40:
            builder.narrow()
    return builder.finish(draw(st.sampled_from(("pooled", "flat"))))
