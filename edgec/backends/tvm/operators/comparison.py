"""Elementwise comparison, logic, bits, selection and clipping."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.arithmetic import different, maximum, minimum
from edgec.backends.tvm.operators.emission import (
    Expression,
    emit_elementwise,
    optional_input,
    required_input,
)


@lowers("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def compare(node: ir.Node, lowering: Lowering) -> None:
    """A comparison of two operands."""
    a, b = required_input(node, 0), required_input(node, 1)
    function = {
        "Equal": (lambda x, y: tirx.Not(different(x, y)))
        if lowering.dtype(a) == "bool"
        else (lambda x, y: tirx.EQ(x, y)),
        "Greater": lambda x, y: x > y,
        "GreaterOrEqual": lambda x, y: x >= y,
        "Less": lambda x, y: x < y,
        "LessOrEqual": lambda x, y: x <= y,
    }[node.op_type]
    emit_elementwise(lowering, node, [a, b], "bool", function)


@lowers("And", "Or", "Xor")
def logic(node: ir.Node, lowering: Lowering) -> None:
    """A logical function of two operands."""
    a, b = required_input(node, 0), required_input(node, 1)
    function = {
        "And": lambda x, y: tirx.And(x, y),
        "Or": lambda x, y: tirx.Or(x, y),
        "Xor": different,
    }[node.op_type]
    emit_elementwise(lowering, node, [a, b], "bool", function)


@lowers("Not")
def negation(node: ir.Node, lowering: Lowering) -> None:
    """Logical not."""
    emit_elementwise(lowering, node, [required_input(node, 0)], "bool", lambda x: tirx.Not(x))


@lowers("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift")
def bitwise(node: ir.Node, lowering: Lowering) -> None:
    """A bitwise function of two operands. Shifts by less than zero, the width of the type or more empty it."""
    a, b = required_input(node, 0), required_input(node, 1)
    dtype = lowering.dtype(a)
    left = node.attributes.get_string("direction", "LEFT") == "LEFT"

    def shift(x: Expression, y: Expression) -> Expression:
        width, zero = tirx.const(np.dtype(dtype).itemsize * 8, dtype), tirx.const(0, dtype)
        moved = tirx.shift_left(x, y) if left else tirx.shift_right(x, y)
        if dtype.startswith("uint"):
            return tirx.Select(y < width, moved, zero)
        emptied = zero if left else tirx.Select(x < zero, tirx.const(-1, dtype), zero)
        return tirx.Select(tirx.all(y >= zero, y < width), moved, emptied)

    function = {
        "BitwiseAnd": tirx.bitwise_and,
        "BitwiseOr": tirx.bitwise_or,
        "BitwiseXor": tirx.bitwise_xor,
        "BitShift": shift,
    }[node.op_type]
    emit_elementwise(lowering, node, [a, b], dtype, function)


@lowers("BitwiseNot")
def bitwise_not(node: ir.Node, lowering: Lowering) -> None:
    """Every bit turned over."""
    x = required_input(node, 0)
    emit_elementwise(lowering, node, [x], lowering.dtype(x), lambda element: tirx.bitwise_not(element))


@lowers("Where")
def where(node: ir.Node, lowering: Lowering) -> None:
    """Elements of the second or the third operand, as the first says."""
    condition, chosen, otherwise = (required_input(node, position) for position in range(3))
    emit_elementwise(
        lowering,
        node,
        [condition, chosen, otherwise],
        lowering.dtype(chosen),
        lambda test, x, y: tirx.Select(test, x, y),
    )


@lowers("IsNaN")
def is_nan(node: ir.Node, lowering: Lowering) -> None:
    """Whether an element is not a number."""
    emit_elementwise(lowering, node, [required_input(node, 0)], "bool", lambda x: tirx.isnan(x))


@lowers("IsInf")
def is_infinite(node: ir.Node, lowering: Lowering) -> None:
    """Whether an element is infinite, of either sign or of one."""
    x = required_input(node, 0)
    dtype = lowering.dtype(x)
    signs = []
    if node.attributes.get_int("detect_positive", 1):
        signs.append(np.inf)
    if node.attributes.get_int("detect_negative", 1):
        signs.append(-np.inf)

    def element(read: Expression) -> Expression:
        found = tirx.const(False, "bool")
        for infinity in signs:
            found = tirx.Or(found, tirx.EQ(read, tirx.const(infinity, dtype)))
        return found

    emit_elementwise(lowering, node, [x], "bool", element)


@lowers("Clip")
def clip(node: ir.Node, lowering: Lowering) -> None:
    """Elements limited from below and above; bounds are attributes before opset 11 and optional inputs since."""
    x = required_input(node, 0)
    dtype = lowering.dtype(x)
    bounds = [optional_input(node, position) for position in (1, 2)]
    fixed = [node.attributes.get_float(name) for name in ("min", "max")]
    given = [bound for bound in bounds if bound is not None]

    def element(read: Expression, *limits: Expression) -> Expression:
        remaining = list(limits)
        for bound, attribute, limit in zip(bounds, fixed, (maximum, minimum), strict=True):
            if bound is not None:
                read = limit(read, remaining.pop(0))
            elif attribute is not None:
                read = limit(read, tirx.const(attribute, dtype))
        return read

    emit_elementwise(lowering, node, [x, *given], dtype, element)
