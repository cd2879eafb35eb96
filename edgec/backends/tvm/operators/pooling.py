"""Pooling over sliding windows: largest, mean and norm, in any number of spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.arithmetic import limits
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    emit,
    existing_form,
    form,
    required_input,
    stage,
)
from edgec.backends.tvm.operators.reduction import largest_over, norm_of_order, smallest_over, sum_over
from edgec.backends.tvm.operators.window_geometry import WindowAxis, window_axes


def pooled_input(node: ir.Node, lowering: Lowering) -> Form:
    """The input of a pooling node, channels-last where there are several channels to vectorise over."""
    x = required_input(node, 0)
    shape = lowering.shape(x)
    if len(shape) < 3:
        raise UnsupportedNodeError(f"its input has rank {len(shape)}", "run the ONNX checker on the model")
    return form(lowering, x, True) if shape[1] > 1 else existing_form(lowering, x)


def padded_input(source: Reader, axes: Sequence[WindowAxis], filling: Expression) -> Reader:
    """The input with padding around its spatial axes; the input itself if there is none."""
    if all(axis.before == 0 and axis.padded == axis.extent for axis in axes):
        return source
    shape = (*source.shape[:2], *(axis.padded for axis in axes))

    def element(n: Expression, c: Expression, *position: Expression) -> Expression:
        inside = []
        for index, axis in zip(position, axes, strict=True):
            if axis.before:
                inside.append(index >= axis.before)
            if axis.padded > axis.before + axis.extent:
                inside.append(index < axis.before + axis.extent)
        read = source(n, c, *(index - axis.before for index, axis in zip(position, axes, strict=True)))
        return tirx.if_then_else(tirx.all(*inside), read, filling)

    return stage(shape, element, channels_last=source.channels_last, name="padded")


def pooled(
    source: Reader,
    axes: Sequence[WindowAxis],
    combine: Callable[[Expression, Sequence[Expression]], Expression],
    element: Callable[[Expression], Expression],
) -> Reader:
    """The combination of the elements in each window of a padded input."""
    taps = [te.reduce_axis((0, axis.kernel), name=f"tap{number}") for number, axis in enumerate(axes)]

    def at(n: Expression, c: Expression, *windows: Expression) -> Expression:
        position = [
            window * axis.stride + tap * axis.dilation for window, tap, axis in zip(windows, taps, axes, strict=True)
        ]
        return combine(element(source(n, c, *position)), taps)

    shape = (*source.shape[:2], *(axis.output for axis in axes))
    return stage(shape, at, channels_last=source.channels_last, name="pooled")


@lowers("MaxPool")
def max_pool(node: ir.Node, lowering: Lowering) -> None:
    """The largest element of each window, and where it is if the second output is used."""
    source = pooled_input(node, lowering)
    dtype = source.value.dtype
    axes = window_axes(node, source.shape[2:], node.attributes.get_ints("kernel_shape", ()))
    shape = (*source.shape[:2], *(axis.output for axis in axes))
    with_indices = len(node.outputs) > 1 and bool(node.outputs[1].name)

    def build(readers: list[Reader]) -> Sequence[Reader]:
        padded = padded_input(readers[0], axes, tirx.const(limits(dtype)[0], dtype))
        largest = pooled(padded, axes, largest_over, lambda x: x)
        if not with_indices:
            return [largest]
        return [largest, _positions(node, source.shape, padded, largest, axes)]

    outputs = [(node.outputs[0], shape, dtype)]
    if with_indices:
        outputs.append((node.outputs[1], shape, "int64"))
    emit(lowering, node, Pattern.REDUCTION, [source], outputs, build, channels_last=source.channels_last)


def _positions(
    node: ir.Node, shape: tuple[int, ...], padded: Reader, largest: Reader, axes: Sequence[WindowAxis]
) -> Reader:
    """The index, in the flattened input, of the first largest element of each window."""
    column_major = bool(node.attributes.get_int("storage_order", 0))
    spatial = [int(extent) for extent in shape[2:]]
    order = range(len(spatial)) if column_major else reversed(range(len(spatial)))
    strides, stride = [0] * len(spatial), 1
    for axis in order:
        strides[axis], stride = stride, stride * spatial[axis]
    taps = [te.reduce_axis((0, axis.kernel), name=f"tap{number}") for number, axis in enumerate(axes)]
    nowhere = tirx.const(2**31 - 1, "int64")

    def at(n: Expression, c: Expression, *windows: Expression) -> Expression:
        position = [w * axis.stride + tap * axis.dilation for w, tap, axis in zip(windows, taps, axes, strict=True)]
        offset = (n * shape[1] + c) * int(np.prod(spatial))
        for place, axis, distance in zip(position, axes, strides, strict=True):
            offset = offset + (place - axis.before) * distance
        inside = tirx.all(
            *(place >= axis.before for place, axis in zip(position, axes, strict=True)),
            *(place < axis.before + axis.extent for place, axis in zip(position, axes, strict=True)),
            tirx.EQ(padded(n, c, *position), largest(n, c, *windows)),
        )
        return smallest_over(tirx.Select(inside, tirx.Cast("int64", offset), nowhere), taps)

    return stage(largest.shape, at, channels_last=largest.channels_last, name="positions")


@lowers("AveragePool")
def average_pool(node: ir.Node, lowering: Lowering) -> None:
    """The mean of each window, over the elements inside the input or over its padding too."""
    source = pooled_input(node, lowering)
    dtype = source.value.dtype
    axes = window_axes(node, source.shape[2:], node.attributes.get_ints("kernel_shape", ()))
    shape = (*source.shape[:2], *(axis.output for axis in axes))
    shares = shares_of_windows(axes, dtype, count_padding=bool(node.attributes.get_int("count_include_pad", 0)))
    uniform = bool(np.all(shares == shares.reshape(-1)[0]))
    operands = [source]
    if not uniform:
        operands.append(Form(lowering.literal(f"{node.outputs[0].name}.shares", shares), False))

    def build(readers: list[Reader]) -> Reader:
        zero = tirx.const(0, dtype)
        total = pooled(padded_input(readers[0], axes, zero), axes, sum_over, lambda x: x)
        fixed = tirx.const(float(shares.reshape(-1)[0]), dtype)

        def at(n: Expression, c: Expression, *windows: Expression) -> Expression:
            return total(n, c, *windows) * (fixed if uniform else readers[1](*windows))

        return stage(shape, at, channels_last=source.channels_last, name="mean")

    output = [(node.outputs[0], shape, dtype)]
    emit(lowering, node, Pattern.REDUCTION, operands, output, build, channels_last=source.channels_last)


def shares_of_windows(axes: Sequence[WindowAxis], dtype: str, *, count_padding: bool) -> np.ndarray:
    """The weight of one element in the mean of each window."""
    count = np.ones(())
    for axis in axes:
        inside = [axis.taps_inside(window, count_padding=count_padding) for window in range(axis.output)]
        count = np.multiply.outer(count, np.asarray(inside, np.float64))
    return (1.0 / np.maximum(count, 1)).astype(dtype)


@lowers("LpPool")
def norm_pool(node: ir.Node, lowering: Lowering) -> None:
    """The norm of order `p` of each window."""
    source = pooled_input(node, lowering)
    dtype = source.value.dtype
    axes = window_axes(node, source.shape[2:], node.attributes.get_ints("kernel_shape", ()))
    shape = (*source.shape[:2], *(axis.output for axis in axes))
    before, after = norm_of_order(node.attributes.get_int("p", 2), dtype)

    def build(readers: list[Reader]) -> Reader:
        total = pooled(padded_input(readers[0], axes, tirx.const(0, dtype)), axes, sum_over, before)
        return stage(shape, lambda *indices: after(total(*indices)), channels_last=source.channels_last, name="norm")

    output = [(node.outputs[0], shape, dtype)]
    emit(lowering, node, Pattern.REDUCTION, [source], output, build, channels_last=source.channels_last)
