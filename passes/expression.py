"""Matching expressions in a graph: trees of operators over values and constants, in either order where that is equal.

>>> from edgec.passes.expression import Any, Number, Op
>>> str(Op("Mul", Any("x"), Op("Sigmoid", Any("x"))))
'Mul(x, Sigmoid(x))'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from edgec.passes.graph_edit import input_of, is_constant, scalar

_COMMUTATIVE = {"Add", "Mul", "Max", "Min"}
_TOLERANCE = 1e-3
"""Relative; exporters write constants such as √(2/π) with few digits, or round them to half precision."""


@dataclass(frozen=True)
class Any:
    """Any value; the same one wherever the name occurs again."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Number:
    """A constant with one element: of a given value, or bound to a name."""

    value: float | None = None
    name: str = ""

    def __str__(self) -> str:
        return self.name or str(self.value)


@dataclass(frozen=True)
class Op:
    """An operator over patterns; `bind` names its node for the builder.

    Inputs beyond the patterns must be constants or absent: the axes of a reduction, the bounds of a Clip.
    """

    op_type: str
    inputs: tuple[Pattern, ...]
    bind: str = ""

    def __init__(self, op_type: str, *inputs: Pattern, bind: str = "") -> None:
        object.__setattr__(self, "op_type", op_type)
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "bind", bind)

    def __str__(self) -> str:
        return f"{self.op_type}({', '.join(map(str, self.inputs))})"


Pattern = Any | Number | Op


@dataclass(frozen=True, eq=False)
class Match:
    """What a pattern was found to stand for: values, numbers and nodes by name, and every node of the expression."""

    values: Mapping[str, ir.Value] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    bound: Mapping[str, ir.Node] = field(default_factory=dict)
    nodes: tuple[ir.Node, ...] = ()


def find(pattern: Op, root: ir.Node) -> Match | None:
    """The first way to read a node as a pattern, such that nobody outside reads a value within the expression."""
    for match in _node_matches(pattern, root, Match()):
        inner = set(match.nodes)
        results = [value for node in match.nodes if node is not root for value in node.outputs]
        if all(not value.is_graph_output() and all(user in inner for user, _ in value.uses()) for value in results):
            return match
    return None


def _matches(pattern: Pattern, value: ir.Value | None, so_far: Match) -> Iterator[Match]:
    if value is None:
        return
    if isinstance(pattern, Any):
        known = so_far.values.get(pattern.name)
        if known is None:
            yield Match({**so_far.values, pattern.name: value}, so_far.numbers, so_far.bound, so_far.nodes)
        elif known is value:
            yield so_far
    elif isinstance(pattern, Number):
        yield from _number_matches(pattern, value, so_far)
    else:
        producer = value.producer()
        if producer is not None and value is producer.outputs[0]:
            yield from _node_matches(pattern, producer, so_far)


def _number_matches(pattern: Number, value: ir.Value, so_far: Match) -> Iterator[Match]:
    number = scalar(value)
    if number is None:
        return
    if pattern.value is not None and abs(number - pattern.value) > _TOLERANCE * abs(pattern.value):
        return
    known = so_far.numbers.get(pattern.name, number) if pattern.name else number
    if known == number:
        numbers = {**so_far.numbers, pattern.name: number} if pattern.name else so_far.numbers
        yield Match(so_far.values, numbers, so_far.bound, so_far.nodes)


def _node_matches(pattern: Op, node: ir.Node, so_far: Match) -> Iterator[Match]:
    if node.domain != "" or node.op_type != pattern.op_type or len(node.inputs) < len(pattern.inputs):
        return
    surplus = node.inputs[len(pattern.inputs) :]
    if any(value is not None and not is_constant(value) for value in surplus):
        return
    bound = {**so_far.bound, pattern.bind: node} if pattern.bind else so_far.bound
    nodes = so_far.nodes if node in so_far.nodes else (*so_far.nodes, node)
    here = Match(so_far.values, so_far.numbers, bound, nodes)
    orders = [pattern.inputs]
    if pattern.op_type in _COMMUTATIVE and len(pattern.inputs) == 2:
        orders.append(pattern.inputs[::-1])
    for order in orders:
        yield from _inputs_match(order, node, 0, here)


def _inputs_match(patterns: tuple[Pattern, ...], node: ir.Node, index: int, so_far: Match) -> Iterator[Match]:
    if index == len(patterns):
        yield so_far
        return
    for match in _matches(patterns[index], input_of(node, index), so_far):
        yield from _inputs_match(patterns, node, index + 1, match)
