"""Which template schedules which kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.kernel_graph import Pattern
from edgec.backends.tvm.schedules.checks import with_marked_checks
from edgec.backends.tvm.schedules.dense import schedule_dense
from edgec.backends.tvm.schedules.kernel_schedule import Block, Function, KernelSchedule
from edgec.backends.tvm.schedules.rowwise import schedule_without_anchor
from edgec.backends.tvm.schedules.windowed import schedule_windowed
from edgec.backends.tvm.schedules.windowed_dot import schedule_windowed_dot
from edgec.backends.tvm.schedules.winograd import schedule_winograd
from edgec.backends.tvm.stages import AnchorLayout, Role

if TYPE_CHECKING:
    from edgec.backends.tvm.fusion import KernelGroup


@dataclass(frozen=True)
class ScheduledFunction:
    """A kernel ready to be compiled.

    Attributes:
        function: the scheduled PrimFunc.
        fallback_reason: why it runs as plain loops, None if a template fits it.
    """

    function: Function
    fallback_reason: str | None


def schedule(function: Function, group: KernelGroup, core: CoreDescription, threads: int) -> ScheduledFunction:
    """Schedule the kernel of a fused group.

    Args:
        function: as te.create_prim_func made it from the group's computations.
        group: the operations in the kernel; named in `fallback_reason`.
        core: the core that runs it.
        threads: how many threads share a kernel; loops run in parallel only if it is more than one.

    A kernel that its operator wrote as loops (`Pattern.OPAQUE`) stays as it is.
    """
    from tvm.error import InternalError
    from tvm.s_tir.schedule import ScheduleError

    if any(operation.pattern is Pattern.OPAQUE for operation in group.operations):
        return ScheduledFunction(function, None)
    try:
        kernel = KernelSchedule(with_marked_checks(function), core, threads)
        _apply_template(kernel)
        return ScheduledFunction(kernel.function(), None)
    except (ScheduleError, InternalError) as error:
        # InternalError is a failed check inside TVM: rfactor has one on blocks that share their loops.
        nodes = ", ".join(operation.node for operation in group.operations)
        reason = f"no schedule fits {nodes}: {_first_line(error)}"
    return ScheduledFunction(_plain(function, core, threads), reason)


def _first_line(error: Exception) -> str:
    """What TVM says, without addresses: they differ from run to run."""
    text = re.sub(r" ?\(0x[0-9a-f]+ vs\. 0x[0-9a-f]+\) ?:?", "", str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _anchor(kernel: KernelSchedule) -> tuple[Block, Role] | None:
    for block in kernel.blocks():
        role = kernel.role(block)
        if role in (Role.DENSE, Role.DOT_PRODUCT, Role.WINDOWED, Role.WINDOWED_DOT, Role.WINOGRAD):
            return block, role
    return None


def _apply_template(kernel: KernelSchedule) -> None:
    found = _anchor(kernel)
    if found is None:
        schedule_without_anchor(kernel)
        return
    block, role = found
    if role in (Role.DENSE, Role.DOT_PRODUCT):
        schedule_dense(kernel, block)
    elif role is Role.WINOGRAD:
        schedule_winograd(kernel, block)
    elif role is Role.WINDOWED_DOT:
        schedule_windowed_dot(kernel, block)
    else:
        layout = AnchorLayout.of(kernel.schedule.get(block).annotations)
        schedule_windowed(kernel, block, layout.tile)


def _plain(function: Function, core: CoreDescription, threads: int) -> Function:
    """Loops as they are, each block by itself, the outermost in parallel."""
    kernel = KernelSchedule(function, core, threads)
    for block in kernel.blocks():
        spatial, _ = kernel.loops(block)
        kernel.parallel(spatial[:1])
    return kernel.function()
