"""Scatter: a copy of a tensor with some elements replaced by, or combined with, updates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir
from tvm import tirx
from tvm.script.ir_builder import tirx as script

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import Expression, Form, Reader, emit, normalized_axis, required_input
from edgec.backends.tvm.operators.indexing import flat_strides, wrapped
from edgec.backends.tvm.operators.sequential import Buffer, loops

Combine = Callable[[Expression, Expression], Expression]


def _combination(node: ir.Node) -> Combine:
    combinations: dict[str, Combine] = {
        "none": lambda old, new: new,
        "add": lambda old, new: old + new,
        "mul": lambda old, new: old * new,
        "max": lambda old, new: tirx.max(old, new),
        "min": lambda old, new: tirx.min(old, new),
    }
    name = node.attributes.get_string("reduction", "none")
    if name not in combinations:
        raise UnsupportedNodeError(f"its reduction {name} is unknown", "use none, add, mul, max or min")
    return combinations[name]


def _coordinates(position: Expression, shape: Sequence[int]) -> list[Expression]:
    """The indices of an element of a dense tensor from its position."""
    strides = flat_strides(shape)
    return [
        tirx.indexmod(tirx.indexdiv(position, stride), extent) for stride, extent in zip(strides, shape, strict=True)
    ]


Target = Callable[[Buffer, Expression], Expression]
"""Where, in the flat output, the update at some position goes, given the indices."""


def _emit_scatter(node: ir.Node, lowering: Lowering, target: Target, sizes: Callable[[list[Form]], int]) -> None:
    """Append a scatter; `target(indices, position)` is where the update at some position goes."""
    operands = [Form(lowering.value(required_input(node, position)), False) for position in range(3)]
    shape, dtype = operands[0].shape, operands[0].value.dtype
    combine, updates = _combination(node), sizes(operands)

    def write(read: list[Buffer], written: list[Buffer]) -> None:
        with script.serial(0, math.prod(shape)) as place:
            written[0][place] = read[0][place]
        with script.serial(0, updates) as position:
            at = target(read[1], position)
            written[0][at] = combine(written[0][at], read[2][position])

    def build(readers: list[Reader]) -> list[Reader]:
        return loops("scatter", readers, [(shape, dtype)], write)

    if updates == 0:
        lowering.alias(node.outputs[0], required_input(node, 0))
        return
    emit(lowering, node, Pattern.OPAQUE, operands, [(node.outputs[0], shape, dtype)], build)


@lowers("ScatterElements", "Scatter")
def scatter_elements(node: ir.Node, lowering: Lowering) -> None:
    """Each update goes to its own place but for the index along one axis."""
    shape = lowering.shape(required_input(node, 0))
    picks = lowering.shape(required_input(node, 1))
    axis = normalized_axis(node.attributes.get_int("axis", 0), len(shape))
    strides = flat_strides(shape)

    def target(indices: Buffer, position: Expression) -> Expression:
        where = _coordinates(position, picks)
        where[axis] = wrapped(indices[position], shape[axis])
        return sum(index * stride for index, stride in zip(where, strides, strict=True))

    _emit_scatter(node, lowering, target, lambda operands: math.prod(operands[2].shape))


@lowers("ScatterND")
def scatter_nd(node: ir.Node, lowering: Lowering) -> None:
    """Each slice of the updates goes where a row of the indices says."""
    shape = lowering.shape(required_input(node, 0))
    depth = lowering.shape(required_input(node, 1))[-1]
    strides = flat_strides(shape)
    size = math.prod(shape[depth:])

    def target(indices: Buffer, position: Expression) -> Expression:
        row = tirx.indexdiv(position, size)
        start = tirx.indexmod(position, size)
        for axis in range(depth):
            start = start + wrapped(indices[row * depth + axis], shape[axis]) * strides[axis]
        return start

    _emit_scatter(node, lowering, target, lambda operands: math.prod(operands[2].shape))
