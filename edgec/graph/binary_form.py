"""Layers of one bit in ONNX: a shifted input, its sign, products with signs, and a scale and bias for each channel.

    Add(−threshold) → BipolarQuant(1) → Conv or dense layer, its weights from BipolarQuant(1) → Mul(scale) → Add(bias)

The sums are whole numbers, so every runtime computes them alike; scale and bias come behind them and not with the
weights, so that rounding is the same everywhere too. `BipolarQuant` carries its body (`quantization_qonnx`), and what
it is given for weights are the real numbers that training moves: their signs are all that counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.graph.editing import Names, add_constant
from edgec.graph.quantization import Quantizer
from edgec.graph.quantization_qonnx import add_functions, quant_node


@dataclass(frozen=True, eq=False)
class BinaryUnit:
    """A layer that computes `scale · Σ sign(x − threshold) sign(weights) + bias`; the sign of 0 is positive.

    Attributes:
        name: of the node, a Conv, Gemm or MatMul without groups.
        weights: float32 in the layout of the node, of which the signs are used.
        axis: the axis of the weights that the output channels lie along.
        threshold: float32, one for each input channel.
        scale: float32, one for each output channel.
        bias: float32, as the scale.
    """

    name: str
    weights: np.ndarray
    axis: int
    threshold: np.ndarray
    scale: np.ndarray
    bias: np.ndarray

    @property
    def along(self) -> tuple[int, ...]:
        """The shape that spreads numbers of channels over the places of a picture."""
        return (-1, *(1,) * (self.weights.ndim - 2))


def write_units(model: ir.Model, units: Sequence[BinaryUnit]) -> None:
    """Put the binary form around the nodes that the units name, in place.

    Args:
        model: whose nodes of these names compute in real numbers.
        units: what they shall compute.
    """
    nodes = {str(node.name): node for node in model.graph}
    writer = _Writer(model)
    for unit in units:
        writer.put_before(nodes[unit.name], unit)
        writer.put_behind(nodes[unit.name], unit)
    add_functions(model)
    for name, value in list(model.graph.initializers.items()):
        if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
            del model.graph.initializers[name]


class _Writer:
    def __init__(self, model: ir.Model) -> None:
        self._graph, self._names = model.graph, Names(model)
        self._one = self._constant("bipolar.scale", np.ones((), np.float32))

    def put_before(self, node: ir.Node, unit: BinaryUnit) -> None:
        """Threshold and signs of the input, and signs of the weights; a bias goes."""
        read = node.inputs[0]
        if read is None:
            raise TypeError(f"{unit.name} has no input")
        made: list[ir.Node] = []
        if unit.threshold.any():
            shift = self._constant(f"{unit.name}.threshold", -unit.threshold.reshape(unit.along))
            made.append(self._finished(ir.node("Add", [read, shift]), f"{unit.name}.shifted", read))
        given = made[-1].outputs[0] if made else read
        real = self._constant(f"{unit.name}.real_weights", unit.weights)
        for place, (value, role) in enumerate(((given, "signs"), (real, "weight_signs"))):
            made.append(self._signs(value, f"{unit.name}.{role}"))
            node.replace_input_with(place, made[-1].outputs[0])
        node.resize_inputs(2)
        self._graph.insert_before(node, made)

    def put_behind(self, node: ir.Node, unit: BinaryUnit) -> None:
        """Scale and bias, where there are any, between the node and its readers."""
        product = value = node.outputs[0]
        readers, is_output = list(product.uses()), product.is_graph_output()
        made: list[ir.Node] = []
        for op_type, role, numbers, neutral in (("Mul", "scale", unit.scale, 1), ("Add", "bias", unit.bias, 0)):
            if (numbers != neutral).any():
                operand = self._constant(f"{unit.name}.{role}", numbers.reshape(unit.along))
                made.append(self._finished(ir.node(op_type, [value, operand]), f"{unit.name}.with_{role}", product))
                value = made[-1].outputs[0]
        self._graph.insert_after(node, made)
        for reader, place in readers:
            reader.replace_input_with(place, value)
        if is_output and made:
            value.name, product.name = product.name, self._names.fresh(f"{unit.name}.sums")
            self._graph.outputs[:] = [value if output is product else output for output in self._graph.outputs]

    def _signs(self, value: ir.Value, name: str) -> ir.Node:
        quantizer = Quantizer(np.ones((), np.float32), np.zeros((), np.int64), bits=1)
        made = quant_node(value, quantizer, lambda *_: self._one, name, rank=0)
        return self._finished(made, name, value)

    def _finished(self, node: ir.Node, name: str, like: ir.Value) -> ir.Node:
        """A node whose output has a name, and the shape and type of another value."""
        result = node.outputs[0]
        node.name, result.name = self._names.fresh(f"{name}/{node.op_type}"), self._names.fresh(name)
        result.shape, result.type = like.shape, like.type
        return node

    def _constant(self, name: str, contents: np.ndarray) -> ir.Value:
        return add_constant(self._graph, self._names.fresh(name), contents.astype(np.float32))
