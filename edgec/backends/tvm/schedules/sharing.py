"""Which kernels are large enough for several threads: to share one costs what small ones take altogether.

The unit of work is a vector multiply-add, as in the choice of register tiles; a vector read or written counts as four.
A launch that finds nothing to do takes 0.25 us on a core of 4 GHz (benchmarks/fork_join.py), and a real one a
microsecond more than half of the kernel's own time, since data has to move from one core's cache to the other's. So
kernels below two and a half microseconds, which are about as many multiply-adds as stated here, run on one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgec.backends.tvm.core_description import CoreDescription

if TYPE_CHECKING:
    from edgec.backends.tvm.fusion import KernelGroup

_LEAST_WORK = 20_000
_WORK_OF_A_VECTOR = 4
_FLOAT_BYTES = 4


def sharing_threads(group: KernelGroup, core: CoreDescription, threads: int) -> int:
    """How many of the threads share a kernel: all or one."""
    return threads if _work(group, core) >= _LEAST_WORK else 1


def _work(group: KernelGroup, core: CoreDescription) -> float:
    multiplies = sum(operation.macs for operation in group.operations)
    moved = sum(value.size_bytes for value in (*group.inputs, *group.outputs))
    return (multiplies + _WORK_OF_A_VECTOR * moved / _FLOAT_BYTES) / core.float_lanes
