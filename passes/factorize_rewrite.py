"""Writing two smaller layers in place of one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.passes.factorize_candidates import DenseLayer, Factors, Order, folded
from edgec.passes.graph_edit import Names, constant, input_of, insert_before, replace_value, static_shape
from edgec.passes.node_writer import NodeWriter

_KERNEL_ATTRIBUTES = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")


def replace_by_factors(model: ir.Model, layer: DenseLayer, factors: Factors, names: Names) -> None:
    """Replace a layer, in place, by the best two layers of the given rank.

    Singular vectors, weighted by the square root of their singular values on both sides, so that both layers have
    weights of the same size.
    """
    node = layer.node
    writer = NodeWriter(model, names, str(node.name))
    first, second = _factor_weights(layer, factors)
    if node.op_type == "Conv":
        output = _two_convolutions(writer, node, factors, first, second)
    else:
        output = _two_products(writer, node, first[:, :, 0], second[:, :, 0])
    old = node.outputs[0]
    output.type, output.shape = old.type, old.shape
    insert_before(node, writer.nodes)
    weights = node.inputs[1]
    replace_value(old, output, names)
    graph = node.graph
    if graph is not None:
        graph.remove(node, safe=True)
    if weights is not None and not weights.uses() and weights.is_initializer() and weights.graph is not None:
        weights.graph.initializers.pop(str(weights.name))


def _factor_weights(layer: DenseLayer, factors: Factors) -> tuple[np.ndarray, np.ndarray]:
    """Weights of both layers, (outputs, inputs of a group, kernel elements)."""
    outputs, inputs, kernel = layer.weights.shape
    left, right = [], []
    for matrix in folded(layer, factors.order, factors.groups):
        u, s, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
        root = np.sqrt(s[: factors.rank])
        left.append(u[:, : factors.rank] * root)
        right.append(root[:, None] * v[: factors.rank])
    dtype = layer.weights.dtype
    if factors.order is Order.KERNEL_FIRST:
        first = np.concatenate(right).reshape(factors.between, inputs // factors.groups, kernel)
        second = np.concatenate(left, axis=1)[:, :, None]
    else:
        first = right[0][:, :, None]
        second = np.moveaxis(left[0].reshape(outputs, kernel, factors.rank), 1, 2)
    return np.ascontiguousarray(first, dtype), np.ascontiguousarray(second, dtype)


def _two_convolutions(
    writer: NodeWriter, node: ir.Node, factors: Factors, first: np.ndarray, second: np.ndarray
) -> ir.Value:
    given = constant(input_of(node, 1))
    extents = () if given is None else given.shape[2:]
    ones = (1,) * len(extents)
    kernel_first = factors.order is Order.KERNEL_FIRST
    shapes = (extents, ones) if kernel_first else (ones, extents)
    bias = [] if (own := input_of(node, 2)) is None else [own]
    values: list[ir.Value | None] = [input_of(node, 0)]
    for number, weights in enumerate((first, second)):
        group = factors.groups if number == 0 else 1
        shaped = writer.constant("factor", weights.reshape(*weights.shape[:2], *shapes[number]))
        made = writer.one("Conv", values[-1], shaped, *(bias if number else []), group=group)
        if (number == 0) is kernel_first:
            writer.nodes[-1].attributes.update(
                {name: node.attributes[name] for name in _KERNEL_ATTRIBUTES if name in node.attributes}
            )
        values.append(made)
    between = values[1]
    outer = static_shape(node.outputs[0] if kernel_first else input_of(node, 0))
    if between is not None and outer is not None:
        between.type, between.shape = node.outputs[0].type, ir.Shape([outer[0], factors.between, *outer[2:]])
    return _made(values[2])


def _two_products(writer: NodeWriter, node: ir.Node, first: np.ndarray, second: np.ndarray) -> ir.Value:
    source = input_of(node, 0)
    if node.op_type == "MatMul":
        between = writer.one("MatMul", source, writer.constant("factor", np.ascontiguousarray(first.T)))
        output = writer.one("MatMul", between, writer.constant("factor", np.ascontiguousarray(second.T)))
    else:
        between = writer.one("Gemm", source, writer.constant("factor", first), transB=1)
        bias = [] if (own := input_of(node, 2)) is None else [own]
        output = writer.one("Gemm", between, writer.constant("factor", second), *bias, transB=1)
        for name in ("alpha", "beta"):
            if name in node.attributes:
                writer.nodes[-1].attributes[name] = node.attributes[name]
    outer = static_shape(node.outputs[0])
    if outer is not None:
        between.type, between.shape = node.outputs[0].type, ir.Shape([*outer[:-1], len(first)])
    return output


def _made(value: ir.Value | None) -> ir.Value:
    if value is None:
        raise ValueError("no convolution was written")
    return value
