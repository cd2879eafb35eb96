"""Between real numbers and the integers that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering, element_type, lowers
from edgec.backends.tvm.operators.arithmetic import limits
from edgec.backends.tvm.operators.casting import supported_type
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    emit_operands,
    normalized_axis,
    optional_input,
    required_input,
    stage,
)
from edgec.backends.tvm.operators.reduction import largest_over, reduced, smallest_over


def saturated(rounded: Expression, dtype: str) -> Expression:
    """A rounded float as an integer, limited to the range of its type."""
    low, high = (tirx.const(float(limit), "float32") for limit in limits(dtype))
    inside = tirx.max(tirx.min(rounded, high), low)
    return tirx.Cast(dtype, tirx.Cast("int32", inside))


def quantized(x: Expression, scale: Expression, zero_point: Expression | None, dtype: str) -> Expression:
    """saturate(round(x / scale) + zero point), halves rounded to even."""
    steps = tirx.nearbyint(tirx.Cast("float32", x) / tirx.Cast("float32", scale))
    return saturated(steps if zero_point is None else steps + tirx.Cast("float32", zero_point), dtype)


def dequantized(x: Expression, scale: Expression, zero_point: Expression | None) -> Expression:
    """(x - zero point) · scale."""
    wide = tirx.Cast("int32", x)
    steps = wide if zero_point is None else wide - tirx.Cast("int32", zero_point)
    return tirx.Cast("float32", steps) * tirx.Cast("float32", scale)


def _parameter(node: ir.Node, lowering: Lowering, position: int, shape: tuple[int, ...]) -> Value | None:
    """A scale or zero point in a shape that broadcasts to the input: per tensor, per axis, or blocked."""
    given = optional_input(node, position)
    if given is None:
        return None
    value = lowering.value(given)
    if len(value.shape) == len(shape) and len(shape) > 1:
        return _unblocked(node, lowering, value, shape)
    if value.size_bytes == np.dtype(value.dtype).itemsize:
        return lowering.view(f"{value.name}.scalar", value, (f"{value.name}.scalar", (), value.dtype))
    axis = normalized_axis(node.attributes.get_int("axis", 1), len(shape))
    wide = tuple(extent if number == axis else 1 for number, extent in enumerate(shape))
    name = f"{value.name}.by_axis"
    return lowering.view(name, value, (name, wide, value.dtype))


def _unblocked(node: ir.Node, lowering: Lowering, value: Value, shape: tuple[int, ...]) -> Value:
    axis = normalized_axis(node.attributes.get_int("axis", 1), len(shape))
    if value.shape[axis] == shape[axis]:
        return value
    size = node.attributes.get_int("block_size", 0) or -(-shape[axis] // value.shape[axis])
    name = f"{value.name}.unblocked"
    if value.data is not None:
        repeated = np.repeat(value.data, size, axis)
        return lowering.literal(name, np.take(repeated, np.arange(shape[axis]), axis))

    def build(tensors: Sequence[Any]) -> Sequence[Any]:
        reader = Reader(tensors[0])
        return [
            stage(
                shape, lambda *i: reader(*i[:axis], tirx.indexdiv(i[axis], size), *i[axis + 1 :]), name="unblocked"
            ).tensor
        ]

    return lowering.emit(node, Pattern.INJECTIVE, [value], (name, shape, value.dtype), build)


@lowers("QuantizeLinear")
@lowers("QuantizeLinear", domain="com.microsoft")
def quantize(node: ir.Node, lowering: Lowering) -> None:
    """Real numbers to integers."""
    x, zero = required_input(node, 0), optional_input(node, 2)
    shape = lowering.shape(x)
    wanted = node.attributes.get_int("output_dtype", 0)
    if zero is not None:
        dtype = element_type(node.outputs[0]) or lowering.dtype(zero)
    else:
        dtype = supported_type(ir.DataType(wanted)) if wanted else "uint8"
    if element_type(node.outputs[0]) is None and node.outputs[0].dtype is not None:
        supported_type(node.outputs[0].dtype)
    parameters = [_parameter(node, lowering, position, shape) for position in (1, 2)]
    _emit_affine(node, lowering, parameters, dtype, lambda e, scale, point: quantized(e, scale, point, dtype))


@lowers("DequantizeLinear")
@lowers("DequantizeLinear", domain="com.microsoft")
def dequantize(node: ir.Node, lowering: Lowering) -> None:
    """Integers to real numbers, of the type of the scale."""
    x, scale = required_input(node, 0), required_input(node, 1)
    shape, dtype = lowering.shape(x), lowering.dtype(scale)
    parameters = [_parameter(node, lowering, position, shape) for position in (1, 2)]
    _emit_affine(
        node, lowering, parameters, dtype, lambda e, factor, point: tirx.Cast(dtype, dequantized(e, factor, point))
    )


def _emit_affine(
    node: ir.Node, lowering: Lowering, parameters: list[Value | None], dtype: str, element: Callable[..., Expression]
) -> None:
    scale, point = parameters
    if scale is None:
        raise UnsupportedNodeError("its scale is missing", "run the ONNX checker on the model")
    operands: list[ir.Value | Value] = [required_input(node, 0), scale]
    if point is not None:
        operands.append(point)

    def at(e: Expression, factor: Expression, *points: Expression) -> Expression:
        return element(e, factor, points[0] if points else None)

    emit_operands(lowering, node, operands, dtype, at)


@lowers("DynamicQuantizeLinear")
def quantize_dynamically(node: ir.Node, lowering: Lowering) -> None:
    """Real numbers to uint8 by their own range, with the scale and zero point as further outputs."""
    x = required_input(node, 0)
    source = Form(lowering.value(x), False)
    y, scale, zero = node.outputs

    def build(tensors: Sequence[Any]) -> Sequence[Any]:
        reader = Reader(tensors[0])
        axes = tuple(range(len(source.shape)))
        low, high = (
            reduced(reader, axes, over, name=name) for over, name in ((smallest_over, "low"), (largest_over, "high"))
        )
        origin = tuple(0 for _ in axes)
        nothing, steps = tirx.const(0, "float32"), tirx.const(255, "float32")
        least = stage((), lambda: tirx.min(low(*origin), nothing), name="least")
        span = stage((), lambda: tirx.max(high(*origin), nothing) - least(), name="span")
        one = tirx.const(1, "float32")
        factor = stage((), lambda: tirx.Select(span() > nothing, span() / steps, one), name="scale")
        point = stage((), lambda: saturated(tirx.nearbyint(-least() / factor()), "uint8"), name="zero_point")
        return [factor.tensor, point.tensor]

    described = [(str(scale.name), (), "float32"), (str(zero.name), (), "uint8")]
    factor, point = lowering.emit_several(node, Pattern.REDUCTION, [source.value], described, build)
    lowering.define(scale, factor)
    lowering.define(zero, point)
    emit_operands(lowering, node, [x, factor, point], "uint8", lambda e, s, z: quantized(e, s, z, "uint8"), output=y)
