"""Cross-layer equalization: channels between two layers are scaled so that their weights have similar ranges.

Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.1, equation 11. It
changes the network by rounding only, because what lies between the layers commutes with positive factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.passes.graph_edit import Names, add_constant, only_consumer
from edgec.passes.quantize_layers import Layer, find_layers

_ROUNDS = 20
_CONVERGED = 1e-3


@dataclass(eq=False)
class _Weights:
    """Weights and bias under change, float64; `(groups, outputs of a group, inputs of a group, window)`."""

    layer: Layer
    matrix: np.ndarray
    bias: np.ndarray | None

    @classmethod
    def of(cls, layer: Layer) -> _Weights:
        if layer.node.op_type == "Conv":
            outputs, inputs = layer.weights.shape[:2]
            matrix = layer.weights.reshape(layer.groups, outputs // layer.groups, inputs, -1)
        else:
            matrix = (layer.weights if layer.axis == 0 else layer.weights.T)[None, :, :, None]
        bias = None if layer.bias is None else layer.bias.astype(np.float64)
        return cls(layer, matrix.astype(np.float64), bias)

    def outgoing(self) -> np.ndarray:
        """The largest weight of each output channel."""
        largest: np.ndarray = np.abs(self.matrix).max(axis=(2, 3)).reshape(-1)
        return largest

    def incoming(self) -> np.ndarray:
        """The largest weight that reads each input channel."""
        largest: np.ndarray = np.abs(self.matrix).max(axis=(1, 3)).reshape(-1)
        return largest

    def divide_outputs(self, factors: np.ndarray) -> None:
        groups, outputs = self.matrix.shape[:2]
        self.matrix /= factors.reshape(groups, outputs, 1, 1)
        if self.bias is not None:
            self.bias = np.broadcast_to(self.bias, factors.shape) / factors

    def multiply_inputs(self, factors: np.ndarray) -> None:
        self.matrix *= factors.reshape(self.matrix.shape[0], 1, self.matrix.shape[2], 1)

    def contents(self) -> np.ndarray:
        """In the shape that the node wants, float32."""
        layer = self.layer
        if layer.node.op_type == "Conv" or layer.axis == 0:
            return self.matrix.reshape(layer.weights.shape).astype(np.float32)
        return np.ascontiguousarray(self.matrix[0, :, :, 0].T).astype(np.float32)


def equalise(model: ir.Model) -> int:
    """Equalise every pair of layers with nothing but Relu or LeakyRelu between them, in place; the number of pairs."""
    layers, _ = find_layers(model, ())
    weights = {layer.node: _Weights.of(layer) for layer in layers}
    pairs = [(own, follower) for own in weights.values() if (follower := _follower(own, weights)) is not None]
    for _ in range(_ROUNDS if pairs else 0):
        if max(_equalise_pair(first, second) for first, second in pairs) < _CONVERGED:
            break
    names = Names(model)
    for changed in dict.fromkeys(member for pair in pairs for member in pair):
        _write(model, changed, names)
    return len(pairs)


def _follower(own: _Weights, weights: dict[ir.Node, _Weights]) -> _Weights | None:
    value = own.layer.node.outputs[0]
    while True:
        node = only_consumer(value)
        if node is None or node.inputs[0] is not value:
            return None
        if node in weights:
            found = weights[node]
            return found if found.incoming().size == own.outgoing().size else None
        if node.op_type not in ("Relu", "LeakyRelu") or node.domain != "":
            return None
        value = node.outputs[0]


def _equalise_pair(first: _Weights, second: _Weights) -> float:
    """One step; the largest change of a scale, as a logarithm."""
    out, into = first.outgoing(), second.incoming()
    usable = (out > 0) & (into > 0)
    factors = np.where(usable, np.sqrt(np.where(usable, out, 1.0) / np.where(usable, into, 1.0)), 1.0)
    first.divide_outputs(factors)
    second.multiply_inputs(factors)
    return float(np.abs(np.log(factors)).max())


def _write(model: ir.Model, changed: _Weights, names: Names) -> None:
    node = changed.layer.node
    name = names.fresh(f"{changed.layer.name}.equalised")
    node.replace_input_with(1, add_constant(model.graph, name, changed.contents()))
    if changed.bias is not None:
        name = names.fresh(f"{changed.layer.name}.equalised_bias")
        node.replace_input_with(2, add_constant(model.graph, name, changed.bias.astype(np.float32)))
