"""Multiply-accumulates of one node.

A multiply-accumulate is one product added to a sum inside a contraction: convolution, matrix product, recurrence,
attention. Element-wise operators, pooling, normalisation and moves of data count as none, the usual convention.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx_ir as ir

from edgec.graph.shapes import static_shape

Shape = tuple[int, ...]


class UnknownCostError(ValueError):
    """The cost of a node cannot be told; the message says why."""


def macs_of(node: ir.Node) -> int:
    """Multiply-accumulates of one call of a node, without those of its subgraphs.

    Raises:
        UnknownCostError: a shape that the count needs is open, or the operator is none of ONNX's.
    """
    count = _COUNTS.get(node.op_type)
    if count is not None:
        return count(node)
    if node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
        raise UnknownCostError(f"nothing is known of the operator {node.domain}::{node.op_type}")
    return 0


def shape_of(value: ir.Value | None, what: str) -> Shape:
    """The static shape of a value.

    Raises:
        UnknownCostError: the value is absent, or its shape is not fully known.
    """
    if value is None:
        raise UnknownCostError(f"there is no {what}")
    if value.shape is None:
        raise UnknownCostError(f"the shape of `{value.name}` is unknown")
    shape = static_shape(value)
    if shape is None:
        extents = ", ".join(str(e if isinstance(e, int) else e.value or "?") for e in value.shape)
        raise UnknownCostError(f"the shape of `{value.name}` is open: [{extents}]")
    return shape


def _convolution(weight: int) -> Callable[[ir.Node], int]:
    """Every output element sums over the weights of its channel: shape (out, in / group, kernel…)."""
    return lambda n: math.prod(shape_of(n.outputs[0], "output")) * math.prod(shape_of(n.inputs[weight], "weight")[1:])


def _transposed_convolution(node: ir.Node) -> int:
    """Every input element is spread over the weights of its channel: shape (in, out / group, kernel…)."""
    return math.prod(shape_of(node.inputs[0], "input")) * math.prod(shape_of(node.inputs[1], "weight")[1:])


def _gemm(node: ir.Node) -> int:
    inner = shape_of(node.inputs[0], "input")[0 if node.attributes.get_int("transA", 0) else 1]
    return math.prod(shape_of(node.outputs[0], "output")) * inner


def _matrix_product(node: ir.Node) -> int:
    return math.prod(shape_of(node.outputs[0], "output")) * (shape_of(node.inputs[0], "input") or (1,))[-1]


def _recurrence(node: ir.Node) -> int:
    """Every step of every sequence multiplies with all weights: (directions, gates · hidden, input or hidden)."""
    steps = math.prod(shape_of(node.inputs[0], "input")[:2])
    weights = sum(math.prod(shape_of(node.inputs[i], "weight")) for i in (1, 2))
    return steps * weights


def _einsum(node: ir.Node) -> int:
    """The product of the extents of all letters, once for each product of two operands."""
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    extents: dict[str, int] = {}
    for term, value in zip(equation.split("->")[0].split(","), node.inputs, strict=False):
        shape = list(shape_of(value, "operand"))
        letters = list(term)
        if "..." in term:
            position = term.index("...")
            broadcast = len(shape) - len(term) + 3
            letters = [*term[:position], *(f".{k}" for k in range(-broadcast, 0)), *term[position + 3 :]]
        for letter, extent in zip(letters, shape, strict=False):
            extents[letter] = max(extent, extents.get(letter, 1))
    return math.prod(extents.values()) * max(0, len(node.inputs) - 1)


def _attention(node: ir.Node) -> int:
    """Scores and mixture: batch · queries · keys · (all query channels + all value channels)."""
    query, key = shape_of(node.inputs[0], "query"), shape_of(node.inputs[1], "key")
    output = shape_of(node.outputs[0], "output")
    keys = key[-2]
    if len(node.inputs) > 4 and node.inputs[4] is not None:
        keys += shape_of(node.inputs[4], "past keys")[2]
    channels = [shape[-1] * (shape[1] if len(shape) == 4 else 1) for shape in (query, output)]
    return query[0] * query[-2] * keys * sum(channels)


_COUNTS: dict[str, Callable[[ir.Node], int]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "DeformConv": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "MatMul": _matrix_product,
    "MatMulInteger": _matrix_product,
    "QLinearMatMul": _matrix_product,
    "LSTM": _recurrence,
    "GRU": _recurrence,
    "RNN": _recurrence,
    "Einsum": _einsum,
    "Attention": _attention,
}
