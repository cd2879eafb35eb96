"""Finds convolutions of two values with ±scale each, in QONNX's form or in that which remains once it is inlined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.passes.binary_layers import real_weights, signed_source
from edgec.passes.graph_edit import Names, constant, input_of, static_shape
from edgec.passes.node_writer import NodeWriter
from edgec.passes.remove_dead_code import remove_dead_code

BINARY_DOMAIN, BINARY_CONVOLUTION = "edgec.binary", "BinaryConv"
"""Sum of sign(x) times constant signs, int32; input, int8 weights of −1 and +1, and the attributes of Conv."""

_FEWEST_TERMS = 32
"""Fewer channels do not fill a word."""


def form_binary_nodes(model: ir.Model) -> ir.Model:
    """A copy of a model whose binary convolutions are nodes of their own; the model itself if there are none."""
    if not any(_parts(node) for node in model.graph):
        return model
    copy = model.clone()
    copy.opset_imports.setdefault(BINARY_DOMAIN, 1)
    names = Names(copy)
    for node in list(copy.graph):
        parts = _parts(node)
        if parts is not None:
            _replace(copy, names, node, *parts)
    remove_dead_code(copy)
    return copy


def _parts(node: ir.Node) -> tuple[ir.Value, np.float32, np.ndarray] | None:
    """What is signed, the scale of the signs, and the real weights, if a node is a binary convolution."""
    if node.domain != "" or node.op_type != "Conv" or (node.attributes.get_int("group", 1) or 1) != 1:
        return None
    weights, bias = real_weights(input_of(node, 1)), input_of(node, 2)
    if weights is None or weights.dtype != np.float32 or (bias is not None and constant(bias) is None):
        return None
    rows = np.abs(weights.reshape(len(weights), -1))
    if weights.shape[1] < _FEWEST_TERMS or not (rows[:, :1] > 0).all() or (rows != rows[:, :1]).any():
        return None
    signed = signed_source(input_of(node, 0))
    if signed is None or static_shape(signed[0]) is None or signed[0].dtype != ir.DataType.FLOAT:
        return None
    return *signed, weights


def _replace(
    model: ir.Model, names: Names, node: ir.Node, source: ir.Value, scale: np.float32, weights: np.ndarray
) -> None:
    """Sums, times the product of both scales, plus the bias."""
    writer = NodeWriter(model, names, str(node.name or node.outputs[0].name))
    signs = writer.constant("signs", np.where(weights < 0, -1, 1).astype(np.int8))
    attributes: Sequence[ir.Attr] = list(node.attributes.values())
    kept = [attribute for attribute in attributes if attribute.name != "group"]
    sums = ir.Node(BINARY_DOMAIN, BINARY_CONVOLUTION, [source, signs], kept, name=str(node.name))
    sums.outputs[0].name = names.fresh(f"{writer.prefix}.sums")
    sums.outputs[0].shape, sums.outputs[0].type = node.outputs[0].shape, ir.TensorType(ir.DataType.INT32)
    writer.nodes.append(sums)
    along = (-1, *(1,) * (weights.ndim - 2))
    factor = np.abs(weights.reshape(len(weights), -1)[:, 0]) * scale
    value = writer.one("Cast", sums.outputs[0], to=int(ir.DataType.FLOAT))
    value = writer.one("Mul", value, writer.constant("scale", factor.astype(np.float32).reshape(along)))
    bias = constant(input_of(node, 2))
    if bias is not None:
        value = writer.one("Add", value, writer.constant("bias", bias.reshape(along)))
    ir.convenience.replace_nodes_and_values(model.graph, node, [node], writer.nodes, [node.outputs[0]], [value])
