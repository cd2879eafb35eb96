"""Kernels without an anchor."""

from __future__ import annotations

from edgec.backends.tvm.schedules.injective import schedule_injective
from edgec.backends.tvm.schedules.kernel_schedule import KernelSchedule


def schedule_without_anchor(kernel: KernelSchedule) -> None:
    """Schedule a kernel of elementwise computations, copies and reductions."""
    for block in kernel.blocks():
        _, reduction = kernel.loops(block)
        if not reduction:
            schedule_injective(kernel, block)
