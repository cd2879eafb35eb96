"""Convolutions of signs, which `edgec.backends.tvm.binary.recognition` writes."""

from __future__ import annotations

import onnx_ir as ir

from edgec.backends.tvm.binary.convolution import BinaryConvolution, emit_binary_convolution
from edgec.backends.tvm.binary.recognition import BINARY_CONVOLUTION, BINARY_DOMAIN
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.convolution import window_of
from edgec.backends.tvm.operators.emission import required_input


@lowers(BINARY_CONVOLUTION, domain=BINARY_DOMAIN)
def binary_convolution(node: ir.Node, lowering: Lowering) -> None:
    """Signs of real numbers with constant signs, to int32."""
    output = node.outputs[0]
    signs = lowering.required_constant(required_input(node, 1), "weights")
    x = lowering.channels_last(required_input(node, 0))
    window = window_of(node, x.shape[1:-1], signs.shape[2:])
    made = emit_binary_convolution(lowering, node, BinaryConvolution(x, signs, window), f"{output.name}.channels_last")
    lowering.define_channels_last(output, made)
