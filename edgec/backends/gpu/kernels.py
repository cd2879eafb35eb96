"""From a model and a target to kernels for a graphics processor and the plan of their launches."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgec.backends.gpu.launch_plan import LaunchPlan
from edgec.backends.plan import Fallback, MemoryUse, PlannedLayer
from edgec.core.progress import Progress
from edgec.core.target import Target


@dataclass(frozen=True)
class GpuKernels:
    """What a build plan needs of the kernels.

    Attributes:
        plan: launches and programs.
        layers: one a kernel group, in order; a group may take several launches.
        fallbacks: nodes whose kernel is slow, and why.
        memory: bytes by owner; scratch of kernels is part of the arena.
    """

    plan: LaunchPlan
    layers: tuple[PlannedLayer, ...]
    fallbacks: tuple[Fallback, ...]
    memory: MemoryUse


def unsupported(model: ir.Model, target: Target) -> tuple[Fallback, ...]:
    """Every node that cannot be lowered for a graphics processor, with the reason and what would help."""
    raise NotImplementedError


def make_launch_plan(model: ir.Model, target: Target, *, name: str, progress: Progress) -> GpuKernels:
    """Lower a model whose shapes are all static.

    Raises:
        EdgecError: EC0401 with every unsupported node in `details`.
    """
    raise NotImplementedError
