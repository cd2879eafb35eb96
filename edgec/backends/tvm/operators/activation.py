"""Activation functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import (
    Expression,
    emit_elementwise,
    optional_input,
    required_input,
    type_of,
)
from edgec.backends.tvm.operators.transcendental import (
    exponential,
    hyperbolic_tangent,
    normal_distribution,
    sigmoid,
    softplus,
)

Activation = Callable[[Expression], Expression]


class _Parameters:
    """The float attributes of a node as constants of its element type."""

    def __init__(self, node: ir.Node, dtype: str) -> None:
        self._node = node
        self.dtype = dtype

    def __call__(self, name: str, default: float) -> Expression:
        return self.number(self._node.attributes.get_float(name, default))

    def number(self, value: float) -> Expression:
        return tirx.const(value, self.dtype)


def _relu(parameters: _Parameters) -> Activation:
    return lambda x: tirx.max(x, parameters.number(0))


def _leaky_relu(parameters: _Parameters) -> Activation:
    slope = parameters("alpha", 0.01)
    return lambda x: tirx.Select(x < parameters.number(0), x * slope, x)


def _elu(parameters: _Parameters) -> Activation:
    alpha, one = parameters("alpha", 1.0), parameters.number(1)
    return lambda x: tirx.Select(x < parameters.number(0), alpha * (exponential(x) - one), x)


def _selu(parameters: _Parameters) -> Activation:
    alpha, gamma = parameters("alpha", 1.67326319217681884765625), parameters("gamma", 1.05070102214813232421875)
    return lambda x: gamma * tirx.Select(x <= parameters.number(0), alpha * exponential(x) - alpha, x)


def _celu(parameters: _Parameters) -> Activation:
    alpha, zero = parameters("alpha", 1.0), parameters.number(0)
    return lambda x: tirx.max(x, zero) + tirx.min(zero, alpha * (exponential(x / alpha) - parameters.number(1)))


def _thresholded_relu(parameters: _Parameters) -> Activation:
    alpha = parameters("alpha", 1.0)
    return lambda x: tirx.Select(x > alpha, x, parameters.number(0))


def _hard_sigmoid(parameters: _Parameters) -> Activation:
    alpha, beta = parameters("alpha", 0.2), parameters("beta", 0.5)
    return lambda x: tirx.max(parameters.number(0), tirx.min(parameters.number(1), alpha * x + beta))


def _hard_swish(parameters: _Parameters) -> Activation:
    zero, one = parameters.number(0), parameters.number(1)
    slope, half = parameters.number(1 / 6), parameters.number(0.5)
    return lambda x: x * tirx.max(zero, tirx.min(one, x * slope + half))


def _softsign(parameters: _Parameters) -> Activation:
    return lambda x: x / (parameters.number(1) + tirx.abs(x))


def _mish(parameters: _Parameters) -> Activation:
    return lambda x: x * hyperbolic_tangent(softplus(x))


def _swish(parameters: _Parameters) -> Activation:
    alpha = parameters("alpha", 1.0)
    return lambda x: x * sigmoid(alpha * x)


def _shrink(parameters: _Parameters) -> Activation:
    threshold, bias = parameters("lambd", 0.5), parameters("bias", 0.0)
    return lambda x: tirx.Select(x < -threshold, x + bias, tirx.Select(x > threshold, x - bias, parameters.number(0)))


_ACTIVATIONS: dict[str, Callable[[_Parameters], Activation]] = {
    "Relu": _relu,
    "LeakyRelu": _leaky_relu,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "ThresholdedRelu": _thresholded_relu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Sigmoid": lambda parameters: sigmoid,
    "Tanh": lambda parameters: hyperbolic_tangent,
    "Softplus": lambda parameters: softplus,
    "Softsign": _softsign,
    "Mish": _mish,
    "Swish": _swish,
    "Shrink": _shrink,
}


@lowers(*_ACTIVATIONS)
def activation(node: ir.Node, lowering: Lowering) -> None:
    """A function of one element with parameters in the attributes."""
    x = required_input(node, 0)
    dtype = lowering.dtype(x)
    emit_elementwise(lowering, node, [x], dtype, _ACTIVATIONS[node.op_type](_Parameters(node, dtype)))


@lowers("PRelu")
def prelu(node: ir.Node, lowering: Lowering) -> None:
    """Leaky ReLU with a learned slope, which broadcasts to the input."""
    x, slope = required_input(node, 0), required_input(node, 1)
    dtype = lowering.dtype(x)
    zero = tirx.const(0, dtype)
    emit_elementwise(
        lowering, node, [x, slope], dtype, lambda read, alpha: tirx.Select(read < zero, read * alpha, read)
    )


def gelu_of_tangent(x: Expression) -> Expression:
    """The approximation of Gelu by the hyperbolic tangent."""
    half, one = tirx.const(0.5, type_of(x)), tirx.const(1, type_of(x))
    inner = tirx.const(math.sqrt(2 / math.pi), type_of(x)) * (x + tirx.const(0.044715, type_of(x)) * x * x * x)
    return half * x * (one + hyperbolic_tangent(inner))


@lowers("Gelu")
@lowers("Gelu", "FastGelu", "QuickGelu", "BiasGelu", domain="com.microsoft")
def gelu(node: ir.Node, lowering: Lowering) -> None:
    """Gelu, x Φ(x), exact or by one of its approximations, after an optional bias."""
    x, bias = required_input(node, 0), optional_input(node, 1)
    tangent = node.op_type == "FastGelu" or node.attributes.get_string("approximate", "none") == "tanh"
    alpha = node.attributes.get_float("alpha", 1.702)

    def element(read: Expression, *biases: Expression) -> Expression:
        shifted = read + biases[0] if biases else read
        if node.op_type == "QuickGelu":
            return shifted * sigmoid(tirx.const(alpha, type_of(shifted)) * shifted)
        return gelu_of_tangent(shifted) if tangent else shifted * normal_distribution(shifted)

    emit_elementwise(lowering, node, [x] if bias is None else [x, bias], lowering.dtype(x), element)
