"""The backend for graphics processors: from a model and a target to the plan of a self-contained C artefact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from edgec.backends.gpu.kernels import GpuKernels, make_launch_plan, unsupported
from edgec.backends.gpu.nvrtc import compile_cuda
from edgec.backends.gpu.packaging import package
from edgec.backends.gpu.tables import write_tables
from edgec.backends.plan import Backend, BuildPlan, Fallback, PlannedLayer
from edgec.core.interface import Interface
from edgec.core.progress import Progress, Silent
from edgec.core.target import Target
from edgec.core.target_gpu import Gpu
from edgec.graph.load import network_name


@dataclass(frozen=True)
class GpuBackend(Backend):
    """Graphics processors, by kernels in CUDA C or OpenCL C and a launcher in C."""

    name: ClassVar[str] = "gpu"
    prerequisites: ClassVar[tuple[str, ...]] = ("lower-recurrent", "lower-functions")

    def unsupported(self, model: ir.Model, target: Target) -> tuple[Fallback, ...]:
        """Every node that cannot be lowered."""
        return unsupported(model, target)

    def layers(self, model: ir.Model, target: Target) -> tuple[PlannedLayer, ...]:
        """The kernel calls of `plan`."""
        return make_launch_plan(model, target, name="model", progress=Silent()).layers

    def plan(self, model: ir.Model, target: Target, *, name: str, threads: int, progress: Progress) -> BuildPlan:
        """Lower the model, compile its kernels where a compiler is at hand, and lay out its artefact.

        Raises:
            EdgecError: EC0401 with every unsupported node in `details`; EC0402 if the compiler refuses a kernel.
        """
        kernels = make_launch_plan(model, target, name=network_name(name), progress=progress)
        return plan_of_kernels(kernels, target, progress)


def plan_of_kernels(kernels: GpuKernels, target: Target, progress: Progress) -> BuildPlan:
    """The build plan of kernels and their launches.

    Raises:
        EdgecError: EC0402 if the compiler refuses a kernel.
    """
    launches = kernels.plan
    gpu = target.gpu
    machine_code = _machine_code(kernels, gpu, progress) if gpu is not None else None
    architecture = gpu.architecture if gpu is not None and machine_code is not None else ""
    source = write_tables(launches, kernels.host.source, architecture)
    made = package(launches, source, machine_code, kernels.host.kernels, target)
    return BuildPlan(
        files=made.files,
        commands=made.commands,
        tools=made.tools,
        discard=made.discard,
        interface=Interface(
            symbol=launches.symbol,
            inputs=launches.inputs,
            outputs=launches.outputs,
            runner=made.runner,
            graphics=launches.program.language,
            machine=made.machine,
        ),
        layers=kernels.layers,
        fallbacks=kernels.fallbacks,
        memory=kernels.memory,
        library=made.library,
    )


def _machine_code(kernels: GpuKernels, gpu: Gpu, progress: Progress) -> bytes | None:
    if kernels.plan.program.language != "cuda":
        return None
    progress.start(f"compile {len(kernels.plan.program.kernels)} kernels for {gpu.architecture}")
    return compile_cuda(kernels.plan.program.source, gpu.architecture)
