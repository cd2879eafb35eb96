"""Products of quantized tensors whose result is read as real numbers: summed in int32, then scaled once.

Activations, residual sums and whatever else computes in float can follow in the same kernel, without a rounding to
eight bits in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.backends.tvm.integer.quantization import Quantized, Weights, contents_of
from edgec.passes.node_writer import NodeWriter


def real_convolution(
    writer: NodeWriter, node: ir.Node, x: Quantized, weights: Weights, bias: np.ndarray | None
) -> ir.Value:
    """The output of a Conv as ConvInteger, its bias in int32, and a multiplication by the scales."""
    rank = contents_of(weights.integers).ndim
    operands = [x.integers, weights.integers, x.zero_point, *_zero_points(weights)]
    sums = ir.Node("", "ConvInteger", operands, list(node.attributes.values()), name=str(node.name))
    return _scaled(writer, sums, x.step * weights.steps, bias, (-1, *(1,) * (rank - 2)))


def real_product_with_weights(
    writer: NodeWriter, node: ir.Node, x: Quantized, weights: Weights, bias: np.ndarray | None
) -> ir.Value:
    """The output of a Gemm or MatMul with constant weights, with their output channels along `weights.axis`."""
    right, points = weights.integers, _zero_points(weights)
    if weights.axis == 0:
        right = writer.constant("weights", np.ascontiguousarray(contents_of(right).T))
    sums = ir.Node("", "MatMulInteger", [x.integers, right, x.zero_point, *points], name=str(node.name))
    return _scaled(writer, sums, x.step * weights.steps, bias, (-1,))


def real_product(writer: NodeWriter, node: ir.Node, left: Quantized, right: Quantized) -> ir.Value:
    """The output of a MatMul of two computed tensors."""
    operands = [left.integers, right.integers, left.zero_point, right.zero_point]
    sums = ir.Node("", "MatMulInteger", operands, name=str(node.name))
    return _scaled(writer, sums, np.asarray(left.step * right.step), None, ())


def _scaled(
    writer: NodeWriter, sums: ir.Node, factor: np.ndarray, bias: np.ndarray | None, shape: Sequence[int]
) -> ir.Value:
    """Real numbers from sums; factors and biases of several channels take the given shape."""
    sums.outputs[0].name = writer.names.fresh(f"{sums.name}.sums")
    writer.nodes.append(sums)
    value = sums.outputs[0]
    if bias is not None and np.any(bias):
        value = writer.one("Add", value, writer.constant("bias", bias.astype(np.int32).reshape(shape)))
    value = writer.one("Cast", value, to=int(ir.DataType.FLOAT))
    scale = factor.astype(np.float32)
    return writer.one(
        "Mul", value, writer.constant("scale", scale.reshape(shape) if scale.size > 1 else scale.reshape(()))
    )


def _zero_points(weights: Weights) -> list[ir.Value]:
    return [] if weights.zero_point is None else [weights.zero_point]
