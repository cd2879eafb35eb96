"""From a model and a target to kernels for a graphics processor and the plan of their launches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.backends.gpu.device import LANES, Device, core_of, gpu_of
from edgec.backends.gpu.host_parts import (
    HostPart,
    compile_parts,
    has_few_elements,
    host_fallbacks,
    host_parts,
    transfers,
)
from edgec.backends.gpu.kernel_source import GpuKernel, KernelMaker
from edgec.backends.gpu.launch_plan import (
    Argument,
    BufferCopy,
    BufferSpace,
    GpuProgram,
    HostCall,
    Launch,
    LaunchPlan,
)
from edgec.backends.gpu.source import make_program
from edgec.backends.plan import Fallback, MemoryUse, PlannedLayer
from edgec.backends.tvm.code_generation import groups_in_order, strides_of
from edgec.backends.tvm.dead_steps import without_dead_steps
from edgec.backends.tvm.driver import Program, write_parts
from edgec.backends.tvm.fusion import FusedBlock, KernelGroup, fuse
from edgec.backends.tvm.integer.recognition import form_integer_nodes
from edgec.backends.tvm.kernel_graph import KernelGraph, Value
from edgec.backends.tvm.memory import MemoryPlan, Region, plan_memory
from edgec.backends.tvm.model_lowering import lower_graph, unsupported_nodes
from edgec.backends.tvm.overlays import lay_over
from edgec.backends.tvm.planned_layers import planned_layers, tensor_specs
from edgec.core.codes.backend import UNSUPPORTED_NODES
from edgec.core.errors import EdgecError
from edgec.core.progress import Progress
from edgec.core.target import Target
from edgec.graph.load import network_name
from edgec.graph.shapes import model_inputs

_SPACES = {
    Region.CONSTANTS: BufferSpace.WEIGHTS,
    Region.INPUT: BufferSpace.INPUT,
    Region.OUTPUT: BufferSpace.OUTPUT,
    Region.ARENA: BufferSpace.ARENA,
}
_VECTOR_BYTES = 16


@dataclass(frozen=True)
class HostProgram:
    """What runs on the processor between launches.

    Attributes:
        source: C functions, as the launch plan names them, and what they need declared; empty if there are none.
        kernels: object file of the kernels that they call; empty if they call none.
    """

    source: str
    kernels: bytes


NO_HOST_PROGRAM = HostProgram("", b"")
"""That of a network that the graphics processor runs from end to end."""


@dataclass(frozen=True)
class GpuKernels:
    """What a build plan needs of the kernels.

    Attributes:
        plan: launches and program.
        layers: one a kernel group, in order; a group may take several launches, and may run on the processor.
        fallbacks: nodes that run on the processor, or whose kernel has not the best schedule, and why.
        memory: bytes by owner.
        host: what runs on the processor.
    """

    plan: LaunchPlan
    layers: tuple[PlannedLayer, ...]
    fallbacks: tuple[Fallback, ...]
    memory: MemoryUse
    host: HostProgram = NO_HOST_PROGRAM


def unsupported(model: ir.Model, target: Target) -> tuple[Fallback, ...]:
    """Every node that cannot be lowered for a graphics processor, with the reason and what would help."""
    return unsupported_nodes(form_integer_nodes(model).model, core_of(target))


def make_launch_plan(model: ir.Model, target: Target, *, name: str, progress: Progress) -> GpuKernels:
    """Lower a model whose shapes are all static.

    Raises:
        EdgecError: EC0401 with every unsupported node in `details`; EC0402 if TVM fails on a kernel.
    """
    refused = unsupported(model, target)
    if refused:
        raise EdgecError(
            UNSUPPORTED_NODES,
            f"{len(refused)} node{'s' if len(refused) > 1 else ''} of the model cannot run on a graphics processor",
            where=refused[0].node,
            hint=refused[0].hint,
            details=tuple(f"{problem.node}: {problem.reason}; {problem.hint}" for problem in refused),
        )
    progress.start("lower the graph")
    graph = lower_graph(form_integer_nodes(model).model, core_of(target), name)
    inputs = tuple(str(value.name) for value in model_inputs(model))
    outputs = tuple(str(value.name) for value in model.graph.outputs)
    return _plan_of(graph, inputs, outputs, target, progress)


def _plan_of(
    graph: KernelGraph, inputs: tuple[str, ...], outputs: tuple[str, ...], target: Target, progress: Progress
) -> GpuKernels:
    symbol = network_name(graph.name)
    block = fuse(lay_over(without_dead_steps(graph.main)), gathered_channels=LANES)
    kernels = _kernels(block, symbol, target, progress)
    parts = host_parts(block, kernels)
    host = compile_parts(block, parts, symbol, core_of(target), target.compiler)
    scratch = {group: kernel.scratch_bytes for group, kernel in kernels.items() if kernel.scratch_bytes}
    memory = plan_memory(block, {**scratch, **host.scratch})
    copies = _copies(memory)
    launches = _launches(block, kernels, memory)
    specs = tensor_specs(graph.main.parameters, inputs), tensor_specs(graph.main.results, outputs)
    program = Program(symbol, block, host.kernels, memory, *specs)
    source = write_parts(program, [part.steps for part in parts]) if parts else ""
    plan = LaunchPlan(
        symbol=symbol,
        inputs=program.inputs,
        outputs=program.outputs,
        arena_bytes=memory.arena_bytes,
        weights=memory.constants.contents,  # whole only now: constants get their place where they are first named
        program=_program(kernels, target, progress),
        launches=tuple(launch for of_group in launches for launch in of_group),
        copies=copies,
        host_calls=_host_calls(symbol, block, parts, launches, memory),
    )
    activations = min(plan_memory(block, {}).arena_bytes, memory.arena_bytes)
    layers = tuple(planned_layers(block, 1))
    return GpuKernels(
        plan,
        layers,
        fallbacks=(*host_fallbacks(parts, block, layers), *_slow_kernels(kernels)),
        memory=MemoryUse(
            weights_bytes=len(plan.weights),
            activations_bytes=activations,
            scratch_bytes=memory.arena_bytes - activations,
        ),
        host=HostProgram(source, host.contents),
    )


def _copies(memory: MemoryPlan) -> tuple[BufferCopy, ...]:
    return tuple(
        BufferCopy(_argument(value, memory, {}), Argument(BufferSpace.OUTPUT, index, 0, value.size_bytes))
        for index, value in memory.output_copies.items()
        if value.size_bytes
    )


def _program(kernels: Mapping[KernelGroup, GpuKernel], target: Target, progress: Progress) -> GpuProgram:
    different = list(dict.fromkeys(kernels.values()))
    progress.start(f"write {len(different)} kernels")
    if not different:
        return GpuProgram(gpu_of(target).api, "/* all of the network runs on the processor */\n", ())
    return make_program([kernel.lowered for kernel in different], gpu_of(target))


def _slow_kernels(kernels: Mapping[KernelGroup, GpuKernel]) -> tuple[Fallback, ...]:
    hint = "the result is right; report the operator and its shapes"
    reasons = {group: kernel.single_thread_reason or kernel.plainer_reason for group, kernel in kernels.items()}
    return tuple(Fallback(node=group.anchor.node, reason=why, hint=hint) for group, why in reasons.items() if why)


def _kernels(block: FusedBlock, symbol: str, target: Target, progress: Progress) -> dict[KernelGroup, GpuKernel]:
    """The kernel of each group of the outermost block that the device is to run, in order; equal groups share one."""
    groups = [step for step in block.steps if isinstance(step, KernelGroup)]
    progress.start("schedule kernels", total=len(groups))
    plan = plan_memory(block, {})
    strides = strides_of(block)
    maker = KernelMaker(symbol, strides, core_of(target), Device.of(target), gpu_of(target))
    made: dict[KernelGroup, GpuKernel] = {}
    for group in groups:
        kernel = maker.make(group, _vector(group, plan, strides), in_place=group in plan.in_place)
        if kernel.single_thread_reason is None or has_few_elements(group):
            made[group] = kernel
        progress.advance()
    return made


def _vector(group: KernelGroup, memory: MemoryPlan, strides: Mapping[Value, tuple[int, ...]]) -> int:
    """Elements that an access may have: fewer than a thread's lanes where a tensor begins or steps in between."""
    bytes_apart = [_VECTOR_BYTES]
    for value in (*group.inputs, *group.outputs):
        item_bytes = np.dtype(value.dtype).itemsize
        offset = memory.root(value)[1]
        steps = [step * item_bytes for step in strides.get(value, ())[:-1]]
        common = math.gcd(offset, *steps)
        if common:
            bytes_apart.append(math.gcd(_VECTOR_BYTES, common) * 4 // item_bytes)
    return max(1, min(LANES, min(bytes_apart) // 4))


def _launches(
    block: FusedBlock, kernels: Mapping[KernelGroup, GpuKernel], memory: MemoryPlan
) -> list[tuple[Launch, ...]]:
    """The launches of each kernel, in order."""
    steps = {group: number for number, group in enumerate(groups_in_order(block))}
    return [_launches_of(group, steps[group], kernel, memory) for group, kernel in kernels.items()]


def _launches_of(group: KernelGroup, step: int, kernel: GpuKernel, memory: MemoryPlan) -> tuple[Launch, ...]:
    values = (*group.inputs, *group.outputs)
    arguments = [_argument(value, memory, kernel.strides) for value in values]
    scratch = memory.scratch.get(group, 0)
    for offset, size in kernel.scratch:
        arguments.append(Argument(BufferSpace.ARENA, 0, scratch + offset, size))
    return tuple(
        Launch(
            kernel=call.kernel,
            node=group.anchor.node,
            op=group.anchor.op,
            step=step,
            arguments=tuple(arguments[place] for place in call.arguments),
            grid=call.grid,
            block=call.block,
        )
        for call in kernel.lowered.calls
    )


def _host_calls(
    symbol: str,
    block: FusedBlock,
    parts: Sequence[HostPart],
    launches: Sequence[tuple[Launch, ...]],
    memory: MemoryPlan,
) -> tuple[HostCall, ...]:
    strides = strides_of(block)
    calls = []
    for number, part in enumerate(parts):
        copied = transfers(block, part, memory)
        calls.append(
            HostCall(
                function=f"{symbol}_part_{number}",
                nodes=part.nodes,
                before=sum(len(of_group) for of_group in launches[: part.groups_before]),
                reads=tuple(_argument(value, memory, strides) for value in copied.reads),
                writes=tuple(_argument(value, memory, strides) for value in copied.writes),
            )
        )
    return tuple(calls)


def _argument(value: Value, memory: MemoryPlan, strides: Mapping[Value, tuple[int, ...]]) -> Argument:
    place = memory.place(value)
    return Argument(_SPACES[place.region], place.index, place.offset, _span_bytes(value, strides.get(value)))


def _span_bytes(value: Value, steps: Sequence[int] | None) -> int:
    """From the first byte of a value to its last."""
    if steps is None or not value.size_bytes:
        return value.size_bytes
    last = sum((extent - 1) * step for extent, step in zip(value.shape, steps, strict=True))
    return (last + 1) * np.dtype(value.dtype).itemsize
