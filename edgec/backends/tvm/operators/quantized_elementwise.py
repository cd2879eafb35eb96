"""ONNX Runtime's operators on quantized tensors that act element by element, and its global mean.

Each input comes with its scale and zero point, and so does the output. Source: the contrib operators of ONNX Runtime.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    emit,
    emit_operands,
    existing_form,
    optional_input,
    required_input,
    stage,
)
from edgec.backends.tvm.operators.quantization import dequantized, quantized
from edgec.backends.tvm.operators.reduction import reduced, sum_over
from edgec.backends.tvm.operators.transcendental import sigmoid

_DOMAIN = "com.microsoft"


def _scalar(lowering: Lowering, given: ir.Value) -> Value:
    """A scale or zero point for a whole tensor; only such are allowed here."""
    value = lowering.value(given)
    return lowering.view(value.name, value, (f"{value.name}.scalar", (), value.dtype)) if value.shape else value


def _emit_quantized(node: ir.Node, lowering: Lowering, count: int, function: Callable[..., Expression]) -> None:
    """Append a function of `count` quantized tensors, computed on real numbers."""
    dtype = lowering.dtype(required_input(node, 0))
    operands: list[ir.Value | Value] = []
    for number in range(count):
        operands.append(required_input(node, 3 * number))
        operands += _parameters(node, lowering, 3 * number + 1, dtype)
    operands += _parameters(node, lowering, 3 * count, dtype)

    def element(*read: Expression) -> Expression:
        numbers = [dequantized(*read[3 * number : 3 * number + 3]) for number in range(count)]
        return quantized(function(*numbers), read[-2], read[-1], dtype)

    emit_operands(lowering, node, operands, dtype, element)


def _parameters(node: ir.Node, lowering: Lowering, position: int, dtype: str) -> list[Value]:
    """A scale and its zero point, which is 0 if it is left out."""
    zero = optional_input(node, position + 1)
    point = lowering.literal("zero_point", np.zeros((), dtype)) if zero is None else _scalar(lowering, zero)
    return [_scalar(lowering, required_input(node, position)), point]


@lowers("QLinearAdd", "QLinearMul", domain=_DOMAIN)
def quantized_binary(node: ir.Node, lowering: Lowering) -> None:
    """The sum or product of two quantized tensors."""
    adds = node.op_type == "QLinearAdd"
    _emit_quantized(node, lowering, 2, lambda x, y: x + y if adds else x * y)


@lowers("QLinearSigmoid", "QLinearLeakyRelu", domain=_DOMAIN)
def quantized_activation(node: ir.Node, lowering: Lowering) -> None:
    """An activation of a quantized tensor."""
    slope, zero = tirx.const(node.attributes.get_float("alpha", 0.01), "float32"), tirx.const(0, "float32")

    def leaky(x: Expression) -> Expression:
        return tirx.Select(x < zero, x * slope, x)

    _emit_quantized(node, lowering, 1, sigmoid if node.op_type == "QLinearSigmoid" else leaky)


@lowers("QLinearGlobalAveragePool", domain=_DOMAIN)
def quantized_global_mean(node: ir.Node, lowering: Lowering) -> None:
    """The mean of each channel, summed in integers."""
    if node.attributes.get_int("channels_last", 0):
        raise UnsupportedNodeError(
            "it is channels-last (channels_last is 1)", "quantize the model before optimizing it"
        )
    source = existing_form(lowering, required_input(node, 0))
    dtype, axes = source.value.dtype, range(2, len(source.shape))
    parameters = _parameters(node, lowering, 1, dtype) + _parameters(node, lowering, 3, dtype)
    share = tirx.const(1.0 / math.prod(source.shape[2:]), "float32")
    shape = (*source.shape[:2], *(1 for _ in axes))

    def build(readers: list[Reader]) -> Reader:
        scale, zero, out_scale, out_zero = (reader() for reader in readers[1:])
        total = reduced(
            readers[0],
            axes,
            sum_over,
            lambda x: tirx.Cast("int32", x) - tirx.Cast("int32", zero),
            channels_last=source.channels_last,
            name="total",
        )

        def at(*i: Expression) -> Expression:
            mean = tirx.Cast("float32", total(*i)) * share * scale
            return quantized(mean, out_scale, out_zero, dtype)

        return stage(shape, at, channels_last=source.channels_last, name="mean")

    operands = [source, *(Form(parameter, False) for parameter in parameters)]
    output = [(node.outputs[0], shape, dtype)]
    emit(lowering, node, Pattern.REDUCTION, operands, output, build, channels_last=source.channels_last)
