"""Finds out from a graph which values an input may take: as an index, a length, a size, or compared with constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgec.graph.shapes import static_shape

_UNCHANGED = frozenset(
    (
        *("Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose", "Expand", "Tile", "Slice"),
        *("Pad", "Concat", "Split", "Clip", "Min", "Max", "Where", "Gather", "GatherElements", "GatherND"),
    )
)
"""Operators whose outputs hold values of their data inputs."""

_COMPARISONS = frozenset(("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"))
_RECURRENT = frozenset(("LSTM", "GRU", "RNN"))
_SMALL_SIZE = 4
_FARTHEST = 2000


@dataclass(frozen=True)
class InputRange:
    """What an input may be.

    Attributes:
        low: smallest value, where `high` is known.
        high: largest value; None where nothing bounds it.
        constants: values that the graph compares it with, ascending; empty if there are none.
    """

    low: int = 0
    high: int | None = None
    constants: tuple[float, ...] = ()


@dataclass
class _Findings:
    lows: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)
    constants: set[float] = field(default_factory=set)

    def bound(self, low: int, high: int, offset: float) -> None:
        """Note that the input plus `offset` must lie in low..high."""
        self.lows.append(int(np.ceil(low - offset)))
        self.highs.append(int(np.floor(high - offset)))


def range_of(value: ir.Value) -> InputRange:
    """Follow an input through the graph to the operators that care for its value.

    The way leads through operators that move values without changing them, through sums with and differences to one
    constant, and into loop bodies.
    """
    findings = _Findings()
    seen: set[tuple[int, float]] = set()
    waiting: list[tuple[ir.Value, float]] = [(value, 0.0)]
    while waiting and len(seen) < _FARTHEST:
        current, offset = waiting.pop()
        if (id(current), offset) in seen:
            continue
        seen.add((id(current), offset))
        for node, position in current.uses():
            _look(node, position, offset, findings)
            waiting.extend(_onward(node, position, offset))
    high = min(findings.highs) if findings.highs else None
    low = max(findings.lows) if findings.lows else 0
    admitted = [c for c in findings.constants if high is None or low <= c <= high]
    # Ordering comparisons of real-valued inputs say nothing of which values are likely.
    integral = value.dtype is not None and value.dtype.is_integer()
    return InputRange(low, high, tuple(sorted(admitted)) if integral else ())


def _look(node: ir.Node, position: int, offset: float, findings: _Findings) -> None:
    """Note what a node asks of its input at a position."""
    if node.op_type in _RECURRENT and position == 4:
        steps = _extent(node.inputs[0], node.attributes.get_int("layout", 0))
        findings.bound(1, steps if steps is not None else 1, offset)
    elif node.op_type in _COMPARISONS and (constant := _constant(node.inputs[1 - position])) is not None:
        # Both answers of the comparison are worth a sample.
        near = constant.ravel()[:4].astype(np.float64) - offset
        findings.constants.update(near.tolist())
        findings.constants.update((near + 1).tolist())
        if node.op_type != "Equal":
            findings.constants.update((near - 1).tolist())
    elif (demand := _DEMANDS.get((node.op_type, position))) is not None and (limits := demand(node)) is not None:
        findings.bound(*limits, offset)


def _onward(node: ir.Node, position: int, offset: float) -> Iterator[tuple[ir.Value, float]]:
    """The values that hold the input after a node, and what was added to it."""
    if node.op_type in ("Loop", "Scan", "If"):
        skipped = 2 if node.op_type == "Loop" else 0
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH and position >= skipped:
                yield from ((inner, offset) for inner in attribute.as_graph().inputs[position : position + 1])
    elif node.op_type in ("Add", "Sub"):
        constant = _constant(node.inputs[1 - position])
        if constant is not None and constant.size == 1 and not (node.op_type == "Sub" and position == 1):
            added = float(constant.ravel()[0])
            yield node.outputs[0], offset + (added if node.op_type == "Add" else -added)
    elif node.op_type in _UNCHANGED and _is_data(node, position):
        yield from ((output, offset) for output in node.outputs)


def _is_data(node: ir.Node, position: int) -> bool:
    if node.op_type in ("Concat", "Min", "Max"):
        return True
    return position in (1, 2) if node.op_type == "Where" else position == 0


def _axis_of_indices(node: ir.Node) -> tuple[int, int] | None:
    extent = _extent(node.inputs[0], node.attributes.get_int("axis", 0))
    return None if not extent else (0, extent - 1)


def _index_tuples(node: ir.Node) -> tuple[int, int] | None:
    shape = static_shape(node.inputs[0])
    return None if not shape else (0, min(shape) - 1)


def _depth(node: ir.Node) -> tuple[int, int] | None:
    constant = _constant(node.inputs[1])
    return None if constant is None else (0, int(constant.ravel()[0]) - 1)


def _modulus(node: ir.Node) -> tuple[int, int] | None:
    constant = _constant(node.inputs[1])
    return None if constant is None or constant.size != 1 else (0, 2 * int(constant.ravel()[0]))


def _size(node: ir.Node) -> tuple[int, int]:
    return 1, _SMALL_SIZE


_DEMANDS: dict[tuple[str, int], Callable[[ir.Node], tuple[int, int] | None]] = {
    ("Gather", 1): _axis_of_indices,
    ("GatherElements", 1): _axis_of_indices,
    ("ScatterElements", 1): _axis_of_indices,
    ("GatherND", 1): _index_tuples,
    ("ScatterND", 1): _index_tuples,
    ("OneHot", 0): _depth,
    ("Mod", 0): _modulus,
    ("TopK", 1): lambda node: (1, _extent(node.inputs[0], node.attributes.get_int("axis", -1)) or 1),
    **{(op, 0): _size for op in ("ConstantOfShape", "Loop")},
    **{(op, 1): _size for op in ("Reshape", "Expand", "Tile", "Range")},
    ("Slice", 1): lambda node: (0, 0),
    ("Slice", 2): _size,
}
"""What an operator asks of its input at a position: the smallest and largest value, or None if that is unknown."""


def _extent(value: ir.Value | None, axis: int) -> int | None:
    if value is None or value.shape is None or not -len(value.shape) <= axis < len(value.shape):
        return None
    extent = value.shape[axis]
    return extent if isinstance(extent, int) else None


def _constant(value: ir.Value | None) -> np.ndarray | None:
    """The value of a small weight or of a Constant node."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size == 0 or tensor.size > 64 or tensor.dtype == ir.DataType.STRING:
        return None
    return tensor.numpy()
