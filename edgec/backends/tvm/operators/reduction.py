"""Reductions over axes: sums, means, extrema, norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.kernel_graph import Pattern
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.arithmetic import is_float, limits
from edgec.backends.tvm.operators.emission import (
    Expression,
    Reader,
    emit,
    existing_form,
    normalized_axis,
    required_input,
    stage,
    type_of,
)
from edgec.backends.tvm.operators.reshaping import axes_of
from edgec.backends.tvm.operators.transcendental import exponential, logarithm

Element = Callable[[Expression], Expression]


def sum_over(expression: Expression, axes: Sequence[Any]) -> Expression:
    """The sum of an expression over reduction axes; the expression itself if there are none."""
    return te.sum(expression, axis=list(axes)) if axes else expression


def wide_type(dtype: str) -> str:
    """The type in which elements of some type are summed."""
    return "float32" if dtype == "float16" else dtype


def widened(x: Expression) -> Expression:
    """An element in the type in which it is summed."""
    return tirx.Cast(wide_type(type_of(x)), x)


_product = te.comm_reducer(lambda x, y: x * y, lambda dtype: tirx.const(1, dtype), name="product")
_largest = te.comm_reducer(
    lambda x, y: tirx.max(x, y), lambda dtype: tirx.const(limits(dtype)[0], dtype), name="largest"
)
_smallest = te.comm_reducer(
    lambda x, y: tirx.min(x, y), lambda dtype: tirx.const(limits(dtype)[1], dtype), name="smallest"
)
_any = te.comm_reducer(lambda x, y: tirx.Or(x, y), lambda dtype: tirx.const(False, "bool"), name="any")
_all = te.comm_reducer(lambda x, y: tirx.And(x, y), lambda dtype: tirx.const(True, "bool"), name="all")


def product_over(expression: Expression, axes: Sequence[Any]) -> Expression:
    """The product of an expression over reduction axes."""
    return _product(expression, axis=list(axes)) if axes else expression


def largest_over(expression: Expression, axes: Sequence[Any]) -> Expression:
    """The largest value over reduction axes; minus infinity, or the least integer, if there is none."""
    reducer = _any if type_of(expression) == "bool" else _largest
    return reducer(expression, axis=list(axes)) if axes else expression


def smallest_over(expression: Expression, axes: Sequence[Any]) -> Expression:
    """The smallest value over reduction axes; infinity, or the largest integer, if there is none."""
    reducer = _all if type_of(expression) == "bool" else _smallest
    return reducer(expression, axis=list(axes)) if axes else expression


def reduced(
    source: Reader,
    axes: Sequence[int],
    combine: Callable[[Expression, Sequence[Any]], Expression],
    element: Element = lambda x: x,
    *,
    channels_last: bool = False,
    name: str = "reduced",
) -> Reader:
    """A tensor reduced over axes, which keep the extent 1."""
    shape = [1 if axis in axes else extent for axis, extent in enumerate(source.shape)]
    return stage(
        shape, reducing(source, axes, combine, element, list(range(len(shape)))), channels_last=channels_last, name=name
    )


def reducing(
    source: Reader,
    axes: Sequence[int],
    combine: Callable[[Expression, Sequence[Any]], Expression],
    element: Element,
    kept: Sequence[int],
) -> Callable[..., Expression]:
    """One element of a reduction; `kept` are the axes of the source that the axes of the output stand for."""
    over = {axis: te.reduce_axis((0, source.shape[axis]), name=f"k{axis}") for axis in axes}

    def at(*indices: Expression) -> Expression:
        found = dict(zip(kept, indices, strict=True))
        position = [over[axis] if axis in over else found[axis] for axis in range(len(source.shape))]
        return combine(element(source(*position)), list(over.values()))

    return at


def _square(x: Expression) -> Expression:
    return x * x


def _magnitude(x: Expression) -> Expression:
    return x if type_of(x).startswith("uint") else tirx.abs(x)


_REDUCTIONS: dict[str, tuple[Element, Callable[[Expression, Sequence[Any]], Expression], Element]] = {
    "ReduceSum": (lambda x: x, sum_over, lambda x: x),
    "ReduceMean": (lambda x: x, sum_over, lambda x: x),
    "ReduceProd": (lambda x: x, product_over, lambda x: x),
    "ReduceMax": (lambda x: x, largest_over, lambda x: x),
    "ReduceMin": (lambda x: x, smallest_over, lambda x: x),
    "ReduceL1": (_magnitude, sum_over, lambda x: x),
    "ReduceL2": (_square, sum_over, tirx.sqrt),
    "ReduceSumSquare": (_square, sum_over, lambda x: x),
    "ReduceLogSum": (lambda x: x, sum_over, logarithm),
}
"""For each operator: what is done to an element, how the results are combined, what is done to the result."""


def _reduction_axes(node: ir.Node, lowering: Lowering, rank: int) -> tuple[int, ...]:
    axes = axes_of(node, lowering, 1)
    if not axes and bool(node.attributes.get_int("noop_with_empty_axes", 0)):
        return ()
    return tuple(sorted({normalized_axis(axis, rank) for axis in (axes or range(rank))}))


@lowers(*_REDUCTIONS)
def reduce_operator(node: ir.Node, lowering: Lowering) -> None:
    """A reduction over axes, given by an attribute in older opsets and by an input in newer ones."""
    source = existing_form(lowering, required_input(node, 0))
    dtype = source.value.dtype
    axes = _reduction_axes(node, lowering, len(source.shape))
    before, combine, after = _REDUCTIONS[node.op_type]
    count = math.prod(source.shape[axis] for axis in axes)
    sums = combine is sum_over

    def finish(x: Expression) -> Expression:
        if node.op_type == "ReduceMean":
            return x * tirx.const(1.0 / max(count, 1), type_of(x)) if is_float(dtype) else _mean_of_integers(x, count)
        if node.op_type in ("ReduceL2", "ReduceLogSum") and not is_float(dtype):
            return tirx.Cast(dtype, after(tirx.Cast("float64", x)))
        return after(x)

    def build(readers: list[Reader], shape: list[int], kept: list[int], channels_last: bool) -> Reader:
        combined = stage(
            shape,
            reducing(readers[0], axes, combine, (lambda x: before(widened(x))) if sums else before, kept),
            channels_last=channels_last,
            name=node.op_type.lower(),
        )
        if node.op_type not in ("ReduceMean", "ReduceL2", "ReduceLogSum") and wide_type(dtype) == dtype:
            return combined
        return stage(shape, lambda *indices: tirx.Cast(dtype, finish(combined(*indices))), channels_last=channels_last)

    _emit_reduction(node, lowering, axes, build)


def _mean_of_integers(total: Expression, count: int) -> Expression:
    return tirx.truncdiv(total, tirx.const(max(count, 1), type_of(total)))


@lowers("ReduceLogSumExp")
def reduce_log_sum_exp(node: ir.Node, lowering: Lowering) -> None:
    """log(sum(exp(x))), from which the largest element is taken out first, so that nothing overflows."""
    source = existing_form(lowering, required_input(node, 0))
    dtype = source.value.dtype
    axes = _reduction_axes(node, lowering, len(source.shape))

    def build(readers: list[Reader], shape: list[int], kept: list[int], channels_last: bool) -> Reader:
        largest = stage(
            shape,
            reducing(readers[0], axes, largest_over, lambda x: x, kept),
            channels_last=channels_last,
            name="largest",
        )
        finite = tirx.const(float(np.finfo(dtype).min), dtype)

        def peak(*indices: Expression) -> Expression:
            return tirx.max(largest(*indices), finite)

        over = {axis: te.reduce_axis((0, readers[0].shape[axis]), name=f"k{axis}") for axis in axes}

        def at(*indices: Expression) -> Expression:
            found = dict(zip(kept, indices, strict=True))
            position = [over[axis] if axis in over else found[axis] for axis in range(len(readers[0].shape))]
            return sum_over(exponential(widened(readers[0](*position) - peak(*indices))), list(over.values()))

        total = stage(shape, at, channels_last=channels_last, name="total")
        return stage(
            shape,
            lambda *indices: tirx.Cast(dtype, logarithm(total(*indices))) + peak(*indices),
            channels_last=channels_last,
        )

    _emit_reduction(node, lowering, axes, build)


def _emit_reduction(
    node: ir.Node,
    lowering: Lowering,
    axes: Sequence[int],
    build: Callable[[list[Reader], list[int], list[int], bool], Reader],
) -> None:
    """Append a reduction whose reduced axes are kept with extent 1 or dropped, as the node says."""
    source = existing_form(lowering, required_input(node, 0))
    keeps = bool(node.attributes.get_int("keepdims", 1))
    kept = [axis for axis in range(len(source.shape)) if keeps or axis not in axes]
    shape = [1 if axis in axes else source.shape[axis] for axis in kept]
    last = source.channels_last and keeps
    if 0 in source.shape and 0 not in shape:
        filling = _value_of_nothing(node.op_type, source.value.dtype)
        contents = np.full(shape, filling, source.value.dtype)
        lowering.define(node.outputs[0], lowering.literal(str(node.outputs[0].name), contents))
        return
    emit(
        lowering,
        node,
        Pattern.REDUCTION,
        [source],
        [(node.outputs[0], shape, source.value.dtype)],
        lambda readers: build(readers, shape, kept, last),
        channels_last=last,
    )


def _value_of_nothing(op_type: str, dtype: str) -> float | int:
    """What a reduction over no elements gives."""
    if op_type in ("ReduceMax", "ReduceMin"):
        return limits(dtype)[op_type == "ReduceMin"]
    return {"ReduceProd": 1, "ReduceLogSum": -np.inf, "ReduceLogSumExp": -np.inf, "ReduceMean": np.nan}.get(op_type, 0)


@lowers("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(node: ir.Node, lowering: Lowering) -> None:
    """The mean, the largest, or the norm of order `p` of each channel."""
    source = existing_form(lowering, required_input(node, 0))
    dtype = source.value.dtype
    axes = tuple(range(2, len(source.shape)))
    shape = (*source.shape[:2], *(1 for _ in axes))
    count = math.prod(source.shape[2:])
    order = node.attributes.get_int("p", 2)

    def build(readers: list[Reader]) -> Reader:
        last = source.channels_last
        if node.op_type == "GlobalMaxPool":
            return reduced(readers[0], axes, largest_over, channels_last=last, name="largest")
        before, after = norm_of_order(order, wide_type(dtype))
        if node.op_type == "GlobalAveragePool":
            share = tirx.const(1.0 / count, wide_type(dtype))
            before, after = (lambda x: x), (lambda x: x * share)
        total = reduced(readers[0], axes, sum_over, lambda x: before(widened(x)), channels_last=last, name="total")
        return stage(shape, lambda *indices: tirx.Cast(dtype, after(total(*indices))), channels_last=last)

    output = [(node.outputs[0], shape, dtype)]
    emit(lowering, node, Pattern.REDUCTION, [source], output, build, channels_last=source.channels_last)


def norm_of_order(order: int, dtype: str) -> tuple[Element, Element]:
    """What is done to an element and to the sum for the norm of some order."""
    if order == 1:
        return tirx.abs, lambda x: x
    if order == 2:
        return _square, tirx.sqrt
    power, root = tirx.const(float(order), dtype), tirx.const(1.0 / order, dtype)
    return (lambda x: tirx.pow(tirx.abs(x), power)), (lambda x: tirx.pow(x, root))
