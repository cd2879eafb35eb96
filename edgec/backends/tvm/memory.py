"""The memory plan: where every value lies, decided at compile time.

Values live in the model's constants, in the caller's inputs and outputs, in one arena, or in a slice of a value that a
loop walks over. A value that is handed on (a result of the model, of a branch, of an iteration) is made in its
destination where that is possible, and copied otherwise.

A kernel writes over an input that it reads last, if each element of its output depends on that element of it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from edgec.backends.tvm.arena import Lifetime, pack
from edgec.backends.tvm.constants import ConstantBlob
from edgec.backends.tvm.fusion import FusedBlock, FusedConditional, FusedRepeat, KernelGroup, values_made
from edgec.backends.tvm.in_place import overwritable_inputs
from edgec.backends.tvm.kernel_graph import Overlay, Value, View


class Region(Enum):
    """What an offset counts from."""

    CONSTANTS = "weights"
    INPUT = "input"
    OUTPUT = "output"
    ARENA = "arena"
    SLICE = "slice"


@dataclass(frozen=True)
class Place:
    """Where a value lies: `offset` bytes into a region; `index` tells inputs, outputs and slices apart."""

    region: Region
    index: int
    offset: int


@dataclass(frozen=True, eq=False)
class Copy:
    """`source` is copied over `destination`; both have the same size."""

    source: Value
    destination: Value


@dataclass(frozen=True, eq=False)
class LoopSlice:
    """The slice of `whole` that an iteration sees; values in region SLICE with this index lie in it."""

    index: int
    whole: Value
    bytes: int
    reversed: bool
    written: bool


@dataclass
class MemoryPlan:
    """Places and copies.

    Attributes:
        constants: the blob of constants.
        arena_bytes: size of the arena.
        copies: at the end of a block, in order; parameters of loops take their next values so.
        slices: by loop.
        output_copies: results of the model that are not made in place, by index of the output.
        scratch: offset in the arena of the scratch area of kernels that need one.
        in_place: calls of kernels whose output lies where one of their inputs lay; scratch areas do not change which.
        places: where values lie that have memory of their own.
        aliases: values that lie in another's memory, with the offset in bytes.
    """

    constants: ConstantBlob = field(default_factory=ConstantBlob)
    arena_bytes: int = 0
    copies: dict[FusedBlock, list[Copy]] = field(default_factory=dict)
    slices: dict[FusedRepeat, list[LoopSlice]] = field(default_factory=dict)
    output_copies: dict[int, Value] = field(default_factory=dict)
    scratch: dict[KernelGroup, int] = field(default_factory=dict)
    in_place: set[KernelGroup] = field(default_factory=set)
    places: dict[Value, Place] = field(default_factory=dict)
    aliases: dict[Value, tuple[Value, int]] = field(default_factory=dict)

    def place(self, value: Value) -> Place:
        """Where a value lies."""
        root, offset = self.root(value)
        if root.data is not None:
            return Place(Region.CONSTANTS, 0, self.constants.offset(root) + offset)
        place = self.places[root]
        return Place(place.region, place.index, place.offset + offset)

    def root(self, value: Value) -> tuple[Value, int]:
        """The value in whose memory this one lies, and the offset in bytes."""
        offset = 0
        while value in self.aliases:
            value, step = self.aliases[value]
            offset += step
        return value, offset


def plan_memory(block: FusedBlock, scratch_bytes: Mapping[KernelGroup, int]) -> MemoryPlan:
    """Plan the memory of a model.

    Args:
        block: the outermost block.
        scratch_bytes: scratch area by kernel call; calls without one are absent.
    """
    planner = _Planner(scratch_bytes)
    planner.outermost(block)
    return planner.plan


class _Planner:
    def __init__(self, scratch_bytes: Mapping[KernelGroup, int]) -> None:
        self.plan = MemoryPlan()
        self._scratch_bytes = scratch_bytes
        self._scratch_values: dict[KernelGroup, Value] = {}
        self._calls: dict[KernelGroup, int] = {}
        self._lives: dict[Value, Lifetime] = {}
        self._now = 0
        self._slices = 0

    def outermost(self, block: FusedBlock) -> None:
        for index, value in enumerate(block.parameters):
            self.plan.places[value] = Place(Region.INPUT, index, 0)
        self._collect_views(block)
        made = _made_in(block)
        for index, result in enumerate(block.results):
            root = self._free_root(result, made)
            if root is None:
                self.plan.output_copies[index] = result
            else:
                self.plan.places[root] = Place(Region.OUTPUT, index, 0)
        self._walk(block)
        self._touch(block.results)
        self._reuse()
        self._pack()

    def _collect_views(self, block: FusedBlock) -> None:
        for step in block.steps:
            match step:
                case View():
                    self.plan.aliases[step.result] = (step.source, step.offset_bytes)
                case Overlay():
                    self.plan.aliases |= {part.inner: (part.outer, part.offset_bytes) for part in step.parts}
                case FusedConditional():
                    self._collect_views(step.then_block)
                    self._collect_views(step.else_block)
                case FusedRepeat():
                    self._collect_views(step.body)
                case KernelGroup():
                    pass

    def _free_root(self, result: Value, made: set[Value]) -> Value | None:
        """The root of a result if it was made in this block and has no place yet, so that it may get one."""
        root, offset = self.plan.root(result)
        if offset or root not in made or root.size_bytes != result.size_bytes or root in self.plan.places:
            return None
        return root

    def _walk(self, block: FusedBlock) -> None:
        for step in block.steps:
            self._now += 1
            match step:
                case KernelGroup():
                    self._calls[step] = self._now
                    self._touch((*step.inputs, *step.outputs, *self._scratch(step)))
                case FusedConditional():
                    self._conditional(step)
                case FusedRepeat():
                    self._repeat(step)
                case View() | Overlay():
                    pass
        self._now += 1

    def _scratch(self, group: KernelGroup) -> tuple[Value, ...]:
        if group not in self._scratch_bytes:
            return ()
        self._scratch_values[group] = Value("scratch", (self._scratch_bytes[group],), "uint8")
        return (self._scratch_values[group],)

    def _conditional(self, step: FusedConditional) -> None:
        self._touch((step.source.condition, *step.source.outputs))
        for block in (step.then_block, step.else_block):
            made = _made_in(block)
            copies = self.plan.copies.setdefault(block, [])
            for result, output in zip(block.results, step.source.outputs, strict=True):
                root = self._free_root(result, made)
                if root is None:
                    copies.append(Copy(result, output))
                else:
                    self.plan.aliases[root] = (output, 0)
            self._walk(block)
            self._touch((*block.results, *step.source.outputs))

    def _repeat(self, step: FusedRepeat) -> None:
        source, body, start = step.source, step.body, self._now
        count = len(source.carried)
        counters, parameters = body.parameters[:2], body.parameters[2 : 2 + count]
        for parameter, output in zip(parameters, source.carried_outputs, strict=True):
            self.plan.aliases[parameter] = (output, 0)
        throughout = (*counters, *source.carried_outputs, *source.collected, *source.scanned)
        tested = tuple(value for value in (source.trip_count, source.condition) if value is not None)
        self._touch((*throughout, *tested, *source.carried))
        self._slice(step, _made_in(body))
        self._walk(body)
        self._touch(body.results)
        self._carry(body, parameters)
        self._now += 1
        self._touch(throughout)
        for life in self._lives.values():  # what the body reads from outside must survive every iteration
            if life.first <= start < life.last:
                life.last = self._now

    def _slice(self, step: FusedRepeat, made: set[Value]) -> None:
        source, body = step.source, step.body
        count = len(source.carried)
        slices = self.plan.slices.setdefault(step, [])
        copies = self.plan.copies.setdefault(body, [])
        for whole, part, backwards in zip(
            source.scanned, body.parameters[2 + count :], source.scanned_reversed, strict=True
        ):
            self._add_slice(slices, whole, part, backwards, written=False)
        for whole, result, backwards in zip(
            source.collected, body.results[1 + count :], source.collected_reversed, strict=True
        ):
            free = self._free_root(result, made)
            part = free or Value(f"{whole.name}.slice", result.shape, result.dtype)
            if free is None:
                copies.append(Copy(result, part))
            self._add_slice(slices, whole, part, backwards, written=True)

    def _add_slice(self, slices: list[LoopSlice], whole: Value, part: Value, backwards: bool, *, written: bool) -> None:
        self.plan.places[part] = Place(Region.SLICE, self._slices, 0)
        slices.append(LoopSlice(self._slices, whole, part.size_bytes, backwards, written))
        self._slices += 1

    def _carry(self, body: FusedBlock, parameters: tuple[Value, ...]) -> None:
        """Copy the next carried values over the parameters; through a third place where one overwrites another."""
        results = body.results[1 : 1 + len(parameters)]
        moved = [
            (result, parameter)
            for result, parameter in zip(results, parameters, strict=True)
            if self.plan.root(result) != self.plan.root(parameter)
        ]
        overwritten = {self.plan.root(parameter)[0] for _, parameter in moved}
        copies = self.plan.copies[body]
        last: list[Copy] = []
        for result, parameter in moved:
            if self.plan.root(result)[0] in overwritten:
                staged = Value(f"{result.name}.next", result.shape, result.dtype)
                self._touch((staged,))
                copies.append(Copy(result, staged))
                last.append(Copy(staged, parameter))
            else:
                last.append(Copy(result, parameter))
        copies += last

    def _touch(self, values: Iterable[Value]) -> None:
        for value in values:
            root, _ = self.plan.root(value)
            if root.data is not None or root in self.plan.places:
                continue
            life = self._lives.setdefault(root, Lifetime(root.size_bytes, self._now, self._now))
            life.last = self._now

    def _reuse(self) -> None:
        """Let kernels write over an input of equal size that they read last."""
        for group, now in self._calls.items():
            for value in overwritable_inputs(group):
                if self._may_replace(group, value, now):
                    host, _ = self.plan.root(value)
                    output, _ = self.plan.root(group.outputs[0])
                    self._lives[host].last = self._lives.pop(output).last
                    self.plan.aliases[output] = (host, 0)
                    self.plan.in_place.add(group)
                    break

    def _may_replace(self, group: KernelGroup, value: Value, now: int) -> bool:
        host, start = self.plan.root(value)
        output, output_start = self.plan.root(group.outputs[0])
        others = [self.plan.root(other)[0] for other in group.inputs if other is not value]
        return (
            host in self._lives
            and output in self._lives
            and (start, output_start) == (0, 0)
            and self._lives[host].last == now == self._lives[output].first
            and host.size_bytes == value.size_bytes == output.size_bytes
            and host not in others
        )

    def _pack(self) -> None:
        packing = pack(list(self._lives.values()))
        for value, offset in zip(self._lives, packing.offsets, strict=True):
            self.plan.places[value] = Place(Region.ARENA, 0, offset)
        self.plan.arena_bytes = packing.size_bytes
        self.plan.scratch = {group: self.plan.places[value].offset for group, value in self._scratch_values.items()}


def _made_in(block: FusedBlock) -> set[Value]:
    return {value for step in block.steps for value in values_made(step)}
