"""From a model and a target to kernels for a graphics processor and the plan of their launches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.backends.gpu.device import LANES, Device, core_of, gpu_of
from edgec.backends.gpu.kernel_source import GpuKernel, KernelMaker
from edgec.backends.gpu.launch_plan import Argument, BufferCopy, BufferSpace, Launch, LaunchPlan
from edgec.backends.gpu.source import make_program
from edgec.backends.plan import Fallback, MemoryUse, PlannedLayer
from edgec.backends.tvm.code_generation import groups_in_order, strides_of
from edgec.backends.tvm.dead_steps import without_dead_steps
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
from edgec.graph.load import identifier
from edgec.graph.shapes import model_inputs

_SPACES = {
    Region.CONSTANTS: BufferSpace.WEIGHTS,
    Region.INPUT: BufferSpace.INPUT,
    Region.OUTPUT: BufferSpace.OUTPUT,
    Region.ARENA: BufferSpace.ARENA,
}
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_VECTOR_BYTES = 16


@dataclass(frozen=True)
class GpuKernels:
    """What a build plan needs of the kernels.

    Attributes:
        plan: launches and program.
        layers: one a kernel group, in order; a group may take several launches, all named as its layer.
        fallbacks: nodes whose kernel runs on a single thread, and why.
        memory: bytes by owner.
    """

    plan: LaunchPlan
    layers: tuple[PlannedLayer, ...]
    fallbacks: tuple[Fallback, ...]
    memory: MemoryUse


def unsupported(model: ir.Model, target: Target) -> tuple[Fallback, ...]:
    """Every node that cannot be lowered for a graphics processor, with the reason and what would help."""
    refused = tuple(found for node in model.graph if (found := _refused(node)) is not None)
    return refused + unsupported_nodes(form_integer_nodes(model).model, core_of(target))


def _refused(node: ir.Node) -> Fallback | None:
    if node.op_type in _CONTROL_FLOW and node.domain in ("", "ai.onnx"):
        reason = f"{node.op_type} decides on the host what the device does next; a list of launches is fixed"
        return Fallback(
            node=str(node.name), reason=reason, hint="build for a processor, or unroll it before the export"
        )
    if any(value.dtype == ir.DataType.FLOAT16 for value in node.outputs):
        reason = "it computes in float16, for which there are no kernels on graphics processors yet"
        return Fallback(node=str(node.name), reason=reason, hint="build the network in float32")
    return None


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
    symbol = identifier(graph.name)
    block = fuse(lay_over(without_dead_steps(graph.main)))
    kernels = _kernels(block, symbol, target, progress)
    scratch = {group: kernel.scratch_bytes for group, kernel in kernels.items() if kernel.scratch_bytes}
    memory = plan_memory(block, scratch)
    launches = [launch for group, kernel in kernels.items() for launch in _launches(group, kernel, memory)]
    copies = tuple(
        BufferCopy(_argument(value, memory, {}), Argument(BufferSpace.OUTPUT, index, 0, value.size_bytes))
        for index, value in memory.output_copies.items()
        if value.size_bytes
    )
    different = list(dict.fromkeys(kernels.values()))
    progress.start(f"write {len(different)} kernels")
    plan = LaunchPlan(
        symbol=symbol,
        inputs=tensor_specs(graph.main.parameters, inputs),
        outputs=tensor_specs(graph.main.results, outputs),
        arena_bytes=memory.arena_bytes,
        weights=memory.constants.contents,
        program=make_program([kernel.lowered for kernel in different], gpu_of(target)),
        launches=tuple(launches),
        copies=copies,
    )
    activations = min(plan_memory(block, {}).arena_bytes, memory.arena_bytes)
    return GpuKernels(
        plan,
        layers=tuple(planned_layers(block, 1)),
        fallbacks=tuple(
            Fallback(node=group.anchor.node, reason=kernel.fallback_reason, hint="report the operator and its shapes")
            for group, kernel in kernels.items()
            if kernel.fallback_reason
        ),
        memory=MemoryUse(
            weights_bytes=len(plan.weights),
            activations_bytes=activations,
            scratch_bytes=memory.arena_bytes - activations,
        ),
    )


def _kernels(block: FusedBlock, symbol: str, target: Target, progress: Progress) -> dict[KernelGroup, GpuKernel]:
    """The kernel of each group, in order; equal groups share one."""
    groups = groups_in_order(block)
    progress.start("schedule kernels", total=len(groups))
    plan = plan_memory(block, {})
    strides = strides_of(block)
    maker = KernelMaker(symbol, strides, core_of(target), Device.of(target), gpu_of(target))
    made: dict[KernelGroup, GpuKernel] = {}
    for group in groups:
        made[group] = maker.make(group, _vector(group, plan, strides), in_place=group in plan.in_place)
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


def _launches(group: KernelGroup, kernel: GpuKernel, memory: MemoryPlan) -> list[Launch]:
    values = (*group.inputs, *group.outputs)
    strides = kernel.strides
    arguments = [_argument(value, memory, strides) for value in values]
    scratch = memory.scratch.get(group, 0)
    for offset, size in kernel.scratch:
        arguments.append(Argument(BufferSpace.ARENA, 0, scratch + offset, size))
    return [
        Launch(
            kernel=call.kernel,
            node=group.anchor.node,
            op=group.anchor.op,
            arguments=tuple(arguments[place] for place in call.arguments),
            grid=call.grid,
            block=call.block,
        )
        for call in kernel.lowered.calls
    ]


def _argument(value: Value, memory: MemoryPlan, strides: Mapping[Value, tuple[int, ...]]) -> Argument:
    place = memory.place(value)
    return Argument(_SPACES[place.region], place.index, place.offset, _span_bytes(value, strides.get(value)))


def _span_bytes(value: Value, steps: Sequence[int] | None) -> int:
    """From the first byte of a value to its last."""
    if steps is None or not value.size_bytes:
        return value.size_bytes
    last = sum((extent - 1) * step for extent, step in zip(value.shape, steps, strict=True))
    return (last + 1) * np.dtype(value.dtype).itemsize
