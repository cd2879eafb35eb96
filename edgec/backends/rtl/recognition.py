"""From a quantised ONNX model to an integer graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.backends.plan import Fallback
from edgec.backends.rtl import layers, quantisers, signs
from edgec.backends.rtl.integer_graph import Border, Input, IntegerGraph
from edgec.backends.rtl.wires import Constant, GraphBuilder, Known, UnsupportedError, Wire
from edgec.core.codes.backend import UNSUPPORTED_NODES
from edgec.core.errors import EdgecError
from edgec.graph.shapes import model_inputs

Lowering = Callable[[GraphBuilder, ir.Node, list[Known]], Known]

_LOWERINGS: Mapping[str, Lowering] = {
    "Add": layers.add,
    "AveragePool": layers.average_pool,
    "BipolarQuant": signs.bipolar_quant,
    "Clip": quantisers.clip,
    "Conv": layers.convolution,
    "DequantizeLinear": quantisers.dequantize_linear,
    "Flatten": layers.movement,
    "Gemm": layers.matrix_product,
    "GlobalAveragePool": layers.average_pool,
    "Identity": layers.movement,
    "MatMul": layers.matrix_product,
    "MaxPool": layers.max_pool,
    "Mul": layers.scaled,
    "Quant": quantisers.quant,
    "QuantizeLinear": quantisers.quantize_linear,
    "Relu": quantisers.relu,
    "Reshape": layers.movement,
    "Squeeze": layers.movement,
    "Transpose": layers.movement,
    "Unsqueeze": layers.movement,
}


@dataclass(frozen=True)
class Recognised:
    """A model as far as it could be turned into integers.

    Attributes:
        graph: the integers; None if some node has no integer form.
        unsupported: those nodes.
        builder: what each ONNX value became.
    """

    graph: IntegerGraph | None
    unsupported: tuple[Fallback, ...]
    builder: GraphBuilder


def integer_graph(model: ir.Model) -> IntegerGraph:
    """A quantised model with static shapes as integers.

    Raises:
        EdgecError: EC0401 with every node that has no integer form.
    """
    found = recognise(model)
    if found.graph is None:
        raise EdgecError(
            UNSUPPORTED_NODES,
            f"{len(found.unsupported)} node{'s have' if len(found.unsupported) > 1 else ' has'} no form on integers",
            where=f"node {found.unsupported[0].node}",
            hint=found.unsupported[0].hint,
            details=tuple(f"{row.node}: {row.reason} ({row.hint})" for row in found.unsupported),
        )
    return found.graph


def recognise(model: ir.Model) -> Recognised:
    """The integer graph, or every node that keeps the model from having one; their successors are not named.

    Args:
        model: quantised, with static shapes.
    """
    builder = GraphBuilder()
    unsupported: list[Fallback] = []
    for value in model_inputs(model):
        _take_input(builder, value)
    for name, value in model.graph.initializers.items():
        if value.const_value is not None:
            builder.known[name] = Constant(value.const_value.numpy())
    for node in model.graph:
        try:
            _lower(builder, node)
        except UnsupportedError as problem:
            unsupported.append(Fallback(node=f"{node.name} ({node.op_type})", reason=problem.reason, hint=problem.hint))
    outputs = []
    for value in model.graph.outputs:
        made = builder.known.get(str(value.name))
        if isinstance(made, Wire) and made.scale is not None:
            outputs.append(_border(value, made))
        elif not unsupported:
            reason = "it is not quantised, or does not depend on the inputs"
            unsupported.append(Fallback(node=f"output {value.name}", reason=reason, hint="quantise the network first"))
    graph = None if unsupported else builder.finish(tuple(outputs))
    return Recognised(graph, tuple(unsupported), builder)


def _constant(node: ir.Node) -> Constant:
    """What a node Constant holds, in whichever of its attributes."""
    tensor = ir.convenience.get_const_tensor(node.outputs[0])
    if tensor is None:
        raise UnsupportedError("a Constant of text or of sparse numbers", "leave it out of the model")
    return Constant(tensor.numpy())


def _lower(builder: GraphBuilder, node: ir.Node) -> None:
    names = [value.name for value in node.inputs if value is not None]
    if any(name not in builder.known for name in names):
        return
    if node.op_type == "Constant":
        builder.known[str(node.outputs[0].name)] = _constant(node)
        return
    lowering = _LOWERINGS.get(node.op_type)
    if lowering is None:
        raise UnsupportedError(
            f"{node.op_type} has no form on integers here", "cut the model before it, or compute it on the host"
        )
    builder.known[str(node.outputs[0].name)] = lowering(builder, node, [builder.known[str(name)] for name in names])


def _take_input(builder: GraphBuilder, value: ir.Value) -> None:
    """An input whose range a quantiser will tell."""
    shape = _shape_of(value)
    position = builder.append(Input(str(value.name), "Input", (), int(np.prod(shape)), 0, 0))
    dtype = "float32" if value.dtype is None else value.dtype.name.lower()
    dtype = "float32" if dtype == "float" else dtype
    builder.inputs.append(Border(str(value.name), dtype, shape, position, np.empty(0)))
    builder.known[str(value.name)] = Wire(position, shape, None)


def _border(value: ir.Value, wire: Wire) -> Border:
    integer = wire.zero_point is not None
    dtype = value.dtype.name.lower() if integer and value.dtype is not None else "float32"
    scale = np.ones(1) if integer or wire.scale is None else wire.scale
    return Border(str(value.name), dtype, _shape_of(value), wire.value, scale, wire.zero_point or 0)


def _shape_of(value: ir.Value) -> tuple[int, ...]:
    """The shape; the pass `static-shapes` has fixed it."""
    return tuple(int(extent) for extent in value.shape or () if isinstance(extent, int))
