"""Builds small ONNX graphs node by node, with seeded weights, in any opset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dimension = int | str | None


class GraphBuilder:
    """One graph under construction; `node` returns the name of the node's (first) output."""

    def __init__(self, name: str, opset: int, seed: int = 0) -> None:
        self.name = name
        self.opset = opset
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._count = 0

    def input(self, name: str, shape: Sequence[Dimension] | None, dtype: int = TensorProto.FLOAT) -> str:
        """Declare an input of the graph."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, shape: Sequence[Dimension] | None, dtype: int = TensorProto.FLOAT) -> None:
        """Declare a value as an output of the graph."""
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def constant(self, value: Any, dtype: Any = np.float32, name: str = "") -> str:
        """Add an initializer."""
        name = name or self._fresh("const")
        self._initializers[name] = numpy_helper.from_array(np.asarray(value, dtype=dtype), name)
        return name

    def integers(self, *values: int) -> str:
        """Add a vector of int64."""
        return self.constant(values, np.int64)

    def weight(self, *shape: int, scale: float | None = None, name: str = "") -> str:
        """Add random weights; by default scaled so that activations keep about unit variance."""
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        spread = scale if scale is not None else float(fan_in) ** -0.5
        return self.constant(self._random.standard_normal(shape) * spread, np.float32, name or self._fresh("weight"))

    def positive(self, *shape: int) -> str:
        """Add random numbers in [0.5, 1.5)."""
        return self.constant(self._random.uniform(0.5, 1.5, shape), np.float32, self._fresh("positive"))

    def random_int8(self, *shape: int) -> str:
        """Add random int8 in [-127, 127]."""
        return self.constant(self._random.integers(-127, 128, shape), np.int8, self._fresh("weight_int8"))

    def node(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        return self.nodes(op, *inputs, outputs=(output or self._fresh(op.lower()),), **attributes)[0]

    def nodes(self, op: str, *inputs: str, outputs: Sequence[str], **attributes: Any) -> Sequence[str]:
        """Add a node with several outputs; an empty name leaves one out."""
        name = f"{op}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), list(outputs), name=name, **attributes))
        return outputs

    def convolution(
        self, x: str, channels: tuple[int, int], kernel: int, *, stride: int = 1, group: int = 1, output: str = ""
    ) -> str:
        """Add a square convolution with bias; `channels` are (in, out); "same" padding for stride 1."""
        weight = self.weight(channels[1], channels[0] // group, kernel, kernel)
        bias = self.weight(channels[1], scale=0.1)
        return self.node(
            "Conv",
            *(x, weight, bias),
            output=output,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
            group=group,
        )

    def batch_norm(self, x: str, channels: int) -> str:
        """Add a batch normalisation with random statistics."""
        scale, bias = self.positive(channels), self.weight(channels, scale=0.1)
        mean, variance = self.weight(channels, scale=0.1), self.positive(channels)
        return self.node("BatchNormalization", x, scale, bias, mean, variance)

    def clip(self, x: str, low: float, high: float) -> str:
        """Add a Clip: bounds are attributes before opset 11, inputs since."""
        if self.opset < 11:
            return self.node("Clip", x, min=low, max=high)
        return self.node("Clip", x, self.constant(low), self.constant(high))

    def reduce_mean(self, x: str, axes: Sequence[int], *, keepdims: int = 1) -> str:
        """Add a ReduceMean: axes are an attribute before opset 18, an input since."""
        if self.opset < 18:
            return self.node("ReduceMean", x, axes=list(axes), keepdims=keepdims)
        return self.node("ReduceMean", x, self.integers(*axes), keepdims=keepdims)

    def squeeze(self, x: str, axis: int) -> str:
        """Add a Squeeze: axes are an attribute before opset 13, an input since."""
        if self.opset < 13:
            return self.node("Squeeze", x, axes=[axis])
        return self.node("Squeeze", x, self.integers(axis))

    def unsqueeze(self, x: str, axis: int) -> str:
        """Add an Unsqueeze: axes are an attribute before opset 13, an input since."""
        if self.opset < 13:
            return self.node("Unsqueeze", x, axes=[axis])
        return self.node("Unsqueeze", x, self.integers(axis))

    def upsample(self, x: str, factor: int) -> str:
        """Enlarge height and width: Upsample in opset 9, Resize since."""
        scales = self.constant([1, 1, factor, factor])
        if self.opset < 10:
            return self.node("Upsample", x, scales, mode="nearest")
        if self.opset < 11:
            return self.node("Resize", x, scales, mode="nearest")
        mode = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        region = "" if self.opset >= 13 else self.constant([])
        return self.node("Resize", x, region, scales, **mode)

    def layer_norm(self, x: str, width: int) -> str:
        """Normalise the last axis: LayerNormalization since opset 17, its parts before."""
        scale, bias = self.positive(width), self.weight(width, scale=0.1)
        if self.opset >= 17:
            return self.node("LayerNormalization", x, scale, bias, axis=-1)
        centred = self.node("Sub", x, self.reduce_mean(x, [-1]))
        variance = self.reduce_mean(self.node("Mul", centred, centred), [-1])
        deviation = self.node("Sqrt", self.node("Add", variance, self.constant(1e-5)))
        return self.node("Add", self.node("Mul", self.node("Div", centred, deviation), scale), bias)

    def graph(self) -> onnx.GraphProto:
        """The graph so far."""
        initializers = list(self._initializers.values())
        return helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, initializers)

    def model(self) -> onnx.ModelProto:
        """The checked model, in the oldest IR version that its opset allows."""
        opset = helper.make_opsetid("", self.opset)
        version = max(4, helper.find_min_ir_version_for([opset], ignore_unknown=True))
        model = helper.make_model(self.graph(), opset_imports=[opset], ir_version=version, producer_name="edgec-tests")
        onnx.checker.check_model(model, full_check=True)
        return model

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{self.name}_{stem}_{self._count}"
