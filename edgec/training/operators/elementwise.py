"""Activations and arithmetic, element by element."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnx_ir as ir
import torch
from brevitas.backport import fx
from torch import Tensor, nn
from torch.nn import functional

from edgec.training.graph_writer import GraphWriter, NoTorchFormError
from edgec.training.operators.registry import OPERATORS, operator

_ACTIVATIONS: dict[str, Callable[[ir.Node], nn.Module]] = {
    "Relu": lambda node: nn.ReLU(),
    "Sigmoid": lambda node: nn.Sigmoid(),
    "Tanh": lambda node: nn.Tanh(),
    "HardSwish": lambda node: nn.Hardswish(),
    "Softplus": lambda node: nn.Softplus(),
    "Mish": lambda node: nn.Mish(),
    "Softsign": lambda node: nn.Softsign(),
    "LeakyRelu": lambda node: nn.LeakyReLU(node.attributes.get_float("alpha", 0.01)),
    "Elu": lambda node: nn.ELU(node.attributes.get_float("alpha", 1.0)),
    "Celu": lambda node: nn.CELU(node.attributes.get_float("alpha", 1.0)),
    "Gelu": lambda node: nn.GELU(node.attributes.get_string("approximate", "none")),
    "Identity": lambda node: nn.Identity(),
    "Dropout": lambda node: nn.Identity(),
}

_BINARY = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Equal": torch.eq,
    "Less": torch.lt,
    "Greater": torch.gt,
    "LessOrEqual": torch.le,
    "GreaterOrEqual": torch.ge,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}

_UNARY = {
    "Sqrt": torch.sqrt,
    "Exp": torch.exp,
    "Log": torch.log,
    "Neg": torch.neg,
    "Abs": torch.abs,
    "Erf": torch.erf,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Round": torch.round,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Tan": torch.tan,
    "Atan": torch.atan,
    "Sinh": torch.sinh,
    "Cosh": torch.cosh,
    "Reciprocal": torch.reciprocal,
    "Sign": torch.sign,
    "Not": torch.logical_not,
    "IsNaN": torch.isnan,
}

_TYPES = {
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.DOUBLE: torch.float64,
    ir.DataType.FLOAT16: torch.float16,
    ir.DataType.BFLOAT16: torch.bfloat16,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.INT8: torch.int8,
    ir.DataType.INT16: torch.int16,
    ir.DataType.INT32: torch.int32,
    ir.DataType.INT64: torch.int64,
    ir.DataType.BOOL: torch.bool,
}


def _activation(make: Callable[[ir.Node], nn.Module], writer: GraphWriter, node: ir.Node) -> fx.Node:
    if len(node.outputs) > 1 and node.outputs[1].uses():
        raise NoTorchFormError("its mask is read")
    return writer.layer(node, make(node), writer.input(node))


def _binary(function: Callable[..., Tensor], writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(function, writer.input(node), writer.input(node, 1))


def _unary(function: Callable[..., Tensor], writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(function, writer.input(node))


OPERATORS.update({name: partial(_activation, make) for name, make in _ACTIVATIONS.items()})
OPERATORS.update({name: partial(_binary, function) for name, function in _BINARY.items()})
OPERATORS.update({name: partial(_unary, function) for name, function in _UNARY.items()})


@operator("Selu")
def _selu(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.layer(node, nn.SELU(), writer.input(node))


@operator("HardSigmoid")
def _hard_sigmoid(writer: GraphWriter, node: ir.Node) -> fx.Node:
    alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    return writer.call(hard_sigmoid, writer.input(node), alpha, beta)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    """ONNX HardSigmoid."""
    return torch.clamp(x * alpha + beta, 0.0, 1.0)


@operator("ThresholdedRelu")
def _thresholded_relu(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.layer(node, nn.Threshold(node.attributes.get_float("alpha", 1.0), 0.0), writer.input(node))


@operator("Softmax")
def _softmax(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return _along_axis(torch.softmax, writer, node)


@operator("LogSoftmax")
def _log_softmax(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return _along_axis(torch.log_softmax, writer, node)


def _along_axis(function: Callable[..., Tensor], writer: GraphWriter, node: ir.Node) -> fx.Node:
    """Before opset 13 the axes from `axis` on are one."""
    if writer.opset >= 13:
        return writer.call(function, writer.input(node), node.attributes.get_int("axis", -1))
    axis, rank = node.attributes.get_int("axis", 1), writer.rank(node)
    if axis % rank == rank - 1:
        return writer.call(function, writer.input(node), -1)
    # FX writes its arguments as text, so they cannot be functions.
    return writer.call(_over_flattened, writer.input(node), node.op_type == "LogSoftmax", axis % rank)


def _over_flattened(x: Tensor, logarithm: bool, axis: int) -> Tensor:
    flat = x.flatten(axis)
    return (torch.log_softmax(flat, -1) if logarithm else torch.softmax(flat, -1)).reshape(x.shape)


@operator("Clip")
def _clip(writer: GraphWriter, node: ir.Node) -> fx.Node:
    low, high = _bound(writer, node, 1, "min"), _bound(writer, node, 2, "max")
    if (low, high) == (0.0, 6.0):
        return writer.layer(node, nn.ReLU6(), writer.input(node))
    return writer.call(torch.clamp, writer.input(node), low, high)


def _bound(writer: GraphWriter, node: ir.Node, index: int, attribute: str) -> float | int | None:
    if attribute in node.attributes:
        return float(node.attributes.get_float(attribute, 0.0))
    if not writer.has(node, index):
        return None
    contents = writer.constant(node, index)
    if contents is None:
        raise NoTorchFormError("its bounds are computed at run time")
    number: float | int = contents.reshape(()).item()
    return number


@operator("Div")
def _divide(writer: GraphWriter, node: ir.Node) -> fx.Node:
    divisor = node.inputs[1]
    whole = divisor is not None and divisor.dtype is not None and divisor.dtype.is_integer()
    arguments = (writer.input(node), writer.input(node, 1))
    return writer.call(torch.div, *arguments, rounding_mode="trunc") if whole else writer.call(torch.div, *arguments)


@operator("Mod")
def _modulo(writer: GraphWriter, node: ir.Node) -> fx.Node:
    function = torch.fmod if node.attributes.get_int("fmod", 0) else torch.remainder
    return writer.call(function, writer.input(node), writer.input(node, 1))


@operator("Pow")
def _power(writer: GraphWriter, node: ir.Node) -> fx.Node:
    exponent = writer.constant(node, 1)
    if exponent is not None and exponent.size == 1:
        # A number lets torch see that a square needs no logarithm, whose gradient is NaN below zero.
        return writer.call(torch.pow, writer.input(node), exponent.reshape(()).item())
    return writer.call(torch.pow, writer.input(node), writer.input(node, 1))


@operator("Min", "Max", "Sum", "Mean")
def _several(writer: GraphWriter, node: ir.Node) -> fx.Node:
    functions = {"Min": torch.minimum, "Max": torch.maximum, "Sum": torch.add, "Mean": torch.add}
    result = writer.input(node)
    for index in range(1, len(node.inputs)):
        result = writer.call(functions[node.op_type], result, writer.input(node, index))
    return writer.call(torch.div, result, len(node.inputs)) if node.op_type == "Mean" else result


@operator("Where")
def _where(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(torch.where, *(writer.input(node, index) for index in range(3)))


@operator("Cast")
def _cast(writer: GraphWriter, node: ir.Node) -> fx.Node:
    kind = ir.DataType(node.attributes.get_int("to", 1))
    if kind not in _TYPES:
        raise NoTorchFormError(f"it casts to {kind.name.lower()}")
    return writer.method("to", writer.input(node), _TYPES[kind])


@operator("LRN")
def _local_response(writer: GraphWriter, node: ir.Node) -> fx.Node:
    size = node.attributes.get_int("size", 1)
    numbers = [node.attributes.get_float(name, value) for name, value in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1))]
    return writer.call(functional.local_response_norm, writer.input(node), size, *numbers)
