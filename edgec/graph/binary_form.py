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
        model: whose nodes of these names compute in real numbers, without an operator between input and node.
        units: what they shall compute.
    """
    names = Names(model)
    nodes = {str(node.name): node for node in model.graph}
    one = add_constant(model.graph, names.fresh("bipolar.scale"), np.ones((), np.float32))
    for unit in units:
        _write(model, names, nodes[unit.name], unit, one)
    add_functions(model)
    for name, value in list(model.graph.initializers.items()):
        if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
            del model.graph.initializers[name]


def _write(model: ir.Model, names: Names, node: ir.Node, unit: BinaryUnit, one: ir.Value) -> None:
    read, product, prefix = node.inputs[0], node.outputs[0], unit.name
    if read is None:
        raise TypeError(f"{unit.name} has no input")
    before: list[ir.Node] = []

    def constant(role: str, contents: np.ndarray) -> ir.Value:
        return add_constant(model.graph, names.fresh(f"{prefix}.{role}"), contents.astype(np.float32))

    def signs(value: ir.Value, role: str) -> ir.Value:
        quantizer = Quantizer(np.ones((), np.float32), np.zeros((), np.int64), bits=1)
        made = quant_node(value, quantizer, lambda *_: one, names.fresh(f"{prefix}/{role}"), rank=0)
        _complete(made, names.fresh(f"{prefix}.{role}"), value)
        before.append(made)
        return made.outputs[0]

    shifted = read
    if unit.threshold.any():
        shift = constant("threshold", -unit.threshold.reshape(unit.along))
        before.append(ir.node("Add", [read, shift], name=names.fresh(f"{prefix}/shift")))
        _complete(before[-1], names.fresh(f"{prefix}.shifted"), read)
        shifted = before[-1].outputs[0]
    given = signs(shifted, "signs")
    weights = signs(constant("real_weights", unit.weights), "weight_signs")
    node.replace_input_with(0, given)
    node.replace_input_with(1, weights)
    if len(node.inputs) > 2:
        node.resize_inputs(2)
    model.graph.insert_before(node, before)
    after: list[ir.Node] = []
    readers, is_output, value = list(product.uses()), product.is_graph_output(), product
    for op_type, role, numbers, neutral in (("Mul", "scale", unit.scale, 1), ("Add", "bias", unit.bias, 0)):
        if (numbers != neutral).any():
            after.append(
                ir.node(
                    op_type, [value, constant(role, numbers.reshape(unit.along))], name=names.fresh(f"{prefix}/{role}")
                )
            )
            _complete(after[-1], names.fresh(f"{prefix}.{role}d"), product)
            value = after[-1].outputs[0]
    if value is product:
        return
    model.graph.insert_after(node, after)
    for reader, place in readers:
        reader.replace_input_with(place, value)
    if is_output:
        name, product.name = product.name, names.fresh(f"{prefix}.sums")
        value.name = name
        for index, output in enumerate(model.graph.outputs):
            if output is product:
                model.graph.outputs[index] = value


def _complete(node: ir.Node, name: str, like: ir.Value) -> None:
    result = node.outputs[0]
    result.name, result.shape, result.type = name, like.shape, like.type
