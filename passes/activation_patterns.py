"""The spellings of activation functions and normalisations that exporters write, each with what it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.passes.expression import Any, Match, Number, Op
from edgec.passes.graph_edit import constant, input_of, scalar, static_shape
from edgec.passes.node_writer import NodeWriter

Build = Callable[[NodeWriter, Match], ir.Value | None]
"""Writes the replacement; None if the constants do not fit after all."""


@dataclass(frozen=True)
class Spelling:
    """A spelling of a function.

    Attributes:
        function: what it stands for.
        pattern: the expression.
        opset: the first operator set that has the operators of the replacement.
        build: writes the replacement.
    """

    function: str
    pattern: Op
    opset: int
    build: Build


_X = Any("x")
_ROOT_HALF = math.sqrt(0.5)


def clip_bounds(node: ir.Node) -> tuple[float | None, float | None]:
    """Lower and upper bound of a Clip, from attributes or inputs; None where there is none or it is computed."""
    if "min" in node.attributes or "max" in node.attributes:
        low = node.attributes.get_float("min", -math.inf)
        return low, node.attributes.get_float("max", math.inf)
    return scalar(input_of(node, 1)), scalar(input_of(node, 2))


def _type_of(value: ir.Value) -> np.dtype[np.generic]:
    return value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)


def _close(number: float, wanted: float) -> bool:
    return math.isclose(number, wanted, rel_tol=1e-3, abs_tol=1e-6)


def _unary(op_type: str, **attributes: str) -> Build:
    return lambda write, match: write.one(op_type, match.values["x"], **attributes)


def _silu(write: NodeWriter, match: Match) -> ir.Value:
    return write.one("Mul", match.values["x"], write.one("Sigmoid", match.values["x"]))


def _clipped(low: float) -> Build:
    """Clip from `low` to the number `high`."""

    def build(write: NodeWriter, match: Match) -> ir.Value | None:
        high = match.numbers["high"]
        return write.clip(match.values["x"], low, high, _type_of(match.values["x"])) if high > low else None

    return build


def _relu_and_clip(write: NodeWriter, match: Match) -> ir.Value | None:
    low, high = clip_bounds(match.bound["clip"])
    if low is None or high is None or low > 0 or high <= 0:
        return None
    return write.clip(match.values["x"], 0.0, high, _type_of(match.values["x"]))


def _hard_sigmoid_parameters(match: Match) -> tuple[float, float] | None:
    """Slope and offset of Clip(x + c, 0, d) / d, or of Clip(a·x + b, 0, 1)."""
    low, high = clip_bounds(match.bound["clip"])
    if low is None or high is None or not _close(low, 0):
        return None
    numbers = match.numbers
    if "add" in numbers:
        divisor = numbers["div"] if "div" in numbers else 1 / numbers["mul"]
        return (1 / divisor, numbers["add"] / divisor) if _close(divisor, high) else None
    slope = numbers["slope"] if "slope" in numbers else 1 / numbers["inverse_slope"]
    return (slope, numbers["offset"]) if _close(high, 1) else None


def _hard_sigmoid(write: NodeWriter, match: Match) -> ir.Value | None:
    parameters = _hard_sigmoid_parameters(match)
    if parameters is None:
        return None
    return write.one("HardSigmoid", match.values["x"], alpha=parameters[0], beta=parameters[1])


def _hard_swish(write: NodeWriter, match: Match) -> ir.Value | None:
    if "sigmoid" in match.bound:
        attributes = match.bound["sigmoid"].attributes
        parameters: tuple[float, float] | None = (attributes.get_float("alpha", 0.2), attributes.get_float("beta", 0.5))
    else:
        parameters = _hard_sigmoid_parameters(match)
    if parameters is None:
        return None
    x = match.values["x"]
    if write.opset >= 14 and _close(parameters[0], 1 / 6) and _close(parameters[1], 0.5):
        return write.one("HardSwish", x)
    if "sigmoid" in match.bound:
        return None
    return write.one("Mul", x, write.one("HardSigmoid", x, alpha=parameters[0], beta=parameters[1]))


def _axes(node: ir.Node) -> list[int] | None:
    if "axes" in node.attributes:
        return list(node.attributes["axes"].as_ints())
    given = constant(input_of(node, 1))
    return None if given is None else [int(axis) for axis in given.reshape(-1)]


def _softmax(write: NodeWriter, match: Match) -> ir.Value | None:
    x = match.values["x"]
    reductions = [node for role, node in match.bound.items() if role in {"sum", "max"}]
    if x.shape is None or any(not node.attributes.get_int("keepdims", 1) for node in reductions):
        return None
    rank = len(x.shape)
    axes = [_axes(node) for node in reductions]
    if any(given is None or len(given) != 1 for given in axes):
        return None
    where = {given[0] % rank for given in axes if given is not None}
    # Before opset 13, Softmax flattens the axes from the given one on: only the last axis means the same.
    if len(where) != 1 or (write.opset < 13 and where != {rank - 1}):
        return None
    return write.one("Softmax", x, axis=where.pop())


def _layer_norm(write: NodeWriter, match: Match) -> ir.Value | None:
    x, shape = match.values["x"], static_shape(match.values["x"])
    means = (match.bound["mean"], match.bound["variance"])
    axes = [_axes(node) for node in means]
    if (
        shape is None
        or any(given is None for given in axes)
        or not all(m.attributes.get_int("keepdims", 1) for m in means)
    ):
        return None
    sets = [sorted(axis % len(shape) for axis in given) for given in axes if given is not None]
    first = sets[0][0]
    if sets[0] != sets[1] or sets[0] != list(range(first, len(shape))):
        return None
    scale = match.values.get("scale")
    shift = match.values.get("shift")
    if scale is None or constant(scale) is None or (shift is not None and constant(shift) is None):
        return None
    if any(static_shape(value) != shape[first:] for value in (scale, shift) if value is not None):
        return None
    inputs = [x, scale] if shift is None else [x, scale, shift]
    return write.one("LayerNormalization", *inputs, axis=first, epsilon=match.numbers["epsilon"])


def _either(function: str, patterns: Sequence[Op], opset: int, build: Build) -> list[Spelling]:
    return [Spelling(function, pattern, opset, build) for pattern in patterns]


def _gelu_patterns(inner: Op) -> list[Op]:
    """0.5·x·(1 + f(x)), in the orders that occur."""
    plus_one = Op("Add", inner, Number(1.0))
    return [
        Op("Mul", Op("Mul", _X, plus_one), Number(0.5)),
        Op("Mul", _X, Op("Mul", plus_one, Number(0.5))),
        Op("Mul", Op("Mul", _X, Number(0.5)), plus_one),
        Op("Mul", Op("Div", _X, Number(2.0)), plus_one),
        Op("Div", Op("Mul", _X, plus_one), Number(2.0)),
    ]


def _tanh_arguments() -> list[Op]:
    """√(2/π)·(x + 0.044715·x³)."""
    factor = Number(math.sqrt(2 / math.pi))
    square = Op("Mul", _X, _X)
    cubes = [Op("Pow", _X, Number(3.0)), Op("Mul", _X, square), Op("Mul", square, _X)]
    sums = [Op("Add", _X, Op("Mul", cube, Number(0.044715))) for cube in cubes]
    sums.append(Op("Add", _X, Op("Mul", _X, Op("Mul", _X, Op("Mul", _X, Number(0.044715))))))
    grown = Op("Add", Op("Mul", Op("Mul", _X, Number(0.044715)), _X), Number(1.0))
    return [*(Op("Mul", total, factor) for total in sums), Op("Mul", Op("Mul", _X, factor), grown)]


def _hard_sigmoid_patterns() -> list[Op]:
    clipped = Op("Clip", Op("Add", _X, Number(name="add")), bind="clip")
    slopes = (Op("Mul", _X, Number(name="slope")), Op("Div", _X, Number(name="inverse_slope")))
    return [
        Op("Div", clipped, Number(name="div")),
        Op("Mul", clipped, Number(name="mul")),
        *(Op("Clip", Op("Add", slope, Number(name="offset")), bind="clip") for slope in slopes),
    ]


def _hard_swish_patterns() -> list[Op]:
    clipped = Op("Clip", Op("Add", _X, Number(name="add")), bind="clip")
    return [
        Op("Div", Op("Mul", _X, clipped), Number(name="div")),
        Op("Mul", Op("Mul", _X, clipped), Number(name="mul")),
        Op("Mul", clipped, Op("Div", _X, Number(name="div"))),
        Op("Mul", clipped, Op("Mul", _X, Number(name="mul"))),
        Op("Mul", _X, Op("HardSigmoid", _X, bind="sigmoid")),
    ]


def _softmax_patterns() -> list[Op]:
    shifted = Op("Exp", Op("Sub", _X, Op("ReduceMax", _X, bind="max")))
    return [Op("Div", e, Op("ReduceSum", e, bind="sum")) for e in (shifted, Op("Exp", _X))]


def _layer_norm_patterns() -> list[Op]:
    centred = Op("Sub", _X, Op("ReduceMean", _X, bind="mean"))
    found = []
    for square in (Op("Pow", centred, Number(2.0)), Op("Mul", centred, centred)):
        deviation = Op("Sqrt", Op("Add", Op("ReduceMean", square, bind="variance"), Number(name="epsilon")))
        for normal in (Op("Div", centred, deviation), Op("Mul", centred, Op("Reciprocal", deviation))):
            scaled = Op("Mul", normal, Any("scale"))
            found += [Op("Add", scaled, Any("shift"))]
    return found


_ONE_PLUS_EXP_MINUS_X = Op("Add", Op("Exp", Op("Neg", _X)), Number(1.0))
_SOFTPLUS = Op("Log", Op("Add", Op("Exp", _X), Number(1.0)))
_ERFS = [Op("Erf", Op("Div", _X, Number(1 / _ROOT_HALF))), Op("Erf", Op("Mul", _X, Number(_ROOT_HALF)))]

SPELLINGS: tuple[Spelling, ...] = (
    *_either("LayerNormalization", _layer_norm_patterns(), 17, _layer_norm),
    *_either("Softmax", _softmax_patterns(), 1, _softmax),
    *(s for erf in _ERFS for s in _either("Gelu", _gelu_patterns(erf), 20, _unary("Gelu"))),
    *(
        spelling
        for argument in _tanh_arguments()
        for spelling in _either("Gelu", _gelu_patterns(Op("Tanh", argument)), 20, _unary("Gelu", approximate="tanh"))
    ),
    *_either(
        "Mish",
        [Op("Mul", _X, Op("Tanh", softplus)) for softplus in (Op("Softplus", _X), _SOFTPLUS)],
        18,
        _unary("Mish"),
    ),
    Spelling("Softplus", _SOFTPLUS, 1, _unary("Softplus")),
    Spelling("Sigmoid", Op("Div", Number(1.0), _ONE_PLUS_EXP_MINUS_X), 1, _unary("Sigmoid")),
    Spelling("Sigmoid", Op("Reciprocal", _ONE_PLUS_EXP_MINUS_X), 1, _unary("Sigmoid")),
    Spelling("SiLU", Op("Div", _X, _ONE_PLUS_EXP_MINUS_X), 1, _silu),
    Spelling("ReLU with a bound", Op("Min", Op("Max", _X, Number(0.0)), Number(name="high")), 1, _clipped(0.0)),
    Spelling("ReLU with a bound", Op("Min", Op("Relu", _X), Number(name="high")), 1, _clipped(0.0)),
    Spelling("ReLU with a bound", Op("Clip", Op("Relu", _X), bind="clip"), 1, _relu_and_clip),
    Spelling("ReLU with a bound", Op("Relu", Op("Clip", _X, bind="clip")), 1, _relu_and_clip),
    *_either("HardSwish", _hard_swish_patterns(), 1, _hard_swish),
    *_either("HardSigmoid", _hard_sigmoid_patterns(), 1, _hard_sigmoid),
)
"""All spellings, larger expressions before those that they contain."""
