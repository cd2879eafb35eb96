"""The template of computations in which an output element needs no sum: elementwise, copies, transposes, gathers."""

from __future__ import annotations

from edgec.backends.tvm.schedules.kernel_schedule import Block, KernelSchedule, Loop, widest_divisor, worthwhile

_SHORT_AXIS = 4


def schedule_injective(kernel: KernelSchedule, block: Block, inside: Loop | None = None) -> None:
    """Vectorise along the last axis, or along all axes at once where all operands are equally shaped.

    Args:
        kernel: the kernel's schedule.
        block: a block without reduction.
        inside: a loop around the block that stays as it is; None if all the loops are the block's own.
    """
    loops = own_loops(kernel, block, inside)
    if not loops:
        return
    if kernel.reads_as_it_writes(block) and len(loops) > 1:
        loops = [kernel.schedule.fuse(*loops)]
    outer = vectorise_last(kernel, loops, kernel.written_lanes(block))
    if inside is None:
        kernel.parallel(outer)


def vectorise_last(kernel: KernelSchedule, loops: list[Loop], lanes: int) -> list[Loop]:
    """Vectorise the last loop as far as it goes; gives the loops around the vector that may be fused."""
    last, outer = loops[-1], loops[:-1]
    extent = kernel.extent(last)
    if lanes == 1 or extent == 1:
        return loops
    if extent < min(lanes, _SHORT_AXIS) and outer:
        kernel.partition(outer[-1])
        kernel.unroll(last)
        return outer[:-1]
    width = widest_divisor(extent, lanes)
    if worthwhile(width, lanes) or extent < lanes:
        if width == 1:
            return loops
        chunks, lane = kernel.schedule.split(last, [None, width])
        kernel.vectorise(lane)
        return [*outer, chunks]
    chunks, lane = kernel.schedule.split(last, [None, lanes])
    kernel.vectorise(lane)
    kernel.partition(chunks)
    return outer


def own_loops(kernel: KernelSchedule, block: Block, inside: Loop | None) -> list[Loop]:
    """The loops around a block that lie inside of `inside`."""
    loops = list(kernel.schedule.get_loops(block))
    if inside is None:
        return loops
    return loops[kernel.depth(loops, inside) + 1 :]
