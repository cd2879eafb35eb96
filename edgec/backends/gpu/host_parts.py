"""Steps that a graphics processor cannot run, as functions for the processor beside it.

A step stays on the graphics processor unless it decides what runs next (`If`, `Loop`, `Scan`), or has a kernel of one
thread only and more than a few elements. Neighbouring steps of the processor become one function. Both sides
share one memory plan: the processor has an arena of its own with the same offsets, and only the tensors that a function
reads and others made, or that it makes and others read, are copied.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgec.backends.plan import Fallback, PlannedLayer
from edgec.backends.tvm.code_generation import Kernel, groups_in_order, make_kernels, strides_of
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.fusion import (
    FusedBlock,
    FusedConditional,
    FusedRepeat,
    FusedStep,
    KernelGroup,
    values_made,
    values_read,
)
from edgec.backends.tvm.kernel_graph import Value
from edgec.backends.tvm.machine_code import KernelSource, compile_kernels
from edgec.backends.tvm.memory import MemoryPlan, Region, plan_memory
from edgec.core.target import Compiler

_FEW_ELEMENTS = 256
"""A single thread is done with so many sooner than the processor, which is waited for twice; assumed, not measured."""
_CONTROL_FLOW_HINT = "build for the target's processor where most of the network's time is spent there"
_LOOP_HINT = "the copies there and back take time; the operator has no parallel form here"


@dataclass(frozen=True)
class HostPart:
    """Neighbouring steps that run on the processor.

    Attributes:
        steps: loops, branches and kernels, in order; at least one.
        groups_before: kernel groups of the graphics processor that come before it in the outermost block.
    """

    steps: tuple[FusedStep, ...]
    groups_before: int

    @property
    def nodes(self) -> tuple[str, ...]:
        """The ONNX nodes of its steps."""
        return tuple(_name(step)[0] for step in self.steps)


@dataclass(frozen=True)
class HostCode:
    """Machine code of all parts.

    Attributes:
        kernels: the C function of each kernel group in them.
        contents: an object file; empty if there are no kernels.
        scratch: bytes of scratch of the groups that need some.
    """

    kernels: Mapping[KernelGroup, Kernel]
    contents: bytes
    scratch: Mapping[KernelGroup, int]


@dataclass(frozen=True)
class Transfers:
    """Values that a part's caller copies: from the graphics processor before the call, and to it after."""

    reads: tuple[Value, ...]
    writes: tuple[Value, ...]


def has_few_elements(group: KernelGroup) -> bool:
    """Whether a single thread of the graphics processor is soon done with a kernel."""
    return sum(math.prod(value.shape) for value in (*group.inputs, *group.outputs)) <= _FEW_ELEMENTS


def host_parts(block: FusedBlock, on_device: Collection[KernelGroup]) -> tuple[HostPart, ...]:
    """The steps of the outermost block that are none of these kernels, neighbours together."""
    parts: list[HostPart] = []
    steps: list[FusedStep] = []
    before = 0
    for step in block.steps:
        if isinstance(step, KernelGroup) and step in on_device:
            parts += [HostPart(tuple(steps), before)] if steps else []
            steps = []
            before += 1
        elif isinstance(step, KernelGroup | FusedConditional | FusedRepeat):
            steps.append(step)
    return (*parts, HostPart(tuple(steps), before)) if steps else tuple(parts)


def compile_parts(
    block: FusedBlock, parts: Sequence[HostPart], symbol: str, core: CoreDescription, compiler: Compiler
) -> HostCode:
    """Compile the kernels of all parts for the processor, for one thread.

    Args:
        block: the outermost block.
        parts: of it.
        symbol: prefix of the names.
        core: what the lowering picked layouts by.
        compiler: of the target.

    Raises:
        EdgecError: EC0402 if TVM or LLVM fails.
    """
    from edgec.backends.tvm.schedules.rules import schedule

    groups = [group for part in parts for group in _groups(part.steps)]
    if not groups:
        return HostCode({}, b"", {})
    in_place = plan_memory(block, {}).in_place
    processor = replace(core, dot_product="none", channel_blocks=())
    prefix = f"{symbol}_host"
    kernels = make_kernels(groups, strides_of(block), in_place, prefix, processor, 1, schedule, lambda: None)
    sources = [KernelSource(kernel.symbol, kernel.function, kernel.plain) for kernel in dict.fromkeys(kernels.values())]
    code = compile_kernels(sources, compiler, 1)
    scratch = {
        group: code.scratch_bytes[kernel.symbol]
        for group, kernel in kernels.items()
        if kernel.symbol in code.scratch_bytes
    }
    return HostCode(kernels, code.contents, scratch)


def transfers(block: FusedBlock, part: HostPart, memory: MemoryPlan) -> Transfers:
    """What is copied around the call of a part; parts of memory shared with others are copied whole."""
    start, end = block.steps.index(part.steps[0]), block.steps.index(part.steps[-1])
    made_before = _roots((value for step in block.steps[:start] for value in values_made(step)), memory)
    read_after = _roots((*_read(block.steps[end + 1 :]), *block.results), memory)
    strided = strides_of(block)

    def has_place(value: Value) -> bool:
        return bool(value.size_bytes) and memory.root(value)[0].data is None

    writes = [
        value
        for value in dict.fromkeys(value for step in part.steps for value in values_made(step))
        if has_place(value) and (memory.root(value)[0] in read_after or _is_output(value, memory))
    ]
    read = [value for value in _read(part.steps) if has_place(value) and memory.root(value)[0] in made_before]
    # Rows that lie apart are written back with what lies between them.
    return Transfers(tuple(dict.fromkeys([*read, *(value for value in writes if value in strided)])), tuple(writes))


def host_fallbacks(
    parts: Sequence[HostPart], block: FusedBlock, layers: Sequence[PlannedLayer]
) -> tuple[Fallback, ...]:
    """What the report says of each step on the processor.

    Args:
        parts: of the network.
        block: the outermost block.
        layers: of all its kernels, in the order of `groups_in_order`.
    """
    layer_of = dict(zip(groups_in_order(block), layers, strict=True))
    whole = _work(layers)
    found = []
    for step in (step for part in parts for step in part.steps):
        name, reason, hint = _name(step)
        own = _work([layer_of[group] for group in _groups([step])])
        macs, moved = (100 * part / all_of_it if all_of_it else 0.0 for part, all_of_it in zip(own, whole, strict=True))
        share = f"{macs:.3g} % of the network's multiply-accumulates, {moved:.3g} % of its bytes"
        found.append(Fallback(node=name, reason=f"it runs on the processor, because {reason}; {share}", hint=hint))
    return tuple(found)


def _name(step: FusedStep) -> tuple[str, str, str]:
    """The ONNX node of a step, why it is none for a graphics processor, and what would help."""
    match step:
        case FusedConditional():
            return step.source.node, "it decides what runs next", _CONTROL_FLOW_HINT
        case FusedRepeat():
            return step.source.node, "each of its iterations waits for the one before", _CONTROL_FLOW_HINT
        case KernelGroup():
            return step.anchor.node, "no schedule uses more than one thread of a graphics processor", _LOOP_HINT
        case _:
            return "", "", ""


def _work(layers: Iterable[PlannedLayer]) -> tuple[float, float]:
    """Multiply-accumulates and bytes."""
    pairs = [(layer.share * layer.macs, layer.share * layer.bytes) for layer in layers]
    return sum(macs for macs, _ in pairs), sum(moved for _, moved in pairs)


def _groups(steps: Iterable[FusedStep]) -> list[KernelGroup]:
    return groups_in_order(FusedBlock((), (), tuple(steps)))


def _read(steps: Iterable[FusedStep]) -> Iterator[Value]:
    """Everything that steps, and the blocks in them, read."""
    for step in steps:
        match step:
            case KernelGroup():
                yield from step.inputs
            case FusedConditional():
                yield from values_read(step.source)
                for block in (step.then_block, step.else_block):
                    yield from (*_read(block.steps), *block.results)
            case FusedRepeat():
                yield from values_read(step.source)
                yield from (*_read(step.body.steps), *step.body.results)
            case _:
                pass


def _roots(values: Iterable[Value], memory: MemoryPlan) -> set[Value]:
    return {memory.root(value)[0] for value in values}


def _is_output(value: Value, memory: MemoryPlan) -> bool:
    return memory.place(value).region is Region.OUTPUT
