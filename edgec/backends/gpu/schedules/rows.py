"""The template of several sums over the same row: softmax, layer normalisation.

A group of threads computes a row from end to end: its threads share every sum, and what one step hands to the next
stays in shared memory.
"""

from __future__ import annotations

import math

from edgec.backends.gpu.schedules.gpu_schedule import GpuSchedule
from edgec.backends.gpu.schedules.per_element import inline_cheap
from edgec.backends.tvm.schedules.extrema import with_finite_starts
from edgec.backends.tvm.schedules.kernel_schedule import Block, Loop
from edgec.backends.tvm.schedules.reduction import reduces_last_axis

_THREADS = (32, 64, 128, 256)
_SHORTEST_ROW = 8


def schedule_rows(kernel: GpuSchedule) -> bool:
    """Schedule a kernel whose sums all run along the last axes of its result; gives whether it is one.

    A kernel that is none has its cheap computations inlined. Maxima start at the lowest finite number, as TVM shares
    only sums whose start it knows: a row of nothing but -inf, which has no softmax either, has another maximum.
    """
    inline_cheap(kernel)
    *earlier, last = kernel.blocks()
    shape = kernel.written_shape(last)
    leading = _leading_axes(kernel, earlier, shape)
    row = math.prod(shape[leading:])
    kept_bytes = sum(math.prod(kernel.written_shape(block)[leading:]) * kernel.item_bytes(block) for block in earlier)
    sums = [block for block in earlier if kernel.loops(block)[1]]
    fits = (
        bool(sums)
        and 0 < leading < len(shape)
        and row >= _SHORTEST_ROW
        and not kernel.loops(last)[1]
        and not any(kernel.is_output(block) for block in earlier)
        and all(reduces_last_axis(kernel, block) for block in sums)
        and all(math.prod(kernel.written_shape(block)[leading:]) == 1 for block in sums)
        and 2 * kept_bytes <= kernel.device.shared_bytes
    )
    if fits:
        kernel.replace(with_finite_starts(kernel.function()))
        _schedule(kernel, leading, min((count for count in _THREADS if count >= row), default=_THREADS[-1]))
    return fits


def _leading_axes(kernel: GpuSchedule, earlier: list[Block], shape: list[int]) -> int:
    """Axes of the result that stand for rows: those in which all steps agree, and over which none sums."""
    same = len(shape) - 1
    for block in earlier:
        own = kernel.written_shape(block)
        agreeing = next(
            (axis for axis, pair in enumerate(zip(shape, own, strict=False)) if pair[0] != pair[1]), len(own)
        )
        same = min(same, agreeing)
    return same


def _schedule(kernel: GpuSchedule, leading: int, threads: int) -> None:
    schedule = kernel.schedule
    *earlier, last = kernel.blocks()
    rows = list(schedule.get_loops(last))[:leading]
    row = schedule.fuse(*rows) if len(rows) > 1 else rows[0]
    kernel.bind(row, "blockIdx.x")
    for block in reversed(earlier):
        schedule.compute_at(block, row, preserve_unit_loops=True)
        schedule.set_scope(block, 0, "shared")
    for block in (*earlier, last):
        spatial, reduction = kernel.loops(block, row)
        _share(kernel, reduction or spatial, min(threads, kernel.device.max_threads))


def _share(kernel: GpuSchedule, loops: list[Loop], threads: int) -> None:
    together = kernel.schedule.fuse(*loops) if len(loops) > 1 else loops[0]
    _, thread = kernel.schedule.split(together, [None, threads])
    kernel.bind(thread, "threadIdx.x")
