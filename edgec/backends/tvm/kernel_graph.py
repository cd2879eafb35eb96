"""The kernel graph: an ONNX graph as steps over typed values, each step a TE computation, a view or a loop.

It stands between the operators (`operators/`, ONNX node → steps) and the code generator (fusion, schedules, memory
plan, C driver). We do not go through Relax: its importer lacks recurrence and control flow, its layout pass stops at
clip, pad and quantize, its fusion loses the names of the ONNX nodes, and it has no views of channel ranges. Shapes are
static here, so all that Relax would add is a second type system.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from edgec.backends.tvm.implementation import Choice

Compute = Callable[[Sequence[Any]], Sequence[Any]]
"""Builds the TE tensors of the outputs from those of the inputs; TVM ships no types."""


class UnsupportedNodeError(Exception):
    """Raised by an operator for a node it cannot lower; collected, so that all of them are listed in one go.

    Args:
        reason: what in this node is the matter ("Loop collects outputs but its trip count is computed").
        hint: what would help ("fix the trip count, or cut the model before this node").
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Pattern(IntEnum):
    """How an operation reads its inputs; decides what it may be fused with.

    ELEMENTWISE: element `i` of the output reads element `i` of each input, after numpy broadcasting.
    INJECTIVE: an element of the output reads at most one element of each input (transpose, slice, concat, gather).
    REDUCTION: an element of the output reads many elements (sum, pooling); elementwise producers may be inlined.
    ANCHOR: convolution or matrix product with a schedule of its own; takes an elementwise epilogue.
    OPAQUE: computed alone.
    """

    ELEMENTWISE = 0
    INJECTIVE = 1
    REDUCTION = 2
    ANCHOR = 3
    OPAQUE = 4


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor in memory, dense and row-major. Compared by identity.

    Attributes:
        name: ONNX value name, with a suffix for forms that ONNX does not have (`conv1.channels_last`).
        shape: static extents of this form.
        dtype: numpy's name; `bool` takes a byte.
        data: contents of a constant, None otherwise.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: np.ndarray | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes in memory."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class ConvolutionTile:
    """Register tile of a convolution or matrix product: `rows` output positions by `vectors` vectors of `lanes`.

    The weights are packed in blocks of `vectors * lanes` output channels.
    """

    rows: int
    vectors: int
    lanes: int

    @property
    def block(self) -> int:
        """Output channels of a block of packed weights."""
        return self.vectors * self.lanes


@dataclass(frozen=True, eq=False)
class Operation:
    """One kernel before fusion.

    Attributes:
        node: name of the ONNX node it comes from.
        op: ONNX operator type.
        pattern: see `Pattern`.
        inputs: values read, constants included.
        outputs: values written.
        compute: builds the TE tensors of the outputs from those of the inputs; pure, may be called again.
        macs: multiply-accumulates.
        tile: the register tile that an anchor's schedule must use; None for others.
        choice: how an anchor is computed, where that could be done in another way; None for others.
        joins: axis of the output along which its inputs lie one after another; None if it does more than join them.
        cuts: first element, by axis, of the box of its only input that is the output; None if it does more than cut.
    """

    node: str
    op: str
    pattern: Pattern
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    compute: Compute
    macs: int = 0
    tile: ConvolutionTile | None = None
    joins: int | None = None
    cuts: tuple[int, ...] | None = None
    choice: Choice | None = None


@dataclass(frozen=True, eq=False)
class View:
    """`result` lies in the memory of `source`, `offset_bytes` from its start; no code runs."""

    node: str
    source: Value
    result: Value
    offset_bytes: int = 0


@dataclass(frozen=True, eq=False)
class Part:
    """`inner` lies in the memory of `outer`, `offset_bytes` from its start.

    Attributes:
        inner: the part.
        outer: what it is a part of.
        offset_bytes: from the first element of the one to that of the other.
        strides: elements from one index of each axis of `inner` to the next; None if it is dense.
    """

    inner: Value
    outer: Value
    offset_bytes: int
    strides: tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Overlay:
    """`result` is there once `sources` are, as they lie in one another's memory; no code runs."""

    node: str
    sources: tuple[Value, ...]
    result: Value
    parts: tuple[Part, ...]


@dataclass(eq=False)
class Block:
    """A sequence of steps; values of the enclosing blocks may be read directly.

    Attributes:
        parameters: values that whoever runs the block provides.
        results: values that the block hands back; may be parameters, constants or outer values.
        steps: in order of execution.
    """

    parameters: tuple[Value, ...] = ()
    results: tuple[Value, ...] = ()
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Conditional:
    """ONNX If: runs one of two blocks; the results of the block that ran are copied to `outputs`."""

    node: str
    condition: Value
    then_block: Block
    else_block: Block
    outputs: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Repeat:
    """ONNX Loop and Scan over a body with static shapes.

    The body's parameters are, in order: the iteration number (int64 scalar), the running condition (bool scalar), the
    carried values, and one slice of each scanned value. Its results are, in order: the next condition, the next
    carried values, and one slice of each collected output.

    Attributes:
        node: the ONNX node.
        trips: number of iterations, or their upper bound if `trip_count` or `condition` may end the loop earlier.
        trip_count: int64 scalar with the number of iterations when that is computed; None if it is `trips`.
        condition: bool scalar tested before the first iteration; None if always true.
        tests_condition: whether the body's next condition can end the loop.
        body: what runs in each iteration.
        carried: initial values.
        carried_outputs: where the final carried values end up.
        scanned: values of which iteration `i` sees slice `i` along axis 0.
        scanned_reversed: for each scanned value, whether iteration `i` sees slice `trips - 1 - i`.
        collected: outputs whose slice `i` along axis 0 iteration `i` writes.
        collected_reversed: for each collected output, whether it is filled from the end.
    """

    node: str
    trips: int
    trip_count: Value | None
    condition: Value | None
    tests_condition: bool
    body: Block
    carried: tuple[Value, ...]
    carried_outputs: tuple[Value, ...]
    scanned: tuple[Value, ...]
    scanned_reversed: tuple[bool, ...]
    collected: tuple[Value, ...]
    collected_reversed: tuple[bool, ...]


Step = Operation | View | Overlay | Conditional | Repeat


@dataclass(frozen=True)
class KernelGraph:
    """A whole model: the outermost block takes the inputs and hands back the outputs, in their ONNX layout."""

    name: str
    main: Block
