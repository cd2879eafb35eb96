"""The template of minimal filtering: strips of tiles go through the transforms and the products within the cache.

For each strip the input is transformed once; then, for each block of output channels, come the products at all places
and the transform of their results, so that only the transformed input and one block of results must be held.
"""

from __future__ import annotations

import math

from edgec.backends.tvm.schedules.dense import load_rows_by_vector
from edgec.backends.tvm.schedules.injective import schedule_injective
from edgec.backends.tvm.schedules.kernel_schedule import Block, KernelSchedule, Loop
from edgec.backends.tvm.schedules.producers_and_epilogues import divide, join_consumers, vectorise_epilogue
from edgec.backends.tvm.stages import AnchorLayout

_MEETING = 0.8


def schedule_winograd(kernel: KernelSchedule, anchor: Block) -> None:
    """Schedule a kernel around the products of minimal filtering."""
    schedule = kernel.schedule
    layout = AnchorLayout.of(schedule.get(anchor).annotations)
    before, after = divide(kernel, anchor)
    down, along = before[-2:]
    half, sums = after[:2]
    epilogue = join_consumers(kernel, sums, after[2:])
    shared, block, tile_loop = _tile_output(kernel, sums, half, layout)
    _place_epilogue(kernel, epilogue, tile_loop, layout)
    _place_half(kernel, half, tile_loop, layout)
    _place_products(kernel, anchor, block, layout)
    _place_input(kernel, (down, along), before[:-2], shared, layout)


def _places(kernel: KernelSchedule, half: Block) -> tuple[int, int]:
    """Outputs and inputs along an axis of a tile."""
    _, _, outputs, places, _, _ = kernel.written_shape(half)
    return outputs, places


def _tile_output(kernel: KernelSchedule, sums: Block, half: Block, layout: AnchorLayout) -> tuple[Loop, Loop, Loop]:
    """Order the loops of the last transform; gives those around a strip, a block of channels in it, and a tile."""
    schedule = kernel.schedule
    outputs, _ = _places(kernel, half)
    _, count, _, _, _, _ = kernel.written_shape(half)
    sample, row, column, channel = schedule.get_loops(sums)
    strip, tile_row, inner_row = schedule.split(row, [count, None, outputs])
    tile_column, inner_column = schedule.split(column, [None, outputs])
    block, vector, lane = schedule.split(channel, [None, layout.tile.vectors, layout.tile.lanes])
    schedule.reorder(sample, strip, block, tile_row, tile_column, vector, inner_row, inner_column, lane)
    for loop in (inner_row, inner_column):
        kernel.unroll(loop)
    kernel.vectorise(lane)
    if _shares_strips(kernel, [sample, strip], block):
        return kernel.parallel([sample, strip])[-1], block, vector
    return strip, kernel.parallel([block])[-1], vector


def _shares_strips(kernel: KernelSchedule, around: list[Loop], block: Loop) -> bool:
    """Whether the threads share the strips, rather than the work on each, for which they must meet every time."""
    return kernel.busy_share(around) >= _MEETING * kernel.busy_share([block])


def _place_epilogue(kernel: KernelSchedule, epilogue: Block, tile: Loop, layout: AnchorLayout) -> None:
    schedule = kernel.schedule
    channels = kernel.written_shape(epilogue)[-1]
    schedule.reverse_compute_at(epilogue, tile, preserve_unit_loops=True)
    around = kernel.depth(list(schedule.get_loops(epilogue)), tile) + 1
    vectorise_epilogue(kernel, epilogue, around, layout.tile.lanes, channels)


def _place_half(kernel: KernelSchedule, half: Block, tile: Loop, layout: AnchorLayout) -> None:
    schedule = kernel.schedule
    schedule.set_scope(half, 0, "local")
    schedule.compute_at(half, tile, preserve_unit_loops=True)
    *_, row, place, _, lane = schedule.get_loops(half)
    schedule.reorder(place, row, lane)
    for loop in (row, place):
        kernel.unroll(loop)
    kernel.vectorise(lane)


def _place_products(kernel: KernelSchedule, anchor: Block, block: Loop, layout: AnchorLayout) -> None:
    """Compute the products of a block of channels in tiles that stay in registers."""
    schedule, tile = kernel.schedule, layout.tile
    stored = schedule.cache_write(anchor, 0, "local")
    schedule.compute_at(stored, block, preserve_unit_loops=True)
    schedule.compute_at(anchor, block, preserve_unit_loops=True)
    spatial, (reduction,) = kernel.loops(anchor, block)
    *_, place, tiles, channel = spatial
    row_outer, row = schedule.split(tiles, [None, tile.rows])
    vector, lane = schedule.split(channel, [None, tile.lanes])
    schedule.reorder(place, row_outer, reduction, row, vector, lane)
    ragged = kernel.extent(row_outer) * tile.rows != kernel.written_shape(stored)[layout.row_axis]
    schedule.reverse_compute_at(stored, row_outer, preserve_unit_loops=True)
    vectorise_epilogue(
        kernel, stored, kernel.depth(list(schedule.get_loops(stored)), row_outer) + 1, tile.lanes, tile.block
    )
    if ragged:
        kernel.partition(row_outer)
    reduction = load_rows_by_vector(kernel, anchor, reduction)
    for loop in (row, vector):
        kernel.unroll(loop)
    kernel.vectorise(lane)
    start = schedule.decompose_reduction(anchor, reduction)
    first_row, first_vector, first_lane = list(schedule.get_loops(start))[-3:]
    kernel.vectorise(first_lane)
    kernel.unroll(first_vector)
    kernel.unroll(first_row)


def _in_parallel(kernel: KernelSchedule, block: Block) -> bool:
    from tvm import tirx

    return any(kernel.schedule.get(loop).kind == tirx.ForKind.PARALLEL for loop in kernel.schedule.get_loops(block))


def _place_input(
    kernel: KernelSchedule, transforms: tuple[Block, Block], stages: list[Block], shared: Loop, layout: AnchorLayout
) -> None:
    """Transform a strip of the input, a vector of channels and a row of tiles at a time."""
    schedule = kernel.schedule
    down, along = transforms
    lanes = layout.tile.lanes
    _, _, places, _, _ = kernel.written_shape(down)
    schedule.compute_at(along, shared, preserve_unit_loops=True)
    *_, place, tiles, channel = schedule.get_loops(along)
    height = kernel.written_shape(down)[1] // kernel.written_shape(along)[1]
    tile_row, tile_column = schedule.split(tiles, [height, None])
    vertical, horizontal = schedule.split(place, [places, places])
    chunk, lane = schedule.split(channel, [None, math.gcd(lanes, kernel.extent(channel))])
    schedule.reorder(tile_row, chunk, tile_column, vertical, horizontal, lane)
    for loop in (vertical, horizontal):
        kernel.unroll(loop)
    kernel.vectorise(lane)
    if not _in_parallel(kernel, along):
        chunk = kernel.parallel([tile_row, chunk])[-1]
    schedule.compute_at(down, chunk, preserve_unit_loops=True)
    *_, place, column, lane = schedule.get_loops(down)
    schedule.reorder(column, place, lane)
    kernel.unroll(place)
    kernel.vectorise(lane)
    for stage in reversed(stages):
        if kernel.is_output(stage):
            schedule_injective(kernel, stage)
            continue
        schedule.compute_at(stage, shared, preserve_unit_loops=True)
        schedule_injective(kernel, stage, inside=shared)
