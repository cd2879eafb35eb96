"""The template of sums over a window within each channel, channels last: depthwise convolution and pooling.

Vectors run along the channels and rows along the last spatial axis, so that the taps of neighbouring outputs share
their loads.
"""

from __future__ import annotations

import math

from edgec.backends.tvm.kernel_graph import ConvolutionTile
from edgec.backends.tvm.schedules.injective import schedule_injective
from edgec.backends.tvm.schedules.kernel_schedule import Block, KernelSchedule, Loop
from edgec.backends.tvm.schedules.producers_and_epilogues import (
    divide,
    join_consumers,
    join_producers,
    vectorise_epilogue,
)

_LARGEST_BORDER = 64
_LONGEST_UNROLLED_WINDOW = 7


def schedule_windowed(kernel: KernelSchedule, anchor: Block, tile: ConvolutionTile) -> None:
    """Schedule a kernel around a window reduction with loops (batch, spatial…, channels, window…)."""
    schedule = kernel.schedule
    before, after = divide(kernel, anchor)
    stage, packing = join_producers(kernel, before)
    epilogue = join_consumers(kernel, anchor, after)
    channels = int(schedule.get(epilogue).writes[0].source.ty.shape[-1])
    spatial, window = kernel.loops(anchor)
    channel_outer, vector, lane = schedule.split(spatial[-1], [None, tile.vectors, tile.lanes])
    row_extent = kernel.extent(spatial[-2])
    row_outer, row = schedule.split(spatial[-2], [None, tile.rows])
    bordered = stage is not None and not kernel.is_output(stage) and adds_border(kernel, stage)
    if bordered:
        schedule.compute_inline(stage)
        stage = None
    strips, planes = strips_of(kernel, stage, spatial[:-2], tile.block)
    schedule.reorder(*strips, channel_outer, *planes, row_outer, *window, row, vector, lane)
    shared = kernel.parallel([*strips, channel_outer])
    outer = [*shared, *planes, row_outer]
    schedule.reverse_compute_at(epilogue, row_outer, preserve_unit_loops=True)
    vectorise_epilogue(kernel, epilogue, len(outer), tile.lanes, channels)
    for block in packing:
        schedule_injective(kernel, block)
    if stage is not None and not kernel.is_output(stage):
        schedule.compute_at(stage, shared[-1])
        schedule_injective(kernel, stage, inside=shared[-1])
    if row_extent % tile.rows or bordered:
        kernel.partition(row_outer)
    for loop in planes if bordered else ():
        kernel.partition(loop)
    for loop in (row, vector):
        kernel.unroll(loop)
    kernel.vectorise(lane)
    if kernel.extent(window[-1]) <= _LONGEST_UNROLLED_WINDOW:
        kernel.unroll(window[-1])
    start = schedule.decompose_reduction(anchor, window[0])
    start_row, start_vector, start_lane = list(schedule.get_loops(start))[-3:]
    kernel.vectorise(start_lane)
    kernel.unroll(start_vector)
    kernel.unroll(start_row)


def adds_border(kernel: KernelSchedule, stage: Block) -> bool:
    """Whether a stage only adds a border along the axes before the channels.

    Then it need not be stored: the outputs whose window lies inside the input are split off, and read it as it is.
    Cores without vectors are small, and so shall their code be: they copy.
    """
    details = kernel.schedule.get(stage)
    if kernel.core.float_lanes == 1 or len(details.reads) != 1 or kernel.size_of_body(stage) > _LARGEST_BORDER:
        return False
    source = [int(extent) for extent in details.reads[0].source.ty.shape]
    written = kernel.written_shape(stage)
    return len(source) == len(written) and source[-1] == written[-1]


def strips_of(
    kernel: KernelSchedule, stage: Block | None, loops: list[Loop], block: int
) -> tuple[list[Loop], list[Loop]]:
    """Loops outside and inside of which the input stage is filled: as much at a time as half the cache holds."""
    if stage is None or len(loops) < 2:
        return loops[:1], loops[1:]
    shape = [int(extent) for extent in kernel.schedule.get(stage).writes[0].source.ty.shape]
    budget = (kernel.core.l2_bytes or kernel.core.l1_data_bytes) // 2
    plane = math.prod(shape[1:-1]) * block * kernel.item_bytes(stage)
    if plane <= budget:
        return loops[:1], loops[1:]
    rows = kernel.extent(loops[1])
    fitting = max(1, rows * budget // plane)
    height = max(divisor for divisor in range(1, fitting + 1) if rows % divisor == 0)
    outer, inner = kernel.schedule.split(loops[1], [None, height])
    return [loops[0], outer], [inner, *loops[2:]]
