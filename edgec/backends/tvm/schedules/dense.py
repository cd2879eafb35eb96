"""The template of contractions with packed weights: convolutions and matrix products.

A tile of `rows` output positions by `vectors * lanes` output channels is accumulated in registers over the whole
reduction; for each input element one broadcast meets `vectors` weight vectors, which lie one after another in memory.
Where an instruction adds up products of small integers, a few neighbouring channels take the place of one element.
Where the multiply-add takes a lane of a vector as its factor, each row loads a vector of neighbouring channels at once
instead of one element at a time: a load serves as many multiplications as the vector has lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgec.backends.tvm.implementation import LoopOrder
from edgec.backends.tvm.schedules.injective import own_loops, schedule_injective
from edgec.backends.tvm.schedules.kernel_schedule import Block, KernelSchedule, Loop, bytes_of, elements_of
from edgec.backends.tvm.schedules.producers_and_epilogues import (
    divide,
    join_consumers,
    join_producers,
    vectorise_epilogue,
)
from edgec.backends.tvm.stages import AnchorLayout, Role, intrinsic_of

_FLOAT_BYTES = 4
_SHORT_REDUCTION = 4
_MULTIPLIED_BY_LANE = ("float32", "float16")


@dataclass(frozen=True)
class _TiledLoops:
    batch: list[Loop]
    others: list[Loop]
    row_outer: Loop
    row: Loop
    channel_outer: Loop
    vector: Loop
    lane: Loop
    reduction: list[Loop]
    step: list[Loop]


def schedule_dense(kernel: KernelSchedule, anchor: Block) -> None:
    """Schedule a kernel around a dense anchor."""
    before, after = divide(kernel, anchor)
    layout = AnchorLayout.of(kernel.schedule.get(anchor).annotations)
    stage, packing = join_producers(kernel, before)
    epilogue = join_consumers(kernel, anchor, after)
    stationary = _weights_outlast_input(kernel, anchor, layout)
    channels = int(kernel.schedule.get(epilogue).writes[0].source.ty.shape[-1])
    loops = _tile(kernel, anchor, layout)
    ragged_rows = kernel.extent(loops.row_outer) * layout.tile.rows != _row_extent(kernel, epilogue, layout)
    fixed = [] if not ragged_rows else [loops.row_outer]
    if not stationary and (stage is not None or channels % layout.tile.lanes):
        fixed.append(loops.channel_outer)
    outer, shared = _order(kernel, loops, fixed, stationary=stationary)
    kernel.schedule.reverse_compute_at(epilogue, outer[-1], preserve_unit_loops=True)
    ragged_channels = vectorise_epilogue(kernel, epilogue, len(outer), layout.tile.lanes, channels)
    for block in packing:
        schedule_injective(kernel, block)
    if stage is not None:
        _place_input_stage(kernel, stage, shared)
    if ragged_rows:
        kernel.partition(loops.row_outer)
    if ragged_channels and loops.channel_outer in outer:
        kernel.partition(loops.channel_outer)
    _finish_tile(kernel, anchor, loops)


def _row_extent(kernel: KernelSchedule, block: Block, layout: AnchorLayout) -> int:
    return int(kernel.schedule.get(block).writes[0].source.ty.shape[layout.row_axis])


def _weights_outlast_input(kernel: KernelSchedule, anchor: Block, layout: AnchorLayout) -> bool:
    """Whether to keep a block of weights in the cache and stream the input past it, rather than the reverse."""
    if layout.order is not LoopOrder.BY_SIZE:
        return layout.order is LoopOrder.WEIGHTS_STAY
    data, weights = (region.source for region in kernel.schedule.get(anchor).reads[-2:])
    weight_bytes = elements_of(weights) * bytes_of(weights)
    data_bytes = elements_of(data) * bytes_of(data)
    return bool(weight_bytes > data_bytes)


def _tile(kernel: KernelSchedule, anchor: Block, layout: AnchorLayout) -> _TiledLoops:
    schedule, tile = kernel.schedule, layout.tile
    spatial, reduction = kernel.loops(anchor)
    channel_outer, vector, lane = schedule.split(spatial[-1], [None, tile.vectors, tile.lanes])
    row_outer, row = schedule.split(spatial[layout.row_axis], [None, tile.rows])
    steps = 1 if kernel.role(anchor) is Role.DOT_PRODUCT else 0
    around = reduction[: len(reduction) - steps]
    rest = [(axis, loop) for axis, loop in enumerate(spatial[:-1]) if axis != layout.row_axis]
    return _TiledLoops(
        batch=[loop for axis, loop in rest if axis < layout.batch_axes],
        others=[loop for axis, loop in rest if axis >= layout.batch_axes],
        row_outer=row_outer,
        row=row,
        channel_outer=channel_outer,
        vector=vector,
        lane=lane,
        reduction=_merge_short_reduction(kernel, around),
        step=reduction[len(around) :],
    )


def _merge_short_reduction(kernel: KernelSchedule, reduction: list[Loop]) -> list[Loop]:
    """One loop for the last window axis and the channels where the channels are few, as in a first layer."""
    if len(reduction) < 2 or kernel.extent(reduction[-1]) > _SHORT_REDUCTION:
        return reduction
    return [*reduction[:-2], kernel.schedule.fuse(reduction[-2], reduction[-1])]


def _order(
    kernel: KernelSchedule, loops: _TiledLoops, fixed: list[Loop], *, stationary: bool
) -> tuple[list[Loop], Loop | None]:
    """Order the loops; gives those around a tile, and the one inside which a piece of the input serves many tiles.

    Where the outermost loops are too short to keep all threads at work, those inside of them are shared as well, but
    for the `fixed` ones, which must remain loops of their own, and what lies inside these.
    """
    inner = [*loops.reduction, loops.row, loops.vector, loops.lane, *loops.step]
    by_weights = stationary or not loops.others
    if by_weights:
        shared, around = [*loops.batch, loops.channel_outer], [*loops.others, loops.row_outer]
    else:
        shared, around = [*loops.batch, *loops.others], [loops.channel_outer, loops.row_outer]
    kernel.schedule.reorder(*shared, *around, *inner)
    free = next((place for place, loop in enumerate(around) if loop in fixed), len(around))
    more = kernel.loops_to_share(shared, around[:free])
    fused = kernel.parallel([*shared, *around[:more]])
    return [*fused, *around[more:]], None if by_weights else fused[-1]


def _place_input_stage(kernel: KernelSchedule, stage: Block, shared: Loop | None) -> None:
    inside = None if kernel.is_output(stage) else shared
    if inside is not None:
        kernel.schedule.compute_at(stage, inside)
    if kernel.role(stage) is Role.ROWS:
        _copy_rows(kernel, stage, inside)
    else:
        schedule_injective(kernel, stage, inside=inside)


def _copy_rows(kernel: KernelSchedule, stage: Block, inside: Loop | None) -> None:
    """By whole registers; those that lie inside the input are split off from those on its border."""
    register = kernel.core.float_lanes * _FLOAT_BYTES // kernel.item_bytes(stage)
    chunk, lane = kernel.schedule.split(own_loops(kernel, stage, inside)[-1], [None, register])
    kernel.partition(chunk)
    kernel.vectorise(lane)


def _finish_tile(kernel: KernelSchedule, anchor: Block, loops: _TiledLoops) -> None:
    reduction = loops.reduction
    if not loops.step:
        reduction = [*reduction[:-1], load_rows_by_vector(kernel, anchor, reduction[-1])]
    for loop in (loops.row, loops.vector):
        kernel.unroll(loop)
    if not loops.step:
        # Before the initialisation is split off: afterwards the block is no reduction to TVM any more.
        kernel.vectorise(loops.lane)
    start = kernel.schedule.decompose_reduction(anchor, reduction[0])
    if loops.step:
        kernel.schedule.tensorize(loops.lane, intrinsic_of(kernel.schedule.get(anchor).annotations))
    row, vector, lane = list(kernel.schedule.get_loops(start))[-3:]
    kernel.vectorise(lane)
    kernel.unroll(vector)
    kernel.unroll(row)


def load_rows_by_vector(kernel: KernelSchedule, anchor: Block, reduction: Loop) -> Loop:
    """Copy a vector of each row's input into registers for that many steps of a reduction; gives its outer loop.

    LLVM keeps the copy in registers, since every index into it is constant once the loops are unrolled.
    """
    lanes = kernel.written_lanes(anchor)
    reads = kernel.schedule.get(anchor).reads
    data = len(reads) - 2
    fits = kernel.core.multiplies_by_lane and kernel.extent(reduction) % lanes == 0
    if not fits or data < 0 or str(reads[data].source.dtype) not in _MULTIPLIED_BY_LANE:
        return reduction
    outer, step = kernel.schedule.split(reduction, [None, lanes])
    copy = kernel.schedule.cache_read(anchor, data, "local")
    kernel.schedule.compute_at(copy, outer)
    *rows, lane = kernel.loops(copy, outer)[0]
    for loop in (step, *rows):
        kernel.unroll(loop)
    if kernel.extent(lane) == lanes:
        kernel.vectorise(lane)
    return outer
