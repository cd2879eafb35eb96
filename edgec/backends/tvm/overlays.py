"""Concatenations and slices without copies: who makes a part writes it where the whole lies, and who reads one reads it
there.

Rules, numbered as the code cites them:

1. Where the parts of a concatenation lie one after another in memory (the axes before it have one index), each part is
   a dense piece of the whole. Any kernel may write it, and anybody may read it.
2. Otherwise the rows of a part are apart from each other. Then all that touch it must be kernels that are made of TE
   computations, as these take buffers with strides, and its rows must be long enough for vectors.
3. A concatenation of what lies side by side in a larger one already, in the same order, is a piece of that (DenseNet
   concatenates all earlier features again and again).
4. A part that cannot be made in place (a constant, an input of the block, a part of two wholes) is copied there, unless
   that is most of the whole or the concatenation can be fused with its only reader.
5. A slice that would have to be copied is read in place under the conditions of rule 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgec.backends.tvm.fusion import nested_blocks, values_read
from edgec.backends.tvm.kernel_graph import (
    Block,
    Conditional,
    Operation,
    Overlay,
    Part,
    Pattern,
    Repeat,
    Step,
    Value,
    View,
)

_SHORTEST_ROW_BYTES = 16
"""A vector of the narrowest cores."""


def lay_over(block: Block) -> Block:
    """The block, and those in it, with overlays in place of the concatenations and slices that need no copy."""
    steps = [_with_nested(step) for step in block.steps]
    changed = Block(block.parameters, block.results, steps)
    return Block(block.parameters, block.results, _Overlays(changed).steps())


def _with_nested(step: Step) -> Step:
    match step:
        case Conditional():
            return replace(step, then_block=lay_over(step.then_block), else_block=lay_over(step.else_block))
        case Repeat():
            return replace(step, body=lay_over(step.body))
        case _:
            return step


@dataclass(frozen=True)
class _Seat:
    """Where a part of a concatenation lies in it."""

    outer: Value
    axis: int
    start: int


class _Overlays:
    """The operations of one block and the values that got a place in another's memory."""

    def __init__(self, block: Block) -> None:
        self._steps = block.steps
        self._operations = [step for step in block.steps if isinstance(step, Operation)]
        self._producer = {value: operation for operation in self._operations for value in operation.outputs}
        self._views = {step.result: step for step in block.steps if isinstance(step, View)}
        self._readers: dict[Value, list[Operation]] = {}
        for operation in self._operations:
            for value in operation.inputs:
                self._readers.setdefault(value, []).append(operation)
        self._read_elsewhere = set(_read_elsewhere(block))
        self._handed_back = {self._origin(value) for value in block.results}
        self._placed: dict[Value, Part] = {}
        self._seats: dict[Value, _Seat] = {}
        self._replaced: dict[Operation, list[Step]] = {}

    def steps(self) -> list[Step]:
        """The steps of the block with overlays; later concatenations choose first, as they hold earlier ones."""
        for operation in reversed(self._operations):
            if operation.joins is not None:
                self._replace(operation, self._piece_of_larger(operation) or self._join(operation, operation.joins))
        for operation in self._operations:
            if operation.cuts is not None:
                self._replace(operation, self._cut(operation, operation.cuts))
        return [made for step in self._steps for made in self._made_of(step)]

    def _made_of(self, step: Step) -> Sequence[Step]:
        return self._replaced.get(step, [step]) if isinstance(step, Operation) else [step]

    def _replace(self, operation: Operation, steps: list[Step] | None) -> None:
        if steps is not None:
            self._replaced[operation] = steps

    def _piece_of_larger(self, operation: Operation) -> list[Step] | None:
        """Rule 3."""
        result, seats = operation.outputs[0], [self._seats.get(part) for part in operation.inputs]
        first = seats[0]
        if first is None or first.axis != operation.joins or result in self._placed:
            return None
        expected = first.start
        for part, seat in zip(operation.inputs, seats, strict=True):
            if seat is None or (seat.outer, seat.axis, seat.start) != (first.outer, first.axis, expected):
                return None
            expected += part.shape[first.axis]
        piece = self._part(result, first.outer, first.axis, first.start)
        if not self._may_lie(piece, made=True):
            return None
        self._placed[result] = piece
        return [Overlay(operation.node, operation.inputs, result, (piece,))]

    def _join(self, operation: Operation, axis: int) -> list[Step] | None:
        result, start = operation.outputs[0], 0
        steps: list[Step] = []
        sources: list[Value] = []
        parts: list[Part] = []
        seats: dict[Value, _Seat] = {}
        copied = 0
        for position, source in enumerate(operation.inputs):
            part = self._part(source, result, axis, start)
            if part.strides is None:
                part = replace(part, inner=self._origin(source))
            if any(part.inner is other.inner for other in parts) or not self._may_lie(part):
                copy = _copy(operation, source, position)
                copied += source.size_bytes
                steps.append(copy)
                source = copy.outputs[0]
                part = replace(part, inner=source)
            seats[source] = _Seat(result, axis, start)
            sources.append(source)
            parts.append(part)
            start += source.shape[axis]
        if copied * 2 > result.size_bytes or (copied and self._fuses_with_reader(result)):  # rule 4
            return None
        if any(part.strides and _row_bytes(part.inner, part.strides) < _SHORTEST_ROW_BYTES for part in parts):
            return None
        self._seats |= seats
        self._placed |= {part.inner: part for part in parts}
        return [*steps, Overlay(operation.node, tuple(sources), result, tuple(parts))]

    def _cut(self, operation: Operation, starts: tuple[int, ...]) -> list[Step] | None:
        """Rule 5."""
        source, result = operation.inputs[0], operation.outputs[0]
        if result in self._placed or source.data is not None or self._fuses_with_producer(source):
            return None
        strides = self._strides(source)
        offset = sum(start * stride for start, stride in zip(starts, strides, strict=True)) * _item_bytes(source)
        part = Part(result, source, offset, None if _is_dense(result.shape, strides) else strides)
        if not self._may_lie(part, made=True):
            return None
        self._placed[result] = part
        return [Overlay(operation.node, (source,), result, (part,))]

    def _origin(self, value: Value) -> Value:
        """The value that a kernel writes, of which this one is another view of the same extent."""
        while (view := self._views.get(value)) is not None:
            if view.offset_bytes or view.source.size_bytes != value.size_bytes:
                return value
            value = view.source
        return value

    def _strides(self, value: Value) -> tuple[int, ...]:
        placed = self._placed.get(value)
        return placed.strides if placed is not None and placed.strides else _dense_strides(value.shape)

    def _part(self, inner: Value, outer: Value, axis: int, start: int) -> Part:
        strides = self._strides(outer)
        offset = start * strides[axis] * _item_bytes(outer)
        return Part(inner, outer, offset, None if _is_dense(inner.shape, strides) else strides)

    def _may_lie(self, part: Part, *, made: bool = False) -> bool:
        """Whether a value may get its place; `made` if it has no kernel of its own that writes it."""
        value = part.inner
        if value in self._placed or value in self._handed_back or not (made or value in self._producer):
            return False
        if part.strides is None:  # rule 1
            return True
        touching = [*self._readers.get(value, ()), *(() if made else (self._producer[value],))]
        return (  # rule 2
            value not in self._read_elsewhere
            and all(operation.pattern is not Pattern.OPAQUE for operation in touching)
            and _row_bytes(value, part.strides) >= _SHORTEST_ROW_BYTES
        )

    def _fuses_with_reader(self, result: Value) -> bool:
        readers = self._readers.get(result, [])
        return (
            len(readers) == 1
            and result not in self._read_elsewhere
            and readers[0].pattern <= Pattern.INJECTIVE
            and math.prod(readers[0].outputs[0].shape) <= math.prod(result.shape)
        )

    def _fuses_with_producer(self, source: Value) -> bool:
        producer = self._producer.get(source)
        return (
            producer is not None
            and producer.pattern <= Pattern.INJECTIVE
            and len(self._readers[source]) == 1
            and source not in self._read_elsewhere
            and source not in self._placed
        )


def _read_elsewhere(block: Block) -> Iterator[Value]:
    """The values that others than the block's own operations read: those may not have strides."""
    yield from block.results
    for step in block.steps:
        if not isinstance(step, Operation):
            yield from values_read(step)
        for nested in nested_blocks(step):
            yield from _read_within(nested)


def _read_within(block: Block) -> Iterator[Value]:
    for step in block.steps:
        yield from values_read(step)
    yield from _read_elsewhere(block)


def _dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    pairs = zip(shape, strides, _dense_strides(shape), strict=True)
    return all(extent == 1 or stride == dense for extent, stride, dense in pairs)


def _row_bytes(value: Value, strides: Sequence[int]) -> int:
    """Bytes that lie together."""
    elements = 1
    for extent, stride in zip(reversed(value.shape), reversed(strides), strict=True):
        if extent == 1:
            continue
        if stride != elements:
            break
        elements *= extent
    return elements * _item_bytes(value)


def _item_bytes(value: Value) -> int:
    return np.dtype(value.dtype).itemsize


def _copy(operation: Operation, source: Value, position: int) -> Operation:
    """Copies a part to where it belongs."""
    copied = Value(f"{operation.outputs[0].name}.part_{position}", source.shape, source.dtype)

    def compute(tensors: Sequence[Any]) -> Sequence[Any]:
        from tvm import te

        return [te.compute(source.shape, lambda *indices: tensors[0](*indices), "part")]

    return Operation(operation.node, operation.op, Pattern.ELEMENTWISE, (source,), (copied,), compute)
