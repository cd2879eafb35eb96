"""Functions that have no machine instruction, on expressions of any float type.

float32 is computed with our own polynomials, which vectorise; the other types call the math library.
"""

from __future__ import annotations

import math

from tvm import tirx

from edgec.backends.tvm import approximations
from edgec.backends.tvm.operators.emission import Expression, type_of


def exponential(x: Expression) -> Expression:
    """The exponential function."""
    return approximations.exponential(x) if type_of(x) == "float32" else tirx.exp(x)


def logarithm(x: Expression) -> Expression:
    """The natural logarithm."""
    return approximations.logarithm(x) if type_of(x) == "float32" else tirx.log(x)


def hyperbolic_tangent(x: Expression) -> Expression:
    """The hyperbolic tangent."""
    return approximations.hyperbolic_tangent(x) if type_of(x) == "float32" else tirx.tanh(x)


def sigmoid(x: Expression) -> Expression:
    """The logistic function 1 / (1 + exp(-x))."""
    if type_of(x) == "float32":
        return approximations.sigmoid(x)
    one = tirx.const(1, type_of(x))
    return one / (one + tirx.exp(-x))


def error_function(x: Expression) -> Expression:
    """The error function erf."""
    if type_of(x) == "float32":
        return approximations.error_function(x)
    return tirx.Cast(type_of(x), approximations.error_function(tirx.Cast("float32", x)))


def softplus(x: Expression) -> Expression:
    """log(1 + exp(x)), without overflow."""
    one, zero = tirx.const(1, type_of(x)), tirx.const(0, type_of(x))
    return tirx.max(x, zero) + logarithm(one + exponential(-tirx.abs(x)))


def normal_distribution(x: Expression) -> Expression:
    """The distribution function of the normal distribution."""
    half, one = tirx.const(0.5, type_of(x)), tirx.const(1, type_of(x))
    return half * (one + error_function(x * tirx.const(math.sqrt(0.5), type_of(x))))
