"""Kernels without an anchor: elementwise chains, copies, pooling, softmax, normalisations.

Where several computations of a kernel go over the same rows, all of them are done for one row before the next, so that
the row stays in the cache and intermediate results are as large as a row.
"""

from __future__ import annotations

from edgec.backends.tvm.register_tile import windowed_tile
from edgec.backends.tvm.schedules.extrema import with_finite_starts, with_infinite_starts
from edgec.backends.tvm.schedules.injective import own_loops, schedule_injective
from edgec.backends.tvm.schedules.kernel_schedule import Block, KernelSchedule, Loop
from edgec.backends.tvm.schedules.reduction import (
    lengthen_ragged_rows,
    reduces_last_axis,
    schedule_reduction,
    split_row_reduction,
)
from edgec.backends.tvm.schedules.windowed import schedule_windowed

_CHEAP_NODES = 24
_FLOAT_BYTES = 4


def schedule_without_anchor(kernel: KernelSchedule) -> None:
    """Schedule a kernel of elementwise computations, copies and reductions."""
    reductions = [block for block in kernel.blocks() if kernel.loops(block)[1]]
    if len(reductions) == 1 and _is_window(kernel, reductions[0]):
        _schedule_window(kernel, reductions[0])
        return
    _inline(kernel)
    _split_rows(kernel)
    shared = _shared_rows(kernel)
    for block in kernel.blocks():
        _schedule_block(kernel, block, shared)


def _split_rows(kernel: KernelSchedule) -> None:
    kernel.replace(with_finite_starts(kernel.function()))
    lengthen_ragged_rows(kernel)
    for block in kernel.blocks():
        if kernel.loops(block)[1] and reduces_last_axis(kernel, block):
            split_row_reduction(kernel, block)
    kernel.replace(with_infinite_starts(kernel.function()))


def _is_window(kernel: KernelSchedule, block: Block) -> bool:
    spatial, _ = kernel.loops(block)
    details = kernel.schedule.get(block)
    return (
        len(spatial) >= 3
        and len(details.writes) == 1
        and kernel.extent(spatial[-1]) > 1
        and not reduces_last_axis(kernel, block)
    )


def _schedule_window(kernel: KernelSchedule, block: Block) -> None:
    spatial, window = kernel.loops(block)
    extents = [kernel.extent(loop) for loop in spatial]
    item_bytes, taps = kernel.item_bytes(block), kernel.extent(window[-1])
    lanes = _lanes_of_bytes(kernel, extents[-1]) if item_bytes == 1 else 0
    tile = windowed_tile(extents[:-1], extents[-1], taps, kernel.core, dtype_bytes=item_bytes, lanes=lanes)
    schedule_windowed(kernel, block, tile)


def _lanes_of_bytes(kernel: KernelSchedule, channels: int) -> int:
    """Bytes that vectors of an extremum hold: a whole register of them, where the channels fill it for every thread.

    Elsewhere 0: bytes that become sums need four times the room.
    """
    lanes = kernel.core.float_lanes * _FLOAT_BYTES if kernel.core.float_lanes > 1 else 1
    while lanes > kernel.core.float_lanes and channels % (lanes * kernel.threads):
        lanes //= 2
    return lanes if lanes > kernel.core.float_lanes else 0


def _inline(kernel: KernelSchedule) -> None:
    for block in kernel.blocks():
        if kernel.loops(block)[1] or kernel.is_output(block):
            continue
        consumers = list(kernel.schedule.get_consumers(block))
        again = len(consumers) > 1 or any(kernel.loops(consumer)[1] for consumer in consumers)
        if not again or kernel.size_of_body(block) <= _CHEAP_NODES:
            kernel.schedule.compute_inline(block)


def _shared_rows(kernel: KernelSchedule) -> Loop | None:
    """Move every computation into the loops over rows of the last one; gives the innermost of those loops."""
    blocks = kernel.blocks()
    *earlier, last = blocks
    reductions = [block for block in blocks if kernel.loops(block)[1]]
    if not earlier or not reductions or any(kernel.is_output(block) for block in earlier):
        return None
    shape = kernel.written_shape(last)
    leading = min(_leading_axes(kernel, block, shape) for block in earlier)
    if leading == 0 or kernel.loops(last)[1]:
        return None
    shared = kernel.parallel(list(kernel.schedule.get_loops(last))[:leading])[-1]
    for block in reversed(earlier):
        kernel.schedule.compute_at(block, shared, preserve_unit_loops=True)
    return shared


def _leading_axes(kernel: KernelSchedule, block: Block, shape: list[int]) -> int:
    """How many leading axes of the last computation's output an earlier one has as well."""
    own = kernel.written_shape(block)
    same = 0
    while same < min(len(shape), len(own)) and own[same] == shape[same]:
        same += 1
    _, reduction = kernel.loops(block)
    # The last axis stays free for vectors, unless rows are what is summed.
    by_rows = bool(reduction) and reduces_last_axis(kernel, block)
    return same if by_rows or same < len(shape) else same - 1


def _schedule_block(kernel: KernelSchedule, block: Block, shared: Loop | None) -> None:
    if kernel.loops(block)[1]:
        schedule_reduction(kernel, block, shared)
    elif own_loops(kernel, block, shared):
        schedule_injective(kernel, block, inside=shared)
