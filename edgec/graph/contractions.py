"""Checks the shapes that meet inside a contraction, where ONNX's own inference does not look."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx_ir as ir

from edgec.core.codes.model import SHAPES_CONTRADICT
from edgec.core.errors import EdgecError
from edgec.graph.shapes import static_shape

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def check_contractions(model: ir.Model) -> None:
    """Check convolutions, matrix products and recurrences as far as their shapes are known.

    Raises:
        EdgecError: EC0207 for extents that should be equal and are not; `details` list all of them.
    """
    problems: list[str] = []
    for node in model.graph.all_nodes():
        rule = _RULES.get(node.op_type)
        if rule is not None and node.domain in ("", "ai.onnx"):
            problems += [f"node `{node.name}` ({node.op_type}): {problem}" for problem in rule(node)]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        hint = "export the model again; if you gave --shape, try the shape that it was trained with"
        raise EdgecError(SHAPES_CONTRADICT, problems[0] + more, hint=hint, details=tuple(problems))


def _convolution(weight: int) -> Callable[[ir.Node], Iterator[str]]:
    def check(node: ir.Node) -> Iterator[str]:
        kernel = _shape(node, weight)
        if kernel is None:
            return
        yield from _windows(node, kernel)
        group = node.attributes.get_int("group", 1)
        if group < 1 or not kernel or kernel[0] % group:
            yield f"{kernel[0] if kernel else 0} output channels do not divide into {group} groups"
            return
        channels = _extent(node, 0, 1)
        if channels is not None and len(kernel) > 1 and channels != kernel[1] * group:
            yield f"the input has {channels} channels, the weights are for {kernel[1] * group}"

    return check


def _transposed_convolution(node: ir.Node) -> Iterator[str]:
    kernel, channels = _shape(node, 1), _extent(node, 0, 1)
    if kernel is None:
        return
    yield from _windows(node, kernel)
    group = node.attributes.get_int("group", 1)
    if group < 1 or not kernel or kernel[0] % group:
        yield f"{kernel[0] if kernel else 0} input channels do not divide into {group} groups"
    elif channels is not None and channels != kernel[0]:
        yield f"the input has {channels} channels, the weights are for {kernel[0]}"


def _windows(node: ir.Node, kernel: tuple[int, ...]) -> Iterator[str]:
    axes = len(kernel) - 2
    declared = node.attributes.get_ints("kernel_shape", ())
    if declared and tuple(declared) != kernel[2:]:
        yield f"kernel_shape is {list(declared)}, the weights have {list(kernel[2:])}"
    yield from _positive(node, axes)


def _pooling(node: ir.Node) -> Iterator[str]:
    window = node.attributes.get_ints("kernel_shape", ())
    if any(extent < 1 for extent in window):
        yield f"kernel_shape is {list(window)}"
    yield from _positive(node, len(window))


def _positive(node: ir.Node, axes: int) -> Iterator[str]:
    for name in ("strides", "dilations"):
        given = node.attributes.get_ints(name, ())
        if given and (len(given) != axes or min(given) < 1):
            yield f"{name} is {list(given)}, which is not one positive number for each of {axes} axes"
    pads = node.attributes.get_ints("pads", ())
    if pads and (len(pads) != 2 * axes or min(pads) < 0):
        yield f"pads is {list(pads)}, which is not two numbers for each of {axes} axes"


def _gemm(node: ir.Node) -> Iterator[str]:
    left = _extent(node, 0, 0 if node.attributes.get_int("transA", 0) else 1)
    right = _extent(node, 1, 1 if node.attributes.get_int("transB", 0) else 0)
    if left is not None and right is not None and left != right:
        yield f"the matrices meet with {left} columns and {right} rows"


def _recurrence(node: ir.Node) -> Iterator[str]:
    hidden = node.attributes.get_int("hidden_size", 0)
    gates = _GATES[node.op_type]
    directions = 2 if node.attributes.get_string("direction", "forward") == "bidirectional" else 1
    size = _extent(node, 0, 2)
    recurrent = _shape(node, 2)
    hidden = hidden or (recurrent[-1] if recurrent else 0)
    expected: dict[int, tuple[int | None, ...]] = {
        1: (directions, gates * hidden, size),
        2: (directions, gates * hidden, hidden),
    }
    if len(node.inputs) > 3:
        expected[3] = (directions, 2 * gates * hidden)
    for position, wanted in expected.items():
        got = _shape(node, position)
        if got is not None and None not in wanted and got != wanted:
            yield f"input {position} is {list(got)} where {list(wanted)} is due"


def _shape(node: ir.Node, position: int) -> tuple[int, ...] | None:
    return static_shape(node.inputs[position]) if position < len(node.inputs) else None


def _extent(node: ir.Node, position: int, axis: int) -> int | None:
    value = node.inputs[position] if position < len(node.inputs) else None
    if value is None or value.shape is None or axis >= len(value.shape):
        return None
    extent = value.shape[axis]
    return extent if isinstance(extent, int) else None


_RULES: dict[str, Callable[[ir.Node], Iterator[str]]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    "MaxPool": _pooling,
    "AveragePool": _pooling,
    "LpPool": _pooling,
    "Gemm": _gemm,
    "LSTM": _recurrence,
    "GRU": _recurrence,
    "RNN": _recurrence,
}
