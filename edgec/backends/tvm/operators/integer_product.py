"""Convolutions and matrix products of quantized tensors, summed exactly in int32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.contraction import Expression, Tensor
from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering, lowers
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


@dataclass(frozen=True)
class Requantization:
    """From int32 sums to a quantized output: multiplied, rounded to even, shifted, saturated.

    Attributes:
        factor: scale of the sums over the scale of the output; one element, or one for each element of the last axis.
        zero_point: what stands for zero in the output.
        dtype: of the output, `int8` or `uint8`.
    """

    factor: np.ndarray
    zero_point: int
    dtype: str

    def emit(self, lowering: Lowering, node: ir.Node, sums: Value, name: str) -> Value:
        """Append the operation."""
        limits = np.iinfo(self.dtype)
        factor = lowering.literal(f"{name}.factor", self.factor.astype(np.float32).reshape(-1))

        def element(tensors: Sequence[Tensor], *indices: Expression) -> Expression:
            scale = tensors[1](indices[-1] if factor.shape[0] > 1 else 0)
            rounded = tirx.nearbyint(tensors[0](*indices).astype("float32") * scale)
            shifted = rounded + tirx.const(float(self.zero_point), "float32")
            low, high = (tirx.const(float(limit), "float32") for limit in (limits.min, limits.max))
            return tirx.max(tirx.min(shifted, high), low).astype("int32").astype(self.dtype)

        def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
            return [te.compute(sums.shape, lambda *indices: element(tensors, *indices), name="requantized")]

        output = (name, sums.shape, self.dtype)
        return lowering.emit(node, Pattern.ELEMENTWISE, [sums, factor], output, compute)


def _requantization(node: ir.Node, lowering: Lowering, scales: tuple[int, int, int], zero_point: int) -> Requantization:
    """Of a QLinear node: places of the scales of both inputs and of the output, and of the output's zero point."""
    left, right, result = (
        lowering.required_constant(required_input(node, place), "scale").astype(np.float64) for place in scales
    )
    point = lowering.required_constant(required_input(node, zero_point), "zero point of the output")
    if left.size != 1 or result.size != 1 or point.size != 1:
        raise UnsupportedNodeError("it has a scale for each row", "quantize activations per tensor")
    factor = left.reshape(-1) * right.reshape(-1) / result.reshape(-1)
    return Requantization(factor, int(point.reshape(-1)[0]), str(point.dtype))


def _sums(
    node: ir.Node, lowering: Lowering, places: tuple[int, int, int | None, int | None], bias: Value | None, name: str
) -> Value:
    """The int32 convolution of a node: places of the input, the weights, and their zero points."""
    x_place, weights_place, x_zero, weights_zero = places
    weights = canonical_weights(lowering, required_input(node, weights_place))
    x = lowering.channels_last(required_input(node, x_place))
    groups = checked_groups(node, x, weights.shape[1], weights.shape[0])
    window = window_of(node, x.shape[1:-1], weights.shape[2:])
    x_point = None if x_zero is None else optional_input(node, x_zero)
    weights_point = None if weights_zero is None else optional_input(node, weights_zero)
    known = lowering.constant(x_point)
    zero_point = 0
    if known is not None and known.size == 1:
        zero_point = int(known.reshape(-1)[0])
    else:
        x = _without_zero_point(lowering, node, x, x_point)
    weights = _without_zero_point(lowering, node, weights, weights_point, axis=0)
    described = Convolution(
        x=x,
        weights=weights,
        bias=bias,
        window=window,
        groups=groups,
        spread=(1,) * (len(x.shape) - 2),
        zero_point=zero_point,
        dtype="int32",
    )
    return emit_convolution(lowering, node, described, name)


@lowers("ConvInteger")
def integer_convolution(node: ir.Node, lowering: Lowering) -> None:
    """Convolution of 8-bit integers to int32."""
    output = node.outputs[0]
    made = _sums(node, lowering, (0, 1, 2, 3), None, f"{output.name}.channels_last")
    lowering.define_channels_last(output, made)


@lowers("QLinearConv")
def quantized_convolution(node: ir.Node, lowering: Lowering) -> None:
    """Convolution of quantized tensors to a quantized tensor."""
    output = node.outputs[0]
    requantization = _requantization(node, lowering, (1, 4, 6), 7)
    bias = optional_input(node, 8)
    offset = None if bias is None else lowering.value(bias)
    sums = _sums(node, lowering, (0, 3, 2, 5), offset, f"{output.name}.sums")
    made = requantization.emit(lowering, node, sums, f"{output.name}.channels_last")
    lowering.define_channels_last(output, made)


def _integer_product(
    node: ir.Node, lowering: Lowering, zero_points: tuple[ir.Value | None, ir.Value | None], name: str
) -> Value:
    left, right = as_matrices(lowering, node)
    left_point, right_point = zero_points
    row_axis = len(left.shape) - 2
    left = _without_zero_point(lowering, node, left, left_point, axis=row_axis)
    right = _without_zero_point(lowering, node, right, right_point, axis=len(right.shape) - 1)
    return emit_product(lowering, node, Product(left, right, dtype="int32"), name)


@lowers("MatMulInteger")
def integer_matrix_product(node: ir.Node, lowering: Lowering) -> None:
    """Product of matrices of 8-bit integers to int32."""
    zero_points = (optional_input(node, 2), optional_input(node, 3))
    define_product(lowering, node, _integer_product(node, lowering, zero_points, str(node.outputs[0].name)))


@lowers("QLinearMatMul")
def quantized_matrix_product(node: ir.Node, lowering: Lowering) -> None:
    """Product of quantized matrices to a quantized matrix."""
    name = str(node.outputs[0].name)
    requantization = _requantization(node, lowering, (1, 4, 6), 7)
    sums = _integer_product(node, lowering, (optional_input(node, 2), optional_input(node, 5)), f"{name}.sums")
    define_product(lowering, node, requantization.emit(lowering, node, sums, name))
