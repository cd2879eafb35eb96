"""What stands before and after an anchor in a kernel: producers feed its input stage, consumers become its epilogue."""

from __future__ import annotations

from edgec.backends.tvm.schedules.kernel_schedule import Block, KernelSchedule, Loop, widest_divisor, worthwhile
from edgec.backends.tvm.stages import Role


def divide(kernel: KernelSchedule, anchor: Block) -> tuple[list[Block], list[Block]]:
    """The blocks that the anchor depends on, and all others but itself, both in order."""
    details = {index: kernel.schedule.get(block) for index, block in enumerate(kernel.blocks())}
    needed: set[int] = set()
    open_blocks = [anchor]
    while open_blocks:
        for producer in kernel.schedule.get_producers(open_blocks.pop()):
            wanted = kernel.schedule.get(producer)
            index = next(index for index, other in details.items() if other.same_as(wanted))
            if index not in needed:
                needed.add(index)
                open_blocks.append(producer)
    own = kernel.position(anchor)
    blocks = kernel.blocks()
    before = [block for index, block in enumerate(blocks) if index in needed]
    after = [block for index, block in enumerate(blocks) if index not in needed and index != own]
    return before, after


def join_producers(kernel: KernelSchedule, before: list[Block]) -> tuple[Block | None, list[Block]]:
    """Fold elementwise producers into the stage that reads them; gives the input stage and the packing stages.

    Without a padding stage the last producer becomes the input stage: inlined into the anchor it would be computed
    again for each block of output channels.
    """
    packing = [block for block in before if kernel.role(block) is Role.PACKING]
    rest = [block for block in before if kernel.role(block) is not Role.PACKING]
    padding = [block for block in rest if kernel.role(block) in (Role.PADDING, Role.ROWS)]
    stage = padding[-1] if padding else rest[-1] if rest else None
    for block in rest:
        if block is not stage and not kernel.is_output(block):
            kernel.schedule.compute_inline(block)
    remaining = [block for block in packing if block is not stage]
    return stage, remaining


def join_consumers(kernel: KernelSchedule, anchor: Block, after: list[Block]) -> Block:
    """Fold the elementwise consumers into one block; gives that block, or the copy out of the accumulators."""
    for block in after[:-1]:
        kernel.schedule.compute_inline(block)
    if not after:
        return kernel.schedule.cache_write(anchor, 0, "local")
    kernel.schedule.set_scope(anchor, 0, "local")
    return after[-1]


def vectorise_epilogue(kernel: KernelSchedule, epilogue: Block, outer: int, lanes: int, channels: int) -> bool:
    """Unroll and vectorise the epilogue's loops inside the first `outer` ones, the last of which runs over channels.

    Gives whether bounds checks remain within vectors, so that a loop around should be partitioned.
    """
    inner: list[Loop] = list(kernel.schedule.get_loops(epilogue))[outer:]
    if not inner:
        return False
    width = widest_divisor(channels, lanes)
    ragged = not worthwhile(width, lanes)
    if ragged and channels > lanes:
        width = lanes
    for loop in inner[:-1]:
        kernel.unroll(loop)
    last = inner[-1]
    if kernel.extent(last) % width:
        kernel.unroll(last)
        return ragged
    vectors, lane = kernel.schedule.split(last, [None, width])
    kernel.vectorise(lane)
    kernel.unroll(vectors)
    return ragged
