"""Which template schedules which kernel."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from edgec.backends.gpu.device import Device
from edgec.backends.gpu.schedules.gpu_schedule import GpuSchedule
from edgec.backends.gpu.schedules.matrix_form import contraction_axes
from edgec.backends.gpu.schedules.per_element import one_thread, schedule_per_element, schedule_window
from edgec.backends.gpu.schedules.tiled_product import schedule_tiled_product
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.fusion import KernelGroup
from edgec.backends.tvm.kernel_graph import Pattern
from edgec.backends.tvm.schedules.kernel_schedule import Function
from edgec.backends.tvm.stages import Role

Template = Callable[[GpuSchedule], None]
"""Schedules a kernel; raises what TVM raises where it does not fit."""


@dataclass(frozen=True)
class ScheduledFunction:
    """A kernel ready to be lowered.

    Attributes:
        function: the scheduled PrimFunc.
        fallback_reason: why it runs on a single thread; None if it does not.
    """

    function: Function
    fallback_reason: str | None


def candidates(
    function: Function, group: KernelGroup, core: CoreDescription, device: Device, vector: int
) -> list[Callable[[], ScheduledFunction]]:
    """Ways to schedule the kernel of a fused group, the best first; the last always fits.

    Args:
        function: as te.create_prim_func made it.
        group: the operations in the kernel.
        core: what the lowering picked layouts by.
        device: the graphics processor.
        vector: elements that an access may have at most.
    """
    names = ", ".join(operation.node for operation in group.operations)

    def by(template: Template, reason: str | None = None) -> Callable[[], ScheduledFunction]:
        def scheduled() -> ScheduledFunction:
            kernel = GpuSchedule(function, core, device, vector)
            template(kernel)
            return ScheduledFunction(kernel.function(), reason)

        return scheduled

    last = by(_one_thread, f"{names} runs on a single thread: no schedule fits")
    if any(operation.pattern is Pattern.OPAQUE for operation in group.operations):
        return [last]
    return [by(_template), by(schedule_per_element), last]


def _template(kernel: GpuSchedule) -> None:
    found = kernel.anchor()
    if found is None:
        schedule_per_element(kernel)
        return
    block, role = found
    axes = contraction_axes(kernel, block) if role is Role.DENSE else None
    if axes is not None:
        schedule_tiled_product(kernel, block, axes)
    else:
        schedule_window(kernel, block)


def _one_thread(kernel: GpuSchedule) -> None:
    for block in kernel.blocks():
        one_thread(kernel, block)


def why(error: Exception) -> str:
    """What TVM says, without addresses: they differ from run to run."""
    text = re.sub(r" ?\(0x[0-9a-f]+ vs\. 0x[0-9a-f]+\) ?:?", "", str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__
