"""The template of depthwise convolutions in integers whose taps an instruction adds up a few at a time.

Vectors run along the channels. The bytes under a few neighbouring taps are brought into one lane first, for a strip of
the input and a block of channels: each is then read once for every row of the window, as one vector.
"""

from __future__ import annotations

from edgec.backends.tvm.schedules.injective import own_loops, schedule_injective
from edgec.backends.tvm.schedules.kernel_schedule import Block, KernelSchedule, Loop
from edgec.backends.tvm.schedules.producers_and_epilogues import (
    divide,
    join_consumers,
    join_producers,
    vectorise_epilogue,
)
from edgec.backends.tvm.schedules.windowed import adds_border, strips_of
from edgec.backends.tvm.stages import AnchorLayout, Role, intrinsic_of

_LONGEST_UNROLLED_WINDOW = 7
_NEIGHBOURS = 8
"""Positions whose taps are brought together at a time, as they share most of their loads."""


def schedule_windowed_dot(kernel: KernelSchedule, anchor: Block) -> None:
    """Schedule a kernel around a sum with loops (batch, spatial…, channels, window…, step, taps of a step)."""
    schedule = kernel.schedule
    annotations = schedule.get(anchor).annotations
    tile, intrinsic = AnchorLayout.of(annotations).tile, intrinsic_of(annotations)
    before, after = divide(kernel, anchor)
    taps = next(block for block in before if kernel.role(block) is Role.TAPS)
    stage, _ = join_producers(kernel, [block for block in before if block is not taps])
    if stage is not None and not kernel.is_output(stage) and adds_border(kernel, stage):
        schedule.compute_inline(stage)
        stage = None
    epilogue = join_consumers(kernel, anchor, after)
    details = schedule.get(epilogue).writes[0].source.ty.shape
    spatial, (*window, within) = kernel.loops(anchor)
    channel_outer, vector, lane = schedule.split(spatial[-1], [None, tile.vectors, tile.lanes])
    row_extent = int(details[-2])
    row_outer, row = schedule.split(spatial[-2], [None, tile.rows])
    strips, planes = strips_of(kernel, taps, spatial[:-2], tile.block)
    schedule.reorder(*strips, channel_outer, *planes, row_outer, *window, row, vector, lane, within)
    shared = kernel.parallel([*strips, channel_outer])
    outer = [*shared, *planes, row_outer]
    schedule.reverse_compute_at(epilogue, row_outer, preserve_unit_loops=True)
    vectorise_epilogue(kernel, epilogue, len(outer), tile.lanes, int(details[-1]))
    schedule.compute_at(taps, shared[-1])
    _schedule_taps(kernel, taps, shared[-1], tile.lanes)
    if stage is not None and not kernel.is_output(stage):
        schedule.compute_at(stage, shared[-1])
        schedule_injective(kernel, stage, inside=shared[-1])
    if row_extent % tile.rows:
        kernel.partition(row_outer)
    for loop in (*window, row, vector):
        if kernel.extent(loop) <= _LONGEST_UNROLLED_WINDOW or loop in (row, vector):
            kernel.unroll(loop)
    start = schedule.decompose_reduction(anchor, window[0])
    schedule.tensorize(lane, intrinsic)
    start_row, start_vector, start_lane = list(schedule.get_loops(start))[-3:]
    kernel.vectorise(start_lane)
    kernel.unroll(start_vector)
    kernel.unroll(start_row)


def _schedule_taps(kernel: KernelSchedule, taps: Block, inside: Loop, lanes: int) -> None:
    """A vector of channels for a few neighbouring positions at a time."""
    *around, position, channel = own_loops(kernel, taps, inside)
    extent = kernel.extent(position)
    together = max(count for count in range(1, _NEIGHBOURS + 1) if extent % count == 0)
    positions, neighbour = kernel.schedule.split(position, [None, together])
    chunk, lane = kernel.schedule.split(channel, [None, lanes])
    kernel.schedule.reorder(chunk, neighbour, lane)
    # Positions whose taps all lie inside the input are split off, and read it without a look at the border.
    for loop in (*around[-1:], positions):
        kernel.partition(loop)
    kernel.unroll(neighbour)
    kernel.vectorise(lane)
