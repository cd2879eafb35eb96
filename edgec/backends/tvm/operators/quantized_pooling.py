"""Average pooling of quantized tensors, summed in integers.

Source: the contrib operator QLinearAveragePool of ONNX Runtime.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import Expression, Form, Reader, emit, optional_input, required_input, stage
from edgec.backends.tvm.operators.pooling import padded_input, pooled, pooled_input, shares_of_windows
from edgec.backends.tvm.operators.quantization import quantized
from edgec.backends.tvm.operators.reduction import sum_over
from edgec.backends.tvm.operators.window_geometry import window_axes


def _number(lowering: Lowering, given: ir.Value | None, role: str) -> float:
    """The contents of a scale or zero point of a whole tensor; 0 for one that is left out."""
    if given is None:
        return 0.0
    contents = lowering.required_constant(given, role)
    if contents.size != 1:
        raise UnsupportedNodeError(f"its {role} has several elements", "quantize activations per tensor")
    return float(contents.reshape(-1)[0])


@lowers("QLinearAveragePool", domain="com.microsoft")
def quantized_average_pool(node: ir.Node, lowering: Lowering) -> None:
    """The mean of each window."""
    if node.attributes.get_int("channels_last", 0):
        raise UnsupportedNodeError(
            "it is channels-last (channels_last is 1)", "quantize the model before optimizing it"
        )
    source = pooled_input(node, lowering)
    dtype = source.value.dtype
    axes = window_axes(node, source.shape[2:], node.attributes.get_ints("kernel_shape", ()))
    shape = (*source.shape[:2], *(axis.output for axis in axes))
    zero_point = int(_number(lowering, optional_input(node, 2), "zero point"))
    scale = np.float32(_number(lowering, required_input(node, 1), "scale"))
    out_scale = tirx.const(_number(lowering, required_input(node, 3), "scale of the output"), "float32")
    out_zero = tirx.const(int(_number(lowering, optional_input(node, 4), "zero point of the output")), "int32")
    shares = shares_of_windows(axes, "float32", count_padding=bool(node.attributes.get_int("count_include_pad", 0)))
    factors = lowering.literal(f"{node.outputs[0].name}.factors", (shares * scale).astype(np.float32))

    def build(readers: list[Reader]) -> Reader:
        padded = padded_input(readers[0], axes, tirx.const(zero_point, dtype))
        zero = tirx.const(zero_point, "int32")
        total = pooled(padded, axes, sum_over, lambda x: tirx.Cast("int32", x) - zero)

        def at(n: Expression, c: Expression, *windows: Expression) -> Expression:
            mean = tirx.Cast("float32", total(n, c, *windows)) * readers[1](*windows)
            return quantized(mean, out_scale, out_zero, dtype)

        return stage(shape, at, channels_last=source.channels_last, name="mean")

    output = [(node.outputs[0], shape, dtype)]
    operands = [source, Form(factors, False)]
    emit(lowering, node, Pattern.REDUCTION, operands, output, build, channels_last=source.channels_last)
