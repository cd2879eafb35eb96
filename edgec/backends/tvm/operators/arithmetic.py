"""Elementwise arithmetic: one, two or any number of operands, with numpy broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators import transcendental
from edgec.backends.tvm.operators.emission import Expression, emit_elementwise, required_input, type_of

Function = Callable[[Expression], Expression]


def is_float(dtype: str) -> bool:
    """Whether an element type is a floating point type."""
    return dtype.startswith("float")


def through_float32(function: Function) -> Function:
    """Compute a function of the math library, which has no half precision, in single precision."""

    def computed(x: Expression) -> Expression:
        if type_of(x) != "float16":
            return function(x)
        return tirx.Cast("float16", function(tirx.Cast("float32", x)))

    return computed


def _reciprocal(x: Expression) -> Expression:
    return tirx.const(1, type_of(x)) / x


def _negative(x: Expression) -> Expression:
    return tirx.const(0, type_of(x)) - x if not is_float(type_of(x)) else x * tirx.const(-1, type_of(x))


def _absolute(x: Expression) -> Expression:
    return x if type_of(x).startswith("uint") else tirx.abs(x)


def sign(x: Expression) -> Expression:
    """-1, 0 or 1; NaN stays NaN."""
    zero, one = tirx.const(0, type_of(x)), tirx.const(1, type_of(x))
    if type_of(x).startswith("uint"):
        return tirx.Select(x > zero, one, zero)
    return tirx.Select(
        x > zero, one, tirx.Select(x < zero, tirx.const(-1, type_of(x)), x if is_float(type_of(x)) else zero)
    )


def _rounding(function: Function) -> Function:
    return lambda x: function(x) if is_float(type_of(x)) else x


def _hyperbolic_sine(x: Expression) -> Expression:
    return (tirx.exp(x) - tirx.exp(-x)) * tirx.const(0.5, type_of(x))


def _hyperbolic_cosine(x: Expression) -> Expression:
    return (tirx.exp(x) + tirx.exp(-x)) * tirx.const(0.5, type_of(x))


_UNARY: dict[str, Function] = {
    "Abs": _absolute,
    "Neg": _negative,
    "Reciprocal": _reciprocal,
    "Sqrt": tirx.sqrt,
    "Exp": transcendental.exponential,
    "Log": transcendental.logarithm,
    "Sin": through_float32(tirx.sin),
    "Cos": through_float32(tirx.cos),
    "Tan": through_float32(tirx.tan),
    "Asin": through_float32(tirx.asin),
    "Acos": through_float32(tirx.acos),
    "Atan": through_float32(tirx.atan),
    "Sinh": through_float32(_hyperbolic_sine),
    "Cosh": through_float32(_hyperbolic_cosine),
    "Asinh": through_float32(tirx.asinh),
    "Acosh": through_float32(tirx.acosh),
    "Atanh": through_float32(tirx.atanh),
    "Ceil": _rounding(tirx.ceil),
    "Floor": _rounding(tirx.floor),
    "Round": _rounding(tirx.nearbyint),
    "Sign": sign,
    "Erf": transcendental.error_function,
}


@lowers(*_UNARY)
def unary(node: ir.Node, lowering: Lowering) -> None:
    """A function of one operand. Round takes halves to the even neighbour."""
    x = required_input(node, 0)
    emit_elementwise(lowering, node, [x], lowering.dtype(x), _UNARY[node.op_type])


def divide(a: Expression, b: Expression) -> Expression:
    """Division; integers truncate towards zero."""
    if is_float(type_of(a)):
        return a / b
    return tirx.truncdiv(a, b)


def different(x: Expression, y: Expression) -> Expression:
    """Exclusive or; LLVM compares no booleans."""
    return tirx.Or(tirx.And(x, tirx.Not(y)), tirx.And(tirx.Not(x), y))


def _remainder(x: Expression, y: Expression) -> Expression:
    """What is left of x after whole multiples of y, with the sign of x."""
    dtype = type_of(x)
    if not is_float(dtype):
        return tirx.truncmod(x, y)
    wide = "float64" if dtype == "float64" else "float32"
    function = "fmod" if wide == "float64" else "fmodf"
    return tirx.Cast(dtype, tirx.call_pure_extern(wide, function, tirx.Cast(wide, x), tirx.Cast(wide, y)))


def _modulo(x: Expression, y: Expression) -> Expression:
    """What is left of x after whole multiples of y, with the sign of y."""
    rest, zero = _remainder(x, y), tirx.const(0, type_of(x))
    return tirx.Select(tirx.And(tirx.NE(rest, zero), different(rest < zero, y < zero)), rest + y, rest)


@lowers("Add", "Sub", "Mul", "Div", "Mod")
def binary(node: ir.Node, lowering: Lowering) -> None:
    """Sum, difference, product, quotient and rest, which has the sign of the divisor or, with `fmod`, the dividend."""
    a, b = required_input(node, 0), required_input(node, 1)
    dtype = lowering.dtype(a)
    function = {
        "Add": lambda x, y: x + y,
        "Sub": lambda x, y: x - y,
        "Mul": lambda x, y: x * y,
        "Div": divide,
        "Mod": _remainder if node.attributes.get_int("fmod", 0) or dtype.startswith("uint") else _modulo,
    }[node.op_type]
    emit_elementwise(lowering, node, [a, b], dtype, function)


_SMALL_POWERS: dict[float, Function] = {
    0.5: tirx.sqrt,
    1.0: lambda x: x,
    2.0: lambda x: x * x,
    3.0: lambda x: x * x * x,
    4.0: lambda x: (x * x) * (x * x),
    -1.0: _reciprocal,
    -0.5: lambda x: _reciprocal(tirx.sqrt(x)),
}


@lowers("Pow")
def power(node: ir.Node, lowering: Lowering) -> None:
    """Power; the result has the type of the base, whatever that of the exponent is."""
    base, exponent = required_input(node, 0), required_input(node, 1)
    dtype = lowering.dtype(base)
    contents = lowering.constant(exponent)
    known = float(contents.reshape(-1)[0]) if contents is not None and contents.size == 1 else None
    integral = known is not None and known > 0 and known.is_integer()
    if contents is not None and contents.ndim == 0 and known in _SMALL_POWERS and (is_float(dtype) or integral):
        emit_elementwise(lowering, node, [base], dtype, _SMALL_POWERS[known])
        return
    wide = "float32" if dtype == "float16" else dtype if is_float(dtype) else "float64"

    def element(x: Expression, y: Expression) -> Expression:
        return tirx.Cast(dtype, tirx.pow(tirx.Cast(wide, x), tirx.Cast(wide, y)))

    emit_elementwise(lowering, node, [base, exponent], dtype, element)


@lowers("Sum", "Mean", "Max", "Min")
def variadic(node: ir.Node, lowering: Lowering) -> None:
    """Sum, mean, largest and smallest of any number of operands."""
    operands = [operand for operand in node.inputs if operand is not None]
    if not operands:
        raise UnsupportedNodeError("it has no input", "run the ONNX checker on the model")
    dtype = lowering.dtype(operands[0])
    count = tirx.const(len(operands), dtype)
    combine = {"Max": maximum, "Min": minimum}.get(node.op_type, lambda x, y: x + y)

    def element(*elements: Expression) -> Expression:
        combined = reduce(combine, elements)
        return combined / count if node.op_type == "Mean" else combined

    emit_elementwise(lowering, node, operands, dtype, element)


def maximum(x: Expression, y: Expression) -> Expression:
    """The larger of two numbers."""
    return tirx.max(x, y)


def minimum(x: Expression, y: Expression) -> Expression:
    """The smaller of two numbers."""
    return tirx.min(x, y)


def limits(dtype: str) -> tuple[float | int, float | int]:
    """The smallest and the largest number of an element type; infinite for floats."""
    if is_float(dtype):
        return -np.inf, np.inf
    if dtype == "bool":
        return False, True
    information = np.iinfo(dtype)
    return int(information.min), int(information.max)
