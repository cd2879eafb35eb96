"""Operators whose output follows from shapes and attributes alone, and OneHot."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.casting import convert, supported_type
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    emit_elements,
    normalized_axis,
    optional_input,
    required_input,
)


def _define_literal(node: ir.Node, lowering: Lowering, contents: np.ndarray) -> None:
    lowering.define(node.outputs[0], lowering.literal(str(node.outputs[0].name), contents))


@lowers("Constant")
def constant(node: ir.Node, lowering: Lowering) -> None:
    """A tensor in an attribute.

    Raises:
        UnsupportedNodeError: it is sparse, or holds strings.
    """
    if "value" in node.attributes:
        output = node.outputs[0]
        if output.const_value is None:
            output.const_value = node.attributes["value"].as_tensor()
        contents = lowering.required_constant(output, "value")
    elif "value_float" in node.attributes:
        contents = np.asarray(node.attributes["value_float"].as_float(), np.float32)
    elif "value_floats" in node.attributes:
        contents = np.asarray(node.attributes["value_floats"].as_floats(), np.float32)
    elif "value_int" in node.attributes:
        contents = np.asarray(node.attributes["value_int"].as_int(), np.int64)
    elif "value_ints" in node.attributes:
        contents = np.asarray(node.attributes["value_ints"].as_ints(), np.int64)
    else:
        raise UnsupportedNodeError("its value is sparse or holds strings", "use a dense tensor of numbers")
    _define_literal(node, lowering, contents)


@lowers("Shape")
def shape_operator(node: ir.Node, lowering: Lowering) -> None:
    """The extents of a tensor, or a range of them."""
    extents = list(lowering.shape(required_input(node, 0)))
    picked = extents[node.attributes.get_int("start", 0) : node.attributes.get_int("end", len(extents))]
    _define_literal(node, lowering, np.asarray(picked, np.int64))


@lowers("Size")
def size_operator(node: ir.Node, lowering: Lowering) -> None:
    """The number of elements of a tensor."""
    extents = lowering.shape(required_input(node, 0))
    _define_literal(node, lowering, np.asarray(np.prod(extents, dtype=np.int64), np.int64))


@lowers("ConstantOfShape")
def constant_of_shape(node: ir.Node, lowering: Lowering) -> None:
    """A tensor of equal elements."""
    extents = lowering.required_constant(required_input(node, 0), "shape").reshape(-1).tolist()
    value = node.attributes.get_tensor("value")
    filling = np.zeros(1, np.float32) if value is None else value.numpy()
    supported_type(ir.DataType.FLOAT if value is None else ir.DataType(value.dtype))
    _define_literal(node, lowering, np.full(extents, filling.reshape(-1)[0], filling.dtype))


@lowers("Range")
def range_operator(node: ir.Node, lowering: Lowering) -> None:
    """Numbers from a start to a limit."""
    start, limit, delta = (
        lowering.required_constant(required_input(node, position), role)
        for position, role in enumerate(("start", "limit", "step"))
    )
    first, last, step = start.reshape(-1)[0], limit.reshape(-1)[0], delta.reshape(-1)[0]
    count = max(0, int(np.ceil((float(last) - float(first)) / float(step))))
    _define_literal(node, lowering, (first + np.arange(count) * step).astype(start.dtype))


@lowers("EyeLike")
def eye_like(node: ir.Node, lowering: Lowering) -> None:
    """Ones on a diagonal."""
    x = required_input(node, 0)
    rows, columns = lowering.shape(x)
    wanted = node.attributes.get_int("dtype")
    dtype = lowering.dtype(x) if wanted is None else supported_type(ir.DataType(wanted))
    _define_literal(node, lowering, np.eye(rows, columns, node.attributes.get_int("k", 0), dtype))


@lowers("HannWindow", "HammingWindow", "BlackmanWindow")
def window(node: ir.Node, lowering: Lowering) -> None:
    """A window function of a known size."""
    size = int(lowering.required_constant(required_input(node, 0), "size").reshape(-1)[0])
    dtype = supported_type(ir.DataType(node.attributes.get_int("output_datatype", int(ir.DataType.FLOAT))))
    span = size if node.attributes.get_int("periodic", 1) else size - 1
    angle = 2 * np.pi * np.arange(size) / max(span, 1)
    weights = {
        "HannWindow": (0.5, 0.5, 0.0),
        "HammingWindow": (25 / 46, 21 / 46, 0.0),
        "BlackmanWindow": (0.42, 0.5, 0.08),
    }[node.op_type]
    contents = weights[0] - weights[1] * np.cos(angle) + weights[2] * np.cos(2 * angle)
    _define_literal(node, lowering, contents.astype(dtype))


@lowers("OneHot")
def one_hot(node: ir.Node, lowering: Lowering) -> None:
    """A new axis with the on-value where its index is the element, the off-value elsewhere."""
    x, values = required_input(node, 0), required_input(node, 2)
    depth = int(lowering.required_constant(required_input(node, 1), "depth").reshape(-1)[0])
    source = lowering.value(x)
    axis = normalized_axis(node.attributes.get_int("axis", -1), len(source.shape) + 1)
    shape = (*source.shape[:axis], depth, *source.shape[axis:])

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        found = convert(readers[0](*indices[:axis], *indices[axis + 1 :]), "int64")
        wanted = tirx.Cast("int64", indices[axis])
        hit = tirx.Or(tirx.EQ(found, wanted), tirx.EQ(found + tirx.const(depth, "int64"), wanted))
        return tirx.Select(hit, readers[1](1), readers[1](0))

    operands = [Form(source, False), Form(lowering.value(values), False)]
    emit_elements(lowering, node, operands, (shape, lowering.dtype(values)), element)


@lowers("RandomUniform", "RandomNormal", "RandomUniformLike", "RandomNormalLike", "Bernoulli", "Multinomial")
def random_numbers(node: ir.Node, lowering: Lowering) -> None:
    """Refused: an artefact gives the same outputs for the same inputs."""
    given = optional_input(node, 0)
    raise UnsupportedNodeError(
        "it draws random numbers",
        f"feed them as an input of the model in place of {given.name if given else node.outputs[0].name}",
    )
