"""The template of depthwise convolutions in integers whose taps an instruction adds up a few at a time.

Vectors run along the channels. The bytes under a few taps, one above the other, are brought into one lane first, for
one row of the output at a time: what they take stays in the level 1 cache, and neighbouring outputs share it.
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
from edgec.backends.tvm.schedules.windowed import adds_border
from edgec.backends.tvm.stages import AnchorLayout, Role, intrinsic_of

_LONGEST_UNROLLED_WINDOW = 7


def schedule_windowed_dot(kernel: KernelSchedule, anchor: Block) -> None:
    """Schedule a kernel around a sum with loops (batch, spatial…, channels, window…, step, taps of a step)."""
    schedule = kernel.schedule
    annotations = schedule.get(anchor).annotations
    tile, intrinsic = AnchorLayout.of(annotations).tile, intrinsic_of(annotations)
    before, after = divide(kernel, anchor)
    taps = next(block for block in before if kernel.role(block) is Role.TAPS)
    stage, _ = join_producers(kernel, [block for block in before if block is not taps])
    bordered = stage is not None and not kernel.is_output(stage) and adds_border(kernel, stage)
    if bordered:
        schedule.compute_inline(stage)
        stage = None
    epilogue = join_consumers(kernel, anchor, after)
    details = schedule.get(epilogue).writes[0].source.ty.shape
    spatial, (*window, within) = kernel.loops(anchor)
    batch, *planes = spatial[:-2]
    channel_outer, vector, lane = schedule.split(spatial[-1], [None, tile.vectors, tile.lanes])
    row_outer, row = schedule.split(spatial[-2], [None, tile.rows])
    around = _order(kernel, batch, planes, channel_outer, [row_outer, *window, row, vector, lane, within])
    schedule.reverse_compute_at(epilogue, row_outer, preserve_unit_loops=True)
    vectorise_epilogue(kernel, epilogue, len(around) + 1, tile.lanes, int(details[-1]))
    schedule.compute_at(taps, around[-1])
    _schedule_taps(kernel, taps, around[-1], tile.lanes)
    if stage is not None and not kernel.is_output(stage):
        schedule.compute_at(stage, around[-1])
        schedule_injective(kernel, stage, inside=around[-1])
    for loop in planes[:1] if bordered else ():
        kernel.partition(loop)
    if int(details[-2]) % tile.rows:
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


def _order(
    kernel: KernelSchedule, batch: Loop, planes: list[Loop], channel_outer: Loop, inner: list[Loop]
) -> list[Loop]:
    """Order the loops; gives those around the rows.

    All channels of a row are near in memory, so they come first; threads take whole blocks of channels each.
    """
    if kernel.threads == 1:
        kernel.schedule.reorder(batch, *planes, channel_outer, *inner)
        return [batch, *planes, channel_outer]
    kernel.schedule.reorder(batch, channel_outer, *planes, *inner)
    return [*kernel.parallel([batch, channel_outer]), *planes]


def _schedule_taps(kernel: KernelSchedule, taps: Block, inside: Loop, lanes: int) -> None:
    """A vector of channels at a time."""
    *around, position, channel = own_loops(kernel, taps, inside)
    chunk, lane = kernel.schedule.split(channel, [None, lanes])
    # Positions inside the input are split off, and read it without a look at the border.
    kernel.partition(position)
    for loop in (*around, chunk):
        kernel.unroll(loop)
    kernel.vectorise(lane)
