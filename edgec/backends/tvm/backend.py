"""The TVM backend: from a model and a target to the plan of a self-contained C artefact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from edgec.backends.plan import Backend, BuildPlan, Fallback, MemoryUse, PlannedLayer
from edgec.backends.tuning import TuningRequest
from edgec.backends.tvm.binary.recognition import form_binary_nodes
from edgec.backends.tvm.code_generation import Kernel, groups_in_order, make_kernels, strides_of
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.dead_steps import without_dead_steps
from edgec.backends.tvm.driver import Program, write_driver
from edgec.backends.tvm.fusion import FusedBlock, KernelGroup, fuse
from edgec.backends.tvm.implementation import NO_CHOICES
from edgec.backends.tvm.integer.recognition import form_integer_nodes
from edgec.backends.tvm.kernel_graph import KernelGraph
from edgec.backends.tvm.machine_code import KernelSource, ObjectCode, compile_kernels
from edgec.backends.tvm.memory import MemoryPlan, plan_memory
from edgec.backends.tvm.model_lowering import lower_graph, unsupported_nodes
from edgec.backends.tvm.overlays import lay_over
from edgec.backends.tvm.packaging import package
from edgec.backends.tvm.planned_layers import planned_layers, tensor_specs
from edgec.backends.tvm.tuning.tuner import tune
from edgec.core.interface import Interface
from edgec.core.progress import Progress
from edgec.core.target import Target
from edgec.core.tensor import TensorSpec
from edgec.graph.load import network_name
from edgec.graph.shapes import model_inputs


@dataclass(frozen=True)
class TvmBackend(Backend):
    """CPUs, by TensorIR and LLVM.

    Attributes:
        tuning: how kernels are chosen by measurement; None leaves all choices to the cost model.
    """

    tuning: TuningRequest | None = None

    name: ClassVar[str] = "tvm"
    prerequisites: ClassVar[tuple[str, ...]] = ("lower-recurrent", "lower-functions")
    has_threads: ClassVar[bool] = True

    def tuned_by(self, request: TuningRequest) -> TvmBackend:
        """This backend, with choices made by measurement."""
        return replace(self, tuning=request)

    def unsupported(self, model: ir.Model, target: Target) -> tuple[Fallback, ...]:
        """Every node that cannot be lowered."""
        return unsupported_nodes(form_integer_nodes(form_binary_nodes(model)).model, CoreDescription.of(target))

    def layers(self, model: ir.Model, target: Target) -> tuple[PlannedLayer, ...]:
        """The kernel calls of `plan`, without making any code."""
        graph = lower_graph(form_integer_nodes(form_binary_nodes(model)).model, CoreDescription.of(target), "model")
        return tuple(planned_layers(fuse(lay_over(without_dead_steps(graph.main))), 1))

    def plan(self, model: ir.Model, target: Target, *, name: str, threads: int, progress: Progress) -> BuildPlan:
        """Lower the model, compile its kernels, and lay out its artefact.

        Raises:
            EdgecError: EC0401 with every unsupported node in `details`.
        """
        integers = form_integer_nodes(form_binary_nodes(model))
        tuned = None if self.tuning is None else tune(integers.model, target, threads, self.tuning, progress)
        progress.start("lower the graph")
        choices = NO_CHOICES if tuned is None else tuned.choices
        graph = lower_graph(integers.model, CoreDescription.of(target), name, choices)
        inputs = tensor_specs(graph.main.parameters, tuple(str(value.name) for value in model_inputs(model)))
        outputs = tensor_specs(graph.main.results, tuple(str(value.name) for value in model.graph.outputs))
        plan = plan_graph(graph, inputs, outputs, target, threads=threads, progress=progress)
        use = None if tuned is None else tuned.use(fuse(lay_over(without_dead_steps(graph.main))))
        floats = _computed_by_themselves(integers.floats, plan.layers)
        return replace(plan, fallbacks=(*plan.fallbacks, *floats), tuning=use)


def plan_graph(
    graph: KernelGraph,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    target: Target,
    *,
    threads: int,
    progress: Progress,
) -> BuildPlan:
    """The build plan of a kernel graph, whose values may have other names than the model's inputs and outputs."""
    symbol = network_name(graph.name)
    block = fuse(lay_over(without_dead_steps(graph.main)))
    kernels, code = _compile(block, symbol, target, threads, progress)
    scratch = {
        group: code.scratch_bytes[kernel.symbol]
        for group, kernel in kernels.items()
        if kernel.symbol in code.scratch_bytes
    }
    memory = plan_memory(block, scratch)
    driver = write_driver(Program(symbol, block, kernels, memory, inputs, outputs))
    made = package(symbol, driver, code.contents, memory.constants.contents, target, threads)
    emulator = target.emulator
    return BuildPlan(
        files=made.files,
        commands=made.commands,
        tools=made.tools,
        discard=made.discard,
        interface=Interface(
            symbol=symbol,
            inputs=inputs,
            outputs=outputs,
            runner=made.runner,
            emulator=(emulator.executable, *emulator.arguments) if emulator else (),
        ),
        layers=tuple(planned_layers(block, 1)),
        fallbacks=tuple(_fallbacks(kernels, code.unscheduled)),
        memory=_memory_use(block, memory, scratch),
        library=made.library,
    )


def _compile(
    block: FusedBlock, symbol: str, target: Target, threads: int, progress: Progress
) -> tuple[dict[KernelGroup, Kernel], ObjectCode]:
    from edgec.backends.tvm.schedules.rules import schedule

    groups = groups_in_order(block)
    progress.start("schedule kernels", total=len(groups))
    core = CoreDescription.of(target)
    in_place = plan_memory(block, {}).in_place
    kernels = make_kernels(groups, strides_of(block), in_place, symbol, core, threads, schedule, progress.advance)
    sources = [KernelSource(kernel.symbol, kernel.function, kernel.plain) for kernel in dict.fromkeys(kernels.values())]
    progress.start(f"compile {len(sources)} kernels")
    return kernels, compile_kernels(sources, target.compiler, threads)


def _computed_by_themselves(floats: Iterable[Fallback], layers: Iterable[PlannedLayer]) -> tuple[Fallback, ...]:
    """Without the nodes that follow a product of integers in its kernel, where float is as fast."""
    following = {
        node for layer in layers if layer.macs > 0 and layer.precision in ("int8", "uint8") for node in layer.nodes
    }
    return tuple(fallback for fallback in floats if fallback.node not in following)


def _fallbacks(kernels: Mapping[KernelGroup, Kernel], unscheduled: Mapping[str, str]) -> Iterator[Fallback]:
    for group, kernel in kernels.items():
        reason = kernel.fallback_reason or unscheduled.get(kernel.symbol)
        if reason is not None:
            yield Fallback(
                node=group.anchor.node,
                reason=reason,
                hint="the result is right but slow; report the operator and its shapes",
            )


def _memory_use(block: FusedBlock, memory: MemoryPlan, scratch: Mapping[KernelGroup, int]) -> MemoryUse:
    """Scratch areas share the arena; what they add to its size is counted as theirs."""
    activations = plan_memory(block, {}).arena_bytes if scratch else memory.arena_bytes
    activations = min(activations, memory.arena_bytes)
    return MemoryUse(
        weights_bytes=len(memory.constants.contents),
        activations_bytes=activations,
        scratch_bytes=memory.arena_bytes - activations,
    )
