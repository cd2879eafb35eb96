"""Softmax, LogSoftmax and Hardmax. Before opset 13 they act on the matrix of all axes before and after `axis`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import Pattern
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import (
    Expression,
    Reader,
    emit,
    existing_form,
    normalized_axis,
    required_input,
    stage,
)
from edgec.backends.tvm.operators.reduction import largest_over, reduced, smallest_over, sum_over, widened
from edgec.backends.tvm.operators.transcendental import exponential, logarithm

Body = Callable[[Reader, Sequence[int], bool], Reader]


@lowers("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: ir.Node, lowering: Lowering) -> None:
    """Exponentials over their sum, the logarithm of that, or 1 for the first largest element and 0 elsewhere."""
    source = existing_form(lowering, required_input(node, 0))
    rank = len(source.shape)
    modern = lowering.opset(node) >= 13
    axis = normalized_axis(node.attributes.get_int("axis", -1 if modern else 1), rank)
    axes = (axis,) if modern else tuple(range(axis, rank))
    if len([a for a in axes if source.shape[a] != 1]) <= 1:
        axes = tuple(a for a in axes if source.shape[a] != 1) or axes[:1]
    body: Body = {"Softmax": _softmax, "LogSoftmax": _log_softmax, "Hardmax": _hardmax}[node.op_type]
    output = [(node.outputs[0], source.shape, source.value.dtype)]
    last = source.channels_last
    emit(
        lowering,
        node,
        Pattern.REDUCTION,
        [source],
        output,
        lambda readers: body(readers[0], axes, last),
        channels_last=last,
    )


def _at(indices: Sequence[Expression], axes: Sequence[int]) -> tuple[Expression, ...]:
    return tuple(0 if axis in axes else index for axis, index in enumerate(indices))


def _softmax(x: Reader, axes: Sequence[int], last: bool) -> Reader:
    largest = reduced(x, axes, largest_over, channels_last=last, name="largest")
    shifted = stage(
        x.shape,
        lambda *i: exponential(widened(x(*i) - largest(*_at(i, axes)))),
        channels_last=last,
        name="exponential",
    )
    total = reduced(shifted, axes, sum_over, channels_last=last, name="total")
    dtype = x.tensor.dtype
    return stage(
        x.shape,
        lambda *i: tirx.Cast(dtype, shifted(*i) / total(*_at(i, axes))),
        channels_last=last,
        name="softmax",
    )


def _log_softmax(x: Reader, axes: Sequence[int], last: bool) -> Reader:
    largest = reduced(x, axes, largest_over, channels_last=last, name="largest")
    shifted = stage(x.shape, lambda *i: widened(x(*i) - largest(*_at(i, axes))), channels_last=last, name="shifted")
    total = reduced(shifted, axes, sum_over, exponential, channels_last=last, name="total")
    dtype = x.tensor.dtype
    return stage(
        x.shape,
        lambda *i: tirx.Cast(dtype, shifted(*i) - logarithm(total(*_at(i, axes)))),
        channels_last=last,
        name="log_softmax",
    )


def _hardmax(x: Reader, axes: Sequence[int], last: bool) -> Reader:
    largest = reduced(x, axes, largest_over, channels_last=last, name="largest")
    count = math.prod(x.shape[axis] for axis in axes)

    def place(indices: Sequence[Expression]) -> Expression:
        position = tirx.const(0, "int32")
        for axis in axes:
            position = position * x.shape[axis] + indices[axis]
        return position

    where = stage(
        x.shape,
        lambda *i: tirx.Select(tirx.EQ(x(*i), largest(*_at(i, axes))), place(i), tirx.const(count, "int32")),
        channels_last=last,
        name="where",
    )
    first = reduced(where, axes, smallest_over, channels_last=last, name="first")
    dtype = x.tensor.dtype
    return stage(
        x.shape,
        lambda *i: tirx.Select(tirx.EQ(place(i), first(*_at(i, axes))), tirx.const(1, dtype), tirx.const(0, dtype)),
        channels_last=last,
        name="hardmax",
    )
