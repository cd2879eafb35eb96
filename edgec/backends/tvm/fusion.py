"""Fusion: which operations become one kernel.

A group grows from a seed, forwards over its consumers, and is cut back to the last point at which a single value left
it. Rules, numbered as the code cites them:

1. A convolution, matrix product or reduction takes elementwise followers of exactly its shape (bias, activation,
   residual sum).
2. A chain of elementwise and injective operations grows while no element would be computed twice: a follower may not be
   larger than what it reads (so a broadcast or an `Expand` of an activation starts a new group).
3. A group hands out one value. A value with several readers stays inside if every reader does (`x * sigmoid(x)`).
4. An elementwise producer of the same shape whose only readers are in the group joins it (both sides of a sum).
5. Operations with several outputs, and opaque ones, stand alone; nothing crosses the border of a block.
6. A matrix product or convolution of single points takes the elementwise operations and transposes that make its left
   side and that nobody else reads: it reads each of their elements once a row of tiles, from a buffer of its own.
7. Where a group of threads shares a tile, any convolution of few channels takes a transpose or a cast likewise: its
   patches are copied element by element anyway.

After Chen et al., "TVM" (OSDI 2018), section 3, without its injective-into-reduction rule: our reductions may read an
element several times.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgec.backends.tvm.kernel_graph import (
    Block,
    Conditional,
    Operation,
    Overlay,
    Pattern,
    Repeat,
    Step,
    Value,
    View,
)

_LARGEST_GROUP = 48
_LARGEST_INTERFACE = 24


@dataclass(frozen=True, eq=False)
class KernelGroup:
    """Operations computed by one kernel.

    Attributes:
        operations: in order of execution.
        inputs: values read from memory, constants included, each once.
        outputs: values written to memory.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    @property
    def anchor(self) -> Operation:
        """The operation that gives the kernel its name: the one that costs most, the first of equals."""
        return max(self.operations, key=lambda operation: (operation.pattern, operation.macs))


@dataclass(frozen=True, eq=False)
class FusedBlock:
    """A block after fusion."""

    parameters: tuple[Value, ...]
    results: tuple[Value, ...]
    steps: tuple[FusedStep, ...]


@dataclass(frozen=True, eq=False)
class FusedConditional:
    """A conditional after fusion."""

    source: Conditional
    then_block: FusedBlock
    else_block: FusedBlock


@dataclass(frozen=True, eq=False)
class FusedRepeat:
    """A loop after fusion."""

    source: Repeat
    body: FusedBlock


FusedStep = KernelGroup | View | Overlay | FusedConditional | FusedRepeat


def fuse(block: Block, gathered_channels: int = 0) -> FusedBlock:
    """Group the operations of a block and of all blocks in it.

    Args:
        block: what to group.
        gathered_channels: channels, at most, that a convolution brings together from where they lie apart; rule 7.
    """
    return _fuse(block, Counter(_reads(block)), gathered_channels)


def values_read(step: Step) -> Iterator[Value]:
    """The values that a step itself reads, without the blocks inside it."""
    match step:
        case Operation():
            yield from step.inputs
        case View():
            yield step.source
        case Overlay():
            yield from step.sources
        case Conditional():
            yield step.condition
        case Repeat():
            yield from (value for value in (step.trip_count, step.condition) if value is not None)
            yield from step.carried
            yield from step.scanned


def values_made(step: FusedStep) -> tuple[Value, ...]:
    """The values that a step leaves to those after it; a view is none, for it names a part of another."""
    match step:
        case KernelGroup():
            return step.outputs
        case FusedConditional():
            return step.source.outputs
        case FusedRepeat():
            return (*step.source.carried_outputs, *step.source.collected)
        case Overlay():
            return (step.result,)
        case View():
            return ()


def nested_blocks(step: Step) -> tuple[Block, ...]:
    """The blocks inside a step."""
    match step:
        case Conditional():
            return (step.then_block, step.else_block)
        case Repeat():
            return (step.body,)
        case _:
            return ()


def _reads(block: Block) -> Iterator[Value]:
    for step in block.steps:
        yield from values_read(step)
        for nested in nested_blocks(step):
            yield from _reads(nested)
    yield from block.results


def _fuse(block: Block, reads: Counter[Value], gathered_channels: int) -> FusedBlock:
    groups = _Grouping(block, reads, gathered_channels).groups()

    def fused(inner: Block) -> FusedBlock:
        return _fuse(inner, reads, gathered_channels)

    steps: list[FusedStep] = []
    for step in block.steps:
        match step:
            case Operation():
                if step in groups:
                    steps.append(groups[step])
            case View() | Overlay():
                steps.append(step)
            case Conditional():
                steps.append(FusedConditional(step, fused(step.then_block), fused(step.else_block)))
            case Repeat():
                steps.append(FusedRepeat(step, fused(step.body)))
    return FusedBlock(block.parameters, block.results, tuple(steps))


class _Grouping:
    """The operations of one block and the groups made of them so far."""

    def __init__(self, block: Block, reads: Counter[Value], gathered_channels: int) -> None:
        self._gathered_channels = gathered_channels
        self._operations = [step for step in block.steps if isinstance(step, Operation)]
        self._position = {operation: index for index, operation in enumerate(self._operations)}
        self._reads = reads
        self._producer = {value: operation for operation in self._operations for value in operation.outputs}
        self._readers: dict[Value, list[Operation]] = {}
        for operation in self._operations:
            for value in dict.fromkeys(operation.inputs):
                self._readers.setdefault(value, []).append(operation)
        self._grouped: set[Operation] = set()

    def groups(self) -> dict[Operation, KernelGroup]:
        """The groups by their last operation, which is where they run."""
        made: dict[Operation, KernelGroup] = {}
        for heaviest in (True, False):
            for seed in self._operations:
                if seed in self._grouped or heaviest != (seed.pattern in (Pattern.ANCHOR, Pattern.REDUCTION)):
                    continue
                region = self._grow(seed)
                self._grouped.update(region)
                members = sorted(region, key=self._position.__getitem__)
                made[members[-1]] = self._group(members)
        return made

    def _grow(self, seed: Operation) -> list[Operation]:
        region = [seed]
        if seed.pattern == Pattern.OPAQUE or len(seed.outputs) != 1:  # rule 5
            return region
        closed = region
        while len(region) < _LARGEST_GROUP:
            follower = self._follower(seed, region)
            if follower is None:
                break
            region = self._with_producers([*region, follower], follower)
            if len(self._escaping(region)) == 1 and self._interface(region) <= _LARGEST_INTERFACE:  # rule 3
                closed = region
        return self._with_input(closed, seed) if seed.pattern == Pattern.ANCHOR else closed

    def _with_input(self, region: list[Operation], anchor: Operation) -> list[Operation]:
        """The region with what makes the left side of its anchor; rule 6."""
        last, closed = anchor, region
        while len(region) < _LARGEST_GROUP:
            value = last.inputs[0]
            producer = self._producer.get(value)
            if producer is None or producer in self._grouped or not self._may_feed(producer, value, region, anchor):
                break
            region = [*region, producer]
            if self._interface(region) <= _LARGEST_INTERFACE:
                closed = region
            last = producer
        return closed

    def _may_feed(self, producer: Operation, value: Value, region: Sequence[Operation], anchor: Operation) -> bool:
        left, made = anchor.inputs[0], math.prod(anchor.outputs[0].shape)
        single_points = anchor.macs == made * left.shape[-1]
        gathered = producer.op in ("Transpose", "Cast") and left.shape[-1] <= self._gathered_channels  # rule 7
        return (
            producer.pattern <= Pattern.INJECTIVE
            and producer.joins is None
            and len(producer.outputs) == 1
            and (single_points or gathered)
            and math.prod(value.shape) >= math.prod(left.shape)
            and anchor.inputs.count(left) == 1
            and self._read_only_by(value, region)
        )

    def _follower(self, seed: Operation, region: Sequence[Operation]) -> Operation | None:
        candidates = [
            reader
            for value in self._escaping(region)
            for reader in self._readers.get(value, ())
            if reader not in region and reader not in self._grouped and self._may_follow(seed, region, reader)
        ]
        return min(candidates, key=self._position.__getitem__, default=None)

    def _may_follow(self, seed: Operation, region: Sequence[Operation], reader: Operation) -> bool:
        if len(reader.outputs) != 1:
            return False
        shape = reader.outputs[0].shape
        if seed.pattern in (Pattern.ANCHOR, Pattern.REDUCTION):  # rule 1
            return reader.pattern == Pattern.ELEMENTWISE and shape == seed.outputs[0].shape
        inside = {value for operation in region for value in operation.outputs}
        return reader.pattern <= Pattern.INJECTIVE and all(  # rule 2
            math.prod(shape) <= math.prod(value.shape) for value in reader.inputs if value in inside
        )

    def _with_producers(self, region: list[Operation], follower: Operation) -> list[Operation]:
        for value in follower.inputs:  # rule 4
            producer = self._producer.get(value)
            if (
                producer is not None
                and producer not in region
                and producer not in self._grouped
                and producer.pattern == Pattern.ELEMENTWISE
                and len(producer.outputs) == 1
                and value.shape == follower.outputs[0].shape
                and self._read_only_by(value, region)
            ):
                region = self._with_producers([*region, producer], producer)
        return region

    def _read_only_by(self, value: Value, region: Sequence[Operation]) -> bool:
        return self._reads[value] == sum(operation.inputs.count(value) for operation in region)

    def _escaping(self, region: Sequence[Operation]) -> list[Value]:
        made = [value for operation in region for value in operation.outputs]
        return [value for value in made if not self._read_only_by(value, region) or self._reads[value] == 0]

    def _interface(self, region: Sequence[Operation]) -> int:
        made = {value for operation in region for value in operation.outputs}
        return len({value for operation in region for value in operation.inputs} - made)

    def _group(self, members: Sequence[Operation]) -> KernelGroup:
        made = {value for operation in members for value in operation.outputs}
        read = dict.fromkeys(value for operation in members for value in operation.inputs if value not in made)
        outputs = members[0].outputs if len(members) == 1 else tuple(self._escaping(members))
        return KernelGroup(tuple(members), tuple(read), outputs)
