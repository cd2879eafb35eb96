"""Convolutions and matrix products of quantized tensors, summed exactly in int32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from tvm import te

from edgec.backends.tvm.contraction import Expression, Tensor, Window
from edgec.backends.tvm.integer.convolution import IntegerConvolution, centred_weights, emit_integer_convolution
from edgec.backends.tvm.integer.requantization import Requantization
from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering, label, lowers
from edgec.backends.tvm.operators.convolution import (
    Convolution,
    canonical_weights,
    checked_groups,
    emit_convolution,
    window_of,
)
from edgec.backends.tvm.operators.emission import optional_input, required_input
from edgec.backends.tvm.operators.matrix_product import Product, as_matrices, define_product, emit_product


def _without_zero_point(
    lowering: Lowering, node: ir.Node, x: Value, zero_point: ir.Value | None, axis: int | None = None
) -> Value:
    """A quantized value as int32 (int16 if constant), zero at zero; unchanged if its zero point is 0.

    A zero point with several elements goes along `axis`.

    Raises:
        UnsupportedNodeError: the zero point has several elements, and `axis` is not given.
    """
    if zero_point is None:
        return x
    point = lowering.value(zero_point)
    if point.data is not None and not np.any(point.data):
        return x
    if point.size_bytes > np.dtype(point.dtype).itemsize and axis is None:
        raise UnsupportedNodeError("its input has a zero point for each row", "quantize activations per tensor")
    if x.data is not None and point.data is not None:
        shifted = x.data.astype(np.int16) - _along(point.data, axis, x.data.ndim).astype(np.int16)
        return lowering.literal(f"{x.name}.centred", shifted)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        def element(*indices: Expression) -> Expression:
            scalar = point.shape in ((), (1,)) or axis is None
            place = [0] * len(point.shape) if scalar else [indices[axis or 0]]
            return tensors[0](*indices).astype("int32") - tensors[1](*place).astype("int32")

        return [te.compute(x.shape, element, name="centred")]

    output = (f"{x.name}.centred", x.shape, "int32")
    return lowering.emit(node, Pattern.ELEMENTWISE, [x, point], output, compute)


def _along(contents: np.ndarray, axis: int | None, rank: int) -> np.ndarray:
    if contents.size == 1 or axis is None:
        return contents.reshape((1,) * rank)
    shape = [1] * rank
    shape[axis] = -1
    return contents.reshape(shape)


def _requantization(node: ir.Node, lowering: Lowering, scales: tuple[int, int, int], zero_point: int) -> Requantization:
    """Of a QLinear node: places of the scales of both inputs and of the output, and of the output's zero point."""
    left, right, result = (
        lowering.required_constant(required_input(node, place), "scale").astype(np.float32).reshape(-1)
        for place in scales
    )
    given = optional_input(node, zero_point)
    if given is None:
        raise UnsupportedNodeError("its output is not quantized", "quantize its output, or do not quantize its inputs")
    point = lowering.required_constant(given, "zero point of the output")
    if left.size != 1 or result.size != 1 or point.size != 1:
        raise UnsupportedNodeError("it has a scale for each row", "quantize activations per tensor")
    # In single precision and in this order, as ONNX Runtime computes it.
    factor, shift = left * right / result, int(point.reshape(-1)[0])
    return Requantization(factor, shift, str(point.dtype), converts_to_nearest=lowering.core.multiplies_pairs)


def _is_small(dtype: str) -> bool:
    return dtype in ("int8", "uint8")


def _known_zero_point(lowering: Lowering, zero_point: ir.Value | None) -> int | None:
    """The zero point of a whole tensor, 0 if it is left out; None if it is computed at run time or not one number."""
    if zero_point is None:
        return 0
    contents = lowering.constant(zero_point)
    return int(contents.reshape(-1)[0]) if contents is not None and contents.size == 1 else None


def _constant_weights(lowering: Lowering, weights: Value, zero_point: ir.Value | None, axis: int) -> np.ndarray | None:
    """Constant weights of eight bits without their zero point; None for others."""
    if weights.data is None or not _is_small(weights.dtype):
        return None
    if zero_point is None:
        return centred_weights(weights.data, None, axis)
    contents = lowering.constant(zero_point)
    return None if contents is None else centred_weights(weights.data, contents, axis)


@dataclass(frozen=True)
class _Result:
    """What becomes of the sums of a node: they get a bias and are requantized, or are the output, in int32."""

    name: str
    bias: Value | None = None
    requantization: Requantization | None = None

    def requantized(self, lowering: Lowering, node: ir.Node, sums: Value) -> Value:
        """The output from sums in memory."""
        if self.requantization is None:
            return sums
        return self.requantization.emit(lowering, node, sums, f"{self.name}.requantized")


def _convolved(
    node: ir.Node, lowering: Lowering, places: tuple[int, int, int | None, int | None], result: _Result
) -> Value:
    """The convolution of a node: places of the input, the weights, and their zero points."""
    x_place, weights_place, x_zero, weights_zero = places
    weights = canonical_weights(lowering, required_input(node, weights_place))
    x = lowering.channels_last(required_input(node, x_place))
    groups = checked_groups(node, x, weights.shape[1], weights.shape[0])
    window = window_of(node, x.shape[1:-1], weights.shape[2:])
    x_point = None if x_zero is None else optional_input(node, x_zero)
    weights_point = None if weights_zero is None else optional_input(node, weights_zero)
    zero_point = _known_zero_point(lowering, x_point)
    centred = _constant_weights(lowering, weights, weights_point, 0)
    bias = np.zeros(weights.shape[0], np.int32) if result.bias is None else result.bias.data
    if zero_point is not None and centred is not None and bias is not None and _is_small(x.dtype):
        constant = IntegerConvolution(x, centred, bias, window, groups, zero_point, result.requantization)
        return emit_integer_convolution(lowering, node, constant, result.name)
    if zero_point is None:
        x = _without_zero_point(lowering, node, x, x_point)
    weights = _without_zero_point(lowering, node, weights, weights_point, axis=0)
    described = Convolution(
        x=x,
        weights=weights,
        bias=result.bias,
        window=window,
        groups=groups,
        spread=(1,) * (len(x.shape) - 2),
        zero_point=zero_point or 0,
        dtype="int32",
    )
    return result.requantized(lowering, node, emit_convolution(lowering, node, described, f"{result.name}.sums"))


@lowers("ConvInteger")
def integer_convolution(node: ir.Node, lowering: Lowering) -> None:
    """Convolution of 8-bit integers to int32."""
    output = node.outputs[0]
    made = _convolved(node, lowering, (0, 1, 2, 3), _Result(f"{output.name}.channels_last"))
    lowering.define_channels_last(output, made)


@lowers("QLinearConv")
def quantized_convolution(node: ir.Node, lowering: Lowering) -> None:
    """Convolution of quantized tensors to a quantized tensor."""
    output = node.outputs[0]
    bias = optional_input(node, 8)
    result = _Result(
        f"{output.name}.channels_last",
        None if bias is None else lowering.value(bias),
        _requantization(node, lowering, (1, 4, 6), 7),
    )
    lowering.define_channels_last(output, _convolved(node, lowering, (0, 3, 2, 5), result))


def _multiplied(
    node: ir.Node, lowering: Lowering, zero_points: tuple[ir.Value | None, ir.Value | None], result: _Result
) -> Value:
    """The matrix product of a node."""
    left, right = as_matrices(lowering, node)
    left_point, right_point = zero_points
    known = _known_zero_point(lowering, left_point)
    columns = _constant_weights(lowering, right, right_point, len(right.shape) - 1)
    if known is not None and columns is not None and len(right.shape) == 2 and _is_small(left.dtype):
        return _product_with_constant(lowering, node, (left, known), columns, result)
    left = _without_zero_point(lowering, node, left, left_point, axis=len(left.shape) - 2)
    right = _without_zero_point(lowering, node, right, right_point, axis=len(right.shape) - 1)
    sums = emit_product(lowering, node, Product(left, right, dtype="int32"), f"{result.name}.sums")
    return result.requantized(lowering, node, sums)


def _product_with_constant(
    lowering: Lowering, node: ir.Node, left_and_zero_point: tuple[Value, int], columns: np.ndarray, result: _Result
) -> Value:
    """A matrix product of shape (…, rows, columns), computed as a convolution along the rows."""
    left, zero_point = left_and_zero_point
    *batch, rows, depth = left.shape
    x = _reshaped(lowering, node, left, (1, math.prod(batch) * rows, depth))
    bias = np.zeros(columns.shape[1], np.int32) if result.bias is None else result.bias.data
    if bias is None:
        raise UnsupportedNodeError("its bias is computed at run time", "add it after the product")
    described = IntegerConvolution(
        x=x,
        weights=np.ascontiguousarray(columns.T)[:, :, None],
        bias=np.broadcast_to(bias.reshape(-1), (columns.shape[1],)),
        window=Window((1,), (1,), (1,), (0,), (0,)),
        groups=1,
        zero_point=zero_point,
        requantization=result.requantization,
    )
    made = emit_integer_convolution(lowering, node, described, f"{result.name}.rows")
    return _reshaped(lowering, node, made, (*batch, rows, columns.shape[1]))


def _reshaped(lowering: Lowering, node: ir.Node, value: Value, shape: tuple[int, ...]) -> Value:
    if value.shape == shape:
        return value
    return lowering.view(label(node), value, (f"{value.name}.reshaped", shape, value.dtype))


@lowers("MatMulInteger")
def integer_matrix_product(node: ir.Node, lowering: Lowering) -> None:
    """Product of matrices of 8-bit integers to int32."""
    zero_points = (optional_input(node, 2), optional_input(node, 3))
    made = _multiplied(node, lowering, zero_points, _Result(str(node.outputs[0].name)))
    define_product(lowering, node, made)


@lowers("QLinearMatMul")
def quantized_matrix_product(node: ir.Node, lowering: Lowering) -> None:
    """Product of quantized matrices to a quantized matrix."""
    requantization = _requantization(node, lowering, (1, 4, 6), 7)
    zero_points = (optional_input(node, 2), optional_input(node, 5))
    made = _multiplied(node, lowering, zero_points, _Result(str(node.outputs[0].name), None, requantization))
    define_product(lowering, node, made)


@lowers("QGemm", domain="com.microsoft")
def quantized_general_product(node: ir.Node, lowering: Lowering) -> None:
    """A · B' + C of quantized matrices, to a quantized matrix.

    Raises:
        UnsupportedNodeError: A is transposed, alpha is not 1, the output is not quantized, or B or C is computed at run
            time.
    """
    attributes, output = node.attributes, node.outputs[0]
    if attributes.get_int("transA", 0) or attributes.get_float("alpha", 1.0) != 1.0:
        raise UnsupportedNodeError("its left side is transposed or scaled", "transpose and scale before the product")
    zero_point = _known_zero_point(lowering, optional_input(node, 2))
    right = lowering.value(required_input(node, 3))
    transposed = bool(attributes.get_int("transB", 0))
    weights = _constant_weights(lowering, right, optional_input(node, 5), 0 if transposed else 1)
    if zero_point is None or weights is None:
        raise UnsupportedNodeError("its right side is computed at run time", "use QLinearMatMul instead")
    bias = optional_input(node, 6)
    result = _Result(
        str(output.name),
        None if bias is None else lowering.value(bias),
        _requantization(node, lowering, (1, 4, 7), 8),
    )
    left = lowering.value(required_input(node, 0))
    columns = weights.T if transposed else weights
    lowering.define(output, _product_with_constant(lowering, node, (left, zero_point), columns, result))
