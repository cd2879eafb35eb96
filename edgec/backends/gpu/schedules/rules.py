"""Which template schedules which kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgec.backends.gpu.device import Device
from edgec.backends.gpu.schedules.gpu_schedule import GpuSchedule
from edgec.backends.gpu.schedules.matrix_form import contraction_axes
from edgec.backends.gpu.schedules.per_element import (
    one_thread,
    schedule_per_element,
    schedule_plainly,
    schedule_window,
)
from edgec.backends.gpu.schedules.rows import schedule_rows
from edgec.backends.gpu.schedules.shared_sum import is_shared_sum, schedule_shared_sum
from edgec.backends.gpu.schedules.tiled_product import schedule_tiled_product
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.fusion import KernelGroup
from edgec.backends.tvm.kernel_graph import Pattern
from edgec.backends.tvm.schedules.kernel_schedule import Block, Function
from edgec.backends.tvm.stages import Role

Template = Callable[[GpuSchedule], None]
"""Schedules a kernel; raises what TVM raises where it does not fit."""


@dataclass(frozen=True)
class ScheduledFunction:
    """A kernel ready to be lowered.

    Attributes:
        function: the scheduled PrimFunc.
        single_thread_reason: why it runs on a single thread; None if it does not.
    """

    function: Function
    single_thread_reason: str | None


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
        return [lambda: ScheduledFunction(on_one_thread(function), f"{names} runs on a single thread: it is a loop")]
    return [by(_template), by(schedule_per_element), by(schedule_plainly), last]


def _template(kernel: GpuSchedule) -> None:
    found = kernel.anchor()
    if found is None:
        _without_anchor(kernel)
        return
    block, role = found
    axes = contraction_axes(kernel, block) if role is Role.DENSE else None
    of_a_vector = axes is not None and (axes.extent(axes.rows) == 1 or _stored_columns(kernel) == 1)
    if of_a_vector and not _is_filled_up(kernel, block) and is_shared_sum(kernel, block):
        schedule_shared_sum(kernel, kernel.name(block))
    elif axes is not None and not of_a_vector:
        schedule_tiled_product(kernel, block, axes)
    else:
        schedule_window(kernel, block)


def _is_filled_up(kernel: GpuSchedule, block: Block) -> bool:
    """Whether one column is stored of sums that have more: those who share a sum would all store theirs there."""
    columns = kernel.extent(kernel.loops(block)[0][-1])
    return _stored_columns(kernel) == 1 and columns > 1


def _stored_columns(kernel: GpuSchedule) -> int:
    """Columns of a contraction's result; those of its sums may be filled up to a block of packed weights.

    Along an axis of one element TVM forgets which of a tile's threads are to store it: all of them would.
    """
    return int(kernel.schedule.get(kernel.blocks()[-1]).writes[0].source.shape[-1])


def _without_anchor(kernel: GpuSchedule) -> None:
    sums = [block for block in kernel.blocks() if kernel.loops(block)[1]]
    if len(sums) == 1 and is_shared_sum(kernel, sums[0]):
        schedule_shared_sum(kernel, kernel.name(sums[0]))
    elif not schedule_rows(kernel):
        schedule_per_element(kernel)


def _one_thread(kernel: GpuSchedule) -> None:
    for block in kernel.blocks():
        one_thread(kernel, block)


def on_one_thread(function: Function) -> Function:
    """A function that an operator wrote as loops, on a single thread of a single group."""
    from tvm import tirx

    dtype = "int32"
    thread = tirx.IterVar((0, 1), tirx.Var("thread", dtype), tirx.IterVar.ThreadIndex, "threadIdx.x")
    loop = tirx.For(tirx.Var("only", dtype), 0, 1, tirx.ForKind.THREAD_BINDING, function.body, thread)
    return tirx.PrimFunc(function.params, loop, function.ret_type, function.attrs)
